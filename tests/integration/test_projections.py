"""The player profiles function with its fixture, against DynamoDB and S3 (moto)."""

import pytest

from headwater import bootstrap
from headwater.change_stream import cloud_events, kinesis
from headwater.domain.events import PlayCompleted
from headwater.event_store import codec
from headwater.event_store.store import Append
from tests.fakes.events import EVENT_TYPES, new_event
from tests.fakes.kinesis_records import kinesis_record, outgoing
from tests.integration.stream_functions import USER, Invoke, fixture, handler, item, stack

__all__ = ["stack"]


@pytest.fixture
def invoke(stack: None) -> Invoke:
    return handler("player_profiles")


@pytest.mark.parametrize(
    "function", ["PlayerProfilesFunction", "BadgesFunction", "AchievementsFunction", "LeaderboardFunction"]
)
def test_the_fixture_holds_what_the_fan_out_sends(function: str) -> None:
    for record in fixture(function)["Records"]:
        event = cloud_events.decode(kinesis.body(record), EVENT_TYPES).event

        assert cloud_events.encode(codec.encode(event), EVENT_TYPES).body == kinesis.body(record)
        assert event.payload
        assert record.keys() == kinesis_record(event, 1).keys()
        assert record["kinesis"].keys() == kinesis_record(event, 1)["kinesis"].keys()
        assert kinesis.partition_key(record) == event.aggregate_id


def test_the_fixture_becomes_a_profile_and_again_changes_nothing(invoke: Invoke) -> None:
    """FAULTS row 4: the same invocation twice."""
    assert invoke(fixture("PlayerProfilesFunction")) == {"batchItemFailures": []}
    row = item(f"player_profiles@1#{USER}")
    assert row == {
        "pk": f"player_profiles@1#{USER}",
        "name": "Ada King",
        "registered_at": "2026-03-01T11:58:00.000Z",
        "plays": 3,
        "best_scores": {"chess": 120, "go": 40},
        "last_play": {"game": "go", "score": 40, "played_at": "2026-03-01T12:30:00.000Z"},
        "applied": {"user": 2, "player": 3},
        "revision": 1,
    }

    assert invoke(fixture("PlayerProfilesFunction")) == {"batchItemFailures": []}
    assert item(f"player_profiles@1#{USER}") == row


def test_a_gap_is_read_from_the_events_table_and_a_claim_from_the_bucket(invoke: Invoke) -> None:
    """FAULTS rows 5 and 13: only version 3 arrives, as a claim check; 1 and 2 come from the store."""
    plays = [
        new_event(PlayCompleted(game="chess", score=score, played_at="2026-03-01T12:00:00.000Z")) for score in (1, 2, 3)
    ]
    stored = bootstrap.event_store().append(Append(f"player#{USER}", 0, plays))
    message = outgoing(stored[2])
    dataref = bootstrap.claim_store().put(message.event_id, message.body)

    record = kinesis_record(stored[2], 1, body=cloud_events.without_data(message, dataref).body)
    assert invoke({"Records": [record]}) == {"batchItemFailures": []}

    row = item(f"player_profiles@1#{USER}")
    assert (row["plays"], row["best_scores"], row["applied"]) == (3, {"chess": 3}, {"player": 3})


def test_a_failure_is_answered_by_its_sequence_number(invoke: Invoke) -> None:
    """FAULTS row 20: an unknown type is given back; the rest of the batch is applied."""
    event = fixture("PlayerProfilesFunction")
    play = cloud_events.decode(kinesis.body(event["Records"][1]), EVENT_TYPES).event
    body = outgoing(play).body.replace(b"PlayCompleted", b"PlayUndone")
    event["Records"][1] = kinesis_record(play, 5, body=body)

    assert invoke(event) == {"batchItemFailures": [{"itemIdentifier": "5"}]}

    assert item(f"player_profiles@1#{USER}")["applied"] == {"user": 2}
