"""What compaction costs, and what it saves whoever asks for one user's month.

``python -m benchmarks.compaction`` archives events of a month with the archiver, compacts them with what the function
runs, a process of its own that is measured, and counts the bytes that Athena would read.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any, Final, cast

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import story
from benchmarks.machine import processor
from headwater.archive.archiver import Archiver
from headwater.archive.boundary import Boundary
from headwater.archive.compaction import ArchivedObject, Compaction
from headwater.archive.day_claims import DayClaims
from headwater.archive.growing_objects import GrowingObjects
from headwater.archive.objects import ObjectStore
from headwater.incidents import Incidents

EVENTS: Final = 1_000_000
DAYS: Final = 30
#: What the archiver gathers for an object on a busy stream.
_BATCH: Final = 1_000
#: What a user's month is asked for: what a dashboard shows, and everything, payloads included.
_SHOWN: Final = ("occurred_at", "game", "score")
_FILTERED: Final = ("type", "aggregate_id")


class Folder:
    """A bucket that is a folder: `ArchiveObjects`, `ObjectStore` and `GrowingObjects` as far as they are used here."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_new(self, key: str, body: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def listed(self, prefix: str, after: str = "") -> Iterator[ArchivedObject]:
        folder = self._root / prefix.rpartition("/")[0]
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            key = str(path.relative_to(self._root))
            if path.is_file() and key.startswith(prefix) and key > after:
                yield ArchivedObject(key, str(path.stat().st_mtime_ns), path.stat().st_size)

    def download(self, key: str, path: Path) -> None:
        shutil.copyfile(self._root / key, path)

    def upload(self, path: Path, key: str) -> None:
        (self._root / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self._root / key)

    def copy(self, key: str, to: str) -> None:
        self.upload(self._root / key, to)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            (self._root / key).unlink(missing_ok=True)

    def read(self, key: str) -> tuple[bytes, str | None]:
        path = self._root / key
        return (path.read_bytes(), "there") if path.exists() else (b"", None)

    def write(self, key: str, body: bytes, _tag: str | None) -> None:
        self.put_new(key, body)


def archive(root: Path, events: int, days: int, progress: Progress) -> str:
    """Archives the events as the archiver does; answers the player who plays most."""
    archiver = Archiver(cast(ObjectStore, Folder(root)), cast(Incidents, None))
    plays: Counter[str] = Counter()
    task = progress.add_task(f"archiving {events:,} events", total=events)
    for batch in batched(story.records(events, days=days), _BATCH, strict=False):
        archiver.archive(batch)
        plays.update(player for record in batch if (player := story.player(record)) is not None)
        progress.advance(task, len(batch))
    return plays.most_common(1)[0][0]


def compact(root: Path) -> dict[str, Any]:
    """Compacts all days, and tells of this process: records, seconds, peaks of memory and of the temporary folder."""
    folder = Folder(root)

    def now() -> datetime:
        return story.FIRST_DAY + timedelta(days=DAYS + 10)

    compaction = Compaction(
        folder,
        Boundary(cast(GrowingObjects, folder)),
        DayClaims(cast(GrowingObjects, folder), now),
        now,
    )
    disk = _Peak(Path(tempfile.gettempdir()))
    started = time.perf_counter()
    records = sum(compaction.compact(day).records for day in compaction.find("events").due)
    seconds = time.perf_counter() - started
    return {"records": records, "seconds": seconds, "memory": _peak_memory(), "disk": disk.stop()}


class _Peak:
    """The most that a folder held, in bytes, looked at ten times a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            held = 0
            for path in self._folder.rglob("*"):
                try:
                    held += path.stat().st_blocks * 512
                except FileNotFoundError:
                    continue
            self._most = max(self._most, held)


def _peak_memory() -> int:
    """This process's, in bytes. Not getrusage's, which starts with what the parent had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no VmHWM")


def read_from_raw(root: Path) -> int:
    """Bytes of the month's raw objects: a line is found by reading all."""
    return sum(each.size for each in Folder(root).listed("raw/source=events/"))


def read_from_curated(root: Path, player: str, columns: Sequence[str] | None) -> int:
    """Bytes of the month's compacted objects that hold what is asked for.

    Of each object its footer; of each row group whose statistics admit plays of the player, the chunks of the columns
    that are asked for and filtered by. Without ``columns``, of all.
    """
    import duckdb

    taken = 0
    for path in sorted((root / "curated").rglob("*.parquet")):
        taken += int.from_bytes(path.read_bytes()[-8:-4], "little") + 8
        with duckdb.connect() as engine:
            chunks = engine.execute(
                "SELECT row_group_id, path_in_schema, total_compressed_size, stats_min_value, stats_max_value "
                "FROM parquet_metadata(?)",
                [str(path)],
            ).fetchall()
        wanted = {"type": "PlayCompleted", "aggregate_id": player}
        admitted = {group for group, *_ in chunks} - {
            group
            for group, name, _, least, most in chunks
            if name in wanted and least is not None and not least <= wanted[name] <= most
        }
        taken += sum(
            size
            for group, name, size, *_ in chunks
            if group in admitted and (columns is None or name in {*columns, *_FILTERED})
        )
    return taken


def run(events: int, days: int, progress: Progress) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        root, spill = Path(folder) / "archive", Path(folder) / "tmp"
        spill.mkdir()
        player = archive(root, events, days, progress)
        task = progress.add_task(f"compacting {days} day(s)", total=None)
        answer = subprocess.run(  # noqa: S603  # ourselves
            [sys.executable, "-m", "benchmarks.compaction", "--measure", str(root)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "TMPDIR": str(spill)},
        )
        progress.update(task, total=1, completed=1)
        told: dict[str, Any] = json.loads(answer.stdout)
        if told["records"] != events:
            raise AssertionError(f"{events:,} events were archived and {told['records']:,} compacted")
        return {
            **told,
            "raw": read_from_raw(root),
            "curated": sum(each.size for each in Folder(root).listed("curated/")),
            "shown": read_from_curated(root, player, _SHOWN),
            "all columns": read_from_curated(root, player, None),
        }


def report(months: dict[str, Any], day: dict[str, Any]) -> None:
    console = Console(width=120)
    table = Table(title="Compaction, a process of its own", title_justify="left")
    for column in ("days", "records", "records/s", "memory MB", "disk MB", "raw MB", "compacted MB"):
        table.add_column(column, justify="right")
    for name, told in ((str(DAYS), months), ("1", day)):
        table.add_row(
            name,
            f"{told['records']:,}",
            f"{told['records'] / told['seconds']:,.0f}",
            *(f"{told[each] / 1e6:,.0f}" for each in ("memory", "disk", "raw", "curated")),
        )
    console.print(table)
    reads = Table(title="One user's month: bytes read", title_justify="left")
    for column in ("columns", "from raw", "from compacted", "times fewer"):
        reads.add_column(column, justify="left" if column == "columns" else "right")
    for name, taken in ((", ".join(_SHOWN), months["shown"]), ("all, payloads included", months["all columns"])):
        reads.add_row(name, f"{months['raw']:,}", f"{taken:,}", f"{months['raw'] / taken:,.1f}")
    console.print(reads)
    console.print(
        f"Plays of one of 1,000 players over {DAYS} days, {months['records']:,} events as the demo has them, in raw "
        f"objects of {_BATCH:,}. From compacted: footers, and chunks of the row groups whose statistics admit the "
        f"player. Python {platform.python_version()}, {processor()}, {os.cpu_count()} CPUs."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.compaction", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help=f"events of the month (default {EVENTS})")
    parser.add_argument("--measure", type=Path, metavar="FOLDER", help="compact an archive and tell of it, as JSON")
    options = parser.parse_args(arguments)
    if options.measure:
        sys.stdout.write(json.dumps(compact(options.measure)))
        return
    with Progress(console=Console(stderr=True)) as progress:
        months = run(options.events, DAYS, progress)
        day = run(options.events, 1, progress)
    report(months, day)


if __name__ == "__main__":
    main()
