"""The JSON Schemas in schemas/ and the event classes say the same; so does every event that a fixture carries."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from cli.wiring import schemas
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    DomainEvent,
    MalformedEventError,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.event_store import codec
from headwater.event_store.store import Append
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.event_strategies import events
from tests.fakes.events import EVENT_TYPES, new_event
from tests.fakes.schemas import FOLDER, validator

FIXTURES = Path(__file__).parents[2] / "events"
AT = "2026-03-01T12:00:00.000Z"
USER = "01990000-0000-7000-8000-000000000001"
PLAY = "01990000-0000-7000-8000-000000000002"

EXAMPLES: list[DomainEvent] = [
    UserRegistered(name="Ada", email="ada@example.org"),
    UserEmailChanged(old_email="ada@example.org", new_email="ada@example.com"),
    UserProfileChanged(name="Zoë 👩‍🚀"),
    UserDeleted(),
    PlayCompleted(game="chess", score=0, played_at=AT),
    PlayCompleted(game="7-wonders", score=10**12, played_at=AT),
    BadgeEarned(user_id=USER, badge="first-play", game="chess", title="First", earned_at=AT, play_event_id=PLAY),
    BadgeEarned(user_id=USER, badge="veteran", game=None, title="Veteran", earned_at=AT, play_event_id=PLAY),
    ActivityRecorded(kind="ClickOnLogo", user_id=None, details={}),
    ActivityRecorded(kind="ClickOnLogo", user_id=USER, details={"page": "/", "from_ad": ""}),
]
#: What says something about a person, and will be encrypted per person.
PERSONAL = {
    "UserRegistered": {"name", "email"},
    "UserEmailChanged": {"old_email", "new_email"},
    "UserProfileChanged": {"name"},
    "ActivityRecorded": {"details"},
}

#: Fixtures of functions that get requests, steps, pointers to failed batches, or actions on applications.
NO_EVENTS = {
    "CompactionFunction",
    "DeadLettersFunction",
    "HttpApiFunction",
    "ApplicationEnrichmentFunction",
    "ApplicationTargetFunction",
    "TrackerFunction",
    "TrackingApiFunction",
}

every_type = pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=list(EVENT_TYPES))


def schema_of(event_type: type[DomainEvent]) -> dict[str, Any]:
    schema = validator(event_type.__name__, event_type.schema_version).schema
    assert isinstance(schema, dict)
    return schema


@every_type
def test_a_schema_has_exactly_the_fields_of_its_event(event_type: type[DomainEvent]) -> None:
    names = set(event_type.__struct_fields__)
    schema = schema_of(event_type)

    assert schema["properties"].keys() == names
    assert set(schema["required"]) == names
    assert schema["additionalProperties"] is False
    assert schema["$id"] == f"urn:headwater:schema:{event_type.__name__}:{event_type.schema_version}"


@every_type
def test_personal_fields_are_marked(event_type: type[DomainEvent]) -> None:
    marked = {name for name, field in schema_of(event_type)["properties"].items() if field.get("x-personal")}

    assert marked == PERSONAL.get(event_type.__name__, set())


@every_type
def test_every_type_has_an_example_here(event_type: type[DomainEvent]) -> None:
    assert any(isinstance(example, event_type) for example in EXAMPLES)


def test_no_schema_is_left_over() -> None:
    events = {f"{name}.{event_type.schema_version}" for name, event_type in EVENT_TYPES.items()}
    stored = {path.stem for path in FOLDER.glob("*.json")}

    assert events <= stored
    for path in FOLDER.glob("*.json"):
        Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
def test_an_example_is_valid_and_nothing_can_be_added_or_left_out(example: DomainEvent) -> None:
    check = validator(type(example).__name__, example.schema_version)
    data = msgspec.to_builtins(example)

    check.validate(data)

    assert not check.is_valid(data | {"password": "x"})
    for name in data:
        assert not check.is_valid({key: value for key, value in data.items() if key != name}), name


@pytest.mark.parametrize(
    ("type_", "wrong"),
    [
        ("UserRegistered", {"name": ""}),
        ("UserRegistered", {"email": "ada@example.org\r\nBcc: eve@example.org"}),
        ("PlayCompleted", {"score": 1.5}),
        ("PlayCompleted", {"score": True}),
        ("PlayCompleted", {"score": -1}),
        ("PlayCompleted", {"game": "Chess"}),
        ("PlayCompleted", {"played_at": "2026-03-01T12:00:00+01:00"}),
        ("BadgeEarned", {"game": 7}),
        ("ActivityRecorded", {"details": {"page": 7}}),
    ],
)
def test_a_schema_refuses_what_the_parsers_refuse(type_: str, wrong: dict[str, Any]) -> None:
    example = next(item for item in EXAMPLES if type(item).__name__ == type_)
    data = msgspec.to_builtins(example)

    assert not validator(type_, 1).is_valid(data | wrong)


def test_what_tests_append_must_be_valid() -> None:
    store = InMemoryEventStore()

    with pytest.raises(MalformedEventError, match="game"):
        store.append(Append(f"player#{USER}", 0, [new_event(PlayCompleted(game="Chess", score=1, played_at=AT))]))


def test_the_schemas_are_written_from_the_classes() -> None:
    for path, text in schemas.written().items():
        assert path.read_text("utf-8") == text, "run make wiring"


@given(events())
def test_what_an_append_takes_is_valid(event: RecordedEvent) -> None:
    codec.encode_new(event, EVENT_TYPES)

    validator(event.type, event.schema_version).validate(msgspec.to_builtins(event.payload))


def events_within(value: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Type, schema version and data of each event in a fixture: as an item's image, or as a CloudEvent."""
    match value:
        case {"type": {"S": type_}, "schema_version": {"N": version}, "data": {"S": data}}:
            yield type_, int(version), json.loads(data)
        case {"specversion": "1.0", "dataschema": str(schema), "type": type_, "data": dict(data)}:
            yield type_, int(schema.rpartition(":")[2]), data
        case dict():
            for item in value.values():
                yield from events_within(item)
        case list():
            for item in value:
                yield from events_within(item)
        case str():
            yield from events_within(_embedded(value))


def _embedded(text: str) -> Any:
    for decode in (lambda: text, lambda: base64.b64decode(text, validate=True)):
        try:
            inner = json.loads(decode())
        except ValueError:
            continue
        if isinstance(inner, dict | list):
            return inner
    return None


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_every_event_in_a_fixture_is_valid(path: Path) -> None:
    found = list(events_within(json.loads(path.read_text())))

    for type_, version, data in found:
        validator(type_, version).validate(data)
    assert found or path.stem in NO_EVENTS


@pytest.mark.parametrize("function", ["ApplicationTargetFunction", "TrackerFunction"])
def test_every_message_about_an_application_in_a_fixture_is_valid(function: str) -> None:
    batch = json.loads((FIXTURES / f"{function}.json").read_text())
    if function == "TrackerFunction":
        messages = [json.loads(record["body"]) for record in batch["Records"]]
    else:
        messages = [element["status"] for element in batch if "status" in element]

    assert len(messages) == 2
    for message in messages:
        validator("ApplicationStatus", 1).validate(message)
