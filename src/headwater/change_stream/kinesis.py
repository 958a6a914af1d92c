"""Records of the Kinesis stream, as Lambda delivers them.

Source: "Using AWS Lambda with Amazon Kinesis Data Streams".
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headwater.change_stream.records import MalformedRecordError


def delivered(record: Mapping[str, Any], stream_arn: str, shard_id: str) -> dict[str, Any]:
    """A record of boto3's GetRecords as Lambda's event shows it."""
    return event_record(
        record["Data"],
        partition_key=record["PartitionKey"],
        sequence_number=record["SequenceNumber"],
        arrived_at=record["ApproximateArrivalTimestamp"].timestamp(),
        stream_arn=stream_arn,
        shard_id=shard_id,
    )


def event_record(
    data: bytes, *, partition_key: str, sequence_number: str, arrived_at: float, stream_arn: str, shard_id: str
) -> dict[str, Any]:
    """One element of the event's ``Records``; ``arrived_at`` in epoch seconds."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": partition_key,
            "sequenceNumber": sequence_number,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": arrived_at,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard_id}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "awsRegion": stream_arn.split(":")[3],
        "eventSourceARN": stream_arn,
    }


def sequence_number(raw: Mapping[str, Any]) -> str:
    """The record's place in its shard: what a batch answer names."""
    try:
        return str(raw["kinesis"]["sequenceNumber"])
    except (KeyError, TypeError) as error:
        raise MalformedRecordError("not a Kinesis record: it has no 'kinesis.sequenceNumber'") from error


def sequence_numbers(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those of a batch: asked for first of all, as no answer could name a record that has none."""
    return [sequence_number(raw) for raw in records]


def partition_key(raw: Mapping[str, Any]) -> str:
    """What the record was routed by: its aggregate's id, legible even where the body is not."""
    try:
        return str(raw["kinesis"]["partitionKey"])
    except (KeyError, TypeError) as error:
        raise MalformedRecordError("not a Kinesis record: it has no 'kinesis.partitionKey'") from error


def body(raw: Mapping[str, Any]) -> bytes:
    """The record's data."""
    try:
        # As strict as the standard library, in a third of its time.
        return msgspec.convert(raw["kinesis"]["data"], bytes)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise MalformedRecordError("not a Kinesis record: its 'kinesis.data' is not a text in base64") from error
