"""Poison of a rehearsal, over a table in moto: each can be mended, in any order, whatever stood there before."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from devstack.poison import UnreadableEvent
from devstack.rehearsals import RehearsalError
from headwater import bootstrap
from operations.mending import read
from tests.fakes.events import EVENT_TYPES
from tests.integration.stream_functions import SETTINGS, stack
from tests.integration.test_events_command import PLAYER, Shop

__all__ = ["stack"]


def poisoned(shop: Shop, client: Any = None) -> UnreadableEvent:
    return UnreadableEvent(client or bootstrap.dynamodb(), SETTINGS["EVENTS_TABLE"], lambda: shop.target)


def wrong(shop: Shop, version: int) -> str | None:
    return read(shop.stored(version), EVENT_TYPES).wrong


@pytest.mark.parametrize("order", [(4, 5), (5, 4)])
def test_two_poisons_in_one_aggregate_are_each_mended(stack: None, order: tuple[int, int]) -> None:
    shop = Shop({})
    poison = poisoned(shop)
    assert [poison.append()[:2] for _ in range(2)] == [(PLAYER, 4), (PLAYER, 5)]
    assert all(wrong(shop, version) for version in (4, 5))

    for version in order:
        poison.mend(PLAYER, version)

    assert [wrong(shop, version) for version in (4, 5)] == [None, None]


@pytest.mark.parametrize("spoilt", [{"schema_version": {"S": "x"}}, {"type": {"NULL": True}}, {"data": {"S": "{"}}])
def test_what_others_have_spoilt_is_not_copied(stack: None, spoilt: Any) -> None:
    shop = Shop(spoilt)

    _, version, _ = poisoned(shop).append()
    poisoned(shop).mend(PLAYER, version)

    assert wrong(shop, version) is None


def test_what_dynamodb_refuses_is_said_and_can_be_done_again(stack: None) -> None:
    shop = Shop({})
    version = poisoned(shop).append()[1]

    class Throttled:
        def __getattr__(self, _: str) -> Any:
            raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "PutItem")

    for broken in (lambda: poisoned(shop, Throttled()).append(), lambda: poisoned(shop, Throttled()).mend(PLAYER, 4)):
        with pytest.raises(RehearsalError, match=r"DynamoDB refuses it .*undo what is broken there first"):
            broken()
    poisoned(shop).mend(PLAYER, version)
    assert wrong(shop, version) is None
