"""What the simulator does to streams beside delivering them."""

import random
from typing import Any

from devstack.event_source_mapping import StreamRecord
from devstack.simulator.cloud import Shard
from devstack.simulator.delivery import reorder
from devstack.simulator.places import event_of


def shard_of(*places: tuple[str, int]) -> Shard:
    shard = Shard("shard-1", None, 0, 1)
    for number, (aggregate_id, version) in enumerate(places):
        body: dict[str, Any] = {
            "dynamodb": {
                "Keys": {"aggregate_id": {"S": aggregate_id}, "version": {"N": str(version)}},
                "SequenceNumber": str(100 + number),
            }
        }
        shard.records.append(StreamRecord(str(100 + number), f"{aggregate_id}@{version}", 0.0, 10, body))
    return shard


def test_unread_records_of_different_items_change_places_and_keep_the_shard_s_numbers() -> None:
    places = [("user#1", version) for version in range(1, 7)]
    shard = shard_of(*places)

    assert reorder(shard, 2, random.Random(1))

    assert [event_of(record.body) for record in shard.records[:2]] == places[:2]
    shuffled = [event_of(record.body) for record in shard.records[2:]]
    assert shuffled != places[2:]
    assert sorted(shuffled) == places[2:]
    numbers = [str(100 + number) for number in range(6)]
    assert [record.sequence_number for record in shard.records] == numbers
    assert [record.body["dynamodb"]["SequenceNumber"] for record in shard.records] == numbers


def test_changes_of_one_item_never_change_places() -> None:
    shard = shard_of(("user#1", 1), ("user#1", 1))

    assert not reorder(shard, 0, random.Random(1))


def test_what_was_read_stays() -> None:
    shard = shard_of(("user#1", 1), ("user#1", 2))

    assert not reorder(shard, 2, random.Random(1))
