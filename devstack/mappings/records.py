"""Records and messages in the shape in which Lambda hands them to functions."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from devstack.event_source_mapping import (
    QueueMessage,
    StreamRecord,
)
from operations.running import ACCOUNT_ID, REGION

ROLE_ARN: Final = f"arn:aws:iam::{ACCOUNT_ID}:role/devstack"


def dynamodb_record(record: Mapping[str, Any], stream_arn: str) -> StreamRecord:
    """A record of GetRecords as Lambda's event shows it; the JSON of both is the same, binary in base64 included."""
    shown = {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": record.get("eventVersion", "1.1"),
        "eventSource": "aws:dynamodb",
        "awsRegion": record.get("awsRegion", REGION),
        "dynamodb": record["dynamodb"],
        "eventSourceARN": stream_arn,
    }
    if identity := record.get("userIdentity"):
        # The API spells these in capitals, Lambda does not.
        shown["userIdentity"] = {
            "principalId": identity.get("PrincipalId", identity.get("principalId")),
            "type": identity.get("Type", identity.get("type")),
        }
    change = record["dynamodb"]
    body = orjson.dumps(shown)
    key = orjson.dumps(change["Keys"], option=orjson.OPT_SORT_KEYS).decode()
    return StreamRecord(change["SequenceNumber"], key, float(change["ApproximateCreationDateTime"]), len(body), body)


def kinesis_record(record: Mapping[str, Any], stream_arn: str, shard_id: str) -> StreamRecord:
    """A record of GetRecords as Lambda's event shows it."""
    sequence_number = record["SequenceNumber"]
    arrived_at = float(record["ApproximateArrivalTimestamp"])
    body = orjson.dumps(
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": sequence_number,
                "data": record["Data"],
                "approximateArrivalTimestamp": arrived_at,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{sequence_number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": ROLE_ARN,
            "awsRegion": REGION,
            "eventSourceARN": stream_arn,
        }
    )
    return StreamRecord(sequence_number, record["PartitionKey"], arrived_at, len(body), body)


def queue_message(message: Mapping[str, Any], queue_arn: str) -> QueueMessage:
    """A message of ReceiveMessage as Lambda's event shows it."""
    attributes = {name: _message_attribute(value) for name, value in (message.get("MessageAttributes") or {}).items()}
    shown = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes") or {},
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }
    if "MD5OfMessageAttributes" in message:
        shown["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    body = orjson.dumps(shown)
    return QueueMessage(message["MessageId"], message["ReceiptHandle"], len(body), body)


def _message_attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        shown["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        shown["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return shown


def event_payload(bodies: Iterable[bytes]) -> bytes:
    """The event of a batch, from its records' JSON."""
    return b'{"Records":[' + b",".join(bodies) + b"]}"
