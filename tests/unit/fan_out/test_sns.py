"""The SNS publisher against a client in memory."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from botocore.awsrequest import AWSRequest

from headwater.change_stream.claim_checks import resolve
from headwater.domain.events import PlayCompleted
from headwater.failures import FailureKind
from headwater.fan_out.sns import SnsPublisher, encode_once
from headwater.limits import SnsLimits
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore, outgoing
from tests.fakes.publishers import AT_ONCE, FakeSns, client_error
from tests.fakes.table_stream import play, plays

TOPIC = "arn:aws:sns:eu-west-1:123456789012:events"


def publisher(
    sns: FakeSns, limits: SnsLimits | None = None, claims: InMemoryClaimStore | None = None, threads: int = 4
) -> SnsPublisher:
    return SnsPublisher(
        sns.client,
        TOPIC,
        claims or InMemoryClaimStore(),
        limits=limits or SnsLimits(),
        retry=AT_ONCE,
        executor=ThreadPoolExecutor(threads),
    )


def ids(sns: FakeSns) -> list[str]:
    return sorted(orjson.loads(message)["id"] for message, _ in sns.messages)


def test_events_go_out_ten_a_call_with_the_attributes_that_filters_match() -> None:
    sns = FakeSns()
    events = [outgoing(event) for event in plays(25, players=3)]

    refused = publisher(sns).publish(events)

    assert refused == {}
    assert sorted(sns.calls) == [5, 10, 10]
    assert ids(sns) == sorted(event.event_id for event in events)
    assert {message for message, _ in sns.messages} == {event.body.decode() for event in events}
    assert all(attributes == {"type": "PlayCompleted", "aggregate_type": "player"} for _, attributes in sns.messages)


def test_row_11_failed_entries_of_a_200_are_sent_again_and_no_others() -> None:
    """FAULTS row 11."""
    sns = FakeSns()
    events = [outgoing(event) for event in plays(25, players=3)]
    failing = {events[3].event_id, events[17].event_id}

    def fails_once(event: Any) -> str | None:
        if event["id"] in failing:
            failing.remove(event["id"])
            return "InternalError"
        return None

    sns.fails = fails_once

    refused = publisher(sns).publish(events)

    assert refused == {}
    assert ids(sns) == sorted(event.event_id for event in events)
    assert sorted(sns.calls) == [2, 5, 10, 10]


def test_an_entry_that_keeps_failing_is_reported_after_bounded_attempts() -> None:
    sns = FakeSns()
    events = [outgoing(event) for event in plays(3, players=3)]
    sns.fails = lambda event: "InternalError" if event["id"] == events[1].event_id else None

    refused = publisher(sns).publish(events)

    assert sorted(refused) == [1]
    assert "InternalError" in str(refused[1])
    assert len(sns.calls) == AT_ONCE.attempts


def test_an_entry_refused_for_what_it_is_is_not_sent_again() -> None:
    sns = FakeSns()
    events = [outgoing(event) for event in plays(3, players=3)]
    sns.fails = lambda event: "InvalidParameter" if event["id"] == events[1].event_id else None

    refused = publisher(sns).publish(events)

    assert sorted(refused) == [1]
    assert sns.calls == [3]


def test_an_entry_missing_from_the_answer_counts_as_failed() -> None:
    class Forgetful(FakeSns):
        def publish_batch(self, **arguments: Any) -> dict[str, Any]:
            answer = super().publish_batch(**arguments)
            return {"Successful": answer["Successful"][1:]}

    sns = Forgetful()

    refused = publisher(sns).publish([outgoing(event) for event in plays(3, players=3)])

    assert sorted(refused) == [0]


def test_row_12_ten_entries_above_the_limit_together_are_split_by_bytes() -> None:
    """FAULTS row 12. Ten entries of 40 KB; the fake refuses a request above 256 KiB, attributes included."""
    sns = FakeSns()
    events = [outgoing(play(index, 1, game="g" * 40_000)) for index in range(10)]

    assert publisher(sns).publish(events) == {}

    assert sorted(sns.calls) == [4, 6]
    assert len(sns.messages) == 10


def test_row_12_attributes_count_to_the_byte() -> None:
    """FAULTS row 12. Requests that fit exactly go out whole, and one byte less splits them."""
    events = [outgoing(event) for event in plays(2, players=2)]
    attributes = len("type" + "String" + "PlayCompleted" + "aggregate_type" + "String" + "player")
    size = sum(len(event.body) + attributes for event in events)
    exact, short = SnsLimits(request_bytes=size), SnsLimits(request_bytes=size - 1)
    fits, splits = FakeSns(exact), FakeSns(short)

    assert publisher(fits, exact).publish(events) == {}
    assert publisher(splits, short).publish(events) == {}

    assert fits.calls == [2]
    assert splits.calls == [1, 1]


def test_row_13_a_400_kb_item_goes_by_claim_check() -> None:
    """FAULTS row 13, the publisher's half: the message keeps its attributes, and the claim is the whole event."""
    sns, claims = FakeSns(), InMemoryClaimStore()
    events = [outgoing(play(1, 1)), outgoing(play(1, 2, game="g" * 390_000))]

    assert publisher(sns, claims=claims).publish(events) == {}

    (light,) = [orjson.loads(message) for message, _ in sns.messages if "dataref" in message]
    assert claims.claims == {light["dataref"]: events[1].body}
    assert "data" not in light
    assert light["id"] == events[1].event_id
    assert len(sns.messages) == 2


def test_two_large_events_of_one_id_have_a_claim_each() -> None:
    """Nothing keeps programs from numbering their events alike, and neither may get the other's data."""
    sns, claims = FakeSns(), InMemoryClaimStore()
    payload = PlayCompleted(game="g" * 300_000, score=1, played_at="2026-03-01T12:00:00.000Z")
    ada, bob = (recorded(f"player#{name}", 1, payload, event_id="1") for name in ("ada", "bob"))

    assert publisher(sns, claims=claims).publish([outgoing(ada), outgoing(bob)]) == {}

    found = sorted(resolve(message, claims, EVENT_TYPES).event.aggregate_id for message, _ in sns.messages)
    assert found == ["player#ada", "player#bob"]


def test_an_event_too_large_even_without_its_data_is_refused_alone() -> None:
    sns = FakeSns()
    events = [outgoing(play(1, 1, metadata={"correlation_id": "c" * 300_000})), outgoing(play(1, 2))]

    refused = publisher(sns).publish(events)

    assert sorted(refused) == [0]
    assert ids(sns) == [events[1].event_id]


def test_row_14_a_topic_that_is_down_is_not_asked_for_the_rest_of_the_batch() -> None:
    """FAULTS row 14. All are reported, whether tried or not."""
    sns = FakeSns()
    sns.down = True

    refused = publisher(sns, threads=1).publish([outgoing(event) for event in plays(200, players=3)])

    assert sns.refusals == 1
    assert sorted(refused) == list(range(200))
    assert {error.kind for error in refused.values()} == {FailureKind.TRANSIENT}


def test_noncharacters_that_a_queue_refuses_travel_escaped() -> None:
    sns = FakeSns()
    event = outgoing(play(1, 1, game="a\ufffe\uffff\U0001f600"))

    assert publisher(sns).publish([event]) == {}

    ((message, _),) = sns.messages
    assert not {"\ufffe", "\uffff"} & set(message)
    assert orjson.loads(message)["data"]["game"] == "a\ufffe\uffff\U0001f600"


def test_the_body_encoded_once_is_what_botocore_would_have_sent() -> None:
    parameters = {"Action": "PublishBatch", "Message": '{"name":"Ada & Günther = 100 % +\n\U0001f600"}', "Empty": ""}
    request: dict[str, Any] = {"body": dict(parameters)}

    encode_once(request)
    encode_once(request)

    assert request["body"] == AWSRequest(method="POST", url="https://sns", data=parameters).body


@pytest.mark.parametrize("spoilt", [(0,), (9,), (4, 5), (0, 3, 24), tuple(range(25))], ids=str)
def test_a_request_refused_as_a_whole_is_narrowed_down_to_the_events_at_fault(spoilt: tuple[int, ...]) -> None:
    """FAULTS row 41."""
    sns = FakeSns()
    events = [outgoing(event) for event in plays(25, players=3)]
    at_fault = {events[position].event_id for position in spoilt}
    sns.spoils = lambda event: event["id"] in at_fault

    refused = publisher(sns).publish(events)

    assert {position: (str(error), error.kind) for position, error in refused.items()} == dict.fromkeys(
        spoilt, ("SNS: InvalidParameter", FailureKind.REFUSED)
    )
    assert ids(sns) == sorted({event.event_id for event in events} - at_fault)


def test_an_entry_that_is_the_senders_fault_is_refused_for_good_and_says_what_sns_said() -> None:
    """FAULTS row 41."""

    class Explaining(FakeSns):
        def publish_batch(self, **arguments: Any) -> dict[str, Any]:
            failed = {"Id": "0", "Code": "InvalidParameter", "Message": "type is empty", "SenderFault": True}
            return {"Failed": [failed]}

    (error,) = publisher(Explaining()).publish([outgoing(play(1, 1))]).values()

    assert (error.kind, error.code, error.detail) == (FailureKind.REFUSED, "InvalidParameter", "type is empty")
    assert "empty" not in str(error)


def test_a_topic_that_is_missing_is_an_outage_and_no_events_fault() -> None:
    class Missing(FakeSns):
        def publish_batch(self, **arguments: Any) -> dict[str, Any]:
            raise client_error("NotFound", "PublishBatch", 404)

    refused = publisher(Missing()).publish([outgoing(event) for event in plays(3, players=3)])

    assert {position: error.kind for position, error in refused.items()} == dict.fromkeys(range(3), FailureKind.OUTAGE)
