"""The outgoing event: CloudEvents 1.0 JSON, the same on Kinesis and on SNS.

``sequence`` is the version as 20 digits, because the extension orders by text. A consumer reads an event back with
`decode`; one whose ``data`` was too large for its destination carries ``dataref`` instead (see claim_checks.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.attribute_values import AttributeMap
from headwater.domain.events import MalformedEventError, RecordedEvent

SOURCE = "urn:headwater:events"
_SCHEMA = "urn:headwater:schema:"
#: CloudEvents extension names are lower-case letters and digits; ours, beside the metadata that each holds.
_METADATA = {"correlationid": "correlation_id", "causationid": "causation_id", "actor": "actor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """One encoded event and what its destination routes by."""

    event_id: str
    type: str
    aggregate_id: str
    aggregate_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event as a consumer got it. ``dataref`` is the claim check to follow if the data travels apart."""

    event: RecordedEvent
    replay: bool = False
    dataref: str | None = None


def encode(image: AttributeMap, *, replay: bool = False) -> OutgoingEvent:
    """The outgoing form of an event item's image. ``data`` is checked, then copied as the text that it is.

    Raises
    ------
    MalformedEventError
        The image is not an event item; the message names the attribute.
    """
    try:
        aggregate_id, type_ = image["aggregate_id"]["S"], image["type"]["S"]
        event_id, version = image["event_id"]["S"], int(image["version"]["N"])
        metadata = orjson.loads(image["metadata"]["S"])
        envelope: dict[str, Any] = {
            "specversion": "1.0",
            "id": event_id,
            "type": type_,
            "source": SOURCE,
            "subject": aggregate_id,
            "time": image["occurred_at"]["S"],
            "datacontenttype": "application/json",
            "dataschema": f"{_SCHEMA}{type_}:{int(image['schema_version']['N'])}",
            "sequence": f"{version:020d}",
            "partitionkey": aggregate_id,
        }
        for extension, name in _METADATA.items():
            if name in metadata:
                envelope[extension] = metadata[name]
        if replay:
            envelope["replay"] = True
        data = image["data"]["S"]
        # A fragment is copied as it is: text that is no JSON would make a message that no consumer can read.
        if not isinstance(orjson.loads(data), dict):
            raise MalformedEventError("the attribute 'data' is not a JSON object")
        envelope["data"] = orjson.Fragment(data)
        return OutgoingEvent(
            event_id=event_id,
            type=type_,
            aggregate_id=aggregate_id,
            aggregate_type=image["aggregate_type"]["S"],
            body=orjson.dumps(envelope),
        )
    except KeyError as error:
        raise MalformedEventError(f"the image has no attribute {error} of an event item") from error
    except (TypeError, ValueError) as error:
        raise MalformedEventError(f"the image is no event item: {error}") from error


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


def decode(body: bytes | str) -> Delivery:
    """Reads an outgoing event back.

    Raises
    ------
    MalformedEventError
        Not a CloudEvent of this system; the message names the attribute.
    """
    try:
        envelope = orjson.loads(body)
        schema, _, schema_version = envelope["dataschema"].rpartition(":")
        if schema != f"{_SCHEMA}{envelope['type']}":
            raise MalformedEventError(f"dataschema {envelope['dataschema']!r} does not belong to {envelope['type']!r}")
        dataref = envelope.get("dataref")
        data = {} if dataref else envelope["data"]
        if not isinstance(data, Mapping):
            raise MalformedEventError("the attribute 'data' is not a JSON object")
        aggregate_id = envelope["subject"]
        if not isinstance(aggregate_id, str) or "#" not in aggregate_id:
            raise MalformedEventError("the attribute 'subject' is not an aggregate's id, <type>#<id>")
        event = RecordedEvent(
            aggregate_id=aggregate_id,
            version=_count("sequence", envelope["sequence"]),
            event_id=envelope["id"],
            type=envelope["type"],
            schema_version=_count("dataschema", schema_version),
            occurred_at=envelope["time"],
            data=data,
            metadata={name: envelope[extension] for extension, name in _METADATA.items() if extension in envelope},
        )
    except KeyError as error:
        raise MalformedEventError(f"the CloudEvent has no attribute {error}") from error
    except (AttributeError, TypeError, orjson.JSONDecodeError) as error:
        raise MalformedEventError(f"not a CloudEvent: {error}") from error
    return Delivery(event=event, replay=bool(envelope.get("replay", False)), dataref=dataref)


def _count(name: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number < 2**64:
        raise MalformedEventError(f"the attribute {name!r} gives no version from 1 up, of 64 bits at most")
    return number
