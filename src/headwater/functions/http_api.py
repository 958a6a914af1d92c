"""Turns HTTP requests into events, and reads profiles and leaderboards."""

from headwater import bootstrap
from headwater.clock import utc_now
from headwater.functions.api.entry import http_handler
from headwater.functions.api.routes import Routes

routes = Routes(bootstrap.accounts(), bootstrap.profiles(), bootstrap.preferences(), bootstrap.leaderboards(), utc_now)
handler = http_handler("http_api", routes.router())
