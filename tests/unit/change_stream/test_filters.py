"""FilterCriteria, operator by operator. The examples are of the kind that the guides' tables show."""

import base64
import json
from typing import Any

import pytest

from headwater.change_stream.filters import Dialect, FilterCriteria, FilterError
from headwater.change_stream.source_kinds import SourceKind


def criteria(*patterns: Any, source: SourceKind = "sqs", dialect: Dialect = "lambda") -> FilterCriteria:
    texts = [pattern if isinstance(pattern, str) else json.dumps(pattern) for pattern in patterns]
    parsed = FilterCriteria.parse({"Filters": [{"Pattern": text} for text in texts]}, source, dialect)
    assert parsed is not None
    return parsed


def message(body: Any) -> dict[str, Any]:
    return {"messageId": "m1", "body": body if isinstance(body, str) else json.dumps(body)}


def kinesis_record(data: bytes) -> dict[str, Any]:
    inner = {"partitionKey": "1", "data": base64.b64encode(data).decode(), "approximateArrivalTimestamp": 1545084650.9}
    return {"kinesis": inner, "eventName": "aws:kinesis:record", "eventSource": "aws:kinesis"}


def change(**image: Any) -> dict[str, Any]:
    return {"eventName": "INSERT", "dynamodb": {"Keys": {"Id": {"N": "101"}}, "NewImage": image}}


# ---- the summary of comparison operators ("Control which events Lambda sends to your function")

OPERATORS = [
    # null and empty
    ({"UserID": [None]}, {"UserID": None}, True),
    ({"UserID": [None]}, {"UserID": "x"}, False),
    ({"UserID": [None]}, {}, False),
    ({"LastName": [""]}, {"LastName": ""}, True),
    ({"LastName": [""]}, {"LastName": None}, False),
    # equals: character by character, numbers by their text
    ({"Name": ["Alice"]}, {"Name": "Alice"}, True),
    ({"Name": ["Alice"]}, {"Name": "alice"}, False),
    ({"Done": [True]}, {"Done": True}, True),
    ({"Done": [True]}, {"Done": "true"}, False),
    ({"Done": [True]}, {"Done": 1}, False),
    ('{"Price": [300]}', '{"Price": 300}', True),
    ('{"Price": [300]}', '{"Price": 300.0}', False),
    ('{"Price": [3.0e2]}', '{"Price": 300}', False),
    ('{"Price": [300]}', '{"Price": "300"}', False),
    ({"Name": [{"equals-ignore-case": "alice"}]}, {"Name": "ALICE"}, True),
    ({"Name": [{"equals-ignore-case": "alice"}]}, {"Name": "Alic"}, False),
    ({"Name": [{"equals-ignore-case": "7"}]}, {"Name": 7}, False),
    # and, or
    ({"Location": ["New York"], "Day": ["Monday"]}, {"Location": "New York", "Day": "Monday"}, True),
    ({"Location": ["New York"], "Day": ["Monday"]}, {"Location": "New York", "Day": "Friday"}, False),
    ({"PaymentType": ["Credit", "Debit"]}, {"PaymentType": "Debit"}, True),
    ({"PaymentType": ["Credit", "Debit"]}, {"PaymentType": "Cash"}, False),
    ({"$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]}, {"Day": "Monday"}, True),
    ({"$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]}, {"Day": "Friday", "Location": "Bern"}, False),
    ({"Open": [True], "$or": [{"A": [1]}, {"B": [1]}]}, {"Open": True, "B": 1}, True),
    ({"Open": [True], "$or": [{"A": [1]}, {"B": [1]}]}, {"Open": False, "B": 1}, False),
    # not
    ({"Weather": [{"anything-but": ["Raining"]}]}, {"Weather": "Sunny"}, True),
    ({"Weather": [{"anything-but": ["Raining", "Snowing"]}]}, {"Weather": "Snowing"}, False),
    ({"Weather": [{"anything-but": "Raining"}]}, {"Weather": "Raining"}, False),
    ({"Weather": [{"anything-but": ["Raining"]}]}, {"Weather": None}, True),
    ({"Weather": [{"anything-but": ["Raining"]}]}, {}, False),
    ({"Level": [{"anything-but": [1, 2]}]}, {"Level": 2}, False),
    ({"Level": [{"anything-but": [1, 2]}]}, {"Level": 3}, True),
    # numeric
    ({"Price": [{"numeric": ["=", 100]}]}, '{"Price": 100.0}', True),
    ({"Price": [{"numeric": ["=", 100]}]}, {"Price": "100"}, False),
    ({"Price": [{"numeric": [">", 10, "<=", 20]}]}, {"Price": 20}, True),
    ({"Price": [{"numeric": [">", 10, "<=", 20]}]}, {"Price": 10}, False),
    ({"Price": [{"numeric": [">", 10, "<=", 20]}]}, {"Price": 20.5}, False),
    ({"Price": [{"numeric": [">=", -1.5]}]}, {"Price": -1.5}, True),
    ({"Price": [{"numeric": ["<", 0]}]}, {"Price": 0}, False),
    ({"Price": [{"numeric": ["<", 0]}]}, {"Price": True}, False),
    ({"Price": [{"numeric": [">", 1]}]}, {"Price": 6_000_000_000}, False),
    # exists: leaves only
    ({"ProductName": [{"exists": True}]}, {"ProductName": "x"}, True),
    ({"ProductName": [{"exists": True}]}, {"ProductName": None}, True),
    ({"ProductName": [{"exists": True}]}, {}, False),
    ({"ProductName": [{"exists": False}]}, {}, True),
    ({"ProductName": [{"exists": False}]}, {"ProductName": ""}, False),
    ({"person": {"address": [{"exists": True}]}}, {"person": {"address": {"city": "Anytown"}}}, False),
    ({"person": {"address": {"city": [{"exists": True}]}}}, {"person": {"address": {"city": "Anytown"}}}, True),
    ({"person": {"name": [{"exists": False}]}}, {"place": 1}, True),
    # begins and ends with
    ({"Region": [{"prefix": "us-"}]}, {"Region": "us-east-1"}, True),
    ({"Region": [{"prefix": "us-"}]}, {"Region": "eu-us-1"}, False),
    ({"FileName": [{"suffix": ".png"}]}, {"FileName": "a.png"}, True),
    ({"FileName": [{"suffix": ".png"}]}, {"FileName": "a.PNG"}, False),
    # several rules of one field are ORed; a list in the record fits by one of its elements
    ({"x": [{"prefix": "a"}, {"exists": False}, 7]}, {"x": 7}, True),
    ({"x": [{"prefix": "a"}, {"exists": False}, 7]}, {}, True),
    ({"x": [{"prefix": "a"}, {"exists": False}, 7]}, {"x": "b"}, False),
    ({"tags": ["red"]}, {"tags": ["blue", "red"]}, True),
    ({"tags": ["red"]}, {"tags": []}, False),
    ({"rows": {"id": [1], "ok": [True]}}, {"rows": [{"id": 1, "ok": False}, {"id": 1, "ok": True}]}, True),
    ({"rows": {"id": [1], "ok": [True]}}, {"rows": [{"id": 1, "ok": False}, {"id": 2, "ok": True}]}, False),
]


@pytest.mark.parametrize("dialect", ["lambda", "pipes"])
@pytest.mark.parametrize(("pattern", "body", "fits"), OPERATORS)
def test_the_documented_operators_match_as_documented(pattern: Any, body: Any, fits: bool, dialect: Dialect) -> None:
    text = pattern if isinstance(pattern, str) else json.dumps(pattern)
    found = criteria(f'{{"body": {text}}}', dialect=dialect).accepts(message(body))
    assert found is fits


@pytest.mark.parametrize(("text", "fits"), [("eventb-x", True), ("EVENTB", True), ("event", False)])
def test_pipes_know_prefix_and_suffix_that_ignore_case(text: str, fits: bool) -> None:
    pattern = {"body": {"service": [{"prefix": {"equals-ignore-case": "EventB"}}]}}
    assert criteria(pattern, dialect="pipes").accepts(message({"service": text})) is fits
    ends = {"body": {"service": [{"suffix": {"equals-ignore-case": "BTNEVE"}}]}}
    assert criteria(ends, dialect="pipes").accepts(message({"service": "x-btneve"}))


def test_filters_are_ored() -> None:
    """ "Your filters are logically ORed together"."""
    either = criteria({"body": {"a": [1]}}, {"body": {"b": [1]}})
    assert either.accepts(message({"b": 1}))
    assert not either.accepts(message({"a": 2, "b": 2}))


@pytest.mark.parametrize("nothing", [None, {}, {"Filters": []}])
def test_no_criteria_filter_nothing(nothing: object) -> None:
    assert FilterCriteria.parse(nothing, "sqs") is None


# ---- sources


def test_a_table_change_is_matched_by_its_attribute_values() -> None:
    pattern = {"dynamodb": {"Keys": {"Id": {"N": ["101"]}}, "NewImage": {"Message": {"S": [{"prefix": "New"}]}}}}
    filters = criteria(pattern, source="dynamodb")
    assert filters.accepts(change(Message={"S": "New item!"}))
    assert not filters.accepts(change(Message={"S": "Old item!"}))


def test_exists_reaches_into_a_dynamodb_list() -> None:
    """The guide's example of how to use exists with a list attribute."""
    organizations = {"L": [{"S": "Sales"}, {"S": "Marketing"}]}
    leaf = {"dynamodb": {"NewImage": {"Organizations": {"L": {"S": [{"exists": True}]}}}}}
    assert criteria(leaf, source="dynamodb").accepts(change(Organizations=organizations))
    above = {"dynamodb": {"NewImage": {"Organizations": [{"exists": True}]}}}
    assert not criteria(above, source="dynamodb").accepts(change(Organizations=organizations))


def test_a_key_that_is_there_twice_means_and() -> None:
    """The guide's example names dynamodb twice, once for each image."""
    text = '{"dynamodb": {"NewImage": {"A": {"S": ["x"]}}}, "dynamodb": {"OldImage": {"A": {"S": ["y"]}}}}'
    both = criteria(text, source="dynamodb")
    record = {"dynamodb": {"NewImage": {"A": {"S": "x"}}, "OldImage": {"A": {"S": "y"}}}}
    assert both.accepts(record)
    assert not both.accepts(change(A={"S": "x"}))


def test_metadata_can_be_filtered_alone_or_with_data() -> None:
    """ "Your filter pattern can include metadata properties, data properties, or both"."""
    filters = criteria({"eventName": ["INSERT"]}, source="dynamodb")
    assert filters.accepts(change())
    assert not filters.accepts({**change(), "eventName": "REMOVE"})


def test_kinesis_data_is_decoded_and_its_metadata_lies_beside_it() -> None:
    filters = criteria({"partitionKey": ["1"], "data": {"order": {"type": ["buy"]}}}, source="kinesis")
    assert filters.accepts(kinesis_record(b'{"order": {"type": "buy"}}'))
    assert not filters.accepts(kinesis_record(b'{"order": {"type": "sell"}}'))
    assert not criteria({"partitionKey": ["2"]}, source="kinesis").accepts(kinesis_record(b"{}"))


@pytest.mark.parametrize("data", [b"plain text", b"\xff\xfe", b"", b"NaN", b'"buy"', b"17"])
@pytest.mark.parametrize(("pattern", "fits"), [({"data": {"x": ["y"]}}, False), ({"partitionKey": ["1"]}, True)])
def test_kinesis_data_that_is_no_json_is_dropped_by_a_data_pattern_alone(
    data: bytes, pattern: dict[str, Any], fits: bool
) -> None:
    """ "Non-JSON, valid JSON: Lambda drops the record"; without a data pattern the metadata decide."""
    assert criteria(pattern, source="kinesis").accepts(kinesis_record(data)) is fits


@pytest.mark.parametrize(
    ("body", "pattern", "fits"),
    [
        ("Result: 7", {"body": [{"prefix": "Result: "}]}, True),
        ("Failure: 7", {"body": [{"prefix": "Result: "}]}, False),
        ("Result: 7", {"body": {"a": [1]}}, False),
        ('{"a": 1}', {"body": [{"prefix": "{"}]}, False),
        ('{"a": 1}', {"body": {"a": [1]}}, True),
        ("Result: 7", {"messageId": ["m1"]}, True),
        ('{"a": 1}', {"messageId": ["m1"]}, True),
        ("17", {"body": ["17"]}, True),
    ],
)
def test_the_format_of_a_queue_body_must_be_that_of_its_pattern(body: str, pattern: dict[str, Any], fits: bool) -> None:
    """The guide's table of incoming body format and filter pattern body format."""
    assert criteria(pattern).accepts(message(body)) is fits


def test_records_are_taken_as_json_too() -> None:
    filters = criteria({"body": {"a": [1]}})
    assert filters.accepts(json.dumps(message({"a": 1})).encode())
    assert not filters.accepts(json.dumps(message({"a": 2})))


# ---- what is refused, by name


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"wildcard": "*.png"}, "filter 1: body.x: Lambda's event filtering knows no operator wildcard"),
        ({"cidr": "10.0.0.0/8"}, "knows no operator cidr"),
        ({"equals": "a"}, "knows no operator equals"),
        ({"anything-but": {"prefix": "a"}}, "body.x: anything-but: Lambda's event filtering knows no prefix in it"),
        ({"prefix": {"equals-ignore-case": "a"}}, "prefix: Lambda's event filtering knows no equals-ignore-case in it"),
        ({"prefix": 7}, "prefix takes a string, not"),
        ({"suffix": None}, "suffix takes a string, not null"),
        ({"equals-ignore-case": ["a"]}, "equals-ignore-case takes a string"),
        ({"exists": "true"}, "exists takes true or false"),
        ({"anything-but": []}, "anything-but takes only strings or only numbers"),
        ({"anything-but": ["a", 1]}, "anything-but takes only strings or only numbers"),
        ({"anything-but": [None]}, "anything-but takes only strings or only numbers"),
        ({"anything-but": [["a"]]}, "anything-but takes only strings or only numbers"),
        ({"numeric": [">"]}, "numeric takes a list such as"),
        ({"numeric": 7}, "numeric takes a list such as"),
        ({"numeric": ["!=", 1]}, 'numeric knows no comparison "!="'),
        ({"numeric": [">", "1"]}, "numeric compares with numbers from -5.0e9 to 5.0e9"),
        ({"numeric": [">", 6e9]}, "numeric compares with numbers from -5.0e9 to 5.0e9"),
        ({"numeric": ["<", 1, ">", 0]}, "a range is a lower bound"),
        ({"numeric": [">", 2, "<", 1]}, "no number is between 2 and 1"),
        ({"prefix": "a", "suffix": "b"}, "a rule holds one operator, not prefix, suffix"),
        ({}, "a rule holds one operator, not none"),
        (["a"], "a list in a list is no rule"),
    ],
)
def test_a_rule_that_lambda_does_not_document_is_refused_by_name(rule: object, complaint: str) -> None:
    with pytest.raises(FilterError) as refused:
        criteria({"body": {"x": [rule]}})
    assert complaint in str(refused.value)


@pytest.mark.parametrize("inner", ["prefix", "suffix", "equals-ignore-case", "wildcard"])
def test_pipes_know_neither_wildcard_nor_nested_anything_but(inner: str) -> None:
    with pytest.raises(FilterError, match=f"EventBridge Pipes knows no {inner} in it"):
        criteria({"body": {"x": [{"anything-but": {inner: "a"}}]}}, dialect="pipes")
    with pytest.raises(FilterError, match="EventBridge Pipes knows no operator wildcard"):
        criteria({"body": {"x": [{"wildcard": "a*"}]}}, dialect="pipes")


@pytest.mark.parametrize(
    ("pattern", "source", "complaint"),
    [
        ("{", "sqs", "filter 1: Pattern is not JSON"),
        ('{"body": {"x": [NaN]}}', "sqs", "Pattern is not JSON: NaN is not JSON"),
        ("[1]", "sqs", "Pattern must be a JSON object"),
        ({}, "sqs", "an empty object matches nothing"),
        ({"body": {"x": {}}}, "sqs", "filter 1: body.x: an empty object matches nothing"),
        ({"body": {"x": []}}, "sqs", "filter 1: body.x: an empty list matches nothing"),
        ({"body": {"x": "INSERT"}}, "sqs", 'filter 1: body.x must be a list of rules or an object, not "INSERT"'),
        ('{"body": {"x": [1], "x": [2]}}', "sqs", "x is there twice"),
        ({"body": {"$or": [{"a": [1]}]}}, "sqs", "body.$or must be a list of at least two objects"),
        ({"body": {"$or": {"a": [1]}}}, "sqs", "body.$or must be a list of at least two objects"),
        ({"data": {"x": [1]}}, "sqs", "a record of this source has no field data; it has body, "),
        ({"kinesis": {"data": {"x": [1]}}}, "kinesis", "a record of this source has no field kinesis; it has data, "),
        ({"$or": [{"body": {"x": [1]}}, {"nope": [1]}]}, "sqs", "has no field nope"),
        ({"data": [{"prefix": "x"}]}, "kinesis", "data must be an object of patterns"),
        ({"dynamodb": ["x"]}, "dynamodb", "dynamodb must be an object of patterns"),
        (
            {"dynamodb": {"NewImage": {"Age": {"N": [{"numeric": [">", 5]}]}}}},
            "dynamodb",
            "numeric: DynamoDB's records hold numbers as strings, which it never matches",
        ),
    ],
)
def test_a_pattern_that_could_not_match_as_meant_is_refused_by_name(
    pattern: Any, source: SourceKind, complaint: str
) -> None:
    with pytest.raises(FilterError) as refused:
        criteria(pattern, source=source)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([], "FilterCriteria must hold Filters and nothing else"),
        ({"Filter": []}, "FilterCriteria must hold Filters and nothing else"),
        ({"Filters": "x"}, "Filters must be a list"),
        ({"Filters": [{"Pattern": {"body": ["x"]}}]}, "filter 1: Pattern must be a string of JSON, not dict"),
        ({"Filters": [{"pattern": "{}"}]}, "filter 1 must hold a Pattern and nothing else"),
        ({"Filters": [{"Pattern": '{"messageId": ["x"]}'}] * 6}, "there are 6 filters, and AWS takes 5"),
        ({"Filters": [{"Pattern": " " * 4097}]}, "Pattern has 4097 characters, and AWS takes 4096"),
    ],
)
def test_criteria_beyond_the_documented_shape_and_limits_are_refused(given: object, complaint: str) -> None:
    with pytest.raises(FilterError) as refused:
        FilterCriteria.parse(given, "sqs")
    assert complaint in str(refused.value)


def test_criteria_at_the_limits_are_taken() -> None:
    pattern = '{"messageId": ["x"]}'.ljust(4096)
    assert criteria(*[pattern] * 5).accepts({"messageId": "x", "body": ""})
