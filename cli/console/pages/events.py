"""Events: those that came last as they come, and one event's journey."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cli.console.pages.shared import RefusedError, desk, event, fragment, live, number_of, served, shown
from cli.console.recent import Seen
from headwater.clock import read_timestamp
from headwater.event_store.dynamodb import DynamoDbEventStore
from operations.mending import Stored, read

_SHOWN: Final = 50
#: A foreign producer may have written a fraction.
_VERSION: Final = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the tail is shown: a type, and a text that the aggregate's id or the event's holds."""

    type: str = ""
    text: str = ""

    @classmethod
    def of(cls, request: Request) -> "Filters":
        return cls(request.query_params.get("type", "").strip(), request.query_params.get("text", "").strip())

    def lets_through(self, seen: Seen) -> bool:
        return self.type in ("", seen.type) and (
            not self.text or self.text in seen.aggregate_id or self.text in (seen.event_id, seen.correlation_id)
        )

    @property
    def query(self) -> str:
        return urlencode({name: value for name, value in (("type", self.type), ("text", self.text)) if value})


def events(request: Request) -> Response:
    """The newest events."""
    recent, filters = desk(request).recent, Filters.of(request)
    recent.refresh()
    newest = list(recent.newest())
    last = newest[0].number if newest else 0
    found = list(islice(filter(filters.lets_through, newest), _SHOWN + 1))
    types = recent.types()
    return shown(
        request,
        "events.html",
        events=found[:_SHOWN],
        older=len(found) > _SHOWN,
        last=last,
        filters=filters,
        types=types,
        trouble=recent.trouble,
        title="Events",
    )


def tail(request: Request) -> Response:
    """New events as they come, as server-sent events."""
    return live(request, _tail(request, Filters.of(request), number_of(request, "after")))


async def _tail(request: Request, filters: Filters, last: int) -> AsyncIterator[str]:
    recent = desk(request).recent
    # Neither a trouble nor None: the first round says which it is, over what the page had said.
    told: str | None = ""
    while not await request.is_disconnected():
        await run_in_threadpool(recent.refresh)
        new = recent.after(last, _SHOWN)
        if new:
            last = new[-1].number
            rows = [seen for seen in reversed(new) if filters.lets_through(seen)]
            if rows:
                yield event("events", fragment("event_rows.html", events=rows))
        if recent.trouble != told:
            told = recent.trouble
            yield event("trouble", fragment("trouble.html", message=told))
        await asyncio.sleep(1)


def by_id(request: Request) -> Response:
    """Where an event id leads to: to its journey."""
    event_id = request.query_params.get("id", "").strip()
    if not event_id:
        raise RefusedError("say an event's id: the list of events shows some")
    recent = desk(request).recent
    recent.refresh()
    seen = recent.find(event_id)
    if seen is None:
        raise RefusedError(
            f"no event {event_id!r} is among those that this console has seen: look for its event_id in events_all, "
            "on the page Query",
            404,
        )
    return RedirectResponse(path_of(seen.aggregate_id, seen.version), 303)


def path_of(aggregate_id: str, version: int) -> str:
    """The page of one event."""
    return f"/journey?{urlencode({'aggregate': aggregate_id, 'version': version})}"


def journey(request: Request) -> Response:
    """One event: what it says, what caused it and what it caused; the answers to it come a moment later."""
    stored = _stored(request)
    recent = desk(request).recent
    recent.refresh()
    metadata = dict(stored.event.metadata) if stored.event else {}
    caused_by = metadata.get("causation_id", "")
    return shown(
        request,
        "journey.html",
        stored=stored,
        data=_data(stored),
        metadata=metadata,
        seen=recent.find(stored.text("event_id")),
        cause=recent.find(caused_by) if caused_by else None,
        caused=recent.caused_by(stored.text("event_id")),
        query=urlencode({"aggregate": stored.text("aggregate_id"), "version": f"{stored.version:f}"}),
        title="Journey",
    )


def answers(request: Request) -> Response:
    """What each consumer answered: a part of the journey's page."""
    stored, found = _stored(request), desk(request)
    found.recent.refresh()
    seen = found.recent.find(stored.text("event_id"))
    archived_in = seen.object if seen else None
    if stored.event is None:
        answered = found.journeys.unreadable(stored.text("aggregate_id"), int(stored.version), archived_in)
    else:
        answered = found.journeys.answers(stored.event, archived_in)
    return shown(request, "answers.html", answers=answered, wrong=stored.wrong)


def log_lines(request: Request) -> Response:
    """The log lines that name an event: a part of the journey's page."""
    stored, found = _stored(request), desk(request)
    event_id = stored.text("event_id").strip()
    if not event_id:
        # Every line holds an empty text.
        raise RefusedError("the event has no id, so that no log line can name it")
    graph = found.observer.graph
    functions = [each.id for each in graph.readers(stored.text("type"), graph.events)]
    try:
        since = read_timestamp(stored.text("occurred_at"))
    except ValueError:
        raise RefusedError("the event does not say when it happened, so that no log can be searched") from None
    lines = found.logs.about(event_id, functions, since)
    return shown(request, "log_lines.html", lines=lines)


def _stored(request: Request) -> Stored:
    aggregate = request.query_params.get("aggregate", "")
    version = request.query_params.get("version", "")
    if "#" not in aggregate or not _VERSION.fullmatch(version):
        raise RefusedError("an event is named by its aggregate, <type>#<id>, and its version, a whole number")
    target = desk(request).target
    key = {"aggregate_id": {"S": aggregate}, "version": {"N": version}}
    table = target.output("EventsTableName")
    item = target.client("dynamodb").get_item(TableName=table, Key=key).get("Item")
    if item is None:
        raise RefusedError(f"there is no version {version} of {aggregate}: it never was, or it has expired", 404)
    return read(item, target.application().events)


def _data(stored: Stored) -> Any:
    return stored.event.data if stored.event else stored.text("data")


def aggregates(request: Request) -> Response:
    """An aggregate's history, each event beside the one before; or those that changed last."""
    found = desk(request)
    aggregate = request.query_params.get("id", "").strip()
    if not aggregate:
        found.recent.refresh()
        last: dict[str, Seen] = {}
        for seen in found.recent.newest():
            last.setdefault(seen.aggregate_id, seen)
            if len(last) == _SHOWN:
                break
        return shown(request, "aggregates.html", aggregates=list(last.values()), title="Aggregates")
    if "#" not in aggregate:
        raise RefusedError(f"{aggregate!r} has no type: write it as <type>#<id>")
    after = number_of(request, "after")
    table = found.target.output("EventsTableName")
    types = found.target.application().events
    items = DynamoDbEventStore(found.target.client("dynamodb"), table, types).items(aggregate, after)
    history: list[Stored] = []
    for item in items:
        history.append(read(item, types))
        if len(history) > _SHOWN:
            break
    if not history and not after:
        raise RefusedError(f"{table} has no events of {aggregate}", 404)
    more = f"{history[_SHOWN - 1].version:f}" if len(history) > _SHOWN else None
    history = history[:_SHOWN]
    return shown(
        request,
        "aggregate.html",
        aggregate=aggregate,
        steps=_steps(history),
        more=more,
        title=aggregate,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a history. ``fields``: name, value before, value now and whether they differ."""

    stored: Stored
    fields: Sequence[tuple[str, Any, Any, bool]]


def _steps(history: Sequence[Stored]) -> list[Step]:
    steps: list[Step] = []
    before: dict[str, Any] = {}
    for stored in history:
        data = _data(stored)
        data = data if isinstance(data, dict) else {"data": data}
        names = dict.fromkeys([*before, *data])
        fields = [(name, before.get(name), data.get(name), before.get(name) != data.get(name)) for name in names]
        steps.append(Step(stored, fields))
        before = data
    return steps


ROUTES: Final = [
    Route("/events", served(events)),
    Route("/events/tail", served(tail)),
    Route("/events/by-id", served(by_id)),
    Route("/journey", served(journey)),
    Route("/journey/answers", served(answers)),
    Route("/journey/logs", served(log_lines)),
    Route("/aggregates", served(aggregates)),
]
