"""One suite against the simulator's streams and moto's: a table's change stream, and Kinesis.

Where moto does otherwise than AWS documents, its case is skipped with what moto does.
"""

import base64
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from devstack.mappings.records import dynamodb_record, kinesis_record
from headwater.change_stream import dynamodb as change_stream
from headwater.change_stream.records import Operation
from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kinesis import KinesisClient

MIB = 1024 * 1024
ITEM = {"aggregate_id": {"S": "player#1"}, "version": {"N": "1"}}

type Change = tuple[str, dict[str, Any] | None, dict[str, Any] | None]


def skip_moto(request: pytest.FixtureRequest, what_moto_does: str) -> None:
    if "on_moto" in request.node.name:
        pytest.skip(f"moto {what_moto_does}")


# A table's change stream


@dataclass(frozen=True)
class StreamedTable:
    """A table ``events`` with new and old images, and what its stream holds: operation, new image, old image."""

    client: "DynamoDBClient"
    changes: Callable[[], list[Change]]


def in_memory() -> StreamedTable:
    aws = FakeAws()

    def changes() -> list[Change]:
        (shard,) = aws.cloud.log("events").shards
        views = [(record.body["eventName"], record.body["dynamodb"]) for record in shard.records]
        return [(name, view.get("NewImage"), view.get("OldImage")) for name, view in views]

    return StreamedTable(aws.dynamodb, changes)


def on_moto() -> StreamedTable:
    client: DynamoDBClient = boto3.client("dynamodb")
    arn = client.create_table(
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
    streams = boto3.client("dynamodbstreams")

    def changes() -> list[Change]:
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records: list[Any] = streams.get_records(ShardIterator=iterator)["Records"]
        # moto answers an empty image where the service answers none.
        return [
            (
                record["eventName"],
                record["dynamodb"].get("NewImage") or None,
                record["dynamodb"].get("OldImage") or None,
            )
            for record in records
        ]

    return StreamedTable(client, changes)


@pytest.fixture(params=[in_memory, on_moto])
def table(request: pytest.FixtureRequest) -> Iterator[StreamedTable]:
    build: Callable[[], StreamedTable] = request.param
    with mock_aws():
        yield build()


def put(table: StreamedTable, **attributes: Any) -> None:
    table.client.put_item(TableName="events", Item={**ITEM, **attributes})


def delete(table: StreamedTable) -> None:
    table.client.delete_item(TableName="events", Key=ITEM)


def test_each_change_of_an_item_is_a_record_with_both_images(table: StreamedTable) -> None:
    put(table, data={"S": "one"})
    put(table, data={"S": "two"})
    delete(table)

    one, two = {**ITEM, "data": {"S": "one"}}, {**ITEM, "data": {"S": "two"}}
    assert table.changes() == [("INSERT", one, None), ("MODIFY", two, one), ("REMOVE", None, two)]


def test_a_write_that_changes_nothing_leaves_no_record(request: pytest.FixtureRequest, table: StreamedTable) -> None:
    skip_moto(request, "records it")

    put(table, data={"N": "1"}, more={"S": "x"})
    put(table, more={"S": "x"}, data={"N": "1.0"})

    assert len(table.changes()) == 1


def test_a_refused_write_and_a_delete_of_nothing_leave_no_record(table: StreamedTable) -> None:
    delete(table)
    with pytest.raises(table.client.exceptions.ConditionalCheckFailedException):
        table.client.put_item(TableName="events", Item=ITEM, ConditionExpression="attribute_exists(version)")
    with pytest.raises(table.client.exceptions.TransactionCanceledException):
        table.client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "events", "Item": ITEM}},
                {
                    "ConditionCheck": {
                        "TableName": "events",
                        "Key": {"aggregate_id": {"S": "player#2"}, "version": {"N": "1"}},
                        "ConditionExpression": "attribute_exists(version)",
                    }
                },
            ]
        )

    assert table.changes() == []


def test_a_transactions_items_are_records_in_no_order() -> None:
    """FAULTS row 5: the versions of an aggregate that one transaction wrote may arrive in any order."""
    orders = set()
    for seed in range(20):
        aws = FakeAws(seed=seed)
        aws.dynamodb.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "events", "Item": {**ITEM, "version": {"N": str(version)}}}}
                for version in (1, 2, 3)
            ]
        )
        records = aws.cloud.log("events").shards[0].records
        assert sorted(records, key=lambda record: int(record.sequence_number)) == records
        orders.add(tuple(record.body["dynamodb"]["Keys"]["version"]["N"] for record in records))

    assert orders == set(itertools.permutations("123"))


def test_a_record_has_the_shape_that_lambda_delivers() -> None:
    aws = FakeAws()
    aws.dynamodb.put_item(TableName="events", Item={**ITEM, "raw": {"B": b"\x00"}, "many": {"BS": [b"b", b"a"]}})

    (record,) = aws.cloud.log("events").shards[0].records

    parsed = change_stream.parse(record.body)
    assert parsed.new_image == {**ITEM, "raw": {"B": "AA=="}, "many": {"BS": ["YQ==", "Yg=="]}}
    # As the local stack makes it of what GetRecords answers.
    shown = dynamodb_record(record.body, record.body["eventSourceARN"])
    assert (shown.sequence_number, shown.lane_key) == (record.sequence_number, record.lane_key)
    assert (record.arrived_at, parsed.captured_at) == (1_772_366_400.25, 1_772_366_400)
    assert record.size == pytest.approx(shown.size, rel=0.05)


def test_what_expires_is_removed_by_the_service() -> None:
    """FAULTS row 19."""
    aws = FakeAws()
    for version, expires_at in ((1, 1_772_366_399), (2, 1_772_366_401)):
        item = {**ITEM, "version": {"N": str(version)}, "expires_at": {"N": str(expires_at)}}
        aws.dynamodb.put_item(TableName="events", Item=item)
    aws.dynamodb.put_item(TableName="events", Item={**ITEM, "version": {"N": "3"}})

    assert aws.cloud.expire("events") == 1

    record = change_stream.parse(aws.cloud.log("events").shards[0].records[-1].body)
    assert (record.operation, record.keys["version"]) == (Operation.EXPIRE, {"N": "1"})
    assert len(list(aws.cloud.items("events"))) == 2


@pytest.mark.parametrize(
    ("expires_at", "expires"),
    [
        ({"N": "1772366399.5"}, True),
        ({"N": "1772366400.5"}, False),
        # Five years and more ago: taken for a mistake ("Time to live (TTL)", Developer Guide).
        ({"N": "1"}, False),
        ({"N": "-1"}, False),
        ({"N": "9.9E+125"}, False),
        ({"S": "1772366399"}, False),
        ({"NULL": True}, False),
    ],
)
def test_only_a_number_of_the_last_five_years_expires(expires_at: Any, expires: bool) -> None:
    aws = FakeAws()
    aws.dynamodb.put_item(TableName="events", Item={**ITEM, "expires_at": expires_at})

    assert aws.cloud.expire("events") == expires


def test_an_item_stays_in_its_shard_and_the_children_of_a_split_take_over() -> None:
    aws = FakeAws()
    log = aws.cloud.log("events")
    players = [f"player#{number}" for number in range(40)]

    def write(version: int) -> None:
        for player in players:
            item = {"aggregate_id": {"S": player}, "version": {"N": str(version)}}
            aws.dynamodb.put_item(TableName="events", Item=item)

    write(1)
    parent = log.shards[0]
    left, right = log.split(parent.id)
    write(2)

    assert parent.closed
    assert {left.parent, right.parent} == {parent.id}
    assert len(parent.records) == len(players) == len(left.records) + len(right.records)
    assert min(len(left.records), len(right.records)) > 0
    assert (left.first_hash, left.last_hash + 1, right.last_hash) == (0, right.first_hash, 2**128 - 1)
    assert int(left.records[0].sequence_number) > int(parent.records[-1].sequence_number)
    with pytest.raises(ValueError, match="closed"):
        log.split(parent.id)


def test_a_trimmed_shard_keeps_its_indexes() -> None:
    aws = FakeAws()
    shard = aws.cloud.log("events").shards[0]
    for version in range(1, 6):
        aws.dynamodb.put_item(TableName="events", Item={**ITEM, "version": {"N": str(version)}})

    shard.trim(3)
    shard.trim(2)

    assert (shard.first_index, shard.end, len(shard.records)) == (3, 5, 2)
    assert [record.body["dynamodb"]["Keys"]["version"]["N"] for record in shard.read(3, 10)] == ["4", "5"]
    with pytest.raises(LookupError):
        shard.read(2, 10)


# Kinesis


def kinesis_in_memory() -> "KinesisClient":
    aws = FakeAws()
    aws.cloud.create_stream("two", shards=2)
    return aws.kinesis


def kinesis_on_moto() -> "KinesisClient":
    client: KinesisClient = boto3.client("kinesis")
    client.create_stream(StreamName="two", ShardCount=2)
    return client


@pytest.fixture(params=[kinesis_in_memory, kinesis_on_moto], ids=["in_memory", "on_moto"])
def kinesis(request: pytest.FixtureRequest) -> Iterator["KinesisClient"]:
    build: Callable[[], KinesisClient] = request.param
    with mock_aws():
        yield build()


def records_by_shard(client: "KinesisClient") -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for shard in client.list_shards(StreamName="two")["Shards"]:
        iterator = client.get_shard_iterator(
            StreamName="two", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found[shard["ShardId"]] = list(client.get_records(ShardIterator=iterator)["Records"])
    return found


def entry(key: str = "k", data: bytes = b"x") -> Any:
    return {"PartitionKey": key, "Data": data}


def test_records_go_by_the_md5_of_their_key_and_stay_in_order(kinesis: "KinesisClient") -> None:
    entries = [entry(f"player#{number % 7}", str(number).encode()) for number in range(50)]

    answer = kinesis.put_records(StreamName="two", Records=entries)

    assert answer["FailedRecordCount"] == 0
    assert all("ErrorCode" not in result for result in answer["Records"])
    stored = records_by_shard(kinesis)
    # Shards of player#0 … player#6 by the halves of the key space that their MD5 falls into.
    assert [result["ShardId"][-1] for result in answer["Records"][:7]] == list("0011100")
    for shard_id, records in stored.items():
        sent = [
            (sent["PartitionKey"], sent["Data"], result["SequenceNumber"])
            for sent, result in zip(entries, answer["Records"], strict=True)
            if result["ShardId"] == shard_id
        ]
        assert [(record["PartitionKey"], record["Data"], record["SequenceNumber"]) for record in records] == sent


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([entry()] * 501, "ValidationException"),
        ([entry(data=b"x" * (MIB + 1))], "ValidationException"),
        ([entry(data=b"x" * (MIB - 1))] * 11, "InvalidArgumentException"),
    ],
    ids=["501 records", "a record above 1 MiB", "more than 10 MiB"],
)
def test_put_records_keeps_to_its_limits(kinesis: "KinesisClient", entries: Any, expected: str) -> None:
    """FAULTS row 10."""
    with pytest.raises(ClientError) as caught:
        kinesis.put_records(StreamName="two", Records=entries)

    assert caught.value.response["Error"]["Code"] == expected
    assert not any(records_by_shard(kinesis).values())


def test_a_key_has_256_characters_at_the_most(request: pytest.FixtureRequest, kinesis: "KinesisClient") -> None:
    skip_moto(request, "answers InvalidArgumentException")

    kinesis.put_records(StreamName="two", Records=[entry("ü" * 256)])
    with pytest.raises(kinesis.exceptions.ValidationException):
        kinesis.put_records(StreamName="two", Records=[entry("k" * 257)])


@pytest.mark.parametrize("entries", [[], [entry("")]], ids=["no record", "no key"])
def test_what_boto3_does_not_send_is_refused(kinesis: "KinesisClient", entries: Any) -> None:
    with pytest.raises(ParamValidationError):
        kinesis.put_records(StreamName="two", Records=entries)


def test_a_stream_or_a_shard_that_is_not_there_is_told(kinesis: "KinesisClient") -> None:
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        kinesis.put_records(StreamName="nowhere", Records=[entry()])
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException):
        kinesis.get_shard_iterator(StreamName="two", ShardId="shardId-000000000009", ShardIteratorType="TRIM_HORIZON")


def test_a_reader_goes_on_where_it_stopped(kinesis: "KinesisClient") -> None:
    kinesis.put_records(StreamName="two", Records=[entry(data=str(number).encode()) for number in range(5)])
    shard_id = next(shard_id for shard_id, records in records_by_shard(kinesis).items() if records)
    iterator = kinesis.get_shard_iterator(StreamName="two", ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")
    latest = kinesis.get_shard_iterator(StreamName="two", ShardId=shard_id, ShardIteratorType="LATEST")

    first = kinesis.get_records(ShardIterator=iterator["ShardIterator"], Limit=3)
    kinesis.put_records(StreamName="two", Records=[entry(data=b"late")])
    second = kinesis.get_records(ShardIterator=first["NextShardIterator"])

    assert [record["Data"] for page in (first, second) for record in page["Records"]] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
        b"late",
    ]
    late = kinesis.get_records(ShardIterator=latest["ShardIterator"])["Records"]
    assert [record["Data"] for record in late] == [b"late"]


def test_a_split_shard_is_closed_and_its_halves_take_its_keys(
    request: pytest.FixtureRequest, kinesis: "KinesisClient"
) -> None:
    """FAULTS row 6."""
    skip_moto(request, "goes on writing to the parent")
    kinesis.put_records(StreamName="two", Records=[entry(f"player#{number}") for number in range(20)])
    parent = kinesis.list_shards(StreamName="two")["Shards"][0]
    first, last = (int(parent["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))

    kinesis.split_shard(
        StreamName="two", ShardToSplit=parent["ShardId"], NewStartingHashKey=str((first + last) // 2 + 1)
    )
    answer = kinesis.put_records(StreamName="two", Records=[entry(f"player#{number}") for number in range(20)])

    shards = kinesis.list_shards(StreamName="two")["Shards"]
    children = [shard for shard in shards if shard.get("ParentShardId") == parent["ShardId"]]
    ranges = sorted(
        (int(child["HashKeyRange"]["StartingHashKey"]), int(child["HashKeyRange"]["EndingHashKey"]))
        for child in children
    )
    assert [ranges[0][0], ranges[0][1] + 1, ranges[1][1]] == [first, ranges[1][0], last]
    taking = {result["ShardId"] for result in answer["Records"]}
    assert parent["ShardId"] not in taking
    assert taking == {shard["ShardId"] for shard in shards} - {parent["ShardId"]}
    iterator = kinesis.get_shard_iterator(
        StreamName="two", ShardId=parent["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    page = kinesis.get_records(ShardIterator=iterator)
    assert page["Records"]
    assert "NextShardIterator" not in page


def test_a_kinesis_record_has_the_shape_that_lambda_delivers() -> None:
    aws = FakeAws()
    aws.kinesis.put_records(StreamName="events-stream", Records=[entry("player#1", b"\x00data")])

    (record,) = aws.cloud.log("events-stream").shards[0].records

    answered = {
        "SequenceNumber": record.sequence_number,
        "PartitionKey": "player#1",
        "Data": base64.b64encode(b"\x00data").decode(),
        "ApproximateArrivalTimestamp": record.arrived_at,
    }
    shard_id = record.body["eventID"].partition(":")[0]
    shown = kinesis_record(answered, record.body["eventSourceARN"], shard_id)
    assert record.body.keys() == {
        "kinesis",
        "eventSource",
        "eventVersion",
        "eventID",
        "eventName",
        "invokeIdentityArn",
        "awsRegion",
        "eventSourceARN",
    }
    assert record.size == pytest.approx(shown.size, abs=20)
