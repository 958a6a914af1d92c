"""Reading a shard for several mappings, with a client that answers from a list."""

import http.client
import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devstack.console import Console
from devstack.event_source_mapping import StreamRecord
from devstack.mappings.shard_reader import ShardReader
from devstack.mappings.stream_client import EmulatorError, StreamClient
from tests.integration.devstack.processes import eventually

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/s"


class ListedShard(StreamClient):
    """A shard in memory; an iterator is a position. ``faults`` are raised by the next reads."""

    def __init__(self) -> None:
        super().__init__("kinesis", 0)
        self.numbers: list[str] = []
        self.faults: list[Exception] = []
        self.closed = False

    def put(self, count: int) -> None:
        self.numbers += [f"{len(self.numbers) + number:04d}" for number in range(count)]

    def iterator(self, stream_arn: str, shard_id: str, position: str, after: str | None = None) -> str:
        if after is not None:
            return str(self.numbers.index(after) + 1)
        return str(0 if position == "TRIM_HORIZON" else len(self.numbers))

    def records(self, iterator: str) -> tuple[list[dict[str, Any]], str | None]:
        if self.faults:
            raise self.faults.pop(0)
        start = int(iterator)
        page = self.numbers[start : start + 150]
        following = None if self.closed and start + len(page) == len(self.numbers) else str(start + len(page))
        raw = {"ApproximateArrivalTimestamp": 1.0, "Data": "", "PartitionKey": "k"}
        return [{**raw, "SequenceNumber": number} for number in page], following


@pytest.fixture
def shard() -> ListedShard:
    return ListedShard()


@pytest.fixture
def console() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reading(shard: ListedShard, console: io.StringIO) -> Iterator[Callable[..., ShardReader]]:
    readers = []

    def make(position: str = "TRIM_HORIZON", after: str | None = None) -> ShardReader:
        said = Console(stream=console)
        readers.append(ShardReader(shard, STREAM, "shardId-0", position=position, after=after, console=said))
        return readers[-1]

    yield make
    for reader in readers:
        reader.stop()
        reader.join(5)


def take(reader: ShardReader, subscriber: int, count: int) -> list[str]:
    """Exactly the subscriber's next ``count`` records."""
    taken: list[StreamRecord] = []
    deadline = time.monotonic() + 60
    while len(taken) < count and time.monotonic() < deadline:
        reader.poke()
        taken += reader.take(subscriber, count - len(taken))
        time.sleep(0.005)
    assert not reader.take(subscriber, 1)
    return [record.sequence_number for record in taken]


def test_each_mapping_takes_every_record_at_its_own_pace(
    shard: ListedShard, reading: Callable[..., ShardReader]
) -> None:
    reader = reading()
    fast, slow = reader.subscribe(lambda: None), reader.subscribe(lambda: None)
    shard.put(400)
    reader.start()
    assert take(reader, fast, 400) == shard.numbers
    shard.put(5)
    assert take(reader, fast, 5) == shard.numbers[400:]
    assert take(reader, slow, 405) == shard.numbers
    assert reader.total == 405


def test_mappings_are_told_of_new_records(shard: ListedShard, reading: Callable[..., ShardReader]) -> None:
    told = threading.Event()
    reader = reading()
    reader.subscribe(told.set)
    reader.start()
    assert not told.wait(0.05)
    shard.put(1)
    assert told.wait(60)


def test_a_reader_that_nobody_pokes_asks_again_within_a_fraction_of_a_second(
    shard: ListedShard, reading: Callable[..., ShardReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float | None] = []
    reader = reading()
    subscriber = reader.subscribe(lambda: None)
    wait = reader._wake.wait

    def noted(timeout: float | None = None) -> bool:
        waits.append(timeout)
        return wait(timeout)

    monkeypatch.setattr(reader._wake, "wait", noted)
    reader.start()
    eventually(lambda: len(waits) >= 3)
    shard.put(1)

    assert eventually(lambda: reader.take(subscriber, 1))[0].sequence_number == shard.numbers[0]
    assert all(seconds is not None and seconds <= 0.25 for seconds in waits)


def test_latest_begins_when_the_stack_starts(shard: ListedShard, reading: Callable[..., ShardReader]) -> None:
    shard.put(3)
    reader = reading("LATEST")
    subscriber = reader.subscribe(lambda: None)
    reader.start()
    shard.put(2)
    assert take(reader, subscriber, 2) == shard.numbers[3:]


@pytest.mark.parametrize(
    "fault",
    [
        EmulatorError("ExpiredIteratorException", "expired"),
        EmulatorError("InternalFailure", "try again"),
        ConnectionResetError(),
        http.client.RemoteDisconnected("gone"),
    ],
)
def test_a_failed_read_loses_and_repeats_nothing(
    shard: ListedShard, reading: Callable[..., ShardReader], fault: Exception
) -> None:
    reader = reading()
    subscriber = reader.subscribe(lambda: None)
    shard.put(2)
    reader.start()
    assert take(reader, subscriber, 2) == shard.numbers
    shard.faults.append(fault)
    shard.put(2)
    assert take(reader, subscriber, 2) == shard.numbers[2:]


def test_records_that_were_trimmed_are_skipped_and_said(
    shard: ListedShard, reading: Callable[..., ShardReader], console: io.StringIO
) -> None:
    reader = reading()
    subscriber = reader.subscribe(lambda: None)
    shard.put(2)
    shard.faults.append(EmulatorError("TrimmedDataAccessException", "trimmed"))
    reader.start()
    assert take(reader, subscriber, 2) == shard.numbers
    assert "TrimmedDataAccessException" in console.getvalue()


def test_the_end_of_a_closed_shard_counts_as_read(shard: ListedShard, reading: Callable[..., ShardReader]) -> None:
    shard.put(1)
    shard.closed = True
    reader = reading()
    subscriber = reader.subscribe(lambda: None)
    reader.start()
    assert take(reader, subscriber, 1) == shard.numbers
    reader.join(5)
    assert reader.drained_at == float("inf")


def test_a_reader_begins_after_a_checkpoint(shard: ListedShard, reading: Callable[..., ShardReader]) -> None:
    """FAULTS row 6: a restarted mapping goes on where it was."""
    shard.put(5)
    reader = reading(after="0002")
    subscriber = reader.subscribe(lambda: None)
    reader.start()
    assert take(reader, subscriber, 2) == shard.numbers[3:]
    assert reader.began_after == "0002"


def test_latest_is_a_place_in_the_shard_so_that_no_expired_iterator_steps_over_records(
    shard: ListedShard, reading: Callable[..., ShardReader]
) -> None:
    shard.put(400)
    reader = reading("LATEST")
    subscriber = reader.subscribe(lambda: None)
    reader.start()
    shard.faults.append(EmulatorError("ExpiredIteratorException", "expired"))
    shard.put(2)
    assert reader.began_after == "0399"
    assert take(reader, subscriber, 2) == shard.numbers[400:]


def test_latest_of_an_empty_shard_is_its_beginning(shard: ListedShard, reading: Callable[..., ShardReader]) -> None:
    reader = reading("LATEST")
    subscriber = reader.subscribe(lambda: None)
    reader.start()
    shard.put(2)
    assert reader.began_after is None
    assert take(reader, subscriber, 2) == shard.numbers


def test_a_shard_that_the_emulator_removed_has_ended(
    shard: ListedShard, reading: Callable[..., ShardReader], console: io.StringIO
) -> None:
    told = threading.Event()
    shard.put(1)
    reader = reading()
    subscriber = reader.subscribe(told.set)
    reader.start()
    assert take(reader, subscriber, 1) == shard.numbers
    told.clear()
    shard.faults.append(EmulatorError("ResourceNotFoundException", "Shard not found"))
    reader.join(60)
    assert reader.ended
    assert told.is_set(), "the mappings look for its children"
    assert "shardId-0 is gone: its children are read now" in console.getvalue()
