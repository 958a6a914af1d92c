"""One suite against the events table's items in memory and on DynamoDB (the simulator's and moto's)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest

from headwater.fan_out.event_items import DynamoDbEventItems
from headwater.fan_out.fan_out import EventItems
from tests.fakes.cloud import FakeAws
from tests.fakes.event_items import InMemoryEventItems
from tests.fakes.moto import mock_aws
from tests.fakes.stream_records import play_image
from tests.fakes.tables import create_tables

IMAGES = [play_image(1), play_image(2)]


def key(image: Mapping[str, Any]) -> dict[str, Any]:
    return {name: image[name] for name in ("aggregate_id", "version")}


def simulated() -> EventItems:
    aws = FakeAws()
    for image in IMAGES:
        aws.dynamodb.put_item(TableName="events", Item=image)
    return DynamoDbEventItems(aws.dynamodb, "events")


def on_dynamodb() -> EventItems:
    client = boto3.client("dynamodb")
    create_tables(client)
    for image in IMAGES:
        client.put_item(TableName="events", Item=image)
    return DynamoDbEventItems(client, "events")


@pytest.fixture(params=[lambda: InMemoryEventItems(*IMAGES), simulated, on_dynamodb])
def items(request: pytest.FixtureRequest) -> Iterator[EventItems]:
    build: Callable[[], EventItems] = request.param
    with mock_aws():
        yield build()


def test_an_item_is_read_as_it_is_by_its_key(items: EventItems) -> None:
    assert [items.get(key(image)) for image in IMAGES] == IMAGES


def test_what_is_not_there_is_nothing(items: EventItems) -> None:
    assert items.get({**key(IMAGES[0]), "version": {"N": "9"}}) is None
    assert items.get({**key(IMAGES[0]), "aggregate_id": {"S": "player#nobody"}}) is None
