"""One suite against first failures in memory and on DynamoDB (the simulator's and moto's)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from headwater.dead_letters.first_failures import DynamoDbFirstFailures
from headwater.dead_letters.patience import FirstFailures
from tests.fakes.cloud import FakeAws
from tests.fakes.first_failures import InMemoryFirstFailures
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
CONSUMER, RECORD = "player_profiles", "player#0199-a#7"


def simulated() -> FirstFailures:
    return DynamoDbFirstFailures(FakeAws().dynamodb, "ledger")


def on_dynamodb() -> FirstFailures:
    client = boto3.client("dynamodb")
    create_tables(client)
    return DynamoDbFirstFailures(client, "ledger")


@pytest.fixture(params=[InMemoryFirstFailures, simulated, on_dynamodb])
def failures(request: pytest.FixtureRequest) -> Iterator[FirstFailures]:
    build: Callable[[], FirstFailures] = request.param
    with mock_aws():
        yield build()


def test_the_first_failure_is_remembered_whoever_asks_later(failures: FirstFailures) -> None:
    assert failures.since(CONSUMER, RECORD, NOW) == NOW
    assert failures.since(CONSUMER, RECORD, NOW + timedelta(seconds=31)) == NOW
    assert failures.since(CONSUMER, RECORD, NOW + timedelta(hours=23)) == NOW


def test_after_a_day_it_is_forgotten(failures: FirstFailures) -> None:
    failures.since(CONSUMER, RECORD, NOW)
    tomorrow = NOW + timedelta(days=1)

    assert failures.since(CONSUMER, RECORD, tomorrow) == tomorrow
    assert failures.since(CONSUMER, RECORD, tomorrow + timedelta(seconds=5)) == tomorrow


def test_other_records_and_consumers_are_apart(failures: FirstFailures) -> None:
    failures.since(CONSUMER, RECORD, NOW)
    later = NOW + timedelta(seconds=5)

    assert failures.since("badges", RECORD, later) == later
    assert failures.since(CONSUMER, "player#0199-a#8", later) == later


@pytest.mark.parametrize("record", ["x" * 3000, "ü" * 2000, "\ud800", ""], ids=["long", "wide", "half", "empty"])
def test_a_record_may_have_any_id(failures: FirstFailures, record: str) -> None:
    later = NOW + timedelta(seconds=5)
    failures.since(CONSUMER, record, NOW)

    assert failures.since(CONSUMER, record, later) == NOW
    assert failures.since(CONSUMER, record + "#1", later) == later


def test_the_item_goes_by_itself_and_tells_its_record() -> None:
    with mock_aws():
        client = boto3.client("dynamodb")
        create_tables(client)

        DynamoDbFirstFailures(client, "ledger").since(CONSUMER, RECORD, NOW)

        (item,) = client.scan(TableName="ledger")["Items"]
    assert item["pk"] == {"S": f"failing#{CONSUMER}#{RECORD}"}
    assert item["expires_at"] == {"N": str(int((NOW + timedelta(days=1)).timestamp()))}
