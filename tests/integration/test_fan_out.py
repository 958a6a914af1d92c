"""The fan-out function with its fixture, against Kinesis, SNS, SQS and S3 (moto)."""

import json
from typing import Any

import orjson
import pytest

from headwater import bootstrap
from headwater.change_stream import claim_checks
from tests.fakes.events import EVENT_TYPES
from tests.fakes.table_stream import play, plays, stream_record
from tests.integration.stream_functions import USER, Invoke, fixture, handler, stack

__all__ = ["stack"]


@pytest.fixture
def invoke(stack: None) -> Invoke:
    bootstrap.kinesis().create_stream(StreamName="events", ShardCount=1)
    bootstrap.sns().create_topic(Name="events")
    return handler("fan_out")


def on_kinesis() -> list[tuple[str, dict[str, Any]]]:
    client = bootstrap.kinesis()
    (shard,) = client.list_shards(StreamName="events")["Shards"]
    iterator = client.get_shard_iterator(
        StreamName="events", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = client.get_records(ShardIterator=iterator)["Records"]
    return [(record["PartitionKey"], orjson.loads(record["Data"])) for record in records]


def subscribed(filter_policy: dict[str, list[str]]) -> str:
    """The URL of a new queue behind the topic, with raw delivery and the filter policy."""
    sqs, topic = bootstrap._session().client("sqs"), bootstrap.settings().events_topic
    url: str = sqs.create_queue(QueueName="probe")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    bootstrap.sns().subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps(filter_policy)},
    )
    return url


def received(url: str) -> list[str]:
    sqs = bootstrap._session().client("sqs")
    messages: list[dict[str, Any]] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [message["Body"] for message in messages]


def test_the_fixtures_new_events_reach_stream_and_topic_and_its_expiry_neither(invoke: Invoke) -> None:
    """FAULTS row 19, the fan-out's part."""
    registrations = subscribed({"type": ["UserRegistered"]})

    answer = invoke(fixture("FanOutFunction"))

    assert answer == {"batchItemFailures": []}
    assert [(key, event["type"], event["sequence"]) for key, event in on_kinesis()] == [
        (f"user#{USER}", "UserRegistered", f"{1:020d}"),
        (f"player#{USER}", "PlayCompleted", f"{1:020d}"),
    ]
    (message,) = received(registrations)
    assert orjson.loads(message) == on_kinesis()[0][1]
    # What fans out here is what the next function's fixture gets.
    assert message == fixture("WelcomeEmailFunction")["Records"][0]["body"]


def test_row_13_a_400_kb_item_goes_whole_to_kinesis_and_by_claim_check_to_sns(invoke: Invoke) -> None:
    """FAULTS row 13."""
    queue = subscribed({"aggregate_type": ["player"]})
    event = play(1, 1, game="g" * 390_000)

    answer = invoke({"Records": [stream_record(event, 0)]})

    assert answer == {"batchItemFailures": []}
    assert [body["data"]["game"] for _, body in on_kinesis()] == ["g" * 390_000]
    (message,) = received(queue)
    assert len(message) < 2_000
    assert claim_checks.resolve(message, bootstrap.claim_store(), EVENT_TYPES).event == event


def test_a_batch_keeps_the_order_of_each_aggregate(invoke: Invoke) -> None:
    records = [stream_record(event, position) for position, event in enumerate(plays(1000, players=40))]

    answer = invoke({"Records": records})

    assert answer == {"batchItemFailures": []}
    versions: dict[str, list[int]] = {}
    for key, event in on_kinesis():
        versions.setdefault(key, []).append(int(event["sequence"]))
    assert versions == {f"player#0199-{player}": list(range(1, 26)) for player in range(40)}


def test_row_14_a_topic_that_is_not_there_fails_the_batch_from_its_first_record(invoke: Invoke) -> None:
    """FAULTS row 14: Kinesis accepted, SNS refuses."""
    bootstrap.sns().delete_topic(TopicArn=bootstrap.settings().events_topic)
    event = fixture("FanOutFunction")

    answer = invoke(event)

    first = event["Records"][0]["dynamodb"]["SequenceNumber"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": first}]}
    assert len(on_kinesis()) == 2


def test_row_19_a_changed_event_is_counted_for_an_alarm_and_logged_without_content(
    invoke: Invoke, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """FAULTS row 19, the fan-out's part."""
    answer = invoke({"Records": [stream_record(play(1, 1, game="secret-game"), 0, "MODIFY")]})

    metrics = [orjson.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    (line,) = [vars(record) for record in caplog.records if hasattr(record, "incident")]
    assert answer == {"batchItemFailures": []}
    assert on_kinesis() == []
    assert [(line["function"], line["IllegalChanges"]) for line in metrics if "IllegalChanges" in line] == [
        ("fan_out", [1.0])
    ]
    assert (line["incident"], line["operation"]) == ("IllegalChanges", "MODIFY")
    assert "secret-game" not in str([metrics, line])
