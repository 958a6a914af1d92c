"""The fan-out of a batch, against destinations in memory."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.change_stream.records import MalformedRecordError
from headwater.dead_letters.parked import NotParkedError
from headwater.domain.events import ActivityRecorded
from headwater.fan_out.fan_out import FanOut
from headwater.fan_out.kinesis import KinesisPublisher
from headwater.fan_out.publisher import Publisher, PublishError
from headwater.fan_out.sns import SnsPublisher
from tests.fakes.events import recorded
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.publishers import AT_ONCE, FakeKinesis, FakeSns, InMemoryPublisher
from tests.fakes.table_stream import play, plays, sequence_number, stream_record

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def failed(outcome: BatchOutcome) -> list[str]:
    return sorted(failure.identifier for failure in outcome.failures)


def fan_out(
    *publishers: Publisher, incidents: RecordedIncidents | None = None, lot: InMemoryParkingLot | None = None
) -> FanOut:
    return FanOut(
        publishers, incidents or RecordedIncidents(), parking(lot or InMemoryParkingLot(), "fan_out", "dynamodb")
    )


def batch(count: int, players: int) -> list[dict[str, Any]]:
    return [stream_record(event, position) for position, event in enumerate(plays(count, players))]


def without(record: dict[str, Any], attribute: str) -> dict[str, Any]:
    del record["dynamodb"]["NewImage"][attribute]
    return record


def order(events: Sequence[Any], aggregate_id: str) -> list[str]:
    return [event.event_id for event in events if event.aggregate_id == aggregate_id]


def test_every_destination_gets_every_new_event_in_order() -> None:
    one, other = InMemoryPublisher(), InMemoryPublisher()
    events = plays(9, players=2)

    outcome = fan_out(one, other).fan_out([stream_record(event, at) for at, event in enumerate(events)])

    assert outcome == BatchOutcome(9)
    assert outcome.stream_response() == {"batchItemFailures": []}
    for publisher in (one, other):
        assert order(publisher.taken, "player#0199-0") == order(events, "player#0199-0")
        assert order(publisher.taken, "player#0199-1") == order(events, "player#0199-1")


def test_destinations_are_served_in_parallel() -> None:
    both_at_work = threading.Barrier(2, timeout=10)

    class Meeting(InMemoryPublisher):
        def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, PublishError]:
            both_at_work.wait()
            return super().publish(events)

    assert fan_out(Meeting(), Meeting()).fan_out(batch(3, players=1)) == BatchOutcome(3)


def test_a_thousand_records_cost_two_calls_to_kinesis_and_a_hundred_to_sns() -> None:
    kinesis, sns, claims = FakeKinesis(), FakeSns(), InMemoryClaimStore()
    publishers: list[Publisher] = [
        KinesisPublisher(kinesis.client, "events", claims, retry=AT_ONCE),
        SnsPublisher(sns.client, "arn:aws:sns:eu-west-1:123456789012:events", claims, retry=AT_ONCE),
    ]

    outcome = fan_out(*publishers).fan_out(batch(1000, players=100))

    assert outcome == BatchOutcome(1000)
    assert (len(kinesis.calls), len(sns.calls)) == (2, 100)
    assert (len(kinesis.records), len(sns.messages)) == (1000, 1000)
    assert claims.claims == {}


def test_row_14_what_kinesis_took_and_sns_did_not_is_retried() -> None:
    """FAULTS row 14. The retry publishes to both again; the event's id is what consumers dedupe by."""
    kinesis, sns, claims = FakeKinesis(), FakeSns(), InMemoryClaimStore()
    publishers: list[Publisher] = [
        KinesisPublisher(kinesis.client, "events", claims, retry=AT_ONCE),
        SnsPublisher(sns.client, "arn:aws:sns:eu-west-1:123456789012:events", claims, retry=AT_ONCE),
    ]
    records = batch(20, players=4)
    sns.down = True

    answer = fan_out(*publishers).fan_out(records).stream_response()

    assert answer == {"batchItemFailures": [{"itemIdentifier": sequence_number(0)}]}
    assert len(kinesis.records) == 20

    sns.down = False
    outcome = fan_out(*publishers).fan_out(records)

    assert outcome == BatchOutcome(20)
    on_kinesis = [orjson.loads(data)["id"] for _, data in kinesis.records]
    on_sns = {orjson.loads(message)["id"] for message, _ in sns.messages}
    assert len(on_kinesis) == 40
    assert set(on_kinesis) == on_sns
    assert len(on_sns) == 20


def test_an_event_that_one_destination_refused_fails_its_record_and_the_lowest_is_answered() -> None:
    events = plays(6, players=3)
    one = InMemoryPublisher(refuses=[events[4].event_id])
    other = InMemoryPublisher(refuses=[events[2].event_id])

    outcome = fan_out(one, other).fan_out([stream_record(event, at) for at, event in enumerate(events)])

    assert failed(outcome) == [sequence_number(2), sequence_number(4)]
    assert outcome.stream_response() == {"batchItemFailures": [{"itemIdentifier": sequence_number(2)}]}


def test_row_19_expiries_and_illegal_changes_are_not_fanned_out_and_the_illegal_ones_are_reported() -> None:
    """FAULTS row 19, the fan-out's part: an expiry is silent, a change or removal by hand is an incident."""
    publisher, incidents = InMemoryPublisher(), RecordedIncidents()
    activity = recorded("activity#0199-c", 1, ActivityRecorded(kind="ClickOnLogo", user_id=None, details={}))
    records = [
        stream_record(activity, 0, "REMOVE", by_ttl=True),
        stream_record(play(1, 1, game="secret-game"), 1, "MODIFY"),
        stream_record(play(1, 2, game="secret-game"), 2, "REMOVE"),
        stream_record(play(1, 3), 3),
    ]

    outcome = fan_out(publisher, incidents=incidents).fan_out(records)

    assert outcome == BatchOutcome(4)
    assert [orjson.loads(event.body)["sequence"] for event in publisher.taken] == [f"{3:020d}"]
    assert [(incident, facts["operation"], facts["sequence_number"]) for incident, facts in incidents.reports] == [
        ("IllegalChanges", "MODIFY", sequence_number(1)),
        ("IllegalChanges", "REMOVE", sequence_number(2)),
    ]
    assert "secret-game" not in str(incidents.reports)


SPOILT = pytest.mark.parametrize(
    "spoil",
    [
        lambda record: without(record, "data"),
        lambda record: without(record, "event_id"),
        lambda record: record["dynamodb"]["NewImage"].update(data={"S": '{"game":'}) or record,
        lambda record: record["dynamodb"]["NewImage"].update(data={"S": "[]"}) or record,
        lambda record: record["dynamodb"]["NewImage"].update(version={"N": "one"}) or record,
        lambda record: record["dynamodb"].pop("NewImage") and record,
        lambda record: record | {"eventName": "UPSERT"},
    ],
)


@SPOILT
def test_row_1_a_record_that_is_no_event_is_parked_and_everything_else_flows(spoil: Any) -> None:
    """FAULTS row 1: later events of its aggregate too; their consumers meet the gap at their gates."""
    publisher, lot = InMemoryPublisher(), InMemoryParkingLot()
    records = batch(6, players=2)
    records[2] = spoil(records[2])

    outcome = fan_out(publisher, lot=lot).fan_out(records)

    assert outcome == BatchOutcome(6, parked=1)
    assert [orjson.loads(event.body)["subject"][-1] for event in publisher.taken] == ["0", "1", "1", "0", "1"]
    (parked,) = lot.parked
    assert (parked.consumer, parked.aggregate_id, parked.versions) == ("fan_out", "player#0199-0", [2])
    assert parked.raw == [records[2]]
    assert parked.error


@SPOILT
def test_what_cannot_be_parked_fails_and_holds_back_its_aggregate_only(spoil: Any) -> None:
    publisher, lot = InMemoryPublisher(), InMemoryParkingLot()
    lot.faults = [NotParkedError("SQS is down")]
    records = batch(6, players=2)
    records[2] = spoil(records[2])

    outcome = fan_out(publisher, lot=lot).fan_out(records)

    assert failed(outcome) == [sequence_number(2), sequence_number(4)]
    assert [orjson.loads(event.body)["subject"][-1] for event in publisher.taken] == ["0", "1", "1", "1"]
    assert outcome.stream_response() == {"batchItemFailures": [{"itemIdentifier": sequence_number(2)}]}


@SPOILT
def test_a_redrive_publishes_what_it_can_and_parks_nothing_a_second_time(spoil: Any) -> None:
    publisher, lot = InMemoryPublisher(), InMemoryParkingLot()
    whole, spoilt = batch(2, players=2)
    spoilt = spoil(spoilt)

    assert fan_out(publisher, lot=lot).redrive([whole]) == BatchOutcome(1)
    outcome = fan_out(publisher, lot=lot).redrive([spoilt])

    assert failed(outcome) == [sequence_number(1)]
    assert len(publisher.taken) == 1
    assert lot.parked == []


def test_a_record_without_a_sequence_number_fails_the_batch_before_anything_is_published() -> None:
    publisher = InMemoryPublisher()
    records = batch(2, players=1)
    del records[1]["dynamodb"]["SequenceNumber"]

    with pytest.raises(MalformedRecordError, match="SequenceNumber"):
        fan_out(publisher).fan_out(records)

    assert publisher.taken == []


def test_an_error_of_one_destination_fails_the_batch_after_the_other_has_finished() -> None:
    class Broken(InMemoryPublisher):
        def publish(self, events: Any) -> Any:
            raise RuntimeError("a bug")

    finished = InMemoryPublisher()

    with pytest.raises(RuntimeError, match="a bug"):
        fan_out(Broken(), finished).fan_out(batch(3, players=1))

    assert len(finished.taken) == 3
