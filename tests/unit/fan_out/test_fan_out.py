"""The fan-out of a batch, against destinations in memory."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from headwater.attribute_values import AttributeMap
from headwater.change_stream import cloud_events
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.change_stream.records import MalformedRecordError
from headwater.dead_letters.parked import NotParkedError
from headwater.dead_letters.patience import Patience
from headwater.dead_letters.triage import Triage
from headwater.domain.events import ActivityRecorded, EventTypes
from headwater.failures import FailureKind
from headwater.fan_out.fan_out import FanOut
from headwater.fan_out.kinesis import KinesisPublisher
from headwater.fan_out.publisher import Publisher
from headwater.fan_out.sns import SnsPublisher
from headwater.sending import SendError
from tests.fakes.event_items import InMemoryEventItems
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.first_failures import InMemoryFirstFailures
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.publishers import AT_ONCE, FakeKinesis, FakeSns, InMemoryPublisher, client_error
from tests.fakes.table_stream import play, plays, sequence_number, stream_record

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def failed(outcome: BatchOutcome) -> list[str]:
    return sorted(failure.identifier for failure in outcome.failures)


def fan_out(
    *publishers: Publisher,
    incidents: RecordedIncidents | None = None,
    lot: InMemoryParkingLot | None = None,
    aside: InMemoryParkingLot | None = None,
    failures: InMemoryFirstFailures | None = None,
    items: InMemoryEventItems | None = None,
    now: datetime = NOW,
) -> FanOut:
    incidents = incidents or RecordedIncidents()
    patience = Patience("fan_out", failures or InMemoryFirstFailures(), incidents, lambda: now)
    parked = parking(lot or InMemoryParkingLot(), "fan_out", "dynamodb", aside)
    return FanOut(
        publishers, incidents, Triage("dynamodb", parked, patience), items or InMemoryEventItems(), EVENT_TYPES
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
    both_at_work = threading.Barrier(2, timeout=60)

    class Meeting(InMemoryPublisher):
        def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, SendError]:
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
def test_what_cannot_be_parked_fails_and_comes_again(spoil: Any) -> None:
    publisher, lot = InMemoryPublisher(), InMemoryParkingLot()
    lot.faults = [NotParkedError("SQS is down")]
    records = batch(6, players=2)
    records[2] = spoil(records[2])

    outcome = fan_out(publisher, lot=lot).fan_out(records)

    assert failed(outcome) == [sequence_number(2)]
    assert [orjson.loads(event.body)["subject"][-1] for event in publisher.taken] == ["0", "1", "1", "0", "1"]
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


#: What an operator has put in place of data that could not be read.
MENDED = '{"game":"mended","score":1,"played_at":"2026-03-01T11:59:00.000Z"}'


def spoilt(record: dict[str, Any]) -> dict[str, Any]:
    record["dynamodb"]["NewImage"]["data"] = {"S": "[]"}
    return record


def mended(record: dict[str, Any]) -> dict[str, Any]:
    image: dict[str, Any] = {**record["dynamodb"]["NewImage"], "data": {"S": MENDED}}
    return image


def test_what_a_destination_refuses_for_good_is_parked_with_the_reason_and_neighbours_flow() -> None:
    """FAULTS row 41."""
    events = plays(6, players=2)
    one, other = InMemoryPublisher(), InMemoryPublisher([events[2].event_id], FailureKind.REFUSED)
    lot = InMemoryParkingLot()
    records = [stream_record(event, at) for at, event in enumerate(events)]

    outcome = fan_out(one, other, lot=lot).fan_out(records)

    assert outcome == BatchOutcome(6, parked=1)
    assert (len(one.taken), len(other.taken)) == (6, 5)
    (letter,) = lot.parked
    assert (letter.aggregate_id, letter.versions, letter.raw) == (events[2].aggregate_id, [2], [records[2]])
    assert (letter.reason, letter.error) == ("Refusal", "SendError: not taken")


def test_what_one_destination_refuses_and_another_could_not_take_now_comes_again_first() -> None:
    """Parked at once, it would be acknowledged although the other one still can have it."""
    events = plays(2, players=2)
    refusing, busy = (
        InMemoryPublisher([events[0].event_id], kind) for kind in (FailureKind.REFUSED, FailureKind.TRANSIENT)
    )
    lot = InMemoryParkingLot()
    records = [stream_record(event, at) for at, event in enumerate(events)]

    for publishers in ((refusing, busy), (busy, refusing)):
        assert failed(fan_out(*publishers, lot=lot).fan_out(records)) == [sequence_number(0)]
    assert lot.parked == []
    busy.refuses.clear()
    assert fan_out(refusing, busy, lot=lot).fan_out(records) == BatchOutcome(2, parked=1)


def test_several_records_of_an_aggregate_that_are_refused_alike_make_one_dead_letter() -> None:
    events = plays(6, players=2)
    refused = [event.event_id for event in events if event.aggregate_id == events[0].aggregate_id]
    lot = InMemoryParkingLot()
    records = [stream_record(event, at) for at, event in enumerate(events)]

    outcome = fan_out(InMemoryPublisher(refused, FailureKind.REFUSED), lot=lot).fan_out(records)

    assert outcome == BatchOutcome(6, parked=3)
    (letter,) = lot.parked
    assert (letter.versions, letter.raw) == ([1, 2, 3], [records[0], records[2], records[4]])


@pytest.mark.parametrize("kind", [FailureKind.REFUSED, FailureKind.OUTAGE, FailureKind.TRANSIENT])
def test_where_all_are_refused_alike_nothing_is_parked(kind: FailureKind) -> None:
    """FAULTS rows 43 and 44."""
    events = plays(6, players=6)
    lot, incidents = InMemoryParkingLot(), RecordedIncidents()
    publisher = InMemoryPublisher([event.event_id for event in events], kind)
    records = [stream_record(event, at) for at, event in enumerate(events)]

    outcome = fan_out(publisher, lot=lot, incidents=incidents).fan_out(records)

    assert len(outcome.failures) == 6
    assert lot.parked == []
    told = [incident for incident, _ in incidents.reports]
    assert told == (["SystemicFailures"] if kind is FailureKind.REFUSED else [])


def test_an_unforeseen_error_holds_up_its_aggregate_for_thirty_seconds_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FAULTS row 42."""
    encode = cloud_events.encode

    def odd(image: AttributeMap, types: EventTypes) -> OutgoingEvent:
        if image["event_id"] == {"S": events[2].event_id}:
            raise ZeroDivisionError("odd")
        return encode(image, types)

    monkeypatch.setattr(cloud_events, "encode", odd)
    events = plays(6, players=2)
    publisher, lot, aside, failures = (
        InMemoryPublisher(),
        InMemoryParkingLot(),
        InMemoryParkingLot(),
        InMemoryFirstFailures(),
    )
    records = [stream_record(event, at) for at, event in enumerate(events)]

    first = fan_out(publisher, lot=lot, aside=aside, failures=failures).fan_out(records)
    later = fan_out(publisher, lot=lot, aside=aside, failures=failures, now=NOW + timedelta(seconds=30)).fan_out(
        records
    )

    assert failed(first) == [sequence_number(2), sequence_number(4)]
    assert later == BatchOutcome(6, parked=2)
    assert {event.aggregate_id for event in publisher.taken[1:4:2]} == {events[1].aggregate_id}
    assert lot.parked == []
    (run,) = aside.parked
    assert (run.reason, run.versions, run.raw) == ("unforeseen", [2, 3], [records[2], records[4]])


def test_what_cannot_be_set_aside_fails_and_comes_again() -> None:
    events = plays(2, players=2)
    publisher = InMemoryPublisher([events[0].event_id], FailureKind.UNFORESEEN)
    failures, aside = InMemoryFirstFailures(), InMemoryParkingLot()
    aside.faults = [NotParkedError("SQS is down")]
    failures.first["fan_out", sequence_number(0)] = NOW - timedelta(minutes=1)
    records = [stream_record(event, at) for at, event in enumerate(events)]

    assert failed(fan_out(publisher, aside=aside, failures=failures).fan_out(records)) == [sequence_number(0)]
    assert fan_out(publisher, aside=aside, failures=failures).fan_out(records) == BatchOutcome(2, parked=1)


def test_records_that_tell_no_aggregate_are_parked_apart() -> None:
    lot = InMemoryParkingLot()
    records = batch(2, players=1)
    for record in records:
        record["dynamodb"]["Keys"] = None

    assert fan_out(InMemoryPublisher(), lot=lot).fan_out(records) == BatchOutcome(2, parked=2)
    assert [letter.raw for letter in lot.parked] == [[record] for record in records]


def test_a_redrive_publishes_the_item_as_it_is_in_the_table_now() -> None:
    """FAULTS row 45."""
    publisher = InMemoryPublisher()
    (record,) = batch(1, players=1)
    items = InMemoryEventItems(mended(record))

    assert fan_out(publisher, items=items).redrive([spoilt(record)]) == BatchOutcome(1)

    (event,) = publisher.taken
    assert orjson.loads(event.body)["data"] == orjson.loads(MENDED)


def test_a_redrive_of_an_item_that_is_still_malformed_fails_though_it_was_parked_whole() -> None:
    publisher = InMemoryPublisher()
    (record,) = batch(1, players=1)
    items = InMemoryEventItems({**record["dynamodb"]["NewImage"], "data": {"S": "[]"}})

    assert failed(fan_out(publisher, items=items).redrive([record])) == [sequence_number(0)]
    assert publisher.taken == []


def test_a_redrive_of_an_item_that_is_gone_publishes_it_as_it_was_parked() -> None:
    """FAULTS row 45. Activity expires: it happened even so."""
    publisher = InMemoryPublisher()

    assert fan_out(publisher).redrive(batch(1, players=1)) == BatchOutcome(1)

    assert len(publisher.taken) == 1


def test_a_redrive_of_an_item_that_is_gone_and_was_malformed_says_both() -> None:
    """FAULTS row 45."""
    outcome = fan_out(InMemoryPublisher()).redrive([spoilt(*batch(1, players=1))])

    (failure,) = outcome.failures
    assert "no longer in the events table" in str(failure.error)
    assert "its data" in str(failure.error)


def test_a_redrive_whose_table_cannot_be_read_fails_and_publishes_nothing() -> None:
    class Denied(InMemoryEventItems):
        def get(self, key: AttributeMap) -> AttributeMap | None:
            raise client_error("AccessDeniedException", "GetItem")

    publisher = InMemoryPublisher()

    assert failed(fan_out(publisher, items=Denied()).redrive(batch(2, players=2))) == [
        sequence_number(0),
        sequence_number(1),
    ]
    assert publisher.taken == []


def test_a_redrive_that_is_refused_is_not_parked_a_second_time() -> None:
    events = plays(2, players=2)
    lot, publisher = InMemoryParkingLot(), InMemoryPublisher([events[1].event_id], FailureKind.REFUSED)

    outcome = fan_out(publisher, lot=lot).redrive([stream_record(event, at) for at, event in enumerate(events)])

    assert failed(outcome) == [sequence_number(1)]
    assert lot.parked == []
