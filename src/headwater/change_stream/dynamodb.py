"""Records of a DynamoDB stream, as Lambda delivers them.

Source: "Using AWS Lambda with Amazon DynamoDB" and StreamRecord in the DynamoDB Streams API reference.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headwater.attribute_values import AttributeMap
from headwater.change_stream.records import ChangeRecord, MalformedRecordError, Operation

_TTL_PRINCIPAL = "dynamodb.amazonaws.com"


def parse(raw: Mapping[str, Any]) -> ChangeRecord:
    """One element of the event's ``Records``, or of what GetRecords of the DynamoDB Streams API answers.

    Raises
    ------
    MalformedRecordError
        A required field is missing or of another type. Images may be missing: that depends on the view type.
    """
    if not isinstance(raw, dict):
        raise MalformedRecordError(f"not a DynamoDB stream record: a JSON object is expected, got {type(raw).__name__}")
    change = raw.get("dynamodb")
    if not isinstance(change, dict):
        raise MalformedRecordError("not a DynamoDB stream record: it has no object 'dynamodb'")
    keys = _image(change, "Keys")
    if keys is None:
        raise MalformedRecordError("the stream record has no 'Keys'")
    return ChangeRecord(
        stream_event_id=stream_event_id(raw),
        sequence_number=sequence_number(raw),
        operation=_operation(raw),
        captured_at=captured_at(raw),
        keys=keys,
        new_image=_image(change, "NewImage"),
        old_image=_image(change, "OldImage"),
    )


def sequence_number(raw: Mapping[str, Any]) -> str:
    """The record's place in its shard: what a batch answer names, digits that compare as an integer."""
    number = _change(raw).get("SequenceNumber")
    if not (isinstance(number, str) and number.isascii() and number.isdecimal()):
        raise MalformedRecordError("the stream record's 'SequenceNumber' is not a text of digits")
    return number


def stream_event_id(raw: Mapping[str, Any]) -> str:
    """The id of this record in the stream; the event within has another."""
    event_id = raw.get("eventID") if isinstance(raw, dict) else None
    if not (isinstance(event_id, str) and event_id):
        raise MalformedRecordError("the stream record's 'eventID' is not a text")
    return event_id


def captured_at(raw: Mapping[str, Any]) -> float:
    """ApproximateCreationDateTime in epoch seconds: a number from Lambda, a datetime from boto3."""
    moment = _change(raw).get("ApproximateCreationDateTime")
    if isinstance(moment, datetime):
        return moment.timestamp()
    if isinstance(moment, bool) or not isinstance(moment, int | float) or not math.isfinite(moment):
        raise MalformedRecordError("the stream record's 'ApproximateCreationDateTime' is not a number of seconds")
    return float(moment)


def _change(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    change = raw.get("dynamodb") if isinstance(raw, dict) else None
    return change if isinstance(change, dict) else {}


def _image(change: Mapping[str, Any], name: str) -> AttributeMap | None:
    image = change.get(name)
    if image is not None and not isinstance(image, dict):
        raise MalformedRecordError(f"the stream record's {name!r} is not an object but {type(image).__name__}")
    return image


def _operation(raw: Mapping[str, Any]) -> Operation:
    try:
        operation = Operation(raw["eventName"])
    except (KeyError, ValueError) as error:
        raise MalformedRecordError("the stream record's 'eventName' is none of INSERT, MODIFY, REMOVE") from error
    if operation is Operation.EXPIRE:
        raise MalformedRecordError("the stream record's 'eventName' is none of INSERT, MODIFY, REMOVE")
    identity = raw.get("userIdentity")
    by_ttl = isinstance(identity, dict) and _TTL_PRINCIPAL in (
        identity.get("principalId"),
        identity.get("PrincipalId"),  # GetRecords spells it so, Lambda does not
    )
    return Operation.EXPIRE if operation is Operation.REMOVE and by_ttl else operation
