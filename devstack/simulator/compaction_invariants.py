"""What must be true of compacted days."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, Final

from devstack.simulator.compacting import DAY
from devstack.simulator.evidence import Evidence
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.world import World
from headwater import bootstrap
from headwater.archive import curated
from headwater.archive.boundary import Boundary, PublishedDay
from headwater.archive.growing_objects import S3GrowingObjects

#: So long after the last event every day is closed, and every claim that somebody left is over: seconds.
_CLOSED_AFTER: Final = 2 * 86_400.0


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
            if found := DAY.search(key):
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
