"""Event ↔ table item. ``data`` and ``metadata`` are JSON text; see docs/adr/0003.

All reading and writing of ``data`` goes through here: this is the seam for encrypting personal fields per person.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson

from headwater.attribute_values import AttributeMap, MalformedAttributeError, marshal_item, unmarshal
from headwater.domain.events import EVENT_TYPES, EventTypes, MalformedEventError, RecordedEvent, demand_limits

_METADATA: Final = msgspec.json.Decoder(dict[str, str])
#: A number of this many digits need not have 64 bits.
_MOST_DIGITS: Final = 19
_SECONDS: Final = range(-(2**63), 2**63)


def encode(event: RecordedEvent) -> dict[str, dict[str, Any]]:
    """An event as the DynamoDB JSON of its item, whatever it holds: see `encode_new`."""
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


def encode_new(
    event: RecordedEvent, *, derived: bool = False, types: EventTypes = EVENT_TYPES
) -> dict[str, dict[str, Any]]:
    """The item of an event to append: one that every reader can read and, unless `Append.derived`, within limits.

    Raises
    ------
    UnknownEventError, MalformedEventError
        It must not be appended; the message names the field.
    """
    try:
        item = encode(event)
    except (TypeError, MalformedAttributeError) as error:
        demand_limits(event)
        # Its own message may quote what it refuses.
        raise MalformedEventError(f"an event to append cannot be stored: {type(error).__name__}") from None
    read = decode(item, types)
    if not derived:
        demand_limits(read)
    return item


def decode(item: AttributeMap, types: EventTypes = EVENT_TYPES) -> RecordedEvent:
    """The event that an item, or a stream image of one, holds; read completely, its data too.

    Raises
    ------
    UnknownEventError
        Its type, or its schema version, is not one of ``types``.
    MalformedEventError
        An attribute or a field of the data is missing or is not what it must be; the message names it.
    """
    aggregate_id, version, event_id, type_, schema_version, occurred_at = envelope = envelope_of(item)
    payload = types.reader(*envelope).read(text(item, "data"), event_id)
    return RecordedEvent(
        aggregate_id=aggregate_id,
        version=version,
        event_id=event_id,
        type=type_,
        schema_version=schema_version,
        occurred_at=occurred_at,
        data=msgspec.structs.asdict(payload),
        metadata=metadata_of(item),
        expires_at=expiry_of(item),
    ).with_payload(payload)


def envelope_of(item: AttributeMap) -> tuple[str, int, str, str, int, str]:
    """What `EventTypes.reader` takes, from an item's attributes."""
    aggregate_id = text(item, "aggregate_id")
    if text(item, "aggregate_type") != aggregate_id.partition("#")[0]:
        raise MalformedEventError("the event item's 'aggregate_type' must be the type in its 'aggregate_id'")
    return (
        aggregate_id,
        _integer(item, "version"),
        text(item, "event_id"),
        text(item, "type"),
        _integer(item, "schema_version"),
        text(item, "occurred_at"),
    )


def metadata_of(item: AttributeMap) -> Mapping[str, str]:
    try:
        return _METADATA.decode(text(item, "metadata"))
    except MalformedEventError:
        raise
    except ValueError:
        raise MalformedEventError("the event item's 'metadata' must be a JSON object of texts") from None


def expiry_of(item: AttributeMap) -> int | None:
    """DynamoDB expires by fractions too."""
    if "expires_at" not in item:
        return None
    try:
        value = unmarshal(item["expires_at"])
    except MalformedAttributeError:
        value = ""
    if value is None:
        return None
    # int reads text, too; a boolean is a number to Python.
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or int(value) not in _SECONDS:
        raise MalformedEventError("the event item's attribute 'expires_at' must be a number of seconds")
    return int(value)


def text(item: AttributeMap, name: str) -> str:
    """An attribute that must be there, and be text."""
    try:
        value = item[name]["S"]
    except (KeyError, TypeError):
        value = None
    if not isinstance(value, str):
        raise MalformedEventError(f"the event item has no text attribute {name!r}")
    return value


def _integer(item: AttributeMap, name: str) -> int:
    try:
        digits = item[name]["N"]
    except (KeyError, TypeError):
        digits = None
    # int alone would take spaces, underscores and the digits of other scripts, none of which DynamoDB writes.
    if not (isinstance(digits, str) and digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
        raise MalformedEventError(f"the event item's attribute {name!r} must be a whole number of 63 bits, from 0 up")
    return int(digits)
