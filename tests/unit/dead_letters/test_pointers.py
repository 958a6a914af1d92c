"""The messages of failed batches, in the shapes that AWS documents."""

import json
from typing import Any

import pytest

from headwater.dead_letters.pointers import Pointer, UnknownPointerError, consumer_of, parse
from tests.fakes.pointers import EVENTS_STREAM, SHARD, TABLE_STREAM, from_lambda, from_pipe, function_arn

#: "Retaining discarded batch records", AWS Lambda Developer Guide, for DynamoDB and for Kinesis, as printed there.
DOCUMENTED = {
    "dynamodb": """{
    "requestContext": {
        "requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
        "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1
    },
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "version": "1.0",
    "timestamp": "2019-11-14T00:13:49.717Z",
    "DDBStreamBatchInfo": {
        "shardId": "shardId-00000001573689847184-864758bb",
        "startSequenceNumber": "800000000003126276362",
        "endSequenceNumber": "800000000003126276362",
        "approximateArrivalOfFirstRecord": "2019-11-14T00:13:19Z",
        "approximateArrivalOfLastRecord": "2019-11-14T00:13:19Z",
        "batchSize": 1,
        "streamArn": "arn:aws:dynamodb:us-east-2:123456789012:table/mytable/stream/2019-11-14T00:04:06.388"
    }
}""",
    "kinesis": """{
    "requestContext": {
        "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
        "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1
    },
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "version": "1.0",
    "timestamp": "2019-11-14T00:38:06.021Z",
    "KinesisBatchInfo": {
        "shardId": "shardId-000000000001",
        "startSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
        "endSequenceNumber": "49601189658422359378836298522902373528957594348623495186",
        "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
        "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
        "batchSize": 500,
        "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream"
    }
}""",
}


def test_row_25_the_documented_message_for_a_table_is_read() -> None:
    """FAULTS row 25."""
    assert parse(DOCUMENTED["dynamodb"]) == Pointer(
        kind="dynamodb",
        consumer="myfunction",
        resource_arn="arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        stream_arn="arn:aws:dynamodb:us-east-2:123456789012:table/mytable/stream/2019-11-14T00:04:06.388",
        shard_id=SHARD,
        first="800000000003126276362",
        last="800000000003126276362",
        records=1,
        arrived_from=1573690399.0,
        arrived_until=1573690399.0,
        failed_at="2019-11-14T00:13:49.717Z",
        reason="RetryAttemptsExhausted",
        error="Unhandled",
        attempts=1,
    )


def test_row_25_the_documented_message_for_kinesis_is_read() -> None:
    """FAULTS row 25."""
    pointer = parse(DOCUMENTED["kinesis"])

    assert (pointer.kind, pointer.shard_id, pointer.records) == ("kinesis", "shardId-000000000001", 500)
    assert pointer.last == "49601189658422359378836298522902373528957594348623495186"
    assert (pointer.arrived_from, pointer.arrived_until) == (1573691884.835, 1573691885.58)


@pytest.mark.parametrize("kind", ["dynamodb", "kinesis"])
def test_row_25_a_pipes_message_has_a_context_of_its_own_and_knows_no_attempts(kind: Any) -> None:
    """FAULTS row 25."""
    pointer = parse(json.dumps(from_pipe(kind, "7", "9", records=3)))

    assert (pointer.kind, pointer.consumer, pointer.first, pointer.last) == (kind, "tracker", "7", "9")
    assert (pointer.reason, pointer.attempts, pointer.error) == ("RetryAttemptsExhausted", None, None)
    assert pointer.stream_arn == (TABLE_STREAM if kind == "dynamodb" else EVENTS_STREAM)


def test_of_an_enhanced_fan_out_consumer_the_stream_is_read() -> None:
    message = from_lambda("kinesis", "7", "9", stream_arn=f"{EVENTS_STREAM}/consumer/badges:1772366400")

    assert parse(json.dumps(message)).stream_arn == EVENTS_STREAM


def test_a_batch_that_aged_before_it_was_ever_tried_has_no_response() -> None:
    message = from_lambda("kinesis", "7", "9") | {"responseContext": None}
    message["requestContext"] |= {"condition": "RecordAgeExceeded", "approximateInvokeCount": 0}

    pointer = parse(json.dumps(message))

    assert (pointer.reason, pointer.attempts, pointer.error) == ("RecordAgeExceeded", 0, None)


@pytest.mark.parametrize(
    ("arn", "consumer"),
    [
        (function_arn("PlayerProfilesFunction"), "player_profiles"),
        (function_arn("FanOutFunction") + ":live", "fan_out"),
        ("arn:aws:lambda:us-east-1:000000000000:function:local-BadgesFunction", "badges"),
        ("arn:aws:lambda:us-east-1:000000000000:function:My-Function-BadgesFunction-1A", "badges"),
        ("arn:aws:lambda:us-east-1:000000000000:function:somebody-elses", "somebody-elses"),
        ("arn:aws:pipes:us-east-1:000000000000:pipe/headwater-TrackerPipe-1A", "tracker"),
        ("arn:aws:pipes:us-east-1:000000000000:pipe/orders", "orders"),
    ],
)
def test_a_consumer_is_called_as_its_resource_in_the_template(arn: str, consumer: str) -> None:
    assert consumer_of(arn) == consumer


def broken(**changes: Any) -> str:
    """A Kinesis message with fields of its batch changed; None takes one away."""
    message = from_lambda("kinesis", "7", "9")
    batch = message["KinesisBatchInfo"] | changes
    message["KinesisBatchInfo"] = {name: value for name, value in batch.items() if value is not None}
    return json.dumps(message)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "exactly one of DDBStreamBatchInfo and KinesisBatchInfo"),
        (json.dumps(from_lambda("kinesis", "7", "9") | from_lambda("dynamodb", "7", "9")), "exactly one of"),
        (
            json.dumps(from_lambda("kinesis", "7", "9") | {"KinesisBatchInfo": []}),
            "'KinesisBatchInfo' is not an object",
        ),
        (
            json.dumps({k: v for k, v in from_lambda("kinesis", "7", "9").items() if k != "requestContext"}),
            "neither 'requestContext'",
        ),
        (json.dumps(from_lambda("kinesis", "7", "9") | {"requestContext": {}}), "'functionArn' is not a text"),
        (json.dumps(from_lambda("kinesis", "7", "9") | {"timestamp": 1}), "'timestamp' is not a text"),
        (broken(shardId=None), "'shardId' is not a text"),
        (broken(startSequenceNumber="seven"), "'startSequenceNumber' is not a text of digits"),
        (broken(startSequenceNumber=7), "'startSequenceNumber' is not a text"),
        (broken(endSequenceNumber="6"), "above its 'endSequenceNumber'"),
        (broken(endSequenceNumber="9" * 130), "'endSequenceNumber' is not a text of digits, 129 at most"),
        (broken(batchSize=True), "'batchSize' is not a whole number"),
        (broken(batchSize=-1), "'batchSize' is not a whole number"),
        (broken(approximateArrivalOfFirstRecord="yesterday"), "'approximateArrivalOfFirstRecord' is not a time"),
        (broken(approximateArrivalOfLastRecord="2026-03-01T12:00:00"), "has no zone"),
        (json.dumps(from_lambda("kinesis", "7", "9") | {"timestamp": "yesterday"}), "'timestamp' is not a time"),
        (json.dumps(from_lambda("kinesis", "7", "9") | {"timestamp": "2026-03-01T12:00:30.717"}), "has no zone"),
        (json.dumps(from_lambda("kinesis", "7", "9") | {"timestamp": "0001-01-01T00:00:00+14:00"}), "calendar"),
        (broken(streamArn=""), "'streamArn' is not a text"),
    ],
)
def test_row_25_another_shape_is_refused_with_the_field_named(body: str, complaint: str) -> None:
    """FAULTS row 25."""
    with pytest.raises(UnknownPointerError, match=complaint):
        parse(body)
