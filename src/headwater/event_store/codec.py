"""Event ↔ table item. ``data`` and ``metadata`` are JSON text; see docs/adr/0003.

All reading and writing of ``data`` goes through here: this is the seam for encrypting personal fields per person.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson

from headwater.attribute_values import AttributeMap, MalformedAttributeError, marshal_item, unmarshal
from headwater.domain.events import EventTypes, MalformedEventError, RecordedEvent, demand_limits

_decode_metadata: Final = msgspec.json.Decoder(dict[str, str]).decode
#: The attributes that an item must have, and each one's kind.
KINDS: Final = {
    **dict.fromkeys(("aggregate_id", "aggregate_type", "event_id", "type", "occurred_at", "data", "metadata"), "S"),
    **dict.fromkeys(("version", "schema_version"), "N"),
}
#: A number of this many digits need not have 64 bits.
_MOST_DIGITS: Final = 19
#: What nearly all versions are, so that their digits need not be looked at one by one.
_NUMBERS: Final = {str(number): number for number in range(1, 1000)}
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


def encode_new(event: RecordedEvent, types: EventTypes, *, derived: bool = False) -> dict[str, dict[str, Any]]:
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


def decode(item: AttributeMap, types: EventTypes) -> RecordedEvent:
    """The event that an item, or a stream image of one, holds; read completely, its data too.

    Raises
    ------
    UnknownEventError
        Its type, or its schema version, is not one of ``types``.
    MalformedEventError
        An attribute or a field of the data is missing or is not what it must be; the message names it.
    """
    envelope, data, metadata = attributes_of(item)
    aggregate_id, version, event_id, type_, schema_version, occurred_at = envelope
    payload = types.reader(*envelope).read(data, event_id)
    return RecordedEvent(
        aggregate_id=aggregate_id,
        version=version,
        event_id=event_id,
        type=type_,
        schema_version=schema_version,
        occurred_at=occurred_at,
        data=msgspec.structs.asdict(payload),
        metadata=metadata,
        expires_at=expiry_of(item),
    ).with_payload(payload)


def attributes_of(item: AttributeMap) -> tuple[tuple[str, int, str, str, int, str], str, Mapping[str, str]]:
    """What `EventTypes.reader` takes, the text of the data, and the metadata."""
    # All at once: asked for one by one, they would cost a tenth of the fan-out's reading.
    try:
        aggregate_id, aggregate_type = item["aggregate_id"]["S"], item["aggregate_type"]["S"]
        event_id, type_, occurred_at = item["event_id"]["S"], item["type"]["S"], item["occurred_at"]["S"]
        version, schema_version = item["version"]["N"], item["schema_version"]["N"]
        data, metadata = item["data"]["S"], item["metadata"]["S"]
        # Raises a TypeError unless all are texts.
        "".join((aggregate_id, aggregate_type, event_id, type_, occurred_at, version, schema_version, data, metadata))
    except (KeyError, TypeError):
        raise _missing(item) from None
    if aggregate_type != aggregate_id.partition("#")[0]:
        raise MalformedEventError("the event item's 'aggregate_type' must be the type in its 'aggregate_id'")
    envelope = (
        aggregate_id,
        _NUMBERS.get(version) or _integer("version", version),
        event_id,
        type_,
        _NUMBERS.get(schema_version) or _integer("schema_version", schema_version),
        occurred_at,
    )
    try:
        return envelope, data, _decode_metadata(metadata)
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


def _missing(item: AttributeMap) -> MalformedEventError:
    """The first attribute that is not there, or not of its kind."""
    for name, kind in KINDS.items():
        attribute = item.get(name)
        if not (isinstance(attribute, Mapping) and type(attribute.get(kind)) is str):
            break
    return MalformedEventError(f"the event item has no {'text' if kind == 'S' else 'number'} attribute {name!r}")


def _integer(name: str, digits: str) -> int:
    # int alone would take spaces, underscores and the digits of other scripts, none of which DynamoDB writes.
    if not (digits.isdecimal() and digits.isascii() and len(digits) <= _MOST_DIGITS):
        raise MalformedEventError(f"the event item's attribute {name!r} must be a whole number of 63 bits, from 0 up")
    return int(digits)
