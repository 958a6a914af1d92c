"""Records of a DynamoDB stream, as Lambda delivers them.

Source: "Using AWS Lambda with Amazon DynamoDB" and StreamRecord in the DynamoDB Streams API reference.
"""

from collections.abc import Mapping
from typing import Any

from headwater.change_stream.records import ChangeRecord, MalformedRecordError, Operation

_TTL_PRINCIPAL = "dynamodb.amazonaws.com"


def parse(raw: Mapping[str, Any]) -> ChangeRecord:
    """One element of the event's ``Records``.

    Raises
    ------
    MalformedRecordError
        A required field is missing or of another type. Images may be missing: that depends on the view type.
    """
    try:
        change = raw["dynamodb"]
        captured_at = change.get("ApproximateCreationDateTime", 0)
        return ChangeRecord(
            stream_event_id=raw["eventID"],
            sequence_number=change["SequenceNumber"],
            operation=_operation(raw),
            captured_at=float(captured_at),
            keys=change["Keys"],
            new_image=change.get("NewImage"),
            old_image=change.get("OldImage"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedRecordError(f"not a DynamoDB stream record: {error!r}") from error


def _operation(raw: Mapping[str, Any]) -> Operation:
    operation = Operation(raw["eventName"])
    if operation is Operation.REMOVE and (raw.get("userIdentity") or {}).get("principalId") == _TTL_PRINCIPAL:
        return Operation.EXPIRE
    return operation
