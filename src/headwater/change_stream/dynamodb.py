"""Records of a DynamoDB stream, as Lambda delivers them.

Source: "Using AWS Lambda with Amazon DynamoDB" and StreamRecord in the DynamoDB Streams API reference.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headwater.attribute_values import AttributeMap
from headwater.change_stream.records import ChangeRecord, MalformedRecordError, Operation

_TTL_PRINCIPAL = "dynamodb.amazonaws.com"
#: As the stream names them: an expiry is a REMOVE that the TTL's principal did.
_OPERATIONS = {each.value: each for each in (Operation.INSERT, Operation.MODIFY, Operation.REMOVE)}


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


def delivered(record: Mapping[str, Any], stream_arn: str) -> dict[str, Any]:
    """A record of boto3's GetRecords as Lambda's event shows it: binary in base64, times in epoch seconds."""
    shown: dict[str, Any] = {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": record.get("eventVersion", "1.1"),
        "eventSource": "aws:dynamodb",
        "awsRegion": record.get("awsRegion") or stream_arn.split(":")[3],
        "dynamodb": as_delivered(record["dynamodb"]),
        "eventSourceARN": stream_arn,
    }
    if identity := record.get("userIdentity"):
        # GetRecords spells these in capitals, Lambda does not.
        shown["userIdentity"] = {
            "principalId": identity.get("PrincipalId", identity.get("principalId")),
            "type": identity.get("Type", identity.get("type")),
        }
    return shown


def delivered_again(record: ChangeRecord, stream_arn: str) -> dict[str, Any]:
    """A change that was read from elsewhere, as Lambda's event had shown it; ``SizeBytes`` is not kept."""
    removal = record.operation in (Operation.REMOVE, Operation.EXPIRE)
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": record.captured_at,
        "Keys": record.keys,
        "SequenceNumber": record.sequence_number,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if record.new_image is not None:
        change["NewImage"] = record.new_image
    if record.old_image is not None:
        change["OldImage"] = record.old_image
    shown = {
        "eventID": record.stream_event_id,
        "eventName": (Operation.REMOVE if removal else record.operation).value,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": stream_arn.split(":")[3],
        "dynamodb": change,
        "eventSourceARN": stream_arn,
    }
    if record.operation is Operation.EXPIRE:
        shown["userIdentity"] = {"principalId": _TTL_PRINCIPAL, "type": "Service"}
    return shown


def aggregate_id(raw: Mapping[str, Any]) -> str:
    """The record's aggregate, or the partition it is of, where its keys tell it; else nobody's: empty."""
    try:
        keys = raw["dynamodb"]["Keys"]
        return str((keys.get("aggregate_id") or keys["pk"])["S"])
    except (AttributeError, KeyError, TypeError):
        return ""


def versions(raw: Mapping[str, Any]) -> list[int]:
    """The version of the record's event, where its keys tell a whole one, of however many digits."""
    try:
        return [int(raw["dynamodb"]["Keys"]["version"]["N"])]
    except (KeyError, TypeError, ValueError):
        return []


def sequence_number(raw: Mapping[str, Any]) -> str:
    """The record's place in its shard: what a batch answer names, digits that compare as an integer."""
    number = _change(raw).get("SequenceNumber")
    if not (isinstance(number, str) and number.isascii() and number.isdecimal()):
        raise MalformedRecordError("the stream record's 'SequenceNumber' is not a text of digits")
    return number


def sequence_numbers(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of a batch: asked for first of all, as no answer could name a record that has none."""
    return [sequence_number(raw) for raw in records]


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


def as_delivered(value: Any) -> Any:
    """What boto3 gives, in values that JSON has: binary in base64, times in epoch seconds."""
    match value:
        case dict():
            return {name: as_delivered(member) for name, member in value.items()}
        case list():
            return [as_delivered(member) for member in value]
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case datetime():
            return value.timestamp()
    return value


def _change(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    change = raw.get("dynamodb") if isinstance(raw, dict) else None
    return change if isinstance(change, dict) else {}


def _image(change: Mapping[str, Any], name: str) -> AttributeMap | None:
    image = change.get(name)
    if image is not None and not isinstance(image, dict):
        raise MalformedRecordError(f"the stream record's {name!r} is not an object but {type(image).__name__}")
    return image


def _operation(raw: Mapping[str, Any]) -> Operation:
    name = raw.get("eventName")
    operation = _OPERATIONS.get(name) if isinstance(name, str) else None
    if operation is None:
        raise MalformedRecordError("the stream record's 'eventName' is none of INSERT, MODIFY, REMOVE")
    if operation is not Operation.REMOVE:
        return operation
    identity = raw.get("userIdentity")
    by_ttl = isinstance(identity, dict) and _TTL_PRINCIPAL in (
        identity.get("principalId"),
        identity.get("PrincipalId"),  # GetRecords spells it so, Lambda does not
    )
    return Operation.EXPIRE if by_ttl else operation
