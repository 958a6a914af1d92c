"""What Lambda and EventBridge Pipes send to FailedBatchesQueue: a failed batch's place in its stream, not its records.

Sources: "Retaining discarded batch records" for Kinesis and for DynamoDB (AWS Lambda Developer Guide): `requestContext`
names the function; "Amazon EventBridge Pipes error handling and troubleshooting": `context` names the pipe, and knows
neither attempts nor an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.change_stream.source_kinds import StreamKind
from headwater.clock import read_timestamp
from headwater.failures import PermanentError

#: Of the longest sequence number (SequenceNumber, Kinesis API reference).
_MOST_DIGITS = 129
_BATCHES: Mapping[str, StreamKind] = {"DDBStreamBatchInfo": "dynamodb", "KinesisBatchInfo": "kinesis"}
#: CloudFormation names a function <stack>-<logical id>-<random>, the logical id cut after 24 characters.
_LOGICAL_ID = re.compile(r"(?:^|-)([A-Z][A-Za-z0-9]*?)(?:Function|Pipe)(?=-|$)")


class UnknownPointerError(PermanentError):
    """A message on FailedBatchesQueue of a shape that AWS does not document; the error names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """One failed batch: the records of a shard from ``first`` to ``last`` (sequence numbers, both included).

    The range holds records that had succeeded, or that the mapping's filter had dropped, too: ``records`` counts those
    of the batch. ``arrived_from`` and ``arrived_until`` are the approximate arrivals of its first and last record, in
    epoch seconds. ``resource_arn`` is the function or the pipe; ``attempts`` and ``error`` are None where AWS does not
    tell them. ``reason`` is AWS's condition, such as RetryAttemptsExhausted.
    """

    kind: StreamKind
    consumer: str
    resource_arn: str
    stream_arn: str
    shard_id: str
    first: str
    last: str
    records: int
    arrived_from: float
    arrived_until: float
    failed_at: str
    reason: str
    error: str | None
    attempts: int | None


def parse(body: str) -> Pointer:
    """Reads the body of a message, or an object that an OnFailure bucket holds.

    Raises
    ------
    UnknownPointerError
        It has another shape, or a field of another type.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnknownPointerError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise UnknownPointerError("not a JSON object")
    try:
        ((field, kind),) = [(name, kind) for name, kind in _BATCHES.items() if name in message]
    except ValueError:
        raise UnknownPointerError("it has not exactly one of DDBStreamBatchInfo and KinesisBatchInfo") from None
    batch = _object(message, field)
    if "requestContext" in message:
        context = _object(message, "requestContext")
        arn, attempts = _text(context, "functionArn"), _whole(context, "approximateInvokeCount")
    elif "context" in message:
        context, attempts = _object(message, "context"), None
        arn = _text(context, "partnerResourceArn")
    else:
        raise UnknownPointerError("it has neither 'requestContext' (Lambda) nor 'context' (EventBridge Pipes)")
    response = message.get("responseContext")
    function_error = response.get("functionError") if isinstance(response, dict) else None
    pointer = Pointer(
        kind=kind,
        consumer=consumer_of(arn),
        resource_arn=arn,
        # Of an enhanced fan-out consumer: "Consumers" in the Kinesis service authorization reference.
        stream_arn=_text(batch, "streamArn").partition("/consumer/")[0],
        shard_id=_text(batch, "shardId"),
        first=_digits(batch, "startSequenceNumber"),
        last=_digits(batch, "endSequenceNumber"),
        records=_whole(batch, "batchSize"),
        arrived_from=_instant(batch, "approximateArrivalOfFirstRecord"),
        arrived_until=_instant(batch, "approximateArrivalOfLastRecord"),
        failed_at=_time(message, "timestamp"),
        reason=_text(context, "condition"),
        error=function_error if isinstance(function_error, str) else None,
        attempts=attempts,
    )
    if int(pointer.first) > int(pointer.last):
        raise UnknownPointerError("its 'startSequenceNumber' is above its 'endSequenceNumber'")
    return pointer


def consumer_of(resource_arn: str) -> str:
    """The consumer's name, from its function's or pipe's ARN: ``…:stack-FanOutFunction-1A2B`` is fan_out.

    A resource that the template did not name goes by its own name.
    """
    parts = resource_arn.split(":")
    # arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>], arn:aws:pipes:…:pipe/<name>
    name = parts[6] if len(parts) > 6 else parts[-1].rpartition("/")[2]
    logical_ids = _LOGICAL_ID.findall(name)
    return re.sub(r"(?<!^)(?=[A-Z])", "_", logical_ids[-1]).lower() if logical_ids else name


def _object(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = message[name]
    if not isinstance(value, dict):
        raise UnknownPointerError(f"its {name!r} is not an object")
    return value


def _text(part: Mapping[str, Any], name: str) -> str:
    value = part.get(name)
    if not (isinstance(value, str) and value):
        raise UnknownPointerError(f"its {name!r} is not a text")
    return value


def _digits(part: Mapping[str, Any], name: str) -> str:
    value = _text(part, name)
    if not (value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS):
        raise UnknownPointerError(f"its {name!r} is not a text of digits, {_MOST_DIGITS} at most")
    return value


def _whole(part: Mapping[str, Any], name: str) -> int:
    value = part.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnknownPointerError(f"its {name!r} is not a whole number from 0 up")
    return value


def _instant(part: Mapping[str, Any], name: str) -> float:
    return read_timestamp(_time(part, name)).timestamp()


def _time(part: Mapping[str, Any], name: str) -> str:
    text = _text(part, name)
    try:
        read_timestamp(text)
    except ValueError as error:
        raise UnknownPointerError(f"its {name!r} is not a time in ISO 8601: {error}") from error
    return text
