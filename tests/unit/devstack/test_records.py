"""Records as Lambda's events show them."""

import json

import orjson

from devstack.mappings.records import dynamodb_record, event_payload, kinesis_record, queue_message

STREAM_ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"


def test_a_dynamodb_record_has_the_documented_shape() -> None:
    change = {
        "ApproximateCreationDateTime": 1_700_000_000,
        "Keys": {"sk": {"N": "1"}, "pk": {"S": "a"}},
        "NewImage": {"pk": {"S": "a"}, "sk": {"N": "1"}, "blob": {"B": "AAE="}, "set": {"NS": ["1", "2"]}},
        "SequenceNumber": "1",
        "SizeBytes": 0,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    record = dynamodb_record({"eventID": "e", "eventName": "INSERT", "awsRegion": "r", "dynamodb": change}, STREAM_ARN)
    assert json.loads(record.body) == {
        "eventID": "e",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "r",
        "dynamodb": change,
        "eventSourceARN": STREAM_ARN,
    }
    assert (record.sequence_number, record.arrived_at, record.size) == ("1", 1_700_000_000.0, len(record.body))
    assert json.loads(record.lane_key) == {"pk": {"S": "a"}, "sk": {"N": "1"}}, "the full primary key"


def test_an_expiry_by_ttl_says_who_did_it() -> None:
    raw = {
        "eventID": "e",
        "eventName": "REMOVE",
        "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
        "dynamodb": {"ApproximateCreationDateTime": 1, "Keys": {}, "SequenceNumber": "1"},
    }
    shown = json.loads(dynamodb_record(raw, STREAM_ARN).body)
    assert shown["userIdentity"] == {"principalId": "dynamodb.amazonaws.com", "type": "Service"}


def test_a_kinesis_record_has_the_documented_shape() -> None:
    raw = {"SequenceNumber": "7", "ApproximateArrivalTimestamp": 1.5, "Data": "aGk=", "PartitionKey": "k"}
    record = kinesis_record(raw, "arn:stream", "shardId-000000000000")
    shown = json.loads(record.body)
    assert shown.pop("invokeIdentityArn").startswith("arn:aws:iam::")
    assert shown == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "k",
            "sequenceNumber": "7",
            "data": "aGk=",
            "approximateArrivalTimestamp": 1.5,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": "shardId-000000000000:7",
        "eventName": "aws:kinesis:record",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:stream",
    }
    assert (record.lane_key, record.arrived_at) == ("k", 1.5)


def test_a_queue_message_has_the_documented_shape() -> None:
    raw = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": "hi",
        "MD5OfBody": "md5",
        "Attributes": {"ApproximateReceiveCount": "1"},
        "MessageAttributes": {
            "kind": {"DataType": "String", "StringValue": "mail"},
            "blob": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        },
    }
    message = queue_message(raw, "arn:queue")
    assert json.loads(message.body) == {
        "messageId": "m",
        "receiptHandle": "r",
        "body": "hi",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            "kind": {"stringListValues": [], "binaryListValues": [], "dataType": "String", "stringValue": "mail"},
            "blob": {"stringListValues": [], "binaryListValues": [], "dataType": "Binary", "binaryValue": "AAE="},
        },
        "md5OfBody": "md5",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:queue",
        "awsRegion": "us-east-1",
    }


def test_the_sizes_of_records_add_up_to_the_event() -> None:
    bodies = [orjson.dumps({"n": number}) for number in range(3)]
    payload = event_payload(bodies)
    assert json.loads(payload) == {"Records": [{"n": 0}, {"n": 1}, {"n": 2}]}
    assert len(payload) == len(b'{"Records":[]}') + sum(len(body) + 1 for body in bodies) - 1
