"""One suite against the simulator's DynamoDB and moto's, so that what the simulator proves is not proven of itself.

Where moto does otherwise than AWS documents, its case is skipped with what moto does.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

A = {"S": "a"}
NEW = "attribute_not_exists(pk)"
EVENTS = {"aggregate_id": {"S": "player#1"}}
KIB = 1024


def in_memory() -> "DynamoDBClient":
    return FakeAws().dynamodb


def on_moto() -> "DynamoDBClient":
    client: DynamoDBClient = boto3.client("dynamodb")
    create_tables(client)
    return client


@pytest.fixture(params=[in_memory, on_moto])
def dynamodb(request: pytest.FixtureRequest) -> Iterator["DynamoDBClient"]:
    build: Callable[[], DynamoDBClient] = request.param
    with mock_aws():
        yield build()


def skip_moto(request: pytest.FixtureRequest, what_moto_does: str) -> None:
    if "on_moto" in request.node.name:
        pytest.skip(f"moto {what_moto_does}")


def put(client: "DynamoDBClient", pk: str = "a", table: str = "ledger", **attributes: Any) -> None:
    client.put_item(TableName=table, Item={"pk": {"S": pk}, **attributes})


def get(client: "DynamoDBClient", pk: str = "a", table: str = "ledger") -> dict[str, Any] | None:
    answer: Any = client.get_item(TableName=table, Key={"pk": {"S": pk}}, ConsistentRead=True)
    item: dict[str, Any] | None = answer.get("Item")
    return item


def put_events(client: "DynamoDBClient", *versions: int, **attributes: Any) -> None:
    for version in versions:
        client.put_item(TableName="events", Item={**EVENTS, "version": {"N": str(version)}, **attributes})


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def message(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Message"]


# Items


@pytest.mark.parametrize(
    "value",
    [
        {"S": "Zoë 🏆"},
        {"S": ""},
        {"N": "0"},
        {"N": "-12.5"},
        {"N": "9" * 38},
        {"BOOL": False},
        {"NULL": True},
        {"B": b"\x00\xff"},
        {"B": b""},
        {"M": {"a": {"L": [{"S": "x"}, {"M": {"b": {"B": b"y"}}}]}, "e": {"M": {}}}},
        {"L": []},
    ],
)
def test_a_value_comes_back_as_it_went_in(dynamodb: "DynamoDBClient", value: Any) -> None:
    put(dynamodb, value=value)

    assert get(dynamodb) == {"pk": A, "value": value}


@pytest.mark.parametrize("kind_and_content", [("SS", ["a", "b"]), ("NS", ["1", "2"]), ("BS", [b"a", b"b"])])
def test_sets_come_back_in_some_order(dynamodb: "DynamoDBClient", kind_and_content: tuple[str, list[Any]]) -> None:
    kind, content = kind_and_content
    put(dynamodb, value={kind: content})

    item = get(dynamodb)
    assert item is not None
    assert sorted(item["value"][kind]) == content


@pytest.mark.parametrize(
    ("written", "read"),
    [("007", "7"), ("1.50", "1.5"), ("1E+2", "100"), ("-0", "0"), ("1e-3", "0.001"), ("+4", "4"), ("100", "100")],
)
def test_numbers_are_answered_in_one_spelling(
    request: pytest.FixtureRequest, dynamodb: "DynamoDBClient", written: str, read: str
) -> None:
    skip_moto(request, "answers numbers as they were written")

    put(dynamodb, value={"N": written})

    assert get(dynamodb) == {"pk": A, "value": {"N": read}}


def test_what_is_not_there_is_not_in_the_answer(dynamodb: "DynamoDBClient") -> None:
    assert get(dynamodb, "nobody") is None


def test_a_put_replaces_the_whole_item_and_a_delete_of_nothing_is_no_error(dynamodb: "DynamoDBClient") -> None:
    put(dynamodb, x={"S": "1"})
    put(dynamodb, y={"S": "2"})
    assert get(dynamodb) == {"pk": A, "y": {"S": "2"}}

    for _ in range(2):
        dynamodb.delete_item(TableName="ledger", Key={"pk": A})
    assert get(dynamodb) is None


def test_an_item_is_the_callers_again_once_it_is_written_and_once_it_is_read(dynamodb: "DynamoDBClient") -> None:
    item: dict[str, Any] = {"pk": A, "value": {"M": {"x": {"S": "1"}}}}
    dynamodb.put_item(TableName="ledger", Item=item)
    item["value"]["M"]["x"] = {"S": "changed"}
    read = get(dynamodb)
    assert read is not None
    read["value"]["M"]["x"] = {"S": "changed"}

    assert get(dynamodb) == {"pk": A, "value": {"M": {"x": {"S": "1"}}}}


def test_a_table_that_is_not_there_is_told(dynamodb: "DynamoDBClient") -> None:
    calls: list[Callable[[], object]] = [
        lambda: put(dynamodb, table="nowhere"),
        lambda: get(dynamodb, table="nowhere"),
        lambda: dynamodb.delete_item(TableName="nowhere", Key={"pk": A}),
        lambda: dynamodb.batch_get_item(RequestItems={"nowhere": {"Keys": [{"pk": A}]}}),
        lambda: dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": "nowhere", "Item": {"pk": A}}}]),
        lambda: dynamodb.scan(TableName="nowhere"),
    ]
    for call in calls:
        with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
            call()


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"pk": {"N": "1"}},
        {"pk": {"S": ""}},
        {"pk": A, "value": {"SS": []}},
        {"pk": A, "value": {"S": "x" * 400 * KIB}},
        {"pk": A, "value": {"N": "many"}},
        {"pk": A, "value": {"N": "1" * 39}},
        {"pk": A, "value": {"S": "a", "N": "1"}},
        {"pk": A, "value": {}},
    ],
    ids=["no key", "key of another type", "empty key", "empty set", "400 KB", "no number", "39 digits", "two", "none"],
)
def test_an_item_that_dynamodb_cannot_hold_is_refused(
    request: pytest.FixtureRequest, dynamodb: "DynamoDBClient", item: Any
) -> None:
    if item.get("value") == {} or "N" in item.get("value", {}):
        skip_moto(request, "checks neither numbers nor that a value has one type")

    with pytest.raises(ClientError) as caught:
        dynamodb.put_item(TableName="ledger", Item=item)

    assert code(caught) == "ValidationException"


def test_an_item_of_400_kb_is_taken_its_names_counted(
    request: pytest.FixtureRequest, dynamodb: "DynamoDBClient"
) -> None:
    skip_moto(request, "counts some 30 bytes too many")
    room = 400 * KIB - len("pk" + "a" + "value")

    put(dynamodb, value={"S": "x" * room})
    with pytest.raises(ClientError, match="Item size"):
        put(dynamodb, value={"S": "x" * (room + 1)})


@pytest.mark.parametrize("value", [{"S": 1}, {"N": 1}, {"M": {"a": "b"}}, "a"])
def test_what_boto3_refuses_to_send_is_refused(dynamodb: "DynamoDBClient", value: Any) -> None:
    with pytest.raises(ParamValidationError):
        put(dynamodb, value=value)


@pytest.mark.parametrize("key", [{"pk": A, "x": A}, {"x": A}, {"pk": {"N": "1"}}], ids=["more", "other", "type"])
def test_a_key_that_is_not_the_tables_is_refused(
    request: pytest.FixtureRequest, dynamodb: "DynamoDBClient", key: Any
) -> None:
    if key != {"x": A}:
        skip_moto(request, "takes more than the key in BatchGetItem, and keys of any type")
    calls: list[Callable[[], object]] = [
        lambda: dynamodb.get_item(TableName="ledger", Key=key),
        lambda: dynamodb.delete_item(TableName="ledger", Key=key),
        lambda: dynamodb.batch_get_item(RequestItems={"ledger": {"Keys": [key]}}),
    ]
    for call in calls:
        with pytest.raises(ClientError) as caught:
            call()
        assert code(caught) == "ValidationException"


# Conditions


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        ("attribute_not_exists(pk)", {}, False),
        ("attribute_exists(pk)", {}, True),
        ("attribute_exists(nothing)", {}, False),
        ("revision = :v", {":v": {"N": "7"}}, True),
        ("revision = :v", {":v": {"S": "7"}}, False),
        ("revision < :v", {":v": {"N": "10"}}, True),
        ("revision <= :v", {":v": {"N": "7"}}, True),
        ("revision > :v", {":v": {"N": "7"}}, False),
        ("revision >= :v", {":v": {"N": "7.0"}}, True),
        ("nothing = :v", {":v": {"N": "7"}}, False),
        ("nothing < :v", {":v": {"N": "7"}}, False),
        ("#state = :v", {":v": {"S": "claimed"}}, True),
        ("#state < :v", {":v": {"S": "d"}}, True),
        ("NOT #state = :v", {":v": {"S": "claimed"}}, False),
        ("attribute_exists(pk) AND #state = :v", {":v": {"S": "x"}}, False),
        (
            "attribute_not_exists(pk) OR (#state = :v AND revision <= :w)",
            {":v": {"S": "claimed"}, ":w": {"N": "7"}},
            True,
        ),
        ("attribute_exists(nothing) AND attribute_exists(nothing) OR revision = :v", {":v": {"N": "7"}}, True),
        ("NOT attribute_exists(nothing) AND revision = :v", {":v": {"N": "7"}}, True),
        ("detail = :v", {":v": {"M": {"a": {"L": [{"S": "x"}]}}}}, True),
    ],
)
def test_a_condition_decides_over_the_write(
    dynamodb: "DynamoDBClient", condition: str, values: dict[str, Any], *, holds: bool
) -> None:
    held: dict[str, Any] = {
        "revision": {"N": "7"},
        "state": {"S": "claimed"},
        "detail": {"M": {"a": {"L": [{"S": "x"}]}}},
    }
    put(dynamodb, **held)
    request: dict[str, Any] = {"TableName": "ledger", "Item": {"pk": A}, "ConditionExpression": condition}
    if values:
        request["ExpressionAttributeValues"] = values
    if "#state" in condition:
        request["ExpressionAttributeNames"] = {"#state": "state"}

    if holds:
        dynamodb.put_item(**request)
        assert get(dynamodb) == {"pk": A}
    else:
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as caught:
            dynamodb.put_item(**request)
        assert caught.value.response["Error"]["Message"] == "The conditional request failed"
        assert get(dynamodb) == {"pk": A, **held}


def test_a_lost_condition_tells_the_item_on_demand(dynamodb: "DynamoDBClient") -> None:
    put(dynamodb, x={"S": "1"})
    refused: Any = {"TableName": "ledger", "Item": {"pk": A}, "ConditionExpression": NEW}

    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as caught:
        dynamodb.put_item(**refused, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    response: Any = caught.value.response
    assert response["Item"] == {"pk": A, "x": {"S": "1"}}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400

    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as caught:
        dynamodb.put_item(**refused)
    assert "Item" not in caught.value.response


def test_a_delete_keeps_to_its_condition(dynamodb: "DynamoDBClient") -> None:
    put(dynamodb, token={"S": "mine"})
    request: Any = {
        "TableName": "ledger",
        "Key": {"pk": A},
        "ConditionExpression": "#token = :token",
        "ExpressionAttributeNames": {"#token": "token"},
    }

    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.delete_item(**request, ExpressionAttributeValues={":token": {"S": "theirs"}})
    dynamodb.delete_item(**request, ExpressionAttributeValues={":token": {"S": "mine"}})

    assert get(dynamodb) is None


@pytest.mark.parametrize(
    "expression",
    [
        {"ConditionExpression": ""},
        {"ConditionExpression": "pk ="},
        {"ConditionExpression": "attribute_exists(pk"},
        {"ConditionExpression": "state = :v", "ExpressionAttributeValues": {":v": A}},
        {"ConditionExpression": "pk = :v"},
        {"ConditionExpression": "#n = :v", "ExpressionAttributeValues": {":v": A}},
        {"ConditionExpression": NEW, "ExpressionAttributeValues": {":v": A}},
        {"ConditionExpression": NEW, "ExpressionAttributeNames": {"#n": "x"}},
        {"ExpressionAttributeValues": {":v": A}},
        {"ConditionExpression": "pk = :v", "ExpressionAttributeValues": {}},
    ],
    ids=["empty", "cut short", "open", "reserved", "value", "name", "value unused", "name unused", "alone", "none"],
)
def test_an_expression_that_dynamodb_refuses_is_refused(
    request: pytest.FixtureRequest, dynamodb: "DynamoDBClient", expression: Any
) -> None:
    if request.node.callspec.id.rpartition("-")[2] not in {"reserved", "name unused", "none"}:
        skip_moto(request, "takes it, or fails with a KeyError or a ValueError")
    put(dynamodb)

    with pytest.raises(ClientError) as caught:
        dynamodb.put_item(TableName="ledger", Item={"pk": A}, **expression)

    assert code(caught) == "ValidationException"


@pytest.mark.parametrize(
    "expression", ["contains(x, :v)", "x BETWEEN :v AND :v", "size(x) > :v", "x.y = :v", "x <> :v"]
)
def test_an_expression_that_nobody_here_writes_is_refused_by_name(expression: str) -> None:
    with pytest.raises(NotImplementedError):
        in_memory().put_item(
            TableName="ledger",
            Item={"pk": A},
            ConditionExpression=expression,
            ExpressionAttributeValues={":v": {"S": "x"}},
        )


# Queries and scans


def versions(answer: Any) -> list[int]:
    return [int(item["version"]["N"]) for item in answer["Items"]]


def query(client: "DynamoDBClient", condition: str = "aggregate_id = :id", **request: Any) -> Any:
    values = {":id": EVENTS["aggregate_id"], **request.pop("values", {})}
    return client.query(
        TableName="events", KeyConditionExpression=condition, ExpressionAttributeValues=values, **request
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", [1, 2, 9, 10, 11]),
        (" AND version > :v", [10, 11]),
        (" AND version >= :v", [9, 10, 11]),
        (" AND version = :v", [9]),
        (" AND version < :v", [1, 2]),
        (" AND version <= :v", [1, 2, 9]),
    ],
)
def test_a_query_gives_a_partition_in_the_order_of_its_numbers(
    dynamodb: "DynamoDBClient", condition: str, expected: list[int]
) -> None:
    put_events(dynamodb, 10, 2, 9, 1, 11)
    dynamodb.put_item(TableName="events", Item={"aggregate_id": {"S": "player#2"}, "version": {"N": "3"}})
    values = {":v": {"N": "9"}} if condition else {}

    answer = query(dynamodb, f"aggregate_id = :id{condition}", values=values, ConsistentRead=True)
    assert versions(answer) == expected
    assert answer["Count"] == len(expected)
    assert "LastEvaluatedKey" not in answer
    backwards = query(dynamodb, f"aggregate_id = :id{condition}", values=values, ScanIndexForward=False)
    assert versions(backwards) == expected[::-1]


def test_a_query_stops_at_its_limit_and_goes_on_from_there(dynamodb: "DynamoDBClient") -> None:
    put_events(dynamodb, 1, 2, 3)

    first = query(dynamodb, Limit=2)
    second = query(dynamodb, ExclusiveStartKey=first["LastEvaluatedKey"])
    backwards = query(dynamodb, ScanIndexForward=False, ExclusiveStartKey=first["LastEvaluatedKey"])

    assert (versions(first), versions(second), versions(backwards)) == ([1, 2], [3], [1])
    assert first["LastEvaluatedKey"] == {**EVENTS, "version": {"N": "2"}}
    assert versions(query(dynamodb, Limit=1, ScanIndexForward=False)) == [3]


def test_pages_hold_a_megabyte_and_the_paginator_gives_them_all(dynamodb: "DynamoDBClient") -> None:
    put_events(dynamodb, *range(1, 8), data={"S": "x" * 300 * KIB})

    pages = list(
        dynamodb.get_paginator("query").paginate(
            TableName="events",
            KeyConditionExpression="aggregate_id = :id AND version > :after",
            ExpressionAttributeValues={":id": EVENTS["aggregate_id"], ":after": {"N": "1"}},
        )
    )

    assert [version for page in pages for version in versions(page)] == [2, 3, 4, 5, 6, 7]
    assert len(pages) == 2


def test_a_query_without_a_match_is_empty(dynamodb: "DynamoDBClient") -> None:
    answer = query(dynamodb)

    assert (answer["Items"], answer["Count"], "LastEvaluatedKey" in answer) == ([], 0, False)


@pytest.mark.parametrize(
    "condition", ["version > :id", "aggregate_id > :id", "aggregate_id = :id AND event_id = :id", "aggregate_id = :x"]
)
def test_a_query_must_name_the_partition_key_and_keys_alone(dynamodb: "DynamoDBClient", condition: str) -> None:
    with pytest.raises(ClientError) as caught:
        query(dynamodb, condition)

    assert code(caught) == "ValidationException"


def rankings(client: "DynamoDBClient", ranking: str = "chess", index: str = "Rankings", **request: Any) -> Any:
    return client.query(
        TableName="read_models",
        IndexName=index,
        KeyConditionExpression="ranking = :ranking",
        ExpressionAttributeValues={":ranking": {"S": ranking}},
        **request,
    )


def test_an_index_gives_the_keys_of_one_partition_in_order(dynamodb: "DynamoDBClient") -> None:
    for pk, ranking, ranked_by in [("u1", "chess", "c"), ("u2", "chess", "a"), ("u3", "go", "b"), ("u4", "chess", "b")]:
        put(dynamodb, pk, "read_models", ranking={"S": ranking}, ranked_by={"S": ranked_by}, plays={"N": "1"})
    put(dynamodb, "u5", "read_models", ranking={"S": "chess"})
    put(dynamodb, "u4", "read_models")

    answer = rankings(dynamodb)

    first = {"pk": {"S": "u2"}, "ranking": {"S": "chess"}, "ranked_by": {"S": "a"}}
    assert answer["Items"] == [first, {**first, "pk": {"S": "u1"}, "ranked_by": {"S": "c"}}]
    assert (answer["Count"], "LastEvaluatedKey" in answer) == (2, False)
    assert rankings(dynamodb, Limit=1)["Items"] == [first]
    assert rankings(dynamodb, Limit=1)["LastEvaluatedKey"] == first
    assert rankings(dynamodb, "poker")["Items"] == []


def test_an_index_is_read_backwards(dynamodb: "DynamoDBClient") -> None:
    for pk, ranked_by in [("u1", "c"), ("u2", "a"), ("u3", "b")]:
        put(dynamodb, pk, "read_models", ranking={"S": "chess"}, ranked_by={"S": ranked_by})

    answer = rankings(dynamodb, ScanIndexForward=False, Limit=2)

    assert [item["ranked_by"]["S"] for item in answer["Items"]] == ["c", "b"]


@pytest.mark.parametrize("spare", [0, 1])
def test_a_partition_key_has_2048_bytes_and_a_sort_key_1024(
    dynamodb: "DynamoDBClient", request: pytest.FixtureRequest, spare: int
) -> None:
    skip_moto(request, "measures keys in other ways")
    keys: list[tuple[str, dict[str, Any]]] = [
        ("ledger", {"pk": {"S": "🏆" * 512 + "x" * spare}}),
        ("applications", {"pk": A, "sk": {"S": "🏆" * 256 + "x" * spare}}),
    ]
    for table, item in keys:
        if spare:
            with pytest.raises(ClientError) as caught:
                dynamodb.put_item(TableName=table, Item=item)
            assert code(caught) == "ValidationException"
        else:
            dynamodb.put_item(TableName=table, Item=item)


@pytest.mark.parametrize(
    ("table", "item"),
    [
        ("ledger", {"pk": {"S": ""}}),
        ("applications", {"pk": A, "sk": {"S": ""}}),
        ("events", {"aggregate_id": {"S": ""}, "version": {"N": "1"}}),
        ("events", {"aggregate_id": A, "version": {"S": "1"}}),
        ("events", {"aggregate_id": A}),
    ],
)
def test_a_key_is_there_of_its_type_and_not_empty(dynamodb: "DynamoDBClient", table: str, item: Any) -> None:
    with pytest.raises(ClientError) as caught:
        dynamodb.put_item(TableName=table, Item=item)

    assert code(caught) == "ValidationException"


def test_an_index_must_exist_and_is_never_read_consistently(
    dynamodb: "DynamoDBClient", request: pytest.FixtureRequest
) -> None:
    skip_moto(request, "answers ResourceNotFoundException to the first, and the second as if it were asked for less")
    for index, consistent in (("Nothing", False), ("Rankings", True)):
        with pytest.raises(ClientError) as caught:
            rankings(dynamodb, index=index, ConsistentRead=consistent)
        assert code(caught) == "ValidationException"


def test_an_item_that_its_index_could_not_hold_is_refused(
    dynamodb: "DynamoDBClient", request: pytest.FixtureRequest
) -> None:
    skip_moto(request, "stores it")
    with pytest.raises(ClientError, match="Type mismatch for Index Key ranked_by Expected: S Actual: N") as caught:
        put(dynamodb, "u1", "read_models", ranking={"S": "chess"}, ranked_by={"N": "1"})

    assert code(caught) == "ValidationException"
    assert get(dynamodb, "u1", "read_models") is None


def test_a_scan_gives_every_item_once_over_its_pages(dynamodb: "DynamoDBClient") -> None:
    pks = {f"row-{number}" for number in range(8)}
    for pk in pks:
        put(dynamodb, pk, data={"S": "x" * 300 * KIB}, kind={"S": "row"})

    pages = list(dynamodb.get_paginator("scan").paginate(TableName="ledger", ProjectionExpression="pk, kind"))

    items: list[Any] = [item for page in pages for item in page["Items"]]
    assert len(pages) > 1
    assert len(items) == len(pks)
    assert {item["pk"]["S"] for item in items} == pks
    assert all(item.keys() == {"pk", "kind"} for item in items)


# BatchGetItem


def test_a_batch_gives_what_is_there_in_any_order(dynamodb: "DynamoDBClient") -> None:
    put(dynamodb, "a")
    put(dynamodb, "b")
    put(dynamodb, "a", table="read_models")
    keys: Any = [{"pk": {"S": pk}} for pk in ("a", "b", "nobody")]

    answer = dynamodb.batch_get_item(
        RequestItems={"ledger": {"Keys": keys, "ConsistentRead": True}, "read_models": {"Keys": keys[:1]}}
    )

    assert {item["pk"]["S"] for item in answer["Responses"]["ledger"]} == {"a", "b"}
    assert answer["Responses"]["read_models"] == [{"pk": A}]
    assert answer["UnprocessedKeys"] == {}


@pytest.mark.parametrize("pks", [["a"] * 2, [str(number) for number in range(101)]], ids=["repeated", "101"])
def test_a_batch_has_a_hundred_keys_and_none_twice(dynamodb: "DynamoDBClient", pks: list[str]) -> None:
    """TRAPS: BatchGetItem takes 100 keys, and refuses duplicates."""
    with pytest.raises(ClientError) as caught:
        dynamodb.batch_get_item(RequestItems={"ledger": {"Keys": [{"pk": {"S": pk}} for pk in pks]}})

    assert code(caught) == "ValidationException"


def test_a_batch_of_more_than_16_mb_leaves_keys_unprocessed(dynamodb: "DynamoDBClient") -> None:
    pks = {str(number) for number in range(50)}
    for pk in pks:
        put(dynamodb, pk, data={"S": "x" * 390 * KIB})

    left: Any = {"ledger": {"Keys": [{"pk": {"S": pk}} for pk in sorted(pks)], "ConsistentRead": True}}
    read: list[str] = []
    rounds = 0
    while left:
        answer = dynamodb.batch_get_item(RequestItems=left)
        read += [item["pk"]["S"] for item in answer["Responses"]["ledger"]]
        left = answer["UnprocessedKeys"]
        rounds += 1

    assert rounds == 2
    assert sorted(read) == sorted(pks)


# Transactions


def transact(client: "DynamoDBClient", *items: Any, **request: Any) -> None:
    client.transact_write_items(TransactItems=items, **request)


def put_new(pk: str, table: str = "ledger", **expression: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"pk": {"S": pk}}, "ConditionExpression": NEW, **expression}}


def test_a_transaction_writes_all(dynamodb: "DynamoDBClient") -> None:
    put(dynamodb, "gone")

    transact(
        dynamodb,
        put_new("a"),
        put_new("b", "read_models"),
        {
            "Delete": {
                "TableName": "ledger",
                "Key": {"pk": {"S": "gone"}},
                "ConditionExpression": "attribute_exists(pk)",
            }
        },
        {"ConditionCheck": {"TableName": "ledger", "Key": {"pk": {"S": "never"}}, "ConditionExpression": NEW}},
    )

    assert get(dynamodb, "a")
    assert get(dynamodb, "b", "read_models")
    assert get(dynamodb, "gone") is None
    assert get(dynamodb, "never") is None


def test_a_transaction_that_loses_a_condition_writes_nothing_and_says_which(dynamodb: "DynamoDBClient") -> None:
    put(dynamodb, "taken", x={"S": "1"})

    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as caught:
        transact(
            dynamodb,
            put_new("a"),
            put_new("taken", ReturnValuesOnConditionCheckFailure="ALL_OLD"),
            put_new("b"),
            put_new("taken", "read_models"),
        )

    response: Any = caught.value.response
    reasons = response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed", "None", "None"]
    assert reasons[1]["Message"] == "The conditional request failed"
    assert reasons[1]["Item"] == {"pk": {"S": "taken"}, "x": {"S": "1"}}
    assert "[None, ConditionalCheckFailed, None, None]" in response["Error"]["Message"]
    assert get(dynamodb, "a") is None


def test_a_transaction_has_a_hundred_items(dynamodb: "DynamoDBClient") -> None:
    """TRAPS: TransactWriteItems takes 100 items."""
    transact(dynamodb, *(put_new(str(number)) for number in range(100)))
    with pytest.raises(ClientError) as caught:
        transact(dynamodb, *(put_new(f"more-{number}") for number in range(101)))

    assert code(caught) == "ValidationException"
    assert get(dynamodb, "more-1") is None


def test_a_transaction_has_at_least_one_item(dynamodb: "DynamoDBClient") -> None:
    with pytest.raises(ParamValidationError):
        transact(dynamodb)


def test_a_transaction_holds_each_item_once(dynamodb: "DynamoDBClient") -> None:
    with pytest.raises(ClientError) as caught:
        transact(dynamodb, put_new("a"), {"Delete": {"TableName": "ledger", "Key": {"pk": A}}})

    assert code(caught) == "ValidationException"
    assert "multiple operations on one item" in message(caught)


def test_a_transaction_holds_four_megabytes(request: pytest.FixtureRequest, dynamodb: "DynamoDBClient") -> None:
    skip_moto(request, "takes any size")
    items = [
        {"Put": {"TableName": "ledger", "Item": {"pk": {"S": str(number)}, "data": {"S": "x" * 390 * KIB}}}}
        for number in range(11)
    ]

    with pytest.raises(ClientError):
        transact(dynamodb, *items)

    assert get(dynamodb, "0") is None


def test_a_transaction_sent_again_under_its_token_is_done_once(
    request: pytest.FixtureRequest, dynamodb: "DynamoDBClient"
) -> None:
    skip_moto(request, "keeps no tokens")
    transact(dynamodb, put_new("a"), ClientRequestToken="token")

    transact(dynamodb, put_new("a"), ClientRequestToken="token")
    with pytest.raises(dynamodb.exceptions.IdempotentParameterMismatchException):
        transact(dynamodb, put_new("b"), ClientRequestToken="token")
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        transact(dynamodb, put_new("a"), ClientRequestToken="another")


def test_an_item_that_dynamodb_cannot_hold_cancels_the_transaction(dynamodb: "DynamoDBClient") -> None:
    with pytest.raises(ClientError):
        transact(dynamodb, put_new("a"), {"Put": {"TableName": "ledger", "Item": {"pk": {"S": ""}}}})

    assert get(dynamodb, "a") is None


def read_at_once(client: "DynamoDBClient", *pks: str, table: str = "ledger") -> list[Any]:
    gets: Any = [{"Get": {"TableName": table, "Key": {"pk": {"S": pk}}}} for pk in pks]
    return list(client.transact_get_items(TransactItems=gets)["Responses"])


def test_a_transaction_reads_what_is_there_in_the_order_asked_for(dynamodb: "DynamoDBClient") -> None:
    put(dynamodb, "a", x={"S": "1"})
    put(dynamodb, "b")

    assert read_at_once(dynamodb, "b", "nobody", "a") == [
        {"Item": {"pk": {"S": "b"}}},
        {},
        {"Item": {"pk": A, "x": {"S": "1"}}},
    ]


def test_a_transaction_reads_a_hundred_items(request: pytest.FixtureRequest, dynamodb: "DynamoDBClient") -> None:
    skip_moto(request, "reads 25 items, as before 2022")
    assert read_at_once(dynamodb, *map(str, range(100))) == [{}] * 100
    with pytest.raises(ClientError) as caught:
        read_at_once(dynamodb, *map(str, range(101)))
    assert code(caught) == "ValidationException"
    with pytest.raises(ParamValidationError):
        read_at_once(dynamodb)


def test_a_transaction_reads_each_item_once(request: pytest.FixtureRequest, dynamodb: "DynamoDBClient") -> None:
    skip_moto(request, "reads an item as often as it is asked")

    with pytest.raises(ClientError) as caught:
        read_at_once(dynamodb, "a", "a")

    assert code(caught) == "ValidationException"


def test_a_transaction_reads_by_whole_keys_of_tables_that_exist(dynamodb: "DynamoDBClient") -> None:
    for table, error in (("events", "ValidationException"), ("nowhere", "ResourceNotFoundException")):
        with pytest.raises(ClientError) as caught:
            read_at_once(dynamodb, "a", table=table)
        assert code(caught) == error
