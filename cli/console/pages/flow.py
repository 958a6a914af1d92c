"""Flow: the stations of the stack as they do now."""

import asyncio
from collections.abc import AsyncIterator
from itertools import islice
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cli.console.diagram import HEIGHT, WIDTH
from cli.console.pages.shared import RefusedError, desk, event, fragment, live, refusal, served, shown
from cli.observation import Figures, Snapshot

_LAST: Final = 8
#: Pixels of a window that the flow does not have: margins and a scrollbar.
_BESIDE: Final = 50


def flow(request: Request) -> Response:
    """All stations."""
    found = desk(request)
    return shown(
        request,
        "flow.html",
        diagram=found.diagram,
        graph=found.diagram.graph,
        snapshot=found.snapshots.get(),
        nothing=Figures(),
        title="Flow",
    )


def places(request: Request) -> Response:
    """Where the stations stand, as a style sheet: a page may carry no styles of its own."""
    diagram = desk(request).diagram
    width, height = diagram.size
    rules = [f"#flow {{ width: {width}px; height: {height}px; }}"]
    rules += [
        f"#s-{name} {{ left: {place.x}px; top: {place.y}px; width: {WIDTH}px; min-height: {HEIGHT}px; }}"
        for name, place in diagram.places.items()
    ]
    sheet = "@media (min-width: 60rem) {\n" + "\n".join(rules) + "\n}\n"
    sheet += f"@media (min-width: 60rem) and (max-width: {width + _BESIDE}px) {{\n.wider {{ display: block; }}\n}}\n"
    return PlainTextResponse(sheet, media_type="text/css")


def station(request: Request) -> Response:
    """One station: its figures, the last events that reach it, its last log lines, its alarms."""
    found = desk(request)
    graph = found.observer.graph
    name = request.path_params["station"]
    if name not in graph.stations:
        raise RefusedError(f"the stack has no station {name!r}: the flow shows those that there are", 404)
    snapshot = found.snapshots.get()
    chosen = graph.stations[name]
    found.recent.refresh()
    projection = found.target.application().projections.get(chosen.consumer or "")
    reached = (
        seen
        for seen in found.recent.newest()
        if (name == graph.events or any(each.id == name for each in graph.readers(seen.type, graph.events)))
        and (projection is None or projection.follows(seen.aggregate_id))
    )
    alarms = None
    if snapshot.alarms is not None:
        alarms = [each for each in snapshot.alarms if name in each.of]
    return shown(
        request,
        "station.html",
        station=chosen,
        figures=snapshot.figures.get(name, Figures()),
        events=list(islice(reached, _LAST)),
        follows=sorted(projection.aggregate_types) if projection is not None else None,
        lines=found.logs.last(name) if chosen.kind == "function" else [],
        limit=found.observer.limits.get(name),
        alarms=alarms,
        title=chosen.label,
    )


async def stream(request: Request) -> Response:
    """Figures as they change, as server-sent events."""
    return live(request, _figures(request))


async def _figures(request: Request) -> AsyncIterator[str]:
    found = desk(request)
    moving: list[str] | None = None
    while not await request.is_disconnected():
        try:
            snapshot = await run_in_threadpool(found.snapshots.get)
        except Exception as error:  # noqa: BLE001  # the stack may be gone: the page says so and goes on asking
            told = refusal(found, error) or (str(error) or type(error).__name__, 500)
            yield event("figures", fragment("gone.html", message=told[0]))
        else:
            yield event("figures", fragment("figures.html", snapshot=snapshot, graph=found.observer.graph))
            now_moving = _moving(snapshot)
            if now_moving != moving:
                moving = now_moving
                yield event(
                    "lines", fragment("lines.html", diagram=found.diagram, snapshot=snapshot, nothing=Figures())
                )
        await asyncio.sleep(found.observer.every)


def _moving(snapshot: Snapshot) -> list[str]:
    return [name for name, each in snapshot.figures.items() if each.rate]


ROUTES: Final = [
    Route("/", served(flow)),
    Route("/flow.css", served(places)),
    Route("/flow/stream", stream),
    Route("/flow/{station}", served(station)),
]
