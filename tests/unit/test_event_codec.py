"""Items that are no events: told as such, whichever attribute is odd."""

import json
from typing import Any

import pytest
from hypothesis import given

from headwater.change_stream import cloud_events
from headwater.domain.events import (
    MalformedEventError,
    PlayCompleted,
    RecordedEvent,
    UnknownEventError,
    UserRegistered,
)
from headwater.event_store import codec
from tests.fakes.event_strategies import events
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.stream_records import play_image


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("expires_at", {"S": "tomorrow"}),
        ("expires_at", {"L": []}),
        ("expires_at", "1772366400"),
        ("version", {"N": "9" * 20}),
        ("version", {"N": "one"}),
        ("schema_version", {"N": "-" + "9" * 38}),
        ("version", {"N": "0"}),
        ("version", {"N": "-1"}),
        ("version", {"N": "1.5"}),
        ("version", {"N": " 7"}),
        ("version", {"N": "1_0"}),
        ("version", {"N": "\u0663"}),
        ("version", {"N": str(2**63)}),
        ("version", {"S": "1"}),
        ("schema_version", {"N": ""}),
        ("event_id", []),
        ("event_id", {"S": ""}),
        ("type", {"S": ""}),
        ("type", {"NULL": True}),
        ("aggregate_id", {"S": "player"}),
        ("aggregate_id", {"S": "player#"}),
        ("aggregate_id", {"S": "#0199-a"}),
        ("aggregate_id", {"S": "player#a\ud83d"}),
        ("aggregate_id", {"S": "player#a#b"}),
        ("aggregate_type", {"S": "user"}),
        ("occurred_at", {"S": "yesterday"}),
        ("occurred_at", {"S": "2026-03-01"}),
        ("occurred_at", {"S": "2026-03-01T12:00:00"}),
        ("occurred_at", {"S": "2026-03-01#12:00:00Z"}),
        ("occurred_at", {"S": "0001-01-01T00:00:00+01:00"}),
        ("data", {"S": "{"}),
        ("data", {"S": "[]"}),
        ("data", {"S": '{"a":' * 5000}),
        ("data", {"S": "\ud83d"}),
        ("metadata", {"S": "[]"}),
        ("metadata", {"S": '{"actor":7}'}),
        ("metadata", {"S": '{"actor":"\\ud83d"}'}),
        ("expires_at", {"BOOL": True}),
        ("expires_at", {"N": "1E+40"}),
    ],
)
def test_an_attribute_that_is_not_what_it_must_be_is_named(attribute: str, value: Any) -> None:
    told = attribute.replace("aggregate_id", "aggregate").replace("event_id", "id")

    with pytest.raises(MalformedEventError, match=told):
        codec.decode(play_image() | {attribute: value}, EVENT_TYPES)
    with pytest.raises(MalformedEventError, match=told):
        cloud_events.encode(play_image() | {attribute: value}, EVENT_TYPES)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("score", 7.0),
        ("score", True),
        ("score", "secret"),
        ("score", None),
        ("score", -1),
        ("score", 10**12 + 1),
        ("score", 10**40),
        ("score", [[]]),
        ("game", 7),
        ("game", {"secret": 1}),
        ("played_at", "secret"),
        ("played_at", "so#on"),
        ("played_at", "2026-03-01T12:00:00"),
        ("played_at", 1772366400),
        ("unknown", "secret"),
    ],
)
def test_a_field_that_is_not_what_it_must_be_is_named_and_not_quoted(field: str, value: Any) -> None:
    data = {"game": "chess", "score": 7, "played_at": "2026-03-01T12:00:00.000Z", field: value}
    image = play_image(event_id="e-1") | {"data": {"S": json.dumps(data)}}

    with pytest.raises(MalformedEventError, match="e-1") as caught:
        codec.decode(image, EVENT_TYPES)

    assert field in str(caught.value)
    assert "secret" not in str(caught.value)
    with pytest.raises(MalformedEventError):
        cloud_events.encode(image, EVENT_TYPES)


@pytest.mark.parametrize("field", ["game", "score", "played_at"])
def test_a_missing_field_is_named(field: str) -> None:
    data = {"game": "chess", "score": 7, "played_at": "2026-03-01T12:00:00.000Z"}
    del data[field]

    with pytest.raises(MalformedEventError, match=field):
        codec.decode(play_image() | {"data": {"S": json.dumps(data)}}, EVENT_TYPES)


@pytest.mark.parametrize(
    ("data", "told"),
    [('{"game": che', "its data: JSON is malformed"), ('{"game": "che', "its data: input data was truncated")],
)
def test_what_is_wrong_with_json_is_told_in_a_sentence(data: str, told: str) -> None:
    image = play_image() | {"data": {"S": data}}

    with pytest.raises(MalformedEventError, match=told):
        codec.decode(image, EVENT_TYPES)


def test_half_a_surrogate_pair_is_no_text() -> None:
    """JSON allows it, UTF-8 does not."""
    data = '{"name":"Ada \\ud83d","email":"ada@example.org"}'
    image = codec.encode(recorded("user#a", 1, UserRegistered(name="Ada", email="ada@example.org")))

    with pytest.raises(MalformedEventError, match="surrogate"):
        codec.decode(image | {"data": {"S": data}}, EVENT_TYPES)


@pytest.mark.parametrize(
    "change", [{"type": {"S": "ThingHappened"}}, {"schema_version": {"N": "2"}}, {"schema_version": {"N": "0"}}]
)
def test_what_newer_code_wrote_is_told_from_what_is_broken(change: dict[str, Any]) -> None:
    """FAULTS row 20."""
    with pytest.raises(UnknownEventError):
        codec.decode(play_image() | change, EVENT_TYPES)
    with pytest.raises(UnknownEventError):
        cloud_events.encode(play_image() | change, EVENT_TYPES)


@pytest.mark.parametrize(
    "played_at",
    ["20260301T120000Z", "2026-03-01 12:00:00,5+14:00", "2026-W09-7T12:00Z", "0002-01-01T00:00:00Z"],
)
def test_any_moment_with_a_zone_is_read(played_at: str) -> None:
    data = {"game": "chess", "score": 7, "played_at": played_at}

    event = codec.decode(play_image() | {"data": {"S": json.dumps(data)}}, EVENT_TYPES)

    assert event.payload == PlayCompleted(game="chess", score=7, played_at=played_at)


@given(event=events(limited=False))
def test_an_item_is_read_as_the_event_that_it_was_made_from(event: RecordedEvent) -> None:
    read = codec.decode(codec.encode(event), EVENT_TYPES)

    assert read == event
    assert read.payload == event.payload


@pytest.mark.parametrize(("value", "seconds"), [({"N": "1772366400.5"}, 1772366400), ({"NULL": True}, None)])
def test_an_expiry_that_dynamodb_takes_is_read(value: Any, seconds: int | None) -> None:
    assert codec.decode(play_image() | {"expires_at": value}, EVENT_TYPES).expires_at == seconds
