"""The console as an ASGI application."""

from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from cli.console.desk import Desk
from cli.console.guard import Guard
from cli.console.pages import events, flow, letters, query, read_models, rehearse, runbook
from cli.console.pages.shared import FOLDER, RefusedError, served

_PAGES: Final = (flow, events, read_models, letters, query, rehearse, runbook)


def application(desk: Desk, port: int, key: str | None = None) -> ASGIApp:
    """The console of a stack, which listens on a port of loopback; see `cli.console.guard` for the key."""
    app = Starlette(
        routes=[
            *(route for pages in _PAGES for route in pages.ROUTES),
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
            Route("/{path:path}", served(_missing)),
        ]
    )
    app.state.desk = desk
    return Guard(app, port, key)


def _missing(request: Request) -> Response:
    raise RefusedError(f"there is no page {request.url.path}", 404)
