"""DynamoDB JSON (``{"S": "x"}``) to Python values and back.

The one place that knows the wire format. Faster than boto3's ``TypeDeserializer`` (which dispatches through
``getattr`` and wraps every number in a context), and held equal to it by a property test.
"""

import base64
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

type AttributeValue = Mapping[str, Any]
type AttributeMap = Mapping[str, AttributeValue]

#: "Naming rules and data types", DynamoDB developer guide: 38 significant digits, 1E-130 to 9.99…E+125.
_DIGITS = 38
_SMALLEST_EXPONENT, _LARGEST_EXPONENT = -130, 125
_SAFE_INTEGER = 10**_DIGITS
_KINDS = frozenset({"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"})
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class MalformedAttributeError(ValueError):
    """A value that is not DynamoDB JSON, or a Python value that DynamoDB cannot hold."""


def unmarshal(value: AttributeValue) -> Any:
    """One attribute value as a Python value.

    Integral numbers become ``int`` and others ``Decimal`` (38 digits, exact); binary becomes ``bytes``, whether it
    arrives as bytes (boto3) or as base64 text (the JSON that Lambda delivers); sets become ``set``.
    """
    try:
        ((kind, content),) = value.items()
    except (AttributeError, ValueError, TypeError) as error:
        raise MalformedAttributeError(
            f"expected one type key such as {{'S': …}}, got {type(value).__name__}"
        ) from error
    if kind == "S":
        if not isinstance(content, str):
            raise MalformedAttributeError(f"type S holds {type(content).__name__}, expected text")
        return content
    try:
        match kind, content:
            case "N", str():
                return _number(content)
            case "BOOL", bool():
                return content
            case "NULL", _:
                return None
            case "M", dict():
                return {name: unmarshal(item) for name, item in content.items()}
            case "L", list():
                return [unmarshal(item) for item in content]
            case "B", str() | bytes() | bytearray():
                return _binary(content)
            case "SS", list() if all(isinstance(item, str) for item in content):
                return set(content)
            case "NS", list():
                return {_number(item) for item in content}
            case "BS", list():
                return {_binary(item) for item in content}
    except MalformedAttributeError:
        raise
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise MalformedAttributeError(f"type {kind} holds a value that it cannot: {error}") from error
    if kind in _KINDS:
        raise MalformedAttributeError(f"type {kind} holds {type(content).__name__}, which it cannot")
    raise MalformedAttributeError(f"unknown DynamoDB type {kind!r}")


def unmarshal_item(image: AttributeMap) -> dict[str, Any]:
    """A whole item as a plain dictionary."""
    if not isinstance(image, Mapping):
        raise MalformedAttributeError(f"an item is an object of attributes, got {type(image).__name__}")
    return {name: unmarshal(value) for name, value in image.items()}


def marshal(value: Any) -> dict[str, Any]:
    """One Python value as DynamoDB JSON.

    Raises
    ------
    MalformedAttributeError
        A value that would not come back as it went: a float, a number beyond 38 digits or DynamoDB's range, an empty
        set, a name that is not text.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": _number_text(value)}
        case None:
            return {"NULL": True}
        case Mapping():
            return {"M": marshal_item(value)}
        case list() | tuple():
            return {"L": [marshal(item) for item in value]}
        case bytes() | bytearray():
            return {"B": bytes(value)}
        case set() | frozenset() if value:
            kinds = {next(iter(marshal(item))) for item in value}
            if len(kinds) == 1 and (kind := kinds.pop()) in {"S", "N", "B"}:
                return {f"{kind}S": sorted(marshal(item)[kind] for item in value)}
    raise MalformedAttributeError(f"DynamoDB cannot hold {type(value).__name__} {value!r}")


def marshal_item(item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A whole item as DynamoDB JSON."""
    marshalled = {name: marshal(value) for name, value in item.items()}
    if not all(isinstance(name, str) for name in marshalled):
        raise MalformedAttributeError("the names of attributes are text")
    return marshalled


def size_of(item: AttributeMap) -> int:
    """Bytes that an item takes, as DynamoDB counts them ("Item sizes and formats"), or a few more."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: AttributeValue) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            # One byte for two digits, one for the sign, and one more.
            return len(content) // 2 + 2
        case "M":
            return 3 + size_of(content) + len(content)
        case "L":
            return 3 + sum(map(_size, content)) + len(content)
        case "B":
            return len(content)
        case "SS" | "NS" | "BS":
            return sum(_size({kind[0]: each}) for each in content)
    return 1


def _number(text: str) -> int | Decimal:
    if text.isascii() and text.isdecimal():
        return int(text)
    # int and Decimal take more than DynamoDB writes: underscores, spaces, other scripts' digits, NaN.
    if not _NUMBER.fullmatch(text):
        raise MalformedAttributeError("type N holds text that is not a number")
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def _number_text(value: int | Decimal) -> str:
    if isinstance(value, int) and -_SAFE_INTEGER < value < _SAFE_INTEGER:
        return str(value)
    number = Decimal(value)
    if not number:
        return "0"
    if number.is_finite() and _SMALLEST_EXPONENT <= number.adjusted() <= _LARGEST_EXPONENT:
        digits = "".join(map(str, number.as_tuple().digits))
        # DynamoDB trims zeros at the end before it counts.
        if len(digits.rstrip("0")) <= _DIGITS:
            return str(number)
    raise MalformedAttributeError("DynamoDB holds numbers of up to 38 digits, from 1E-130 to 9.99E+125")


def _binary(content: str | bytes | bytearray) -> bytes:
    return base64.b64decode(content, validate=True) if isinstance(content, str) else bytes(content)
