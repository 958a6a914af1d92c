"""One suite against the destinations in memory, the simulator's and moto's, so that no fake can rot.

What no moto does (records and entries that fail inside a successful answer) is tested on the fakes in tests/unit.
"""

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import boto3
import orjson
import pytest
from botocore.exceptions import ClientError

from headwater.change_stream.claim_checks import S3ClaimStore, resolve
from headwater.fan_out.kinesis import KinesisPublisher
from headwater.fan_out.sns import SnsPublisher
from headwater.limits import KIB, MIB, KinesisLimits
from tests.fakes.cloud import FakeAws
from tests.fakes.events import EVENT_TYPES
from tests.fakes.kinesis_records import outgoing
from tests.fakes.moto import mock_aws
from tests.fakes.publishers import AT_ONCE, FakeKinesis, FakeSns
from tests.fakes.table_stream import play, plays

#: What moto still enforces; AWS takes twice as much.
KINESIS_LIMITS = KinesisLimits(request_bytes=5 * MIB)


@dataclass(frozen=True)
class Kinesis:
    """A publisher, and what its stream then holds: (partition key, data) in order."""

    publisher: KinesisPublisher
    records: Callable[[], list[tuple[str, bytes]]]
    put_too_many: Callable[[], object]


@dataclass(frozen=True)
class Sns:
    """A publisher, and what a queue behind its topic then holds: (message, its attributes)."""

    publisher: SnsPublisher
    messages: Callable[[], list[tuple[str, dict[str, str]]]]
    publish_too_many: Callable[[], object]


def claim_store() -> S3ClaimStore:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return S3ClaimStore(s3, "archive")


def fake_kinesis() -> Kinesis:
    fake = FakeKinesis(KINESIS_LIMITS)
    return Kinesis(
        KinesisPublisher(fake.client, "events", claim_store(), limits=KINESIS_LIMITS, retry=AT_ONCE),
        lambda: fake.records,
        lambda: fake.client.put_records(StreamName="events", Records=[{"Data": b"", "PartitionKey": "k"}] * 501),
    )


def simulated_kinesis() -> Kinesis:
    aws = FakeAws()

    def records() -> list[tuple[str, bytes]]:
        bodies = [record.body["kinesis"] for record in aws.cloud.log("events-stream").shards[0].records]
        return [(body["partitionKey"], base64.b64decode(body["data"])) for body in bodies]

    return Kinesis(
        KinesisPublisher(aws.kinesis, "events-stream", claim_store(), limits=KINESIS_LIMITS, retry=AT_ONCE),
        records,
        lambda: aws.kinesis.put_records(StreamName="events-stream", Records=[{"Data": b"", "PartitionKey": "k"}] * 501),
    )


def moto_kinesis() -> Kinesis:
    client = boto3.client("kinesis")
    client.create_stream(StreamName="events", ShardCount=1)

    def records() -> list[tuple[str, bytes]]:
        (shard,) = client.list_shards(StreamName="events")["Shards"]
        iterator = client.get_shard_iterator(
            StreamName="events", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        page = client.get_records(ShardIterator=iterator)["Records"]
        return [(record["PartitionKey"], record["Data"]) for record in page]

    return Kinesis(
        KinesisPublisher(client, "events", claim_store(), limits=KINESIS_LIMITS, retry=AT_ONCE),
        records,
        lambda: client.put_records(StreamName="events", Records=[{"Data": b"", "PartitionKey": "k"}] * 501),
    )


def fake_sns() -> Sns:
    fake = FakeSns()
    return Sns(
        SnsPublisher(fake.client, "topic", claim_store(), retry=AT_ONCE),
        lambda: fake.messages,
        lambda: fake.client.publish_batch(
            TopicArn="topic", PublishBatchRequestEntries=[{"Id": str(at), "Message": "m"} for at in range(11)]
        ),
    )


def simulated_sns() -> Sns:
    aws = FakeAws()

    def messages() -> list[tuple[str, dict[str, str]]]:
        return [
            (message.body, {name: item["StringValue"] for name, item in message.attributes.items()})
            for message in aws.cloud.queue("probe").messages.values()
        ]

    return Sns(
        SnsPublisher(aws.sns, aws.topic, claim_store(), retry=AT_ONCE, executor=ThreadPoolExecutor(1)),
        messages,
        lambda: aws.sns.publish_batch(
            TopicArn=aws.topic, PublishBatchRequestEntries=[{"Id": str(at), "Message": "m"} for at in range(11)]
        ),
    )


def moto_sns() -> Sns:
    client, sqs = boto3.client("sns"), boto3.client("sqs")
    topic = client.create_topic(Name="events")["TopicArn"]
    queue = sqs.create_queue(QueueName="probe")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})

    def messages() -> list[tuple[str, dict[str, str]]]:
        received: list[tuple[str, dict[str, str]]] = []
        while page := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
            "Messages"
        ):
            for message in page:
                attributes = {name: item["StringValue"] for name, item in message["MessageAttributes"].items()}
                received.append((message["Body"], attributes))
        return received

    return Sns(
        SnsPublisher(client, topic, claim_store(), retry=AT_ONCE),
        messages,
        lambda: client.publish_batch(
            TopicArn=topic, PublishBatchRequestEntries=[{"Id": str(at), "Message": "m"} for at in range(11)]
        ),
    )


@pytest.fixture(params=[fake_kinesis, simulated_kinesis, moto_kinesis])
def kinesis(request: pytest.FixtureRequest) -> Iterator[Kinesis]:
    build: Callable[[], Kinesis] = request.param
    with mock_aws():
        yield build()


@pytest.fixture(params=[fake_sns, simulated_sns, moto_sns])
def sns(request: pytest.FixtureRequest) -> Iterator[Sns]:
    build: Callable[[], Sns] = request.param
    with mock_aws():
        yield build()


def test_row_10_501_records_arrive_once_and_in_order_per_aggregate(kinesis: Kinesis) -> None:
    """FAULTS row 10."""
    events = [outgoing(event) for event in plays(501, players=5)]

    assert kinesis.publisher.publish(events) == {}

    stored = sorted(kinesis.records(), key=lambda record: record[0])
    sent = sorted(((event.aggregate_id, event.body) for event in events), key=lambda record: record[0])
    assert stored == sent


def test_row_10_more_than_a_requests_bytes_arrive(kinesis: Kinesis) -> None:
    """FAULTS row 10. Sixteen events of 390 KB make more than five MiB."""
    events = [outgoing(play(0, version, game="g" * 390_000)) for version in range(1, 17)]

    assert kinesis.publisher.publish(events) == {}

    assert [orjson.loads(data)["sequence"] for _, data in kinesis.records()] == [f"{at:020d}" for at in range(1, 17)]


def test_kinesis_refuses_more_than_the_limit_of_records(kinesis: Kinesis) -> None:
    with pytest.raises(ClientError):
        kinesis.put_too_many()


def test_events_arrive_behind_the_topic_with_their_attributes(sns: Sns) -> None:
    events = [outgoing(event) for event in plays(25, players=5)]
    umlauts = outgoing(play(9, 1, game='Grüße, "Ada" & Günther = 100 % +\n\U0001f600'))

    assert sns.publisher.publish([*events, umlauts]) == {}

    received = sns.messages()
    assert sorted(message for message, _ in received) == sorted(event.body.decode() for event in [*events, umlauts])
    assert all(attributes == {"type": "PlayCompleted", "aggregate_type": "player"} for _, attributes in received)


def test_rows_12_and_13_large_events_arrive_split_by_bytes_or_by_claim_check(sns: Sns) -> None:
    """FAULTS rows 12 and 13: each can be read back whole."""
    sizes = [1 * KIB, 100 * KIB, 100 * KIB, 100 * KIB, 390 * KIB]
    events = [play(0, version, game="g" * size) for version, size in enumerate(sizes, start=1)]

    assert sns.publisher.publish([outgoing(event) for event in events]) == {}

    received = [
        resolve(message, S3ClaimStore(boto3.client("s3"), "archive"), EVENT_TYPES).event
        for message, _ in sns.messages()
    ]
    assert sorted(received, key=lambda event: event.version) == events


def test_sns_refuses_more_than_the_limit_of_entries(sns: Sns) -> None:
    with pytest.raises(ClientError):
        sns.publish_too_many()
