"""One suite for reading failed batches from shards, over the simulator's streams and moto's."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError

from headwater.change_stream import dynamodb, kinesis
from headwater.change_stream.source_kinds import StreamKind
from headwater.dead_letters.pointers import Pointer, parse
from headwater.dead_letters.shards import DynamoDbStream, KinesisStream, RecordsGoneError, Shards, StreamShards
from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws
from tests.fakes.pointers import from_lambda

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient


@dataclass(frozen=True)
class Stream:
    """A stream with one shard. ``write`` adds records 1 to so many; ``numbers`` are their sequence numbers."""

    kind: StreamKind
    shards: Shards
    arn: str
    shard_id: str
    write: Callable[[int], None]
    numbers: Callable[[], list[str]]

    def pointer(self, first: str, last: str, *, shard_id: str | None = None) -> Pointer:
        message = from_lambda(self.kind, first, last, shard_id=shard_id or self.shard_id, stream_arn=self.arn)
        return parse(json.dumps(message))

    def read(self, pointer: Pointer) -> list[dict[str, Any]]:
        return [raw for page in self.shards.records(pointer) for raw in page]


def _item(version: int) -> dict[str, Any]:
    data = {"M": {"b": {"B": b"\x00\xff"}, "l": {"L": [{"BS": [b"a"]}, {"N": "1.5"}]}}}
    return {"aggregate_id": {"S": "player#1"}, "version": {"N": str(version)}, "data": data}


def table_in_memory() -> Stream:
    aws = FakeAws()
    log = aws.cloud.log("events")

    def write(count: int) -> None:
        for version in range(1, count + 1):
            aws.dynamodb.put_item(TableName="events", Item=_item(version))

    client = cast("DynamoDBStreamsClient", aws.cloud.dynamodbstreams)
    shards = StreamShards(DynamoDbStream(client), sleep=lambda _: None, patience=2)
    numbers = lambda: [record.sequence_number for record in log.shards[0].records]  # noqa: E731
    return Stream("dynamodb", shards, log.arn, log.shards[0].id, write, numbers)


def table_on_moto() -> Stream:
    tables = boto3.client("dynamodb")
    arn = tables.create_table(
        TableName="events",
        KeySchema=[
            {"AttributeName": "aggregate_id", "KeyType": "HASH"},
            {"AttributeName": "version", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "aggregate_id", "AttributeType": "S"},
            {"AttributeName": "version", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    client = boto3.client("dynamodbstreams")
    shard_id = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]

    def write(count: int) -> None:
        for version in range(1, count + 1):
            tables.put_item(TableName="events", Item=_item(version))

    def numbers() -> list[str]:
        iterator = client.get_shard_iterator(StreamArn=arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")
        records = client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
        return [record["dynamodb"]["SequenceNumber"] for record in records]

    shards = StreamShards(DynamoDbStream(client), sleep=lambda _: None, patience=2)
    return Stream("dynamodb", shards, arn, shard_id, write, numbers)


def kinesis_in_memory() -> Stream:
    return _kinesis(FakeAws().kinesis, "events-stream")


def kinesis_on_moto() -> Stream:
    client = boto3.client("kinesis")
    client.create_stream(StreamName="events", ShardCount=1)
    return _kinesis(client, "events")


def _kinesis(client: Any, name: str) -> Stream:
    (shard,) = client.list_shards(StreamName=name)["Shards"]
    arn = f"arn:aws:kinesis:eu-west-1:123456789012:stream/{name}"

    def write(count: int) -> None:
        entries = [{"PartitionKey": "player#1", "Data": str(number).encode()} for number in range(1, count + 1)]
        client.put_records(StreamName=name, Records=entries)

    def numbers() -> list[str]:
        iterator = client.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        records = client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
        return [record["SequenceNumber"] for record in records]

    shards = StreamShards(KinesisStream(client), sleep=lambda _: None, patience=2)
    return Stream("kinesis", shards, arn, shard["ShardId"], write, numbers)


@pytest.fixture(params=[table_in_memory, table_on_moto, kinesis_in_memory, kinesis_on_moto])
def stream(request: pytest.FixtureRequest) -> Iterator[Stream]:
    build: Callable[[], Stream] = request.param
    with mock_aws():
        yield build()


def test_a_range_is_read_as_lambda_delivers_it(stream: Stream) -> None:
    stream.write(6)
    numbers = stream.numbers()

    records = stream.read(stream.pointer(numbers[1], numbers[4]))

    if stream.kind == "kinesis":
        assert [(kinesis.sequence_number(raw), kinesis.body(raw)) for raw in records] == [
            (numbers[position], str(position + 1).encode()) for position in range(1, 5)
        ]
        assert {kinesis.partition_key(raw) for raw in records} == {"player#1"}
        return
    changes = [dynamodb.parse(raw) for raw in records]
    assert [(change.sequence_number, change.keys["version"]["N"]) for change in changes] == [
        (numbers[position], str(position + 1)) for position in range(1, 5)
    ]
    # Binary as Lambda's JSON has it.
    assert changes[0].new_image is not None
    assert changes[0].new_image["data"] == {"M": {"b": {"B": "AP8="}, "l": {"L": [{"BS": ["YQ=="]}, {"N": "1.5"}]}}}


def test_what_is_read_is_json(stream: Stream) -> None:
    stream.write(1)
    (number,) = stream.numbers()

    (raw,) = stream.read(stream.pointer(number, number))

    assert json.loads(json.dumps(raw)) == raw
    assert raw["eventSource"] == f"aws:{stream.kind}"
    assert raw["eventSourceARN"] == stream.arn


def test_row_22_a_shard_that_is_not_there_is_told(stream: Stream, request: pytest.FixtureRequest) -> None:
    """FAULTS row 22."""
    if "table_on_moto" in request.node.name:
        pytest.skip("moto fails with an error of its own")
    stream.write(1)
    (number,) = stream.numbers()
    gone = "shardId-00000001111111111111-0000000a" if stream.kind == "dynamodb" else "shardId-000000000099"

    with pytest.raises(RecordsGoneError):
        stream.read(stream.pointer(number, number, shard_id=gone))


def test_row_22_an_end_that_never_comes_is_told(stream: Stream) -> None:
    """FAULTS row 22."""
    stream.write(2)
    numbers = stream.numbers()

    with pytest.raises(RecordsGoneError):
        stream.read(stream.pointer(numbers[0], str(int(numbers[1]) + 1000)))


# The simulator's streams forget, as the services do. moto's never do.


def test_row_22_a_trimmed_table_stream_says_so() -> None:
    """FAULTS row 22."""
    aws = FakeAws()
    for version in range(1, 5):
        aws.dynamodb.put_item(TableName="events", Item=_item(version))
    (shard,) = aws.cloud.log("events").shards
    numbers = [record.sequence_number for record in shard.records]
    client = cast("DynamoDBStreamsClient", aws.cloud.dynamodbstreams)
    arn = aws.cloud.log("events").arn
    at = {"StreamArn": arn, "ShardId": shard.id, "ShardIteratorType": "AT_SEQUENCE_NUMBER"}
    stale = client.get_shard_iterator(**at, SequenceNumber=numbers[0])["ShardIterator"]  # type: ignore[arg-type]
    shard.trim(2)

    for call in (
        lambda: client.get_shard_iterator(**at, SequenceNumber=numbers[0]),  # type: ignore[arg-type]
        lambda: client.get_records(ShardIterator=stale),
    ):
        with pytest.raises(client.exceptions.TrimmedDataAccessException):
            call()
    left = client.get_shard_iterator(**at, SequenceNumber=numbers[2])["ShardIterator"]  # type: ignore[arg-type]
    records = client.get_records(ShardIterator=left)["Records"]
    assert [record["dynamodb"]["SequenceNumber"] for record in records] == numbers[2:]


def test_row_22_a_trimmed_kinesis_shard_goes_on_with_its_oldest_record() -> None:
    """FAULTS row 22."""
    aws = FakeAws()
    stream = _kinesis(aws.kinesis, "events-stream")
    stream.write(4)
    numbers = stream.numbers()
    aws.cloud.log("events-stream").shards[0].trim(2)

    with pytest.raises(RecordsGoneError, match="begins after"):
        stream.read(stream.pointer(numbers[0], numbers[3]))
    assert len(stream.read(stream.pointer(numbers[2], numbers[3]))) == 2


def test_a_number_that_a_shard_never_had_is_refused() -> None:
    aws = FakeAws()
    client = cast("DynamoDBStreamsClient", aws.cloud.dynamodbstreams)
    log = aws.cloud.log("events")

    with pytest.raises(ClientError, match="ValidationException"):
        client.get_shard_iterator(
            StreamArn=log.arn,
            ShardId=log.shards[0].id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber="1",
        )


@pytest.mark.parametrize("build", [kinesis_in_memory, kinesis_on_moto])
def test_a_shards_hash_keys_are_told_and_those_of_an_unknown_one_are_not(build: Callable[[], Stream]) -> None:
    with mock_aws():
        stream = build()
        service = cast(Any, stream.shards)._service

        assert service.hash_keys(stream.arn, stream.shard_id) == range(2**128)
        assert service.hash_keys(stream.arn, "shardId-000000000099") is None
        assert service.hash_keys(stream.arn + "-gone", stream.shard_id) is None


@pytest.mark.parametrize(
    ("code", "gone"), [("ResourceNotFoundException", True), ("InvalidArgumentException", True), ("Throttling", False)]
)
def test_hash_keys_are_unknown_where_the_stream_says_so_and_not_where_it_is_busy(code: str, gone: bool) -> None:
    class Client:
        def list_shards(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListShards")

    service = KinesisStream(cast(Any, Client()))

    if gone:
        assert service.hash_keys("arn", "shard") is None
    else:
        with pytest.raises(ClientError):
            service.hash_keys("arn", "shard")
