"""From a failing run to the shortest one that still fails, and what happened to the aggregate in it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any, Final

from devstack.simulator.config import Config
from devstack.simulator.faults import PROMISED
from devstack.simulator.findings import Finding
from devstack.simulator.simulation import Result

BUDGET_SECONDS: Final = 60.0
_LINES: Final = 60
_WIDTH: Final = 220

type Run = Callable[[Config], Result]


def shrink(config: Config, run: Run, budget: float = BUDGET_SECONDS) -> Result:
    """Runs the seed again with ever fewer events and fault kinds, for so many seconds; gives the shortest that fails.

    The result has its trace. A run of fewer events is the beginning of the longer one, as far as its last event.
    """
    deadline = time.monotonic() + budget
    shortest = config
    works = 0
    while time.monotonic() < deadline and shortest.events - works > max(1, shortest.events // 50):
        attempt = replace(shortest, events=(works + shortest.events) // 2)
        if run(attempt).violations:
            shortest = attempt
        else:
            works = attempt.events
    for kind in sorted(PROMISED - shortest.off):
        if time.monotonic() > deadline:
            break
        attempt = replace(shortest, off=shortest.off | {kind})
        if run(attempt).violations:
            shortest = attempt
    if shortest.odd:
        shortest = _with_fewer_kinds(shortest, run, deadline)
    return run(replace(shortest, keep_trace=True))


def _with_fewer_kinds(config: Config, run: Run, deadline: float) -> Config:
    """The run with those kinds of odd records alone that it takes to fail."""
    kinds = config.odd_only or tuple(sorted(run(config).odd))
    size = len(kinds) // 2
    while size and time.monotonic() < deadline:
        for start in range(0, len(kinds), size):
            fewer = kinds[:start] + kinds[start + size :]
            if fewer and run(attempt := replace(config, odd_only=fewer)).violations:
                config, kinds = attempt, fewer
                break
        else:
            size //= 2
    return config


def story(result: Result, finding: Finding) -> list[str]:
    """The lines of a trace that concern a finding's aggregate, the last sixty, each cut to what concerns it."""
    key = finding.aggregate.partition("#")[2].partition("#")[0]
    return list(_told(result.trace, key))[-_LINES:]


def entry(config: Config) -> str:
    """A run as an entry of tests/simulation/regressions.json."""
    fields: dict[str, Any] = {**asdict(config), "off": sorted(config.off), "overrides": dict(config.overrides)}
    del fields["keep_trace"]
    return json.dumps({name: value for name, value in fields.items() if value or name in {"seed", "faults"}})


def from_entry(fields: dict[str, Any]) -> Config:
    """The run that an entry describes; ``why`` is for its reader."""
    known = {name: value for name, value in fields.items() if name != "why"}
    lists = {name: tuple(known.get(name, ())) for name in ("poisons", "odd_only")}
    return Config(**{**known, **lists, "off": frozenset(known.get("off", ()))})


def _told(trace: list[str], key: str) -> Iterator[str]:
    """Lines that name the key; of an invocation that got it also what went wrong in it, and how it ended."""
    title = ""
    for line in trace:
        text = line.rstrip("\n")
        if key in text:
            head, gets, places = text.partition(" gets ")
            if gets:
                title = head.split()[1]
                text = f"{head} gets {' '.join(place for place in places.split(' ') if key in place)}"
            yield text[:_WIDTH]
        elif title and text.split()[1] == title:
            yield text[:_WIDTH]
            title = ""
        elif title and text.split()[1] == "fault":
            yield text[:_WIDTH]
