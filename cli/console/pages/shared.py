"""What the pages share: the desk of a request, templates, and errors in one line."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from cli.console import redaction
from cli.console.desk import Desk
from cli.observation import archive_told, duration
from operations.dead_letters import view
from operations.output import as_json, counted
from operations.output import refusal as aws_refusal
from operations.running import is_alive

FOLDER: Final = Path(__file__).resolve().parent.parent

#: Pages in the order of the menu, with their paths.
MENU: Final = (
    ("Flow", "/"),
    ("Events", "/events"),
    ("Aggregates", "/aggregates"),
    ("Read models", "/read-models"),
    ("Dead letters", "/dead-letters"),
    ("Query", "/query"),
    ("Runbook", "/runbook"),
)
REHEARSE: Final = ("Rehearse", "/rehearse")

#: As many digits as a version has.
_NUMBER: Final = re.compile(r"[0-9]{1,19}")

type Page = Callable[[Request], Response]
type Served = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """Something that cannot be done; the message is one line that says what to do. ``status`` is HTTP's."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def pretty(value: Any) -> str:
    """JSON to read, without what no page shows; the beginning of a long one."""
    return _beginning(as_json(redaction.value(value), indent=True))


def _beginning(text: str) -> str:
    if len(text) <= redaction.LONGEST:
        return text
    return f"{text[: redaction.LONGEST]}\n… and more: the command line prints all"


def _field(one: dict[str, Any], name: str) -> str:
    """A field of an event as text, without what no page shows."""
    value = redaction.value(one)[name]
    return _beginning(value if isinstance(value, str) else as_json(value))


def page_of(see: str) -> str:
    """The console's page for what a trouble refers to: a heading of the runbook, or a command."""
    return "/dead-letters" if see.startswith("headwater ") else see.replace("docs/runbook.md", "/runbook")


def _seconds(moment: str) -> str:
    """A moment without the fraction that its source does not know."""
    return re.sub(r"\.\d+(?=Z$)", "", moment)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "age": view.age,
        "archive_told": archive_told,
        "base64": _base64,
        "counted": counted,
        "duration": duration,
        "field": _field,
        "left": view.left,
        "page_of": page_of,
        "pretty": pretty,
        "redacted": redaction.text,
        "seconds": _seconds,
    }
    return found


_ENVIRONMENT: Final = environment()


def desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


def shown(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """A template as the answer."""
    found = desk(request)
    menu = (*MENU, REHEARSE) if found.local else MENU
    text = _ENVIRONMENT.get_template(template).render(
        desk=found, menu=menu, path=request.url.path, htmx="hx-request" in request.headers, **context
    )
    return HTMLResponse(text, status)


def fragment(template: str, **context: Any) -> str:
    """A template's text, for what is sent while a page is open."""
    return _ENVIRONMENT.get_template(template).render(**context)


def served(page: Page) -> Served:
    """The page in a thread of its own, as it waits for AWS; what fails is one line on a page."""

    @wraps(page)
    async def answer(request: Request) -> Response:
        try:
            return await run_in_threadpool(page, request)
        except Exception as error:
            if (told := refusal(desk(request), error)) is None:
                raise
            message, status = told
            return shown(request, "refused.html", status, message=message)

    return answer


def refusal(found: Desk, error: Exception) -> tuple[str, int] | None:
    """What failed, in one line, and HTTP's status for it; None for what should not."""
    running = found.target.running
    match error:
        case RefusedError():
            return str(error), error.status
        case click.ClickException():
            return error.format_message(), 409
    told = aws_refusal(error)
    if (told or isinstance(error, OSError)) and running is not None and not is_alive(Path(running.run_folder)):
        return "the local stack is gone: start it again with 'make run'", 502
    return None if told is None else (told, 502)


def event(name: str, data: str) -> str:
    """One server-sent event (WHATWG HTML, "Server-sent events"); a browser drops one that has no line of data."""
    lines = "\n".join(f"data: {line}" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n\n"


def live(request: Request, events: AsyncIterator[str]) -> Response:
    """An answer that goes on for as long as the page is open, and the console there."""
    events = _until(desk(request).stopping, events)
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _until(stopping: asyncio.Event, events: AsyncIterator[str]) -> AsyncIterator[str]:
    stopped = asyncio.ensure_future(stopping.wait())
    following: asyncio.Future[Any] = stopped
    try:
        while not stopping.is_set():
            # It may sleep, or wait for AWS.
            following = asyncio.ensure_future(anext(events, None))
            await asyncio.wait((stopped, following), return_when=asyncio.FIRST_COMPLETED)
            if not following.done() or (text := following.result()) is None:
                return
            yield text
    finally:
        stopped.cancel()
        following.cancel()


def demand_changes(request: Request) -> None:
    """Refuses what changes something where that is not allowed.

    Raises
    ------
    RefusedError
        It is a deployed stack, and nobody allowed changes.
    """
    if not desk(request).changes:
        raise RefusedError("this console only looks: start it with --allow-changes to change something", 403)


def number_of(request: Request, name: str) -> int:
    """A whole number that the address has; 0 if it does not.

    Raises
    ------
    RefusedError
        It is none, or longer than any version.
    """
    given = request.query_params.get(name, "0")
    if not _NUMBER.fullmatch(given):
        raise RefusedError(f"{name!r} is a whole number, such as the page's own links have")
    return int(given)


def form_of(body: dict[str, str], name: str) -> str:
    """A form's field, which has to be there.

    Raises
    ------
    RefusedError
        It is empty.
    """
    value = body.get(name, "").strip()
    if not value:
        raise RefusedError(f"{name} is empty: say it")
    return value


def changing(page: Callable[[Request, dict[str, str]], Response]) -> Served:
    """As `served`, for a form that changes something."""

    @wraps(page)
    async def answer(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}

        def changed(request: Request) -> Response:
            demand_changes(request)
            try:
                return page(request, form)
            finally:
                # Of a change that failed half-way, too, the next page shows what it did.
                desk(request).changed()

        return await served(changed)(request)

    return answer


def back_to(path: str) -> Response:
    """After a change, the page that shows it."""
    return RedirectResponse(path, 303)
