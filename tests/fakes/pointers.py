"""What Lambda and EventBridge Pipes send for a failed batch: the documented examples, with our own names and numbers.

Sources: "Retaining discarded batch records" for DynamoDB and for Kinesis (AWS Lambda Developer Guide); for pipes, which
document the fields and show no whole message, the messages that they send.
"""

from datetime import UTC, datetime
from typing import Any

from headwater.change_stream.source_kinds import StreamKind

REGION = "eu-west-1"
TABLE_STREAM = f"arn:aws:dynamodb:{REGION}:123456789012:table/events/stream/2026-01-15T08:30:00.000"
EVENTS_STREAM = f"arn:aws:kinesis:{REGION}:123456789012:stream/events"
SHARD = "shardId-00000001573689847184-864758bb"


def function_arn(logical_id: str) -> str:
    """As CloudFormation names a function."""
    return f"arn:aws:lambda:{REGION}:123456789012:function:headwater-{logical_id}-8QZ2aYX0pTsK"


def batch_info(
    kind: StreamKind,
    first: str,
    last: str,
    *,
    records: int = 1,
    shard_id: str = SHARD,
    stream_arn: str | None = None,
    arrived: tuple[float, float] = (1_772_366_400.0, 1_772_366_400.0),
) -> dict[str, Any]:
    """The part that both services send."""
    return {
        "version": "1.0",
        "timestamp": "2026-03-01T12:00:30.717Z",
        "DDBStreamBatchInfo" if kind == "dynamodb" else "KinesisBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": first,
            "endSequenceNumber": last,
            "approximateArrivalOfFirstRecord": _instant(arrived[0]),
            "approximateArrivalOfLastRecord": _instant(arrived[1]),
            "batchSize": records,
            "streamArn": stream_arn or (TABLE_STREAM if kind == "dynamodb" else EVENTS_STREAM),
        },
    }


def from_lambda(kind: StreamKind, first: str, last: str, function: str = "BadgesFunction", **info: Any) -> Any:
    """The invocation record of a Lambda mapping."""
    return {
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
            "functionArn": function_arn(function),
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 51,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        **batch_info(kind, first, last, **info),
    }


def from_pipe(kind: StreamKind, first: str, last: str, pipe: str = "TrackerPipe", **info: Any) -> Any:
    """The message of a pipe: neither attempts nor an error."""
    return {
        "context": {
            "partnerResourceArn": f"arn:aws:pipes:{REGION}:123456789012:pipe/headwater-{pipe}-1XK9d0aQ3sLm",
            "condition": "RetryAttemptsExhausted",
        },
        **batch_info(kind, first, last, **info),
    }


def _instant(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond >= 1000 else "seconds").replace("+00:00", "Z")
