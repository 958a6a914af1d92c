"""What the person at the keyboard is told of failures that are tried again: a line each, or only their number."""

import io
import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from devstack.console import Console
from devstack.event_source_mapping import StreamRecord
from devstack.functions import FunctionHost, Outcome
from devstack.mappings.destinations import Destinations
from devstack.mappings.drivers import StreamDriver
from devstack.mappings.shard_reader import ShardReader
from devstack.stack import LocalStack
from devstack.template import EventSourceMapping, Function
from tests.integration.devstack.processes import eventually

MAPPING = EventSourceMapping("Reader", "Events", "kinesis", "arn:aws:kinesis:::stream/s", 10, 0, True)
QUIET_AND_NOT = pytest.mark.parametrize("quiet", [True, False])


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


class OneRecord:
    """A shard with one record."""

    shard_id = "shardId-0"
    total = 1
    ended = False
    began_after = None

    def __init__(self) -> None:
        self.left = [StreamRecord("1", "k", 1.0, 1, b'{"kinesis": {"sequenceNumber": "1"}}')]

    def subscribe(self, _told: Callable[[], None]) -> int:
        return 0

    def take(self, _subscriber: int, count: int) -> list[StreamRecord]:
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def oldest_for(self, _subscriber: int) -> None:
        return None


class FailsOnce:
    """A function that reports its record as failed, the first time."""

    def __init__(self) -> None:
        self.invocations = 0

    def invoke(self, logical_id: str, payload: bytes) -> "Future[Outcome]":
        self.invocations += 1
        failed = [{"itemIdentifier": "1"}] if self.invocations == 1 else []
        future: Future[Outcome] = Future()
        future.set_result(Outcome(json.dumps({"batchItemFailures": failed}).encode(), None, "r", 0.0))
        return future

    def function_arn(self, logical_id: str) -> str:
        return logical_id

    pipe_arn = function_arn


@QUIET_AND_NOT
def test_a_batch_that_failed_in_part_is_counted_and_told_unless_quiet(said: io.StringIO, *, quiet: bool) -> None:
    console, functions = Console(quiet=quiet, stream=said), FailsOnce()
    driver = StreamDriver(
        MAPPING,
        cast(ShardReader, OneRecord()),
        retention=1e12,
        functions=functions,
        destinations=cast(Destinations, SimpleNamespace()),
        console=console,
    )
    driver.start()
    try:
        eventually(lambda: driver.delivered)
    finally:
        driver.stop()
        driver.join(5)

    assert functions.invocations == 2
    assert console.tried_again == 1
    assert said.getvalue() == ("" if quiet else "Reader.Events reports 1 of 1 record(s) failed\n")


@QUIET_AND_NOT
def test_an_invocation_that_failed_is_counted_and_told_unless_quiet(
    said: io.StringIO, tmp_path: Path, *, quiet: bool
) -> None:
    (tmp_path / "fails_here.py").write_text("def handler(event, context): raise KeyError(event)\n")
    console = Console(quiet=quiet, stream=said)
    function = Function("Failing", "fails_here.handler", tmp_path, 60, 128, {})
    host = FunctionHost([function], tmp_path / "logs", console, "local")
    host.start({})
    try:
        outcomes = [host.invoke("Failing", b'"x"').result(60) for _ in range(2)]
        # An invocation is told of once it has ended for everybody.
        eventually(lambda: host.running == 0 and console.tried_again == 2)
    finally:
        host.stop()

    assert all(outcome.error for outcome in outcomes)
    lines = said.getvalue().splitlines()
    assert len(lines) == (0 if quiet else 2)
    assert all(line.startswith("Failing failed after ") for line in lines)


@QUIET_AND_NOT
def test_a_stack_has_its_consoles_count(said: io.StringIO, tmp_path: Path, *, quiet: bool) -> None:
    stack = LocalStack(tmp_path, quiet=quiet, stream=said)

    stack._console.retried("Reader.Events reports 1 of 1 record(s) failed")

    assert stack.tried_again == 1
    assert bool(said.getvalue()) is not quiet


def test_a_line_is_told_to_whoever_is_quiet_too(said: io.StringIO) -> None:
    console = Console(quiet=True, stream=said)

    console.line("Reader.Events gives up 1 record(s)")
    console.detail("Reader 3 ms")

    assert said.getvalue() == "Reader.Events gives up 1 record(s)\n"
    assert console.tried_again == 0
