"""The outgoing event: CloudEvents 1.0 JSON, the same on Kinesis and on SNS.

``sequence`` is the version as 20 digits, because the extension orders by text. A consumer reads an event back with
`decode`; one whose ``data`` was too large for its destination carries ``dataref`` instead (see claim_checks.py).
"""

from typing import Final

import msgspec
import orjson
from msgspec import UNSET, Raw, Struct, UnsetType

from headwater.attribute_values import AttributeMap
from headwater.domain.events import EventTypes, MalformedEventError, RecordedEvent
from headwater.event_store import codec

SOURCE: Final = "urn:headwater:events"
_SCHEMA: Final = "urn:headwater:schema:"
_MOST_DIGITS: Final = 20
#: By type and ``dataschema``, of events that were read: what nearly all have need not be taken apart again.
_SCHEMA_VERSIONS: Final[dict[tuple[str, str], int]] = {}


class OutgoingEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One encoded event and what its destination routes by."""

    event_id: str
    type: str
    aggregate_id: str
    aggregate_type: str
    body: bytes


class Delivery(Struct, frozen=True, kw_only=True):
    """One event as a consumer got it. ``dataref`` is the claim check to follow if the data travels apart."""

    event: RecordedEvent
    replay: bool = False
    dataref: str | None = None


class _Outgoing(Struct, kw_only=True, gc=False):
    """A CloudEvent on its way out, in the order in which its attributes are written."""

    specversion: str = "1.0"
    id: str
    type: str
    source: str = SOURCE
    subject: str
    time: str
    datacontenttype: str = "application/json"
    dataschema: str
    sequence: str
    partitionkey: str
    correlationid: str | UnsetType
    causationid: str | UnsetType
    actor: str | UnsetType
    replay: bool | UnsetType = UNSET
    data: Raw


class _Envelope(Struct):
    """What is read of a CloudEvent; further attributes are others' business."""

    id: str
    type: str
    subject: str
    time: str
    dataschema: str
    sequence: str
    data: Raw | UnsetType = UNSET
    dataref: str | None = None
    correlationid: str | UnsetType = UNSET
    causationid: str | UnsetType = UNSET
    actor: str | UnsetType = UNSET
    replay: bool = False


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Envelope).decode


def encode(image: AttributeMap, types: EventTypes, *, replay: bool = False) -> OutgoingEvent:
    """The outgoing form of an event item's image. ``data`` is read, then copied as the text that it is.

    Raises
    ------
    UnknownEventError, MalformedEventError
        The image is no event that can be read; the message names the attribute or the field.
    """
    attributes, data, metadata = codec.attributes_of(image)
    aggregate_id, version, event_id, type_, schema_version, occurred_at = attributes
    types.reader(*attributes).read(data, event_id)
    if "expires_at" in image:
        # A history with an expiry that cannot be read could not be loaded.
        codec.expiry_of(image)
    envelope = _Outgoing(
        id=event_id,
        type=type_,
        subject=aggregate_id,
        time=occurred_at,
        dataschema=f"{_SCHEMA}{type_}:{schema_version}",
        sequence=str(version).zfill(20),
        partitionkey=aggregate_id,
        correlationid=metadata.get("correlation_id", UNSET),
        causationid=metadata.get("causation_id", UNSET),
        actor=metadata.get("actor", UNSET),
        replay=replay or UNSET,
        data=Raw(data),
    )
    return OutgoingEvent(
        event_id=event_id,
        type=type_,
        aggregate_id=aggregate_id,
        aggregate_type=image["aggregate_type"]["S"],
        body=_encode(envelope),
    )


def without_data(event: OutgoingEvent, dataref: str) -> OutgoingEvent:
    """The same event with a claim check in place of its data."""
    envelope = orjson.loads(event.body)
    del envelope["data"]
    envelope["dataref"] = dataref
    return OutgoingEvent(
        event_id=event.event_id,
        type=event.type,
        aggregate_id=event.aggregate_id,
        aggregate_type=event.aggregate_type,
        body=orjson.dumps(envelope),
    )


def decode(body: bytes | str, types: EventTypes) -> Delivery:
    """Reads an outgoing event back, completely; only data that waits behind a claim check is left unread.

    Raises
    ------
    UnknownEventError
        Its type, or its schema version, is not one of ``types``.
    MalformedEventError
        Not a CloudEvent of this system; the message names the attribute or the field.
    """
    try:
        envelope = _decode(body)
    except msgspec.ValidationError as error:
        raise MalformedEventError(f"not a CloudEvent of ours: {error}") from None
    except (ValueError, RecursionError):
        raise MalformedEventError("not a CloudEvent of ours: it is no JSON object") from None
    named = envelope.type, envelope.dataschema
    schema_version = _SCHEMA_VERSIONS.get(named) or _schema_version(*named)
    if envelope.data is UNSET and not envelope.dataref:
        raise MalformedEventError("the CloudEvent has neither 'data' nor 'dataref'")
    metadata = {}
    if envelope.correlationid is not UNSET:
        metadata["correlation_id"] = envelope.correlationid
    if envelope.causationid is not UNSET:
        metadata["causation_id"] = envelope.causationid
    if envelope.actor is not UNSET:
        metadata["actor"] = envelope.actor
    version = _count("sequence", envelope.sequence)
    reader = types.reader(envelope.subject, version, envelope.id, envelope.type, schema_version, envelope.time)
    # Of a known type and version by now, so that these stay few.
    _SCHEMA_VERSIONS[named] = schema_version
    payload = None if envelope.dataref or envelope.data is UNSET else reader.read(envelope.data, envelope.id)
    event = RecordedEvent(
        aggregate_id=envelope.subject,
        version=version,
        event_id=envelope.id,
        type=envelope.type,
        schema_version=schema_version,
        occurred_at=envelope.time,
        data={} if payload is None else msgspec.structs.asdict(payload),
        metadata=metadata,
    )
    if payload is not None:
        event.with_payload(payload)
    return Delivery(event=event, replay=envelope.replay, dataref=envelope.dataref or None)


def _schema_version(type_: str, dataschema: str) -> int:
    schema, _, digits = dataschema.rpartition(":")
    if schema != f"{_SCHEMA}{type_}":
        raise MalformedEventError("the attribute 'dataschema' does not belong to the event's type")
    return _count("dataschema", digits)


def _count(name: str, digits: str) -> int:
    # int alone would take spaces, underscores and the digits of other scripts.
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
        raise MalformedEventError(f"the attribute {name!r} must end in a number of at most {_MOST_DIGITS} digits")
    return int(digits)
