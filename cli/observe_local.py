"""Looks at the stack on this machine: its own figures, its queues and its archive."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from cli.control import Control
from cli.observation import Figures, LetterBox, Letters, Snapshot, limits, look_into_archive, troubles
from cli.templates import documents
from operations.flow_graph import FlowGraph, Station
from operations.target import Target

#: Between two looks; rates are over this time.
EVERY_SECONDS: Final = 1.0

type Told = Mapping[str, Any]


class LocalObserver:
    """Asks devstack how its deliveries go, and the emulator for its queues."""

    every = EVERY_SECONDS

    def __init__(self, target: Target, control: Control) -> None:
        self._target = target
        self._control = control
        templates = documents(target)
        self.limits = limits(*templates)
        self.graph = FlowGraph.of(*templates)
        self.box = LetterBox(target)
        self._before: tuple[float, Mapping[str, int]] = (0.0, {})

    def observe(self) -> Snapshot:
        flow = self._control.get("flow")
        letters = self.box.letters()
        counts = {each["title"]: each["delivered"] for each in flow["mappings"]}
        counts |= {each["name"]: each["invocations"] for each in flow["functions"]}
        counts |= {each["arn"]: each["records"] for each in flow["streams"]}
        rates = self._rates(counts)
        figures = {
            name: _figures(self.graph, station, flow, rates, letters) for name, station in self.graph.stations.items()
        }
        now = datetime.now(UTC)
        snapshot = Snapshot(
            at=now,
            stack="local",
            figures=figures,
            dead_letters=letters.by_consumer,
            standing=letters.standing,
            archive=look_into_archive(self._target, now),
        )
        return replace(snapshot, troubles=troubles(self.graph, snapshot, self.limits, letters.elsewhere))

    def _rates(self, counts: Mapping[str, int]) -> Mapping[str, float]:
        """Since the last look; nothing is known at the first one."""
        then, before = self._before
        now = time.monotonic()
        self._before = now, counts
        seconds = max(now - then, 0.001)
        return {name: max(0, count - before[name]) / seconds for name, count in counts.items() if name in before}


def _figures(graph: FlowGraph, station: Station, flow: Told, rates: Mapping[str, float], letters: Letters) -> Figures:
    parked = letters.by_consumer.get(station.consumer, 0) if station.consumer else 0
    # A pipe's records are its own, though its functions are invoked for them.
    own = [each for each in flow["mappings"] if station.id in {each["pipe"] or each["function"]}]
    if own:
        return _of_mappings(own, rates, parked)
    feeds = {edge.title for edge in graph.edges if edge.source == station.id and edge.title}
    read = [each for each in flow["mappings"] if each["title"] in feeds]
    match station.kind:
        case "queue" if read:
            return Figures(waiting=sum(each["waiting"] for each in read), rate=_sum(rates, [read[0]["title"]]))
        case "table" | "stream" if read:
            return Figures(rate=_sum(rates, [read[0]["source_arn"]]))
        case "api" | "function":
            served = [edge.target for edge in graph.edges if edge.source == station.id] + [station.id]
            functions = [each["name"] for each in flow["functions"] if each["name"] in served]
            return Figures(rate=_sum(rates, functions[:1]), parked=parked)
    return Figures()


def _of_mappings(own: Sequence[Told], rates: Mapping[str, float], parked: int) -> Figures:
    return Figures(
        waiting=sum(each["waiting"] for each in own),
        lag=max((each["lag_seconds"] for each in own if each["lag_seconds"] is not None), default=None),
        rate=_sum(rates, [each["title"] for each in own]),
        retries=sum(each["retries"] for each in own),
        retrying=any(each["retrying"] for each in own),
        parked=parked,
        paused=any(each["paused"] for each in own),
    )


def _sum(rates: Mapping[str, float], names: Sequence[str]) -> float | None:
    known = [rates[name] for name in names if name in rates]
    return sum(known) if known else None
