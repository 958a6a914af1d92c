"""Turns HTTP requests into events, moves applications, and reads profiles and leaderboards."""

from headwater import bootstrap
from headwater.clock import utc_now
from headwater.functions.api.application_routes import ApplicationRoutes
from headwater.functions.api.entry import http_handler
from headwater.functions.api.routes import ANONYMOUS, Routes
from headwater.ids import uuid7

applications = ApplicationRoutes(bootstrap.applications(), bootstrap.request_ledger(), utc_now, uuid7, ANONYMOUS)
routes = Routes(bootstrap.accounts(), bootstrap.profiles(), bootstrap.preferences(), bootstrap.leaderboards(), utc_now)
handler = http_handler("http_api", routes.router(applications.routes()))
