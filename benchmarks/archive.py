"""What the archiver's processor time and space a record are, beside the least that an archive of the images can cost.

``python -m benchmarks.archive`` prints a table. The least: each record's new image as a line of JSON by orjson, joined
and compressed by Zstandard at the archiver's level; no names, no columns, no check, no conflict. An invocation pays for
the runtime's parsing of the event besides (the standard library's JSON), whatever the function does then.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Final, cast

import orjson
from backports import zstd
from rich.console import Console
from rich.table import Table

from benchmarks import story
from benchmarks.machine import processor
from headwater.archive.archiver import Archiver
from headwater.archive.objects import ObjectStore
from headwater.incidents import Incidents

BATCHES: Final = (100, 1_000, 5_000)
_RECORDS: Final = 20_000
_LEVEL: Final = 1


class Counted:
    """Takes objects and forgets them; counts them and their bytes."""

    def __init__(self) -> None:
        self.objects = 0
        self.bytes = 0

    def put_new(self, _key: str, body: bytes) -> None:
        self.objects += 1
        self.bytes += len(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A record's microseconds of processor time: to parse it, ours, the least. And ours' bytes, and PUTs a batch."""

    parsing_us: float
    ours_us: float
    least_us: float
    bytes: float
    puts: float

    @property
    def ratio(self) -> float:
        """Of whole invocations."""
        return (self.parsing_us + self.ours_us) / (self.parsing_us + self.least_us)

    @property
    def ratio_without_parsing(self) -> float:
        return self.ours_us / self.least_us


def least(batch: Sequence[story.Record]) -> bytes:
    return zstd.compress(b"\n".join([orjson.dumps(record["dynamodb"]["NewImage"]) for record in batch]), _LEVEL)


def measure(size: int, rounds: int, records: int = _RECORDS) -> Cost:
    """Medians over rounds in which both archive the same batches, in turn; a batch is what a minute brings."""
    days = records / size / (24 * 60)
    told = [orjson.dumps(batch) for batch in batched(story.records(records, days=days), size, strict=False)]
    store = Counted()
    archiver = Archiver(cast(ObjectStore, store), cast(Incidents, None), level=_LEVEL)
    ours: list[float] = []
    other: list[float] = []
    parsing = []
    for _ in range(rounds):
        for archive, taken in ((archiver.archive, ours), (least, other)):
            parsed, archived = _seconds(archive, told)
            parsing.append(parsed)
            taken.append(archived)
    return Cost(
        parsing_us=statistics.median(parsing) / records * 1e6,
        ours_us=statistics.median(ours) / records * 1e6,
        least_us=statistics.median(other) / records * 1e6,
        bytes=store.bytes / rounds / records,
        puts=store.objects / rounds / len(told),
    )


def _seconds(archive: Callable[[Sequence[story.Record]], object], told: Sequence[bytes]) -> tuple[float, float]:
    """Processor time of parsing the batches, and of archiving each when it was parsed."""
    parsing = archiving = 0.0
    for text in told:
        began = time.process_time()
        batch = json.loads(text)
        parsed = time.process_time()
        archive(batch)
        parsing += parsed - began
        archiving += time.process_time() - parsed
    return parsing, archiving


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.archive", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds a batch size (default 15)")
    rounds = parser.parse_args(arguments).rounds
    progress = Console(stderr=True)
    table = Table(title="The archiver, a record", title_justify="left")
    for column in (
        "records a batch",
        "parsing µs",
        "ours µs",
        "the least µs",
        "invocation",
        "without parsing",
        "bytes",
        "PUTs a batch",
    ):
        table.add_column(column, justify="right")
    with progress.status("") as status:
        for size in BATCHES:
            status.update(f"batches of {size:,}")
            cost = measure(size, rounds)
            table.add_row(
                f"{size:,}",
                f"{cost.parsing_us:.2f}",
                f"{cost.ours_us:.2f}",
                f"{cost.least_us:.2f}",
                f"{cost.ratio:.2f} x",
                f"{cost.ratio_without_parsing:.2f} x",
                f"{cost.bytes:.0f}",
                f"{cost.puts:.1f}",
            )
    console = Console(width=120)
    console.print(table)
    console.print(
        "The least: each record's new image as a line of JSON (orjson), joined, Zstandard level "
        f"{_LEVEL}. Medians of {rounds} interleaved rounds over {_RECORDS:,} events as the demo has them, "
        f"a batch a minute. Python {platform.python_version()}, orjson {orjson.__version__}, {processor()}, "
        f"{os.cpu_count()} CPUs."
    )


if __name__ == "__main__":
    main()
