"""What AWS accepts and this project does not write, derived from sound examples: one thing wrong in each.

Attributes of the item, members of its data and metadata, attributes of the outgoing event and fields of a request's
body: each dropped, of another type, emptied, and at and over the limits of whoever takes it next.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from headwater.change_stream import cloud_events
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    DomainEvent,
    PlayCompleted,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.event_store import codec
from tests.fakes.events import EVENT_TYPES, recorded

type Item = dict[str, dict[str, Any]]

KEY: Final = "019930c2-6d1e-7a40-9c35-5be0f1a2c3d4"
TIME: Final = "2026-03-01T12:00:00.000Z"
#: One of each type, each readable by everybody.
SAMPLES: Final[Mapping[str, DomainEvent]] = {
    type(event).__name__: event
    for event in (
        UserRegistered(name="Ada", email="ada@example.org"),
        UserEmailChanged(old_email="ada@example.org", new_email="ada@example.com"),
        UserProfileChanged(name="Ada L."),
        UserDeleted(),
        PlayCompleted(game="chess", score=7, played_at=TIME),
        BadgeEarned(
            user_id=KEY, badge="first-play", game="chess", title="First play", earned_at=TIME, play_event_id="e-play"
        ),
        ActivityRecorded(kind="ClickOnLogo", user_id=KEY, details={"page": "home"}),
    )
}
METADATA: Final = {"correlation_id": "c-1", "causation_id": "c-2", "actor": "import"}
#: The event types whose first version stands alone: the others follow a registration.
_FIRST: Final = frozenset({"UserRegistered", "PlayCompleted", "BadgeEarned", "ActivityRecorded"})

_MISSING: Final = object()
#: JSON that Python cannot write, by the text that stands for it.
_RAW: Final = {
    "<NaN>": "NaN",
    "<1e999>": "1e999",
    "<7.50>": "7.50",
    "<surrogate>": '"half \\ud83d"',
    "<deep>": "[" * 2000 + "]" * 2000,
}
#: Values of every other type, and texts, by what they are.
_OTHERS: Final[Mapping[str, Any]] = {
    "null": None,
    "a boolean": True,
    "a whole number": 7,
    "a fraction": 7.0,
    "a fraction with a zero": "<7.50>",
    "a text": "7",
    "a list": [],
    "an object": {"a": 1},
    "NaN": "<NaN>",
    "1e999": "<1e999>",
    "2^64": 2**64,
    "half a surrogate pair": "<surrogate>",
    "nested 2,000 deep": "<deep>",
}
_ATTRIBUTES: Final[Mapping[str, Any]] = {
    "S": "7",
    "N": "7",
    "B": b"\x00\xff",
    "BOOL": True,
    "NULL": True,
    "L": [],
    "M": {},
    "SS": ["a", "b"],
}
_TEXTS: Final[Mapping[str, str]] = {
    "empty": "",
    "blank": " ",
    "invisible": "\u200b",
    "with #": "so#on",
    "with NUL": "a\x00b",
    "a number of other digits": "\u0661\u0662",
    "milliseconds of the epoch": "1772366400000",
    "a compact moment": "20260301T120000Z",
    "a moment and a line break": "2026-03-01T12:00:00.000Z\n",
    "with a line break": "a\r\nBcc: b@example.org",
    "of 257 characters": "x" * 257,
    "of 3,000 characters": "x" * 3_000,
    "of 70,000 characters": "x" * 70_000,
}
_BRIEF: Final = frozenset(
    {
        "null",
        "a whole number",
        "a text",
        "a list",
        "NaN",
        "half a surrogate pair",
        "nested 2,000 deep",
        "empty",
        "with NUL",
    }
    | {"of 3,000 characters"}
)


def sound_item(type_: str = "PlayCompleted", key: str = KEY, version: int = 1, event_id: str = "e-odd") -> Item:
    """The item of a sound event."""
    payload = SAMPLES[type_]
    suffix = "#first-play:chess" if type_ == "BadgeEarned" else ""
    aggregate_id = f"{payload.aggregate_type}#{key}{suffix}"
    expires_at = 4_000_000_000 if type_ == "ActivityRecorded" else None
    return codec.encode(
        recorded(
            aggregate_id,
            version,
            payload,
            event_id=event_id,
            occurred_at=TIME,
            metadata=METADATA,
            expires_at=expires_at,
        )
    )


def is_first(type_: str) -> bool:
    """Whether a sound history may begin with an event of the type."""
    return type_ in _FIRST


def odd_items() -> Iterator[tuple[str, str, Item]]:
    """A name, the type of the sound event, and its item with one thing wrong."""
    for name, change in _attributes(sound_item("ActivityRecorded")):
        type_ = "ActivityRecorded" if name.startswith("expires_at") else "PlayCompleted"
        yield f"item {name}", type_, change(sound_item(type_))
    for name, change in _members(METADATA, brief=True):
        item = sound_item()
        item["metadata"] = {"S": _text(change(dict(METADATA)))}
        yield f"metadata {name}", "PlayCompleted", item
    for type_, payload in SAMPLES.items():
        for name, change in _members(msgspec.structs.asdict(payload)):
            item = sound_item(type_)
            item["data"] = {"S": _text(change(msgspec.structs.asdict(payload)))}
            yield f"{type_} {name}", type_, item


def odd_messages() -> Iterator[tuple[str, bytes]]:
    """A name, and an outgoing event with one thing wrong."""
    sound = json.loads(cloud_events.encode(sound_item(), EVENT_TYPES).body)
    for name, change in _members(sound, brief=True):
        yield f"message {name}", _text(change(sound)).encode()
    for name, dataref in {
        "elsewhere": "s3://other/claims/e.json",
        "gone": "s3://ArchiveBucket/claims/gone.json",
    }.items():
        yield f"message dataref {name}", _text({**sound, "dataref": dataref}).encode()
    for name, body in {"empty": b"", "no text": b"\xff\xfe", "cut": _text(sound)[:-9].encode(), "[]": b"[]"}.items():
        yield f"message {name}", body


def odd_bodies(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A name, and a request's body with one thing wrong."""
    for name, change in _members(body):
        yield name, _text(change(dict(body)))


def _attributes(item: Item) -> Iterator[tuple[str, Callable[[Item], Item]]]:
    keys = {"aggregate_id", "version"}
    for name, attribute in item.items():
        ((kind, _),) = attribute.items()
        if name not in keys:
            yield f"{name} dropped", _without(name)
            for other, content in _ATTRIBUTES.items():
                if kind != other:
                    yield f"{name} of type {other}", _with(name, {other: content})
        if kind == "S" and name not in keys:
            yield f"{name} empty", _with(name, {"S": ""})
            yield f"{name} of 70,000 characters", _with(name, {"S": "x" * 70_000})
        if kind == "N":
            for number in ("0", "-1", "1.5", "9223372036854775807", "9223372036854775808", "1E+37", "1E-130"):
                yield f"{name} {number}", _with(name, {"N": number})
    for key in (
        "player#",
        "#x",
        "#",
        "player",
        "user#x",
        "other#x",
        "player#x#y",
        "player# ",
        "player#\n",
        "player#\u200b",
    ):
        yield f"aggregate_id {key!r}", _with("aggregate_id", {"S": key})
    for size in (256, 257, 2048):
        yield f"aggregate_id of {size} characters", _with("aggregate_id", {"S": "player#".ljust(size, "x")})
    yield "aggregate_id of 512 characters of 4 bytes", _with("aggregate_id", {"S": "\N{TROPHY}" * 512})
    for moment in (
        "soon",
        "2026-02-30T12:00:00.000Z",
        "2026-03-01T12:00:00.000",
        "2026-03-01",
        "9999-12-31T23:59:59.999Z",
    ):
        yield f"occurred_at {moment}", _with("occurred_at", {"S": moment})
    for name in ("data", "metadata"):
        for text in (
            "null",
            "[]",
            '"x"',
            "{",
            "{}",
            '{"a":NaN}',
            '{"a":"\\ud83d"}',
            '{"a":' + "[" * 2000 + "]" * 2000 + "}",
        ):
            yield f"{name} {text[:12]}", _with(name, {"S": text})
    for size in (255 * 1024, 257 * 1024, 390 * 1024):
        yield f"data of {size // 1024} KiB", _with("data", {"S": _text({"game": "chess", "score": 7, "x": "x" * size})})
    yield "an attribute that nobody knows", _with("unheard_of", {"SS": ["a", "b"]})
    yield "type of nobody's", _with("type", {"S": "SomethingUnheardOf"})
    yield "event_id of 1,100 characters", _with("event_id", {"S": "e" * 1100})
    yield "event_id with /../", _with("event_id", {"S": "../../x"})


def _members(
    document: Mapping[str, Any], *, brief: bool = False
) -> Iterator[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]]:
    """What can be wrong with each member; ``brief`` tries one of each sort."""
    for name, value in document.items():
        yield f"{name} dropped", _without(name)
        for label, other in _OTHERS.items():
            if (type(other) is not type(value) or str(other) in _RAW) and (not brief or label in _BRIEF):
                yield f"{name} {label}", _with(name, other)
        if isinstance(value, str):
            for label, text in _TEXTS.items():
                if not brief or label in _BRIEF:
                    yield f"{name} {label}", _with(name, text)
        elif isinstance(value, int):
            for number in (0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**37):
                yield f"{name} {number}", _with(name, number)
    yield "a member that nobody knows", _with("unheard_of", "x")


def _without(name: str) -> Callable[[Any], Any]:
    return lambda document: {key: value for key, value in document.items() if key != name}


def _with(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda document: {**document, name: value}


def _text(document: Any) -> str:
    """JSON, with what only its text can hold."""
    text = json.dumps(document)
    for stand_in, raw in _RAW.items():
        text = text.replace(f'"{stand_in}"', raw)
    return text
