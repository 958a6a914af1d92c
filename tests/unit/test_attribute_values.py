"""DynamoDB JSON to Python and back."""

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given

from devstack.simulator.cloud.items import canonical
from headwater.attribute_values import (
    MalformedAttributeError,
    marshal,
    marshal_item,
    size_of,
    unmarshal,
    unmarshal_item,
)
from tests.fakes.attribute_strategies import ATTRIBUTE_VALUES, ITEMS, numbers, with_bytes


@given(value=ATTRIBUTE_VALUES)
def test_unmarshalling_equals_boto3(value: dict[str, Any]) -> None:
    as_boto3_has_it = with_bytes(value)
    expected = TypeDeserializer().deserialize(as_boto3_has_it)

    assert unmarshal(as_boto3_has_it) == expected
    # Lambda delivers binary as base64 text, which boto3's deserializer does not read.
    assert unmarshal(value) == expected


@given(item=ITEMS)
def test_what_is_unmarshalled_marshals_to_the_same_value(item: dict[str, Any]) -> None:
    python = unmarshal_item(item)

    assert unmarshal_item(marshal_item(python)) == python


@given(item=ITEMS)
def test_an_items_size_is_what_the_simulator_counts(item: dict[str, Any]) -> None:
    """What the simulator counts is held to DynamoDB's; of numbers it takes the text, which is never shorter."""
    item = {name: _one_digit(with_bytes(value)) for name, value in item.items() if name}

    _, counted = canonical(item)

    assert counted <= size_of(item) <= counted + str(item).count("'N") * 2


def _one_digit(value: Any) -> Any:
    """The same value, in which each number is 7, and no set holds one."""
    match value:
        case {"N": _}:
            return {"N": "7"}
        case {"NS": _}:
            return {"NS": ["7"]}
        case {"L": list(items)}:
            return {"L": [_one_digit(item) for item in items]}
        case {"M": dict(items)}:
            return {"M": {name: _one_digit(item) for name, item in items.items()}}
    return value


@pytest.mark.parametrize(("number", "size"), [("7", 2), ("-12", 3), ("1" * 38, 21), ("-" + "1" * 38, 21)])
def test_a_numbers_size_is_half_its_digits_and_a_little(number: str, size: int) -> None:
    assert size_of({"n": {"N": number}}) - 1 == size


@given(number=numbers())
def test_a_number_marshals_to_text_that_boto3_reads_as_the_same_number(number: int | Decimal) -> None:
    marshalled: Any = marshal(number)

    assert TypeDeserializer().deserialize(marshalled) == number
    assert Decimal(TypeSerializer().serialize(number)["N"]) == Decimal(marshalled["N"])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (Decimal("-0"), "0"),
        (Decimal("0E-200"), "0"),
        (Decimal("1E+10"), "1E+10"),
        (Decimal("1.50"), "1.50"),
        (10**125, "1" + "0" * 125),
        (-(10**38) + 1, "-" + "9" * 38),
        (Decimal("1E-130"), "1E-130"),
    ],
)
def test_numbers_at_the_edges_are_what_dynamodb_accepts(number: int | Decimal, text: str) -> None:
    assert marshal(number) == {"N": text}


@pytest.mark.parametrize(
    "number",
    [10**38 + 1, 10**126, Decimal("1E-131"), Decimal("NaN"), Decimal("Infinity"), Decimal("1." + "1" * 38)],
)
def test_a_number_that_dynamodb_would_refuse_or_round_is_refused(number: int | Decimal) -> None:
    with pytest.raises(MalformedAttributeError, match="38 digits"):
        marshal(number)


@pytest.mark.parametrize("value", [1.5, set(), frozenset({1, "a"}), {True, 2}, object(), {"nested": [0.1]}])
def test_a_value_that_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(MalformedAttributeError):
        marshal({"value": value})


def test_a_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(MalformedAttributeError, match="names"):
        marshal({1: "one"})


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"S": "a", "N": "1"},
        None,
        "text",
        [],
        {"S": 1},
        {"N": 1},
        {"N": "one"},
        {"N": "1_000"},
        {"N": " 1"},
        {"N": "٣"},
        {"N": "NaN"},
        {"N": "Infinity"},
        {"N": ""},
        {"BOOL": "false"},
        {"B": "not base64!"},
        {"B": 5},
        {"M": []},
        {"M": {"a": {"S": 1}}},
        {"L": "text"},
        {"L": {"S": "a"}},
        {"SS": "text"},
        {"SS": [1]},
        {"NS": "12"},
        {"NS": ["x"]},
        {"NS": [1]},
        {"BS": "YQ=="},
        {"BS": [None]},
        {"X": "unknown"},
    ],
)
def test_what_is_no_dynamodb_json_is_refused(value: Any) -> None:
    with pytest.raises(MalformedAttributeError):
        unmarshal(value)


def test_an_item_that_is_no_object_is_refused() -> None:
    with pytest.raises(MalformedAttributeError, match="list"):
        unmarshal_item([])  # type: ignore[arg-type]
