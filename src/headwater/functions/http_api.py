"""Turns HTTP requests into events, and reads profiles."""

from headwater import bootstrap
from headwater.clock import utc_now
from headwater.functions.api.entry import http_handler
from headwater.functions.api.routes import Routes

handler = http_handler("http_api", Routes(bootstrap.accounts(), bootstrap.profiles(), utc_now).router())
