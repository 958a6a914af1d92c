"""Four functions that fail on demand: what they are given says how."""

import base64
import json
import os
import time
from functools import cache
from typing import Any

import boto3
from toy import journal  # type: ignore[import-not-found]

print("cold start", os.environ["GREETING"])  # noqa: T201 - functions log by printing


@cache
def _client(service: str) -> Any:
    return boto3.client(service)


def forward(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """DynamoDB stream to Kinesis and SNS; fails from the first poison record on."""
    items = [record["dynamodb"]["NewImage"] for record in event["Records"]]
    journal.note("forward", [item["id"]["S"] for item in items], event)
    for record, item in zip(event["Records"], items, strict=True):
        kind = item["kind"]["S"]
        print(f"forwarding {item['id']['S']} for {context.aws_request_id}")  # noqa: T201
        if kind == "poison":
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
        body = json.dumps({"id": item["id"]["S"], "kind": kind})
        _client("kinesis").put_record(
            StreamName=os.environ["ORDERS_STREAM"], Data=body.encode(), PartitionKey=item["id"]["S"]
        )
        _client("sns").publish(
            TopicArn=os.environ["ORDERS_TOPIC"],
            Message=body,
            MessageAttributes={"kind": {"DataType": "String", "StringValue": kind}},
        )
    return {"batchItemFailures": []}


def count(event: dict[str, Any], _context: Any) -> None:
    """Kinesis; raises when a record says so."""
    orders = [json.loads(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]
    journal.note("count", [order["id"] for order in orders], event)
    for order in orders:
        if order["kind"] == "uncountable":
            raise ValueError(f"cannot count {order['id']}")


def mail(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """SQS; fails ids with "bad" in front, those with "late" the first time, and holds up those with "held"."""
    names = [json.loads(record["body"])["id"] for record in event["Records"]]
    journal.note("mail", names, event)
    if any(name.startswith("held") for name in names):
        journal.released.wait(60)
    failed = []
    for record in event["Records"]:
        name = json.loads(record["body"])["id"]
        first = record["attributes"]["ApproximateReceiveCount"] == "1"
        if name.startswith("bad") or (name.startswith("late") and first):
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def api(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """HTTP; answers with the event it was given."""
    name = event.get("pathParameters", {}).get("id")
    if name == "broken":
        raise RuntimeError("broken on request")
    if name == "slow":
        time.sleep(3.5)
    return {
        "statusCode": 201 if event["requestContext"]["http"]["method"] == "POST" else 200,
        "headers": {"Content-Type": "application/json", "X-Remaining": context.get_remaining_time_in_millis()},
        "cookies": ["a=1; Path=/", "b=2"],
        "body": json.dumps(event),
    }
