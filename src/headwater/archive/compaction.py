"""Compaction: a closed day's raw objects become one sorted Parquet object, and then the day is published.

Stopping anywhere does no harm. Before the day is in the list nobody reads its object; the object has the day's own
name, so that another try replaces it, and S3 replaces it at once. A day that has changed is compacted again the same
way: its readers have the old object or the new one, whole.
"""

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from headwater.archive import curated
from headwater.archive.boundary import Boundary, PublishedDay
from headwater.clock import timestamp

#: So long after midnight (UTC) a day is closed: the archiver has gathered and written by then, unless it is in trouble.
#: What it writes later changes the day, which is then compacted again.
CLOSED_AFTER: Final = timedelta(hours=2)
#: Rows a group: few enough that one aggregate's rows are in one or two of them, enough to compress.
ROW_GROUP: Final = 20_000

_DAY: Final = re.compile(r"/dt=(\d{4}-\d{2}-\d{2})/")
_DOWNLOADS: Final = 8


class UnreadableDayError(Exception):
    """Raw objects of the day cannot be read; nothing was published. The message names them and says why."""


class ChangedDayError(Exception):
    """The day's raw objects changed while it was compacted; try again."""


@dataclass(frozen=True, slots=True)
class ArchivedObject:
    """``tag`` changes with the content; ``size`` is in bytes."""

    key: str
    tag: str
    size: int


class ArchiveObjects(Protocol):
    """The archive's objects, by file where they may be large."""

    def listed(self, prefix: str) -> Iterator[ArchivedObject]: ...

    def download(self, key: str, path: Path) -> None: ...

    def upload(self, path: Path, key: str) -> None:
        """Stores the file as an object, in place of any that is there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDay:
    """A closed day that was never published, or has other raw objects than when it was."""

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


class Compaction:
    """Finds the days that are due, and compacts one at a time.

    Parameters
    ----------
    memory_mb
        What DuckDB may take; it writes to the temporary folder beyond that.
    """

    def __init__(
        self, objects: ArchiveObjects, boundary: Boundary, now: Callable[[], datetime], *, memory_mb: int = 256
    ) -> None:
        self._objects = objects
        self._boundary = boundary
        self._now = now
        self._memory_mb = memory_mb

    def due(self, source: str, since: str = "") -> list[DueDay]:
        """The days to compact from ``since`` (YYYY-MM-DD) on, oldest first."""
        days: dict[str, list[ArchivedObject]] = {}
        for each in self._objects.listed(curated.raw_prefix(source)):
            found = _DAY.search(each.key)
            if found and found[1] >= since:
                days.setdefault(found[1], []).append(each)
        open_from = f"{self._now() - CLOSED_AFTER:%Y-%m-%d}"
        due = [DueDay(source=source, dt=dt, objects=found) for dt, found in sorted(days.items()) if dt < open_from]
        published = {
            dt: day.raw_digest
            for month in sorted({day.dt[:7] for day in due})
            for dt, day in self._boundary.days(source, month).items()
        }
        return [day for day in due if published.get(day.dt) != day.digest]

    def compact(self, day: DueDay) -> PublishedDay:
        """Compacts and publishes one day.

        Raises
        ------
        UnreadableDayError
            An object is corrupt: move it away, or repair it; the day stays with raw meanwhile.
        ChangedDayError
            More was archived meanwhile; the day stays as it was.
        """
        key = curated.key(day.source, day.dt)
        with tempfile.TemporaryDirectory(prefix="headwater-compaction-") as folder:
            root = Path(folder)
            files = [root / f"{number:06d}.jsonl.zst" for number in range(len(day.objects))]
            with ThreadPoolExecutor(_DOWNLOADS) as downloads:
                list(downloads.map(self._objects.download, [each.key for each in day.objects], files))
            parquet = root / "day.parquet"
            records = self._write(day, files, parquet)
            if set(self._objects.listed(curated.raw_prefix(day.source, day.dt))) != set(day.objects):
                raise ChangedDayError(f"{day.source} of {day.dt} has other raw objects than when it was begun")
            self._objects.upload(parquet, key)
        published = PublishedDay(
            source=day.source,
            dt=day.dt,
            objects=[key],
            records=records,
            raw_objects=len(day.objects),
            raw_digest=day.digest,
            published_at=timestamp(self._now()),
        )
        self._boundary.publish(published)
        return published

    def _write(self, day: DueDay, files: Sequence[Path], parquet: Path) -> int:
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
                raise UnreadableDayError(f"{day.source} of {day.dt}: {nameless} line(s) have no stream_event_id")
            written = _one(engine.execute("SELECT count(*) FROM read_parquet(?)", [str(parquet)]))
        if written != expected:
            raise AssertionError(f"{day.source} of {day.dt}: {expected} changes went in and {written} came out")
        return written

    def _blame(self, engine: Any, day: DueDay, files: Sequence[Path]) -> str:
        """The objects that DuckDB cannot read by themselves."""
        reasons = []
        for each, file in zip(day.objects, files, strict=True):
            try:
                engine.execute(f"CREATE OR REPLACE TEMP TABLE one AS {curated.lines_sql()}", [[str(file)]])
            except Exception as error:  # noqa: BLE001  # DuckDB's own, which need not be imported here
                reasons.append(f"{each.key}: {str(error).splitlines()[0]}")
        return "; ".join(reasons)


def _one(answer: Any) -> int:
    return int(answer.fetchone()[0])
