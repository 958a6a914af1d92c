"""Reading a failed batch from its shard, over services that answer as AWS documents."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headwater.change_stream import kinesis
from headwater.dead_letters.pointers import Pointer, parse
from headwater.dead_letters.shards import RecordsGoneError, StreamShards
from tests.fakes.pointers import from_lambda


def pointer(first: int, last: int) -> Pointer:
    return parse(json.dumps(from_lambda("kinesis", str(first), str(last), records=last - first + 1)))


def record(number: int) -> dict[str, Any]:
    return kinesis.event_record(
        b"{}",
        partition_key="player#1",
        sequence_number=str(number),
        arrived_at=0.0,
        stream_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/events",
        shard_id="shardId-1",
    )


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetRecords")


class Script:
    """A service that answers what it is told, in order: a page of numbers, an error, or the end of a closed shard.

    ``None`` ends the shard; ``"newest"`` is an empty page at its tip. ``starts`` lists where iterators were asked for.
    """

    def __init__(self, *answers: list[int] | str | Exception | None) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self.starts: list[tuple[str, bool]] = []

    def iterator(self, pointer: Pointer, sequence_number: str, *, after: bool) -> str:
        self.starts.append((sequence_number, after))
        return "iterator"

    def page(self, pointer: Pointer, iterator: str) -> tuple[list[dict[str, Any]], str | None, bool]:
        match next(self._answers):
            case None:
                return [], None, False
            case "newest":
                return [], "iterator", True
            case Exception() as error:
                raise error
            case numbers:
                return [record(number) for number in numbers], "iterator", False

    def sequence_number(self, raw: Any) -> str:
        return kinesis.sequence_number(raw)


def read(script: Script, first: int = 3, last: int = 6) -> list[list[int]]:
    shards = StreamShards(script, sleep=lambda _: None)
    return [[int(kinesis.sequence_number(raw)) for raw in page] for page in shards.records(pointer(first, last))]


def test_row_21_empty_pages_before_and_between_the_records_are_read_through() -> None:
    """FAULTS row 21."""
    script = Script([], [], [], [3, 4], [], [], [5], [], [6, 7, 8])

    assert read(script) == [[3, 4], [5], [6]]
    assert script.starts == [("3", False)]


def test_numbers_need_not_follow_one_another() -> None:
    assert read(Script([3, 5, 9])) == [[3, 5]]


def test_row_22_an_iterator_that_expires_in_the_middle_is_taken_anew_behind_what_was_read() -> None:
    """FAULTS row 22."""
    script = Script([3, 4], refusal("ExpiredIteratorException"), [5, 6])

    assert read(script) == [[3, 4], [5, 6]]
    assert script.starts == [("3", False), ("4", True)]


def test_an_iterator_that_expires_before_anything_was_read_begins_again() -> None:
    script = Script(refusal("ExpiredIteratorException"), [3, 4, 5, 6])

    assert read(script) == [[3, 4, 5, 6]]
    assert script.starts == [("3", False), ("3", False)]


@pytest.mark.parametrize(
    "script",
    [
        lambda: Script(refusal("TrimmedDataAccessException")),
        lambda: Script(refusal("ResourceNotFoundException")),
        # Kinesis goes on with the oldest record that is left.
        lambda: Script([4, 5, 6]),
        # A closed shard ends before it; so does one whose newest record was read.
        lambda: Script([3, 4], None),
        lambda: Script([3, 4], "newest"),
        lambda: Script(*[[]] * 2000),
    ],
    ids=["trimmed", "shard gone", "first is another", "closed", "at its tip", "empty for ever"],
)
def test_row_22_what_the_shard_no_longer_gives_is_told(script: Callable[[], Script]) -> None:
    """FAULTS row 22."""
    with pytest.raises(RecordsGoneError):
        read(script())


@pytest.mark.parametrize(
    "code", ["TrimmedDataAccessException", "ResourceNotFoundException", "InvalidArgumentException"]
)
def test_row_22_an_iterator_that_is_refused_is_told(code: str) -> None:
    """FAULTS row 22."""

    class Refusing(Script):
        def iterator(self, pointer: Pointer, sequence_number: str, *, after: bool) -> str:
            raise refusal(code)

    with pytest.raises(RecordsGoneError, match=code):
        read(Refusing())


def test_a_throttled_read_is_tried_again_for_a_while() -> None:
    throttled = refusal("ProvisionedThroughputExceededException")

    assert read(Script(throttled, throttled, [3, 4, 5, 6])) == [[3, 4, 5, 6]]
    with pytest.raises(ClientError, match="ProvisionedThroughputExceeded"):
        read(Script(*[throttled] * 100))


def test_what_is_neither_gone_nor_throttled_is_raised_as_it_is() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        read(Script(refusal("AccessDeniedException")))
