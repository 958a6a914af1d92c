"""Shows applicants and staff where applications stand."""

from headwater import bootstrap
from headwater.functions.api.entry import http_handler
from headwater.functions.api.tracking_routes import TrackingRoutes

handler = http_handler("tracking_api", TrackingRoutes(bootstrap.tracking_pages()).router())
