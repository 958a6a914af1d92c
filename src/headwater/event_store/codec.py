"""Event ↔ table item. ``data`` and ``metadata`` are JSON text; see docs/adr/0003.

All reading and writing of ``data`` goes through here: this is the seam for encrypting personal fields per person.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from headwater.attribute_values import AttributeMap, marshal_item, unmarshal
from headwater.domain.events import MalformedEventError, RecordedEvent

#: The item's attributes that hold text and must be there.
_TEXT = ("aggregate_id", "event_id", "type", "occurred_at", "data", "metadata")
#: DynamoDB holds 38 digits, those who read our JSON no more than 64 bits.
_INTEGERS = range(-(2**63), 2**64)


def encode(event: RecordedEvent) -> dict[str, dict[str, Any]]:
    """An event as the DynamoDB JSON of its item."""
    item: dict[str, Any] = {
        "aggregate_id": event.aggregate_id,
        "version": event.version,
        "event_id": event.event_id,
        "type": event.type,
        "schema_version": event.schema_version,
        "occurred_at": event.occurred_at,
        "aggregate_type": event.aggregate_type,
        "data": orjson.dumps(event.data).decode(),
        "metadata": orjson.dumps(event.metadata).decode(),
    }
    if event.expires_at is not None:
        item["expires_at"] = event.expires_at
    return marshal_item(item)


def decode(item: AttributeMap) -> RecordedEvent:
    """The event that an item, or a stream image of one, holds.

    Raises
    ------
    MalformedEventError
        An attribute is missing or of another type; the message names it.
    """
    text = {name: _text(item, name) for name in _TEXT}
    return RecordedEvent(
        aggregate_id=text["aggregate_id"],
        version=_integer(item, "version"),
        event_id=text["event_id"],
        type=text["type"],
        schema_version=_integer(item, "schema_version"),
        occurred_at=text["occurred_at"],
        data=_json_object("data", text["data"]),
        metadata=_json_object("metadata", text["metadata"]),
        expires_at=_seconds(item, "expires_at") if "expires_at" in item else None,
    )


def _text(item: AttributeMap, name: str) -> str:
    attribute = item.get(name)
    value = attribute.get("S") if isinstance(attribute, Mapping) else None
    if not isinstance(value, str):
        raise MalformedEventError(f"the event item has no text attribute {name!r}")
    return value


def _integer(item: AttributeMap, name: str) -> int:
    try:
        value = int(item[name]["N"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedEventError(f"the event item has no integer attribute {name!r}") from error
    if value not in _INTEGERS:
        raise MalformedEventError(f"the event item's attribute {name!r} has more than 64 bits")
    return value


def _seconds(item: AttributeMap, name: str) -> int | None:
    """DynamoDB expires by fractions too, and leaves alone what is no number."""
    try:
        value = unmarshal(item[name])
        return None if value is None else int(value)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise MalformedEventError(f"the event item's attribute {name!r} is not a number of seconds") from error


def _json_object(name: str, text: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedEventError(f"the attribute {name!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise MalformedEventError(f"the attribute {name!r} is not a JSON object")
    return value
