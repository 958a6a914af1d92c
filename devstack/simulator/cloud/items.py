"""Items in DynamoDB JSON as the service keeps them: numbers in one spelling, binary as base64, sizes by its rules.

Sources: "Supported data types", "Item sizes and formats" and "Constraints" in the DynamoDB Developer Guide.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Final

import orjson

from devstack.simulator.cloud.errors import parameter_error

type Item = dict[str, dict[str, Any]]
type KeyValue = str | int | Decimal | bytes

_DIGITS: Final = 38
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -130, 125
_DEEPEST: Final = 32
_SETS: Final = {"SS": "string", "NS": "number", "BS": "binary"}


class InvalidValueError(ValueError):
    """A value that DynamoDB refuses with a ValidationException."""


def canonical(item: Mapping[str, Any]) -> tuple[Item, int]:
    """A copy as the service would answer it, and its size in bytes.

    Raises
    ------
    InvalidValueError
        The service would refuse it.
    ParamValidationError
        boto3 would.
    """
    return _attributes(item, 1)


def _attributes(item: Mapping[str, Any], depth: int) -> tuple[Item, int]:
    # The bulk of all work on items: text and whole numbers go straight through.
    if type(item) is not dict:
        raise parameter_error(f"Invalid type for an item, value: {item!r}, valid types: <class 'dict'>")
    clean: Item = {}
    total = 0
    for name, value in item.items():
        if type(value) is not dict or len(value) != 1:
            raise _malformed(value)
        ((kind, content),) = value.items()
        if kind == "S" and type(content) is str:
            clean[name] = {"S": content}
            total += len(content) if content.isascii() else len(content.encode())
        elif kind == "N" and type(content) is str:
            text = content if _plain(content) else _number(content)
            clean[name] = {"N": text}
            total += (len(text) + 1) // 2 + 1
        else:
            clean[name], size = _value(kind, content, depth)
            total += size
        total += len(name) if name.isascii() else len(name.encode())
    return clean, total


def encode(item: Item) -> bytes:
    """A canonical item as JSON, binary in base64."""
    # orjson leaves room for more at the end of its bytes, eight times the item; what is kept is copied without.
    return bytes(memoryview(orjson.dumps(item, default=base64_text)))


def holds_binary(stored: bytes) -> bool:
    """Whether an item's JSON may hold binary."""
    return b'"B"' in stored or b'"BS"' in stored


def decode(stored: bytes) -> Item:
    """The item as boto3 answers it."""
    item: Item = orjson.loads(stored)
    if holds_binary(stored):
        for value in item.values():
            _decode_binary(value)
    return item


def key_value(value: Mapping[str, Any]) -> KeyValue:
    """What a canonical key attribute is found and sorted by. Text sorts by UTF-8 bytes, as Python's does."""
    ((kind, content),) = value.items()
    if kind == "N":
        return _numeric(content)
    return content  # type: ignore[no-any-return]


def ordered(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Two canonical values in a form that compares; None if DynamoDB compares them with no outcome but false."""
    ((kind, content),) = left.items()
    ((other_kind, other),) = right.items()
    if kind != other_kind or kind not in {"S", "N", "B"}:
        return None
    return (_numeric(content), _numeric(other)) if kind == "N" else (content, other)


def _malformed(value: Any) -> Exception:
    if type(value) is not dict:
        return parameter_error(f"Invalid type for an attribute value, value: {value!r}, valid types: <class 'dict'>")
    return InvalidValueError(
        f"Supplied AttributeValue {'has more than one datatypes set' if value else 'is empty'}, "
        "must contain exactly one of the supported datatypes"
    )


def _typed(value: Any) -> tuple[str, Any]:
    if type(value) is not dict or len(value) != 1:
        raise _malformed(value)
    return next(iter(value.items()))


def _value(kind: str, content: Any, depth: int) -> tuple[dict[str, Any], int]:
    if depth > _DEEPEST:
        raise InvalidValueError("Nesting Levels have exceeded supported limits")
    if kind == "M" and isinstance(content, dict):
        members, size = _attributes(content, depth + 1)
        return {"M": members}, size + 3 + len(members)
    if kind == "L" and isinstance(content, list | tuple):
        elements = [_value(*_typed(value), depth + 1) for value in content]
        return {"L": [value for value, _ in elements]}, sum(size + 1 for _, size in elements) + 3
    return _scalar(kind, content)


def _scalar(kind: str, content: Any) -> tuple[dict[str, Any], int]:
    match kind, content:
        case "S", str():
            return {"S": content}, len(content.encode())
        case "N", str():
            text = content if _plain(content) else _number(content)
            return {"N": text}, (len(text) + 1) // 2 + 1
        case "BOOL", bool():
            return {"BOOL": content}, 1
        case "NULL", bool():
            if not content:
                raise InvalidValueError(
                    "One or more parameter values were invalid: Null attribute value types must have the value of true"
                )
            return {"NULL": True}, 1
        case "B", bytes() | bytearray():
            return {"B": bytes(content)}, len(content)
        case (("SS" | "NS" | "BS"), list() | tuple()):
            return _set(kind, content)
    raise parameter_error(f"Invalid type for an attribute value of type {kind}, value: {content!r}")


def _set(kind: str, content: Iterable[Any]) -> tuple[dict[str, Any], int]:
    members = [_scalar(kind[0], member) for member in content]
    if not members:
        raise InvalidValueError(f"One or more parameter values were invalid: An {_SETS[kind]} set  may not be empty")
    values = sorted(value[kind[0]] for value, _ in members)
    if any(first == second for first, second in pairwise(values)):
        raise InvalidValueError("One or more parameter values were invalid: Input collection contains duplicates")
    return {kind: values}, sum(size for _, size in members)


def _plain(text: str) -> bool:
    """Whether the service would answer these digits as they are."""
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS and (text[0] != "0" or text == "0")


def _number(text: str) -> str:
    if "_" in text or not text.isascii():
        raise InvalidValueError(f"The parameter cannot be converted to a numeric value: {text}")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InvalidValueError(f"The parameter cannot be converted to a numeric value: {text}") from None
    if not number.is_finite():
        raise InvalidValueError(f"The parameter cannot be converted to a numeric value: {text}")
    if not number:
        return "0"
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if len(digits) > _DIGITS:
        raise InvalidValueError("Attempting to store more than 38 significant digits in a Number")
    if number.adjusted() > _LARGEST_EXPONENT:
        raise InvalidValueError(
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
        )
    if number.adjusted() < _SMALLEST_EXPONENT:
        raise InvalidValueError(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
        )
    plain = f"{number:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain.lstrip("+")


def _numeric(text: str) -> int | Decimal:
    return int(text) if text.isdecimal() else Decimal(text)


def base64_text(value: object) -> str:
    """Binary as JSON holds it; for orjson's ``default``."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"an item does not hold {type(value).__name__}")


def _decode_binary(value: dict[str, Any]) -> None:
    ((kind, content),) = value.items()
    match kind:
        case "B":
            value["B"] = base64.b64decode(content)
        case "BS":
            value["BS"] = [base64.b64decode(member) for member in content]
        case "M":
            for member in content.values():
                _decode_binary(member)
        case "L":
            for member in content:
                _decode_binary(member)
