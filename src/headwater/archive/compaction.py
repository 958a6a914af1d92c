"""Compaction: a closed day's raw objects become sorted Parquet, and then the day is published.

DuckDB makes one object of a day, up to `LARGE_DAY`; of a larger one Athena makes several (UNLOAD). Either way stopping
anywhere does no harm. Before the day is in the list nobody reads its objects; they have the day's own names, so that
another try replaces them. A day of one object that has changed is replaced at once: its readers have the old one or
the new, whole. Where objects of other names are in the way, the day leaves the list first and is read from raw. A claim
on the day keeps a second run from it meanwhile.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from headwater.archive import curated
from headwater.archive.boundary import Boundary, PublishedDay
from headwater.archive.day_claims import DayClaims
from headwater.clock import timestamp
from headwater.ids import uuid7

#: So long after midnight (UTC) a day is closed: the archiver has gathered and written by then, unless it is in trouble.
#: What it writes later changes the day, which is then compacted again.
CLOSED_AFTER: Final = timedelta(hours=2)
#: Bytes of raw objects (compressed) up to which a function with ten GB of disk and fifteen minutes compacts a day: some
#: three million events, which take it two minutes or so and two fifths of that disk (``make bench-compaction``).
LARGE_DAY: Final = 256 * 1024 * 1024
#: Rows a group: a user's day is in one or two of them, so that few are read for it; and enough to compress well.
ROW_GROUP: Final = 4_096

#: How long a day is claimed for DuckDB: longer than a function can run.
CLAIMED_FOR: Final = timedelta(minutes=20)
#: How long a day is claimed for Athena: by its two queries at their longest, and by the steps between.
CLAIMED_FOR_ATHENA: Final = timedelta(hours=5)

_DAY: Final = re.compile(r"/dt=(\d{4}-\d{2}-\d{2})/")
_DOWNLOADS: Final = 8


class UnreadableDayError(Exception):
    """Raw objects of the day cannot be read; nothing was published. The message names them and says why."""


class ChangedDayError(Exception):
    """The day's raw objects changed while it was compacted; try again."""


class MiscountedDayError(Exception):
    """The compacted objects do not hold what the raw ones do; nothing was published."""


@dataclass(frozen=True, slots=True)
class ArchivedObject:
    """``tag`` changes with the content; ``size`` is in bytes."""

    key: str
    tag: str
    size: int


class ArchiveObjects(Protocol):
    """The archive's objects, by file where they may be large."""

    def listed(self, prefix: str, after: str = "") -> Iterator[ArchivedObject]:
        """The objects under a prefix in the order of their keys, from the first key behind ``after`` on."""
        ...

    def download(self, key: str, path: Path) -> None: ...

    def upload(self, path: Path, key: str) -> None:
        """Stores the file as an object, in place of any that is there."""
        ...

    def copy(self, key: str, to: str) -> None:
        """Stores a copy of an object, in place of any that is there."""
        ...

    def delete(self, keys: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day's raw objects as they were listed."""

    source: str
    dt: str
    objects: Sequence[ArchivedObject]

    @property
    def bytes(self) -> int:
        return sum(each.size for each in self.objects)

    @property
    def digest(self) -> str:
        told = sorted(f"{each.key} {each.tag}" for each in self.objects)
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    @property
    def is_large(self) -> bool:
        return self.bytes > LARGE_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of a day, as Athena counts: changes in raw, lines there without an id, rows in what was placed."""

    raw: int
    nameless: int
    placed: int


class Compaction:
    """Finds the days that are due, and compacts one at a time: `compact`, or for Athena `begin`, `place`, `publish`.

    Those of Athena take the name of their run, claim the day for it, and raise DayTakenError if it is another run's.

    Parameters
    ----------
    claimed_for
        How long `compact` may take at most, from its start and again from its upload: then others may have the day.
    memory_mb
        What DuckDB may take; it writes to the temporary folder beyond that.
    """

    def __init__(
        self,
        objects: ArchiveObjects,
        boundary: Boundary,
        claims: DayClaims,
        now: Callable[[], datetime],
        *,
        claimed_for: timedelta = CLAIMED_FOR,
        memory_mb: int = 256,
    ) -> None:
        self._objects = objects
        self._boundary = boundary
        self._claims = claims
        self._now = now
        self._claimed_for = claimed_for
        self._memory_mb = memory_mb

    def due(self, source: str, since: str = "", *, again: bool = False) -> list[Day]:
        """The closed days to compact from ``since`` (YYYY-MM-DD) on, oldest first.

        They are those that were never published, or have other raw objects than when they were; with ``again`` all.
        """
        days: dict[str, list[ArchivedObject]] = {}
        for each in self._objects.listed(
            curated.raw_prefix(source), curated.raw_prefix(source, since) if since else ""
        ):
            if found := _DAY.search(each.key):
                days.setdefault(found[1], []).append(each)
        open_from = f"{self._now() - CLOSED_AFTER:%Y-%m-%d}"
        closed = [Day(source=source, dt=dt, objects=found) for dt, found in sorted(days.items()) if dt < open_from]
        if again:
            return closed
        published = {
            dt: day.raw_digest
            for month in sorted({day.dt[:7] for day in closed})
            for dt, day in self._boundary.days(source, month).items()
        }
        return [day for day in closed if published.get(day.dt) != day.digest]

    def days_ago(self, days: int) -> date:
        """The UTC day so many days before today."""
        return self._now().date() - timedelta(days=days)

    def day(self, source: str, dt: str) -> Day:
        """The day as it is now."""
        return Day(source=source, dt=dt, objects=list(self._objects.listed(curated.raw_prefix(source, dt))))

    def unchanged(self, source: str, dt: str, digest: str) -> Day:
        """The day, if it is as it was.

        Raises
        ------
        ChangedDayError
            More was archived meanwhile; the day stays as it was.
        """
        day = self.day(source, dt)
        if day.digest != digest:
            raise ChangedDayError(f"{source} of {dt} has other raw objects than when it was begun; try again")
        return day

    def compact(self, day: Day) -> PublishedDay:
        """Compacts and publishes one day.

        Raises
        ------
        UnreadableDayError
            An object is corrupt: move it away, or repair it; the day stays with raw meanwhile.
        ChangedDayError
            More was archived meanwhile; the day stays as it was.
        DayTakenError
            Somebody else compacts it.
        """
        # A name of its own each time: the same step may run twice at once, where the first one's answer was lost.
        run = uuid7()
        self._claims.take(day.source, day.dt, run, self._claimed_for)
        try:
            return self._compact(day, run)
        finally:
            self._claims.release(day.source, day.dt, run)

    def _compact(self, day: Day, run: str) -> PublishedDay:
        key = curated.key(day.source, day.dt)
        with tempfile.TemporaryDirectory(prefix="headwater-compaction-") as folder:
            root = Path(folder)
            files = [root / f"{number:06d}.jsonl.zst" for number in range(len(day.objects))]
            with ThreadPoolExecutor(_DOWNLOADS) as downloads:
                list(downloads.map(self._objects.download, [each.key for each in day.objects], files))
            parquet = root / "day.parquet"
            records = self._write(day, files, parquet)
            self._claims.take(day.source, day.dt, run, self._claimed_for)
            self.unchanged(day.source, day.dt, day.digest)
            self._make_way(day, {key})
            self._objects.upload(parquet, key)
        return self._publish(day, [key], records)

    def begin(self, source: str, dt: str, run: str) -> Day:
        """Claims a day for Athena, and removes what an earlier try may have left: UNLOAD wants its prefix empty."""
        self._claims.take(source, dt, run, CLAIMED_FOR_ATHENA)
        self._clear(source, dt, run)
        return self.day(source, dt)

    def place(self, day: Day, run: str) -> list[str]:
        """Gives what Athena has written in a run the day's names; not published yet. Returns the keys.

        Whoever counts the day's rows then counts what readers will have. Done again, it does the same.
        """
        self._claims.take(day.source, day.dt, run, CLAIMED_FOR_ATHENA)
        written = [each.key for each in self._objects.listed(curated.run_prefix(day.source, day.dt, run))]
        keys = [curated.key(day.source, day.dt, number) for number in range(1, len(written) + 1)]
        self._make_way(day, set())
        for key, to in zip(written, keys, strict=True):
            self._objects.copy(key, to)
        return keys

    def publish(self, day: Day, run: str, keys: Sequence[str], counts: Counts) -> PublishedDay:
        """Publishes the objects that were placed, if they are the day's and hold what raw holds; removes the run.

        Raises
        ------
        UnreadableDayError
            Lines of the day have no id.
        MiscountedDayError
            They do not; the day stays with raw.
        """
        self._claims.take(day.source, day.dt, run, CLAIMED_FOR_ATHENA)
        if counts.nameless:
            raise UnreadableDayError(_nameless(day, counts.nameless))
        if counts.placed != counts.raw:
            raise MiscountedDayError(
                f"{day.source} of {day.dt}: {counts.raw} changes are raw, {counts.placed} compacted"
            )
        there = [each.key for each in self._objects.listed(curated.day_prefix(day.source, day.dt))]
        if sorted(there) != sorted(keys):
            raise MiscountedDayError(
                f"{day.source} of {day.dt}: {len(keys)} objects were placed, {len(there)} are there"
            )
        published = self._publish(day, keys, counts.placed)
        self._clear(day.source, day.dt, run)
        self.release(day.source, day.dt, run)
        return published

    def release(self, source: str, dt: str, run: str) -> None:
        """Gives up a run's claim on a day, if it has one."""
        self._claims.release(source, dt, run)

    def _clear(self, source: str, dt: str, run: str) -> None:
        self._objects.delete([each.key for each in self._objects.listed(curated.run_prefix(source, dt, run))])

    def _make_way(self, day: Day, keep: Set[str]) -> None:
        """Removes the day's objects of other names, which no reader may miss then: first it leaves the list."""
        there = {each.key for each in self._objects.listed(curated.day_prefix(day.source, day.dt))}
        if in_the_way := sorted(there - keep):
            self._boundary.withdraw(day.source, day.dt)
            self._objects.delete(in_the_way)

    def _publish(self, day: Day, keys: Sequence[str], records: int) -> PublishedDay:
        published = PublishedDay(
            source=day.source,
            dt=day.dt,
            objects=keys,
            records=records,
            raw_objects=len(day.objects),
            raw_digest=day.digest,
            published_at=timestamp(self._now()),
        )
        self._boundary.publish(published)
        return published

    def _write(self, day: Day, files: Sequence[Path], parquet: Path) -> int:
        """Writes the day's rows and counts what is in the file: it must be what went in, each once."""
        # The one import of DuckDB in what ships: it comes as a layer of the function that needs it.
        import duckdb

        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as engine:
            engine.execute(f"SET memory_limit = '{self._memory_mb}MB'")
            engine.execute(f"SET temp_directory = '{parquet.parent / 'spill'}'")
            engine.execute("SET preserve_insertion_order = false")
            engine.execute("SET TimeZone = 'UTC'")
            try:
                engine.execute(f"CREATE TEMP TABLE lines AS {curated.lines_sql()}", [[str(file) for file in files]])
            except duckdb.Error as error:
                raise UnreadableDayError(self._blame(engine, day, files) or str(error)) from error
            engine.execute(
                f"COPY ({curated.rows_sql('lines', day.dt)}) TO '{parquet}' "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
            )
            expected = _one(engine.execute("SELECT count(DISTINCT stream_event_id) FROM lines"))
            nameless = _one(engine.execute("SELECT count(*) FROM lines WHERE stream_event_id IS NULL"))
            if nameless:
                raise UnreadableDayError(_nameless(day, nameless))
            written = _one(engine.execute("SELECT count(*) FROM read_parquet(?)", [str(parquet)]))
        if written != expected:
            raise MiscountedDayError(f"{day.source} of {day.dt}: {expected} changes are raw, {written} compacted")
        return written

    def _blame(self, engine: Any, day: Day, files: Sequence[Path]) -> str:
        """The objects that DuckDB cannot read by themselves."""
        reasons = []
        for each, file in zip(day.objects, files, strict=True):
            try:
                engine.execute(f"CREATE OR REPLACE TEMP TABLE one AS {curated.lines_sql()}", [[str(file)]])
            except Exception as error:  # noqa: BLE001  # DuckDB's own, which need not be imported here
                reasons.append(f"{each.key}: {str(error).splitlines()[0]}")
        return "; ".join(reasons)


def _nameless(day: Day, lines: int) -> str:
    return f"{day.source} of {day.dt}: {lines} line(s) have no stream_event_id"


def _one(answer: Any) -> int:
    return int(answer.fetchone()[0])
