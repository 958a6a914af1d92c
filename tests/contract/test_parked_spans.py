"""One suite against parked spans in memory and on DynamoDB (the simulator's and moto's)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from headwater.archive.lookup import ParkedSpans
from headwater.dead_letters.parked_spans import MEMORY, DynamoDbParkedSpans
from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws
from tests.fakes.parked_spans import InMemoryParkedSpans
from tests.fakes.tables import create_tables

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONSUMER, SHARD = "badges", "arn:aws:kinesis:eu-west-1:1:stream/events/shardId-000000000000"


def simulated() -> ParkedSpans:
    return DynamoDbParkedSpans(FakeAws().dynamodb, "ledger")


def on_dynamodb() -> ParkedSpans:
    client = boto3.client("dynamodb")
    create_tables(client)
    return DynamoDbParkedSpans(client, "ledger")


@pytest.fixture(params=[InMemoryParkedSpans, simulated, on_dynamodb])
def parked(request: pytest.FixtureRequest) -> Iterator[ParkedSpans]:
    build: Callable[[], ParkedSpans] = request.param
    with mock_aws():
        yield build()


def test_spans_that_touch_are_one(parked: ParkedSpans) -> None:
    for span in ((30, 40), (10, 20), (20, 25), (35, 50)):
        parked.add(CONSUMER, SHARD, span, NOW)

    assert list(parked.of(CONSUMER, SHARD, NOW)) == [(10, 25), (30, 50)]


def test_each_consumer_and_shard_has_its_own(parked: ParkedSpans) -> None:
    parked.add(CONSUMER, SHARD, (1, 2), NOW)

    assert list(parked.of("achievements", SHARD, NOW)) == []
    assert list(parked.of(CONSUMER, f"{SHARD}1", NOW)) == []


def test_they_are_forgotten_with_the_letters(parked: ParkedSpans) -> None:
    parked.add(CONSUMER, SHARD, (1, 2), NOW)

    assert list(parked.of(CONSUMER, SHARD, NOW + MEMORY - timedelta(seconds=1))) == [(1, 2)]
    assert list(parked.of(CONSUMER, SHARD, NOW + MEMORY)) == []
