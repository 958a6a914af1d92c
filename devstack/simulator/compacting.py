"""Compaction in the middle of everything: of days that are open still, beside each other, with late objects after them.

Closed days alone are compacted by the state machine; what must hold at any moment holds then, too.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from devstack.simulator.faults import SimulatedCrash
from devstack.simulator.findings import Finding, Harm
from headwater import bootstrap
from headwater.archive import curated
from headwater.archive.boundary import Boundary, PublishedDay, UnreadableListError
from headwater.archive.compaction import ChangedDayError, MiscountedDayError, UnreadableDayError
from headwater.archive.day_claims import DayTakenError
from headwater.archive.growing_objects import ObjectChangedError, S3GrowingObjects

if TYPE_CHECKING:
    from devstack.simulator.evidence import Evidence
    from devstack.simulator.world import World

#: Of the decisions of a run whether one begins.
_SCALE: Final = 4.0
#: How many compact the same day at once, so many seconds apart at the most.
_AT_ONCE: Final = 2
_APART: Final = 2.0
#: So long after the last event every day is closed, and every claim that somebody left is over: seconds.
_CLOSED_AFTER: Final = 2 * 86_400.0
_DAY: Final = re.compile(r"/dt=(\d{4}-\d{2}-\d{2})/")
#: What keeps a day as it is; the next run finds it due again.
_LEFT: Final = (
    BotoCoreError,
    ClientError,
    ChangedDayError,
    DayTakenError,
    MiscountedDayError,
    ObjectChangedError,
    SimulatedCrash,
    UnreadableDayError,
    UnreadableListError,
)


class Compacting:
    """Compacts days; ``told`` is why days were left as they were, for a person."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.told: set[str] = set()
        self.runs = 0

    def go_on(self) -> None:
        """Decides whether some days are compacted soon."""
        world = self._world
        if world.faults.happens("compaction", _SCALE):
            for number in range(_AT_ONCE):
                later = number * world.engine.chance.uniform(0, _APART)
                world.engine.after(later, partial(self.compact, world.faults))

    def compact(self, faults: Any = None) -> None:
        """Compacts every day that there is. With ``faults`` they may stop it, as a function."""
        world = self._world
        outer, world.faults.in_function = world.faults.in_function, faults is not None
        began = world.engine.now
        compaction = bootstrap.compaction()
        for source, dt in self._days():
            self.runs += 1
            try:
                published = compaction.compact(compaction.day(source, dt))
                outcome = f"{published.records} records"
            except _LEFT as error:
                outcome = type(error).__name__
                self.told.add(str(error))
            world.engine.note(f"compaction {source} {dt} {outcome}")
            if outcome == SimulatedCrash.__name__:
                break
        world.faults.in_function = outer
        if faults is not None:
            world.engine.now = began
        world.stir()

    def _days(self) -> list[tuple[str, str]]:
        keys = self._world.cloud.bucket(bootstrap.settings().archive_bucket).keys()
        days = {
            (source, found[1])
            for source in curated.SOURCES
            for key in keys
            if key.startswith(curated.raw_prefix(source)) and (found := _DAY.search(key))
        }
        return sorted(days)


def compacted_days_are_the_raw(evidence: Evidence) -> Iterator[Finding]:
    """A published day holds the changes of its raw objects, each once; what is damaged is named, and not published."""
    world = evidence.world
    if not world.compacting.runs:
        return
    world.engine.now = max(world.engine.now, world.last_event_at) + _CLOSED_AFTER
    world.compacting.compact()
    for (source, dt), ids in sorted(_raw(evidence).items()):
        published = _published(world, source, dt)
        # What bears the archive's name and cannot be read is damaged, whoever put it there.
        named = {key for key in evidence.odd.foreign if any(key in told for told in world.compacting.told)}
        if damaged := [key for key in named | evidence.odd.damaged.keys() if f"source={source}/dt={dt}/" in key]:
            if not all(any(key in told for told in world.compacting.told) for key in damaged):
                yield Finding(Harm.LOST, "", f"{source} of {dt} is damaged, and nobody names {damaged}")
            elif published and published.raw_digest == bootstrap.compaction().day(source, dt).digest:
                yield Finding(Harm.LOST, "", f"{source} of {dt} was compacted without what is damaged: {damaged}")
            continue
        if published is None:
            yield Finding(Harm.LOST, "", f"{source} of {dt} is not compacted, though its objects are whole")
            continue
        rows = [row for key in published.objects for row in _rows(evidence, key)]
        if len(rows) != len(set(rows)):
            yield Finding(Harm.DOUBLED, "", f"{source} of {dt}: {len(rows) - len(set(rows))} rows stand twice")
        if missing := ids - set(rows):
            yield Finding(Harm.LOST, "", f"{source} of {dt}: {len(missing)} changes are not in the compacted day")
        if more := set(rows) - ids:
            yield Finding(Harm.WRONG, "", f"{source} of {dt}: {len(more)} rows are of no change")


def _published(world: World, source: str, dt: str) -> PublishedDay | None:
    """What the published list says of a day; None if it is read from raw."""
    client: Any = world.cloud.s3
    growing = S3GrowingObjects(client, bootstrap.settings().archive_bucket)
    return Boundary(growing).days(source, dt[:7]).get(dt)


def _raw(evidence: Evidence) -> dict[tuple[str, str], set[str]]:
    """The changes of each day, by their ids, in what lies there now."""
    days: dict[tuple[str, str], set[str]] = {}
    for source in curated.SOURCES:
        for key, columns in evidence.lines(source):
            if found := _DAY.search(key):
                days.setdefault((source, found[1]), set()).add(columns["stream_event_id"])
    return days


def _rows(evidence: Evidence, key: str) -> list[str]:
    """The changes' ids in a compacted object."""
    import duckdb

    body = evidence.world.cloud.bucket(bootstrap.settings().archive_bucket).objects[key].body
    # DuckDB reads files alone.
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect() as engine:
        file.write(body)
        file.flush()
        found = engine.execute("SELECT stream_event_id FROM read_parquet(?)", [file.name]).fetchall()
    return [row[0] for row in found]
