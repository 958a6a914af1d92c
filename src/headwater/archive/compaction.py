"""Compaction: a closed day's raw objects become sorted Parquet, and then the day is published.

DuckDB makes one object of a day, up to `LARGE_DAY`; of a larger one Athena makes several (UNLOAD). Either way our own
reader reads the raw objects through first: one that is damaged keeps its day unpublished, and the lines that it counts
are those that DuckDB and Athena must have found. Foreign objects are passed over.

Stopping anywhere does no harm. Before the day is in the list nobody reads its objects; they have the day's own names,
so that another try replaces them. A day of one object that has changed is replaced at once: its readers have the old
one or the new, whole. Where objects of other names are in the way, the day leaves the list first and is read from raw.
A claim on the day keeps a second run from it meanwhile.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import batched, groupby
from pathlib import Path
from typing import Any, Final, Protocol

from headwater.archive import curated, reader
from headwater.archive.boundary import Boundary, PublishedDay, UnreadableListError
from headwater.archive.day_claims import DayClaims
from headwater.archive.inventory import Damaged, Foreign, Names, shown_key, sorted_out
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

#: The longest that one step of the function runs, its Timeout in the template.
FUNCTION_RUNS: Final = timedelta(minutes=15)
#: How long a day is claimed: by then a function that has not renewed its claim is dead. What runs longer renews it, and
#: what only waits, as for Athena's queries, needs none: its objects have a prefix of their own, and it claims the day
#: again, and looks at it again, before it places and before it publishes them.
CLAIMED_FOR: Final = FUNCTION_RUNS + timedelta(minutes=1)

_DOWNLOADS: Final = 8
#: Objects on the disk at a time, where they are read through and not kept.
_READ_AT_ONCE: Final = 64
_CHUNK_BYTES: Final = 1024 * 1024
_MOST_NAMED: Final = 10


class UnreadableDayError(Exception):
    """Raw objects of the day are damaged; nothing was published. The message names them and says why."""


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
class Found:
    """Days that are due, oldest first; what is foreign among a source's objects; and why months were left out.

    Those are months whose published list is damaged: nobody can tell what of them is due.
    """

    due: Sequence[Day]
    foreign: Sequence[Foreign]
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of a day, as Athena counts: lines and changes in raw, rows in what was placed."""

    lines: int
    changes: int
    placed: int


class Compaction:
    """Finds the days that are due, and compacts one at a time: `compact`, or for Athena `begin`, `place`, `publish`.

    Those of Athena take the name of their run, claim the day for it, and raise DayTakenError if it is another run's.

    Parameters
    ----------
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
        memory_mb: int = 256,
    ) -> None:
        self._objects = objects
        self._boundary = boundary
        self._claims = claims
        self._now = now
        self._memory_mb = memory_mb

    def find(self, source: str, since: str = "", *, again: bool = False) -> Found:
        """The closed days to compact from ``since`` (YYYY-MM-DD) on; and the foreign objects there.

        Due are those that were never published, have other raw objects than when they were, or other compacted ones;
        with ``again`` all.
        """
        after = curated.raw_prefix(source, since) if since else ""
        raw = sorted_out(self._objects.listed(curated.raw_prefix(source), after), Names.RAW)
        after = curated.day_prefix(source, since) if since else ""
        compacted = sorted_out(self._objects.listed(curated.prefix(source), after), Names.CURATED)
        open_from = f"{self._now() - CLOSED_AFTER:%Y-%m-%d}"
        days = [
            Day(source=source, dt=dt, objects=objects)
            for dt, objects in sorted(_by_day(raw.own, Names.RAW).items())
            if dt < open_from
        ]
        foreign = [*raw.foreign, *compacted.foreign]
        if again:
            return Found(due=days, foreign=foreign)
        there = _by_day(compacted.own, Names.CURATED)
        due: list[Day] = []
        left_out: list[str] = []
        for month, its_days in groupby(days, key=lambda day: day.dt[:7]):
            try:
                published = self._boundary.days(source, month)
            except UnreadableListError as error:
                left_out.append(str(error))
                continue
            due += [day for day in its_days if not _stands(published.get(day.dt), day, there.get(day.dt, ()))]
        return Found(due=due, foreign=foreign, left_out=left_out)

    def days_ago(self, days: int) -> date:
        """The UTC day so many days before today."""
        return self._now().date() - timedelta(days=days)

    def day(self, source: str, dt: str) -> Day:
        """The day as it is now."""
        listed = self._objects.listed(curated.raw_prefix(source, dt))
        return Day(source=source, dt=dt, objects=sorted_out(listed, Names.RAW).own)

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

    def compact(self, day: Day, *, take_over: bool = False) -> PublishedDay:
        """Compacts and publishes one day; ``take_over``: also if somebody else has claimed it.

        Raises
        ------
        UnreadableDayError
            An object is damaged: repair it, or move it away; the day stays with raw meanwhile.
        ChangedDayError
            More was archived meanwhile; the day stays as it was.
        MiscountedDayError
            DuckDB did not find what our own reader finds; the day stays as it was.
        DayTakenError
            Somebody else compacts it.
        """
        # A name of its own each time: the same step may run twice at once, where the first one's answer was lost.
        run = uuid7()
        with self._claims.held(day.source, day.dt, run, CLAIMED_FOR, take_over=take_over):
            return self._compact(day, run)

    def _compact(self, day: Day, run: str) -> PublishedDay:
        key = curated.key(day.source, day.dt)
        with tempfile.TemporaryDirectory(prefix="headwater-compaction-") as folder:
            root = Path(folder)
            raw = self._read_through(day, root, keep=True)
            parquet = root / "day.parquet"
            records = self._write(day, raw, parquet)
            self._claims.take(day.source, day.dt, run, CLAIMED_FOR)
            self.unchanged(day.source, day.dt, day.digest)
            self._make_way(day, {key})
            self._objects.upload(parquet, key)
            with parquet.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
        return self._publish(day, self._placed(day), records, [digest])

    def begin(self, source: str, dt: str, run: str) -> Day:
        """Claims a day for Athena, and removes what an earlier try may have left: UNLOAD wants its prefix empty."""
        self._claims.take(source, dt, run, CLAIMED_FOR)
        self._clear(source, dt, run)
        return self.day(source, dt)

    def lines(self, day: Day) -> int:
        """Reads a day through, a few objects at a time, and counts its lines. Nothing else is to be published of it.

        Raises
        ------
        UnreadableDayError
            An object is damaged.
        """
        with tempfile.TemporaryDirectory(prefix="headwater-compaction-") as folder:
            return sum(lines for _, lines in self._read_through(day, Path(folder), keep=False))

    def place(self, day: Day, run: str) -> dict[str, str]:
        """Gives what Athena has written in a run the day's names; not published yet. Returns tags by key.

        Whoever counts the day's rows then counts what readers will have. Done again, it does the same.
        """
        self._claims.take(day.source, day.dt, run, CLAIMED_FOR)
        written = [each.key for each in self._objects.listed(curated.run_prefix(day.source, day.dt, run))]
        self._make_way(day, set())
        for number, key in enumerate(written, start=1):
            self._objects.copy(key, curated.key(day.source, day.dt, number))
        return self._placed(day)

    def publish(self, day: Day, run: str, placed: Mapping[str, str], lines: int, counts: Counts) -> PublishedDay:
        """Publishes what was placed, if it is what lies there and holds what raw holds; removes the run.

        ``lines`` is what `lines` counted, ``counts`` what Athena did.

        Raises
        ------
        MiscountedDayError
            It is not; the day stays with raw.
        """
        self._claims.take(day.source, day.dt, run, CLAIMED_FOR)
        if counts.lines != lines:
            raise MiscountedDayError(
                f"{day.source} of {day.dt}: {lines} lines are raw, and Athena has read {counts.lines}. It reads "
                "whatever lies below the day's prefix: `headwater archive stats` names what is foreign there"
            )
        if counts.placed != counts.changes:
            raise MiscountedDayError(
                f"{day.source} of {day.dt}: {counts.changes} changes are raw, {counts.placed} compacted"
            )
        if (there := self._placed(day)) != placed:
            raise MiscountedDayError(
                f"{day.source} of {day.dt}: {len(placed)} objects were placed, {len(there)} are there, or others"
            )
        published = self._publish(day, placed, counts.placed)
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
        if in_the_way := sorted(self._placed(day).keys() - keep):
            self._boundary.withdraw(day.source, day.dt)
            self._objects.delete(in_the_way)

    def _placed(self, day: Day) -> dict[str, str]:
        """Tags of the day's compacted objects, by key."""
        listed = self._objects.listed(curated.day_prefix(day.source, day.dt))
        return {each.key: each.tag for each in sorted_out(listed, Names.CURATED).own}

    def _publish(self, day: Day, placed: Mapping[str, str], records: int, digests: Sequence[str] = ()) -> PublishedDay:
        published = PublishedDay(
            source=day.source,
            dt=day.dt,
            objects=list(placed),
            tags=list(placed.values()),
            digests=list(digests),
            records=records,
            raw_objects=len(day.objects),
            raw_digest=day.digest,
            published_at=timestamp(self._now()),
        )
        self._boundary.publish(published)
        return published

    def _read_through(self, day: Day, folder: Path, *, keep: bool) -> list[tuple[Path, int]]:
        """Reads each raw object to its end, with our own reader: its file, which stays if it is to, and its lines."""
        found: list[tuple[Path, int]] = []
        damaged: list[Damaged] = []
        with ThreadPoolExecutor(_DOWNLOADS) as downloads:
            for some in batched(day.objects, _READ_AT_ONCE, strict=False):
                files = [folder / f"{number:06d}.jsonl.zst" for number in range(len(found), len(found) + len(some))]
                downloaded = downloads.map(self._objects.download, [each.key for each in some], files)
                for each, file, _ in zip(some, files, downloaded, strict=True):
                    lines = 0
                    try:
                        lines = reader.count(_chunks(file))
                    except reader.UnreadableObjectError as error:
                        damaged.append(Damaged(each.key, str(error)))
                    found.append((file, lines))
                    if not keep:
                        file.unlink()
        if damaged:
            raise UnreadableDayError(_named(day, damaged))
        return found

    def _write(self, day: Day, raw: Sequence[tuple[Path, int]], parquet: Path) -> int:
        """Writes the day's rows and counts what is in the file: it must be what went in, each once."""
        # The one import of DuckDB in what ships: it comes as a layer of the function that needs it.
        import duckdb

        files = [str(file) for file, _ in raw]
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as engine:
            engine.execute(f"SET memory_limit = '{self._memory_mb}MB'")
            engine.execute(f"SET temp_directory = '{parquet.parent / 'spill'}'")
            engine.execute("SET preserve_insertion_order = false")
            engine.execute("SET TimeZone = 'UTC'")
            try:
                engine.execute(f"CREATE TEMP TABLE lines AS {curated.lines_sql()}", [files])
            except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
                text = str(error)
                for each, (file, _) in zip(day.objects, raw, strict=True):
                    text = text.replace(str(file), each.key)
                raise UnreadableDayError(f"{day.source} of {day.dt}: DuckDB does not read {text}") from error
            lines, read = sum(lines for _, lines in raw), _one(engine.execute("SELECT count(*) FROM lines"))
            if read != lines:
                raise MiscountedDayError(f"{day.source} of {day.dt}: {lines} lines are raw, and DuckDB has read {read}")
            engine.execute(
                f"COPY ({curated.rows_sql('lines', day.dt)}) TO '{parquet}' "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
            )
            expected = _one(engine.execute("SELECT count(DISTINCT stream_event_id) FROM lines"))
            written = _one(engine.execute("SELECT count(*) FROM read_parquet(?)", [str(parquet)]))
        if written != expected:
            raise MiscountedDayError(f"{day.source} of {day.dt}: {expected} changes are raw, {written} compacted")
        return written


def _by_day(objects: Sequence[ArchivedObject], names: Names) -> dict[str, list[ArchivedObject]]:
    days: dict[str, list[ArchivedObject]] = {}
    for each in objects:
        days.setdefault(names.day(each.key), []).append(each)
    return days


def _stands(published: PublishedDay | None, day: Day, compacted: Sequence[ArchivedObject]) -> bool:
    """Whether a day was published of these raw objects, and its compacted ones are as they were then."""
    if published is None or published.raw_digest != day.digest:
        return False
    return dict(zip(published.objects, published.tags, strict=False)) == {each.key: each.tag for each in compacted}


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            yield chunk


def _named(day: Day, damaged: Sequence[Damaged]) -> str:
    named = "; ".join(f"{shown_key(each.key)}: {each.reason}" for each in damaged[:_MOST_NAMED])
    more = f"; and {len(damaged) - _MOST_NAMED} more" if len(damaged) > _MOST_NAMED else ""
    return f"{len(damaged)} of {len(day.objects)} object(s) are damaged: {named}{more}"


def _one(answer: Any) -> int:
    return int(answer.fetchone()[0])
