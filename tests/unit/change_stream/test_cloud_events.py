"""The outgoing event, there and back, with and without a claim check."""

import json
from copy import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.change_stream import cloud_events
from headwater.change_stream.claim_checks import resolve
from headwater.domain.events import MalformedEventError, PlayCompleted, RecordedEvent, UnknownEventError
from headwater.event_store import codec
from tests.fakes.event_strategies import events
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.stream_records import play_image

PLAY = PlayCompleted(game="chess", score=7, played_at="2026-03-01T12:00:00.000Z")


@given(event=events(limited=False), replay=st.booleans())
def test_an_event_comes_back_as_it_was_sent(event: RecordedEvent, replay: bool) -> None:
    outgoing = cloud_events.encode(codec.encode(event), EVENT_TYPES, replay=replay)

    delivery = cloud_events.decode(outgoing.body, EVENT_TYPES)

    assert delivery.event == replace(event, expires_at=None)
    assert delivery.event.payload == event.payload
    assert delivery.replay is replay
    assert delivery.dataref is None


def test_the_envelope_is_cloud_events_1_0() -> None:
    body = json.loads(cloud_events.encode(play_image(12, event_id="event-12"), EVENT_TYPES).body)

    assert body == {
        "specversion": "1.0",
        "id": "event-12",
        "type": "PlayCompleted",
        "source": "urn:headwater:events",
        "subject": "player#0199-a",
        "time": "2026-03-01T12:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:headwater:schema:PlayCompleted:1",
        "sequence": "00000000000000000012",
        "partitionkey": "player#0199-a",
        "actor": "user#0199-a",
        "data": {"game": "chess", "score": 12, "played_at": "2026-03-01T11:59:00.000Z"},
    }


def test_data_is_sent_as_the_text_that_was_stored() -> None:
    image = play_image()
    image["data"] = {"S": '{"score" : 1, "played_at":"2026-03-01T12:00Z", "game": "g\\u006f"}'}

    assert (
        b'"data":{"score" : 1, "played_at":"2026-03-01T12:00Z", "game": "g\\u006f"}'
        in cloud_events.encode(image, EVENT_TYPES).body
    )


@given(event=events(limited=False))
def test_a_claim_check_resolves_to_the_whole_event(event: RecordedEvent) -> None:
    """FAULTS row 13, the consumer's side."""
    claims = InMemoryClaimStore()
    outgoing = cloud_events.encode(codec.encode(event), EVENT_TYPES)
    ticket = cloud_events.without_data(outgoing, claims.put(outgoing.event_id, outgoing.body))

    assert cloud_events.decode(ticket.body, EVENT_TYPES).dataref is not None
    assert resolve(ticket.body, claims, EVENT_TYPES).event == replace(event, expires_at=None)
    assert resolve(outgoing.body, claims, EVENT_TYPES).event == replace(event, expires_at=None)


def test_what_waits_behind_a_claim_check_is_not_taken_for_an_event_without_data() -> None:
    ticket = cloud_events.without_data(cloud_events.encode(play_image(1), EVENT_TYPES), "s3://archive/claims/1.json")
    event = cloud_events.decode(ticket.body, EVENT_TYPES).event

    with pytest.raises(MalformedEventError, match="its data was not read"):
        _ = event.payload


@pytest.mark.parametrize("other", [recorded("player#bob", 1, PLAY), recorded("player#ada", 2, PLAY)])
def test_a_claim_check_that_leads_to_another_event_is_refused(other: RecordedEvent) -> None:
    claims = InMemoryClaimStore()
    light = cloud_events.encode(codec.encode(recorded("player#ada", 1, PLAY, event_id=other.event_id)), EVENT_TYPES)
    ticket = cloud_events.without_data(
        light, claims.put("claim", cloud_events.encode(codec.encode(other), EVENT_TYPES).body)
    )

    with pytest.raises(MalformedEventError, match="leads to another event"):
        resolve(ticket.body, claims, EVENT_TYPES)


@pytest.mark.parametrize(
    "attribute", ["aggregate_id", "version", "event_id", "type", "occurred_at", "metadata", "data"]
)
@pytest.mark.parametrize("value", [None, {}, {"BOOL": True}])
def test_an_image_that_is_no_event_is_refused(attribute: str, value: Any) -> None:
    image = play_image() | {attribute: value}
    if value is None:
        del image[attribute]

    with pytest.raises(MalformedEventError):
        cloud_events.encode(image, EVENT_TYPES)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"sequence": "first"},
        {"sequence": "9" * 20},
        {"dataschema": "urn:other:schema:PlayCompleted:1"},
        {"dataschema": "urn:headwater:schema:BadgeEarned:1"},
        {"dataschema": 7},
        {"data": None},
        {"data": [1]},
        {"data": {"game": "chess", "score": 7.0, "played_at": "2026-03-01T12:00:00.000Z"}},
        {"data": {"game": "chess", "score": 7, "played_at": "so#on"}},
        {"id": ""},
        {"subject": "player#"},
        {"subject": "badge#0199-a"},
        {"subject": "player#0199-a#chess"},
        {"time": "yesterday"},
        {"time": "2026-03-01T12:00:00"},
        {"sequence": "00000000000000000000"},
        {"sequence": " 1"},
        {"sequence": "1_0"},
        {"sequence": "\u0663"},
        {"sequence": 1},
        {"actor": 7},
        {"replay": "yes"},
    ],
)
def test_a_message_that_is_no_event_of_ours_is_refused(change: dict[str, Any]) -> None:
    message = json.loads(cloud_events.encode(play_image(), EVENT_TYPES).body) | change
    body = json.dumps({name: value for name, value in message.items() if value is not None})

    with pytest.raises(MalformedEventError):
        cloud_events.decode(body, EVENT_TYPES)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "ThingHappened", "dataschema": "urn:headwater:schema:ThingHappened:1"},
        {"dataschema": "urn:headwater:schema:PlayCompleted:2"},
        {"dataschema": "urn:headwater:schema:PlayCompleted:2", "data": None, "dataref": "s3://archive/claims/x.json"},
    ],
)
def test_a_message_of_newer_code_is_told_from_a_broken_one(change: dict[str, Any]) -> None:
    """FAULTS row 20: with or without its data."""
    message = json.loads(cloud_events.encode(play_image(), EVENT_TYPES).body) | change

    with pytest.raises(UnknownEventError):
        cloud_events.decode(
            json.dumps({name: value for name, value in message.items() if value is not None}), EVENT_TYPES
        )


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"5", b'"text"', b"null", b"{"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedEventError):
        cloud_events.decode(body, EVENT_TYPES)
