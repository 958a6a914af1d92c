"""One suite against single items in memory and on DynamoDB (the simulator's and moto's), so that no fake can rot."""

from collections.abc import Callable, Iterator

import boto3
import pytest

from headwater.accounts.items import DynamoDbItems, Items
from tests.fakes.accounts import InMemoryItems
from tests.fakes.cloud import FakeAws
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables


def in_memory() -> Items:
    return InMemoryItems(InMemoryEventStore(), "preferences")


def simulated() -> Items:
    return DynamoDbItems(FakeAws().dynamodb, "preferences")


def on_dynamodb() -> Items:
    client = boto3.client("dynamodb")
    create_tables(client)
    return DynamoDbItems(client, "preferences")


@pytest.fixture(params=[in_memory, simulated, on_dynamodb])
def items(request: pytest.FixtureRequest) -> Iterator[Items]:
    build: Callable[[], Items] = request.param
    with mock_aws():
        yield build()


def test_a_new_item_is_put_once(items: Items) -> None:
    first = {"pk": "a", "preferences": {"language": "en", "email_notices": True}}

    assert items.get("a") is None
    assert [items.put_new(first), items.put_new({"pk": "a"})] == [True, False]
    assert items.get("a") == first


def test_a_put_replaces_whatever_there_was(items: Items) -> None:
    items.put({"pk": "a", "preferences": {}})
    items.put({"pk": "a"})

    assert items.get("a") == {"pk": "a"}


def test_an_item_is_removed_if_it_is_as_expected(items: Items) -> None:
    items.put({"pk": "a", "user_id": "u1"})

    assert [items.remove("a", user_id="u2"), items.remove("b")] == [False, False]
    assert items.get("a") == {"pk": "a", "user_id": "u1"}
    assert [items.remove("a", user_id="u1"), items.remove("a", user_id="u1")] == [True, False]
    assert items.get("a") is None
