"""What reading an event costs in processor time, for the fan-out and for projections, and what a cold start does.

``python -m benchmarks.decoding`` prints a table; with ``--against FOLDER``, the ``src`` of another checkout, both
versions side by side. Each round runs every version once, in a process of its own and in turn, so that whatever else
the machine does befalls them alike. Destinations, tables and claims are dictionaries: what is measured is ours.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from inspect import signature
from itertools import batched
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from benchmarks import story
from benchmarks.machine import processor

ROOT: Final = Path(__file__).parents[1]
_RECORDS: Final = 4_000
_BATCH: Final = 100
#: Nothing of these is called at a cold start, but all of it must be named.
_REGION: Final = "eu-west-1"


class Rows:
    """Implements `headwater.projections.read_models.ReadModelStore`, and copies nothing."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}

    def get(self, pks: Sequence[str], *, consistent: bool = True) -> dict[str, Any]:  # noqa: ARG002  # the protocol's
        return {pk: self.rows[pk] for pk in pks if pk in self.rows}

    def put(self, row: Any, parts: Sequence[Any] = ()) -> None:
        for each in (row, *parts):
            self.rows[each.pk] = each


class Taken:
    """Implements `headwater.fan_out.publisher.Publisher`: counts what it is given."""

    def __init__(self) -> None:
        self.count = 0

    def publish(self, events: Sequence[Any]) -> Mapping[int, Any]:
        self.count += len(events)
        return {}


def measured(records: int = _RECORDS) -> dict[str, float]:
    """Microseconds of processor time a record, by what is done with it, in this process and with its headwater."""
    # Late: the process of a cold start measures what these cost.
    from headwater.change_stream import cloud_events, kinesis
    from headwater.event_store import codec

    changes = list(story.records(records))
    images = [change["dynamodb"]["NewImage"] for change in changes]
    encode, decode, load = map(_of_types, (cloud_events.encode, cloud_events.decode, codec.decode))
    bodies = [encode(image).body for image in images]
    # What is read lies there before and after: it is none of the collector's business.
    gc.collect()
    gc.freeze()
    costs = {
        "encode": _us(lambda: [_each(encode, batch) for batch in _batches(images)], records),
        "decode": _us(
            lambda: [_each(lambda body: decode(body).event.payload, batch) for batch in _batches(bodies)], records
        ),
        "load": _us(lambda: [_each(lambda image: load(image).payload, batch) for batch in _batches(images)], records),
    }
    taken = Taken()
    fan_out = _fan_out(taken)
    batches = [list(batch) for batch in batched(changes, _BATCH, strict=False)]
    costs["fan_out"] = _us(lambda: [fan_out.fan_out(batch) for batch in batches], records)
    assert taken.count >= records
    delivered = [
        kinesis.event_record(
            body,
            partition_key=image["aggregate_id"]["S"],
            sequence_number=str(number),
            arrived_at=1772366400.0,
            stream_arn=f"arn:aws:kinesis:{_REGION}:123456789012:stream/events",
            shard_id="shardId-000000000000",
        )
        for number, (image, body) in enumerate(zip(images, bodies, strict=True), start=1)
    ]
    for name, process in _projections().items():
        costs[name] = _us(partial(process, delivered), records)
    return costs


def _batches[T](whole: Sequence[T]) -> Iterator[tuple[T, ...]]:
    return batched(whole, _BATCH, strict=False)


def _each(work: Callable[[Any], object], batch: Sequence[Any]) -> int:
    """Keeps what comes of a batch until the batch is done, as a function does."""
    return len([work(each) for each in batch])


def _of_types(callee: Any) -> Any:
    """Given the event types; in an older checkout it knows them by itself."""
    if "types" not in signature(callee).parameters:
        return callee
    try:
        from headwater.application import load
    except ImportError:
        from headwater.domain import events

        return partial(callee, types=events.EVENT_TYPES)  # type: ignore[attr-defined]  # of 0.1.0
    return partial(callee, types=load("arcade.app").events)


# What follows asks for nothing besides: there is no gap, no claim check, and nothing fails. A checkout to compare with
# may be of 0.1.0, which had no patience.


def _fan_out(taken: Taken) -> Any:
    from headwater.fan_out.fan_out import FanOut

    nobody: Any = None
    fan_out = _of_types(FanOut)
    try:
        from headwater.dead_letters.triage import Triage
    except ImportError:
        return fan_out([taken], nobody, nobody)
    return fan_out([taken], nobody, Triage("dynamodb", nobody, _patience("fan_out")["patience"]), nobody)


def _patience(consumer: str) -> dict[str, Any]:
    from headwater.clock import utc_now

    nobody: Any = None
    try:
        from headwater.dead_letters.patience import Patience
    except ImportError:
        return {}
    return {"patience": Patience(consumer, nobody, nobody, utc_now)}


def _projections() -> dict[str, Callable[[Sequence[Any]], None]]:
    from headwater.badges.progress import BADGE_PROGRESS
    from headwater.projections.achievements import ACHIEVEMENTS
    from headwater.projections.leaderboard import LEADERBOARD
    from headwater.projections.player_profiles import PLAYER_PROFILES
    from headwater.projections.runner import ProjectionRunner

    def of(projection: Any) -> Callable[[Sequence[Any]], None]:
        def process(delivered: Sequence[Any]) -> None:
            nobody: Any = None
            patience = _patience(projection.name)
            runner = _of_types(ProjectionRunner)(projection, Rows(), nobody, nobody, parking=nobody, **patience)
            for batch in batched(delivered, _BATCH, strict=False):
                outcome = runner.process(batch)
                assert outcome.succeeded == len(batch)

        return process

    return {each.name: of(each) for each in (PLAYER_PROFILES, LEADERBOARD, ACHIEVEMENTS, BADGE_PROGRESS)}


def _us(work: Callable[[], object], records: int) -> float:
    """The least of several runs: whatever else the machine does only ever adds."""
    work()
    costs = []
    for _ in range(5):
        began = time.process_time()
        work()
        costs.append(time.process_time() - began)
    return min(costs) / records * 1e6


def functions(source: Path) -> dict[str, str]:
    """The functions of a version, each with its handler; but for what they share."""
    # Late: a process that measures an older checkout has no such module.
    from arcade.app import APP
    from headwater.application import RESERVED_CONSUMERS

    modules = Path(source, "headwater/functions").glob("*.py")
    names = {path.stem for path in modules} - {"__init__", "entry", "pipe"}
    handlers = {name: f"headwater.functions.{name}.handler" for name in names - {"consumers"}}
    if "consumers" in names:
        handlers |= {
            name: f"headwater.functions.consumers.{name}"
            for name in (RESERVED_CONSUMERS | {*APP.projections, *APP.effects}) - names
        }
    return dict(sorted(handlers.items()))


def cold_start(handler: str) -> float:
    """Milliseconds of processor time that a fresh process takes to import a function and to build what it needs."""
    from importlib import import_module

    began = time.process_time()
    module, _, attribute = handler.rpartition(".")
    getattr(import_module(module), attribute)
    return (time.process_time() - began) * 1e3


def _environment(source: Path) -> dict[str, str]:
    names = Path(source, "headwater/settings.py").read_text().splitlines()
    settings = {
        line.strip().partition(":")[0].upper(): "https://sqs.eu-west-1.amazonaws.com/123456789012/x"
        for line in names
        if line.startswith("    ") and line.endswith(": str")
    }
    return {
        **os.environ,
        **settings,
        "APPLICATION": "arcade.app",
        "ON_UNCONFIRMED_EMAIL": "hold",
        "PYTHONPATH": f"{source}:{ROOT}",
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "POWERTOOLS_SERVICE_NAME": "headwater",
        # What a round gives back to the system and takes again would be measured with it, or not, by chance.
        "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
        "MALLOC_TOP_PAD_": str(1 << 26),
        "POWERTOOLS_METRICS_NAMESPACE": "Headwater",
    }


def _in_a_process(source: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.decoding", *arguments]
    done = subprocess.run(command, env=_environment(source), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} with {source}:\n{done.stderr}")
    return json.loads(done.stdout)


def compare(sources: Sequence[Path], rounds: int, tell: Callable[[str], object]) -> dict[str, list[float]]:
    """The median over the rounds, by what was measured, of each version."""
    found: dict[str, list[list[float]]] = {}
    handlers = [functions(source) for source in sources]
    common = [name for name in handlers[0] if all(name in each for each in handlers)]
    for number in range(rounds):
        for index, source in enumerate(sources):
            tell(f"round {number + 1} of {rounds}: {source}")
            costs: dict[str, float] = _in_a_process(source, "--measure")
            costs |= {
                f"cold start {name}": _in_a_process(source, "--cold-start", handlers[index][name]) for name in common
            }
            for name, cost in costs.items():
                found.setdefault(name, [[] for _ in sources])[index].append(cost)
    return {name: [statistics.median(costs) for costs in versions] for name, versions in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.decoding", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="the src of another checkout, to compare with")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--cold-start", metavar="HANDLER", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.against and not (options.against / "headwater" / "settings.py").is_file():
        parser.error(f"--against {options.against}: no headwater lies there; name another checkout's src")
    if options.measure:
        sys.stdout.write(json.dumps(measured()))
        return
    if options.cold_start:
        sys.stdout.write(json.dumps(cold_start(options.cold_start)))
        return
    sources = [*([options.against.resolve()] if options.against else []), ROOT / "src"]
    progress = Console(stderr=True)
    with progress.status("") as status:
        found = compare(sources, options.rounds, status.update)
    table = Table(title="Reading events: µs of processor time a record, ms a cold start", title_justify="left")
    for column in ("", *(["before"] if options.against else []), "now", *(["ratio"] if options.against else [])):
        table.add_column(column, justify="right" if column else "left")
    for name, costs in found.items():
        ratio = [f"{costs[-1] / costs[0]:.2f}"] if options.against else []
        table.add_row(name, *(f"{cost:.2f}" for cost in costs), *ratio)
    console = Console(width=120)
    console.print(table)
    console.print(
        f"Medians of {options.rounds} interleaved rounds, each in a fresh process, over {_RECORDS:,} events "
        f"as the demo has them, in batches of {_BATCH}. Python {platform.python_version()}, "
        f"orjson {orjson.__version__}, {processor()}, {os.cpu_count()} CPUs."
    )


if __name__ == "__main__":
    main()
