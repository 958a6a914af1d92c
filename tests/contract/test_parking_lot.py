"""Parked records on a queue, over the simulator's SQS and moto's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import orjson
import pytest

from devstack.simulator.cloud import NoFaults
from headwater.dead_letters.parked import (
    MalformedParkedError,
    NotParkedError,
    ParkedRecords,
    SqsParkingLot,
    decode,
    encode,
)
from tests.fakes.cloud import FakeAws
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.moto import mock_aws
from tests.fakes.publishers import AT_ONCE

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def parked(aggregate_id: str = "player#ada", size: int = 10) -> ParkedRecords:
    return ParkedRecords(
        consumer="badges",
        mapping="arn:function",
        source_arn="arn:stream",
        aggregate_id=aggregate_id,
        versions=[1],
        reason="RetryAttemptsExhausted",
        error="Unhandled",
        attempts=51,
        failed_at="2026-03-01T12:00:00.000Z",
        parked_at="2026-03-01T12:00:30.000Z",
        parsed=[{"game": "chess"}],
        raw=[{"kinesis": {"data": "ü" * size}}],
    )


def simulated() -> "tuple[SQSClient, str]":
    aws = FakeAws()
    return aws.sqs, aws.cloud.create_queue("parked")


def on_sqs() -> "tuple[SQSClient, str]":
    client = boto3.client("sqs")
    return client, client.create_queue(QueueName="parked")["QueueUrl"]


@pytest.fixture(params=[simulated, on_sqs])
def queue(request: pytest.FixtureRequest) -> "Iterator[tuple[SQSClient, str]]":
    build: Callable[[], tuple[SQSClient, str]] = request.param
    with mock_aws():
        yield build()


def bodies(client: "SQSClient", url: str) -> list[str]:
    found: list[str] = []
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in messages]
    return found


def test_what_is_parked_comes_back_as_it_was(queue: "tuple[SQSClient, str]") -> None:
    client, url = queue
    claims = InMemoryClaimStore()
    runs = [parked(f"player#{number}") for number in range(23)]

    SqsParkingLot(client, url, claims).park(iter(runs))

    found = [decode(body, claims) for body in bodies(client, url)]
    assert sorted(found, key=lambda each: each.aggregate_id) == sorted(runs, key=lambda each: each.aggregate_id)
    assert claims.claims == {}


def test_a_run_above_the_queues_limit_goes_by_claim_check(queue: "tuple[SQSClient, str]") -> None:
    client, url = queue
    claims = InMemoryClaimStore()
    large, next_to_it = parked(size=600_000), parked("player#bob", size=520_000)

    SqsParkingLot(client, url, claims).park([large, next_to_it, next_to_it])

    found = {decode(body, claims).aggregate_id: len(body) for body in bodies(client, url)}
    assert found["player#ada"] < 200
    assert found["player#bob"] > 500_000
    assert [decode(body, claims) for body in claims.claims.values()] == [large]


class Refusing(NoFaults):
    """Refuses the first entries of a batch so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def refuse(self, service: str, operation: str, entries: int) -> frozenset[int]:
        if operation != "SendMessageBatch" or not self.times:
            return frozenset()
        self.times -= 1
        return frozenset(range((entries + 1) // 2))


def test_row_23_entries_that_are_refused_are_sent_again_and_no_others() -> None:
    """FAULTS row 23."""
    aws = FakeAws(Refusing(3))
    url = aws.cloud.create_queue("parked")
    lot = SqsParkingLot(aws.sqs, url, InMemoryClaimStore(), retry=AT_ONCE)

    lot.park([parked(f"player#{number}") for number in range(10)])

    assert aws.cloud.queue_depth(url) == 10


def test_row_23_entries_that_stay_refused_fail_the_whole() -> None:
    """FAULTS row 23: so that the pointer is kept."""
    aws = FakeAws(Refusing(100))
    url = aws.cloud.create_queue("parked")

    with pytest.raises(NotParkedError, match="SQS kept refusing 1 messages: \\['SQS: InternalError'\\]"):
        SqsParkingLot(aws.sqs, url, InMemoryClaimStore(), retry=AT_ONCE).park(
            [parked(f"player#{number}") for number in range(10)]
        )


def test_row_23_what_stays_refused_does_not_keep_later_batches_from_being_parked() -> None:
    """FAULTS row 23."""
    aws = FakeAws(Refusing(AT_ONCE.attempts))
    url = aws.cloud.create_queue("parked")

    with pytest.raises(NotParkedError, match="refusing 1 messages"):
        SqsParkingLot(aws.sqs, url, InMemoryClaimStore(), retry=AT_ONCE).park(
            [parked(f"player#{number}") for number in range(23)]
        )

    assert aws.cloud.queue_depth(url) == 22


def test_characters_that_the_queue_refuses_are_parked_escaped(queue: "tuple[SQSClient, str]") -> None:
    client, url = queue
    claims = InMemoryClaimStore()
    # Escapes make a text longer: the second one is above the limit only with them.
    odd = [replace(parked(), parsed=[{"game": "chess\ufffe\uffff" * times}]) for times in (1, 100_000)]

    SqsParkingLot(client, url, claims).park(odd)

    found = [decode(body, claims) for body in bodies(client, url)]
    assert sorted(found, key=lambda each: len(str(each))) == odd
    assert len(claims.claims) == 1


@pytest.mark.parametrize("body", ["", "hello", "[]", "{}", '{"consumer": "badges"}', '{"dataref": "elsewhere"}'])
def test_a_message_that_is_none_of_ours_is_told(body: str) -> None:
    with pytest.raises(MalformedParkedError):
        decode(body, InMemoryClaimStore())


def test_a_message_of_no_record_is_none_of_ours() -> None:
    """Or a redrive of it would be told as done."""
    with pytest.raises(MalformedParkedError):
        decode(encode(replace(parked(), raw=[], parsed=[])), InMemoryClaimStore())


def test_a_message_is_json_that_a_person_can_read() -> None:
    message: dict[str, Any] = orjson.loads(encode(parked()))

    assert (message["consumer"], message["aggregate_id"], message["parsed"]) == (
        "badges",
        "player#ada",
        [{"game": "chess"}],
    )
