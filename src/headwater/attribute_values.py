"""DynamoDB JSON (``{"S": "x"}``) to Python values and back.

The one place that knows the wire format. Faster than boto3's ``TypeDeserializer`` (which dispatches through
``getattr`` and wraps every number in a context), and held equal to it by a property test.
"""

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

type AttributeValue = Mapping[str, Any]
type AttributeMap = Mapping[str, AttributeValue]


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
        match kind:
            case "N":
                return _number(content)
            case "BOOL":
                return bool(content)
            case "NULL":
                return None
            case "M":
                return {name: unmarshal(item) for name, item in content.items()}
            case "L":
                return [unmarshal(item) for item in content]
            case "B":
                return _binary(content)
            case "SS":
                return set(content)
            case "NS":
                return {_number(item) for item in content}
            case "BS":
                return {_binary(item) for item in content}
    except MalformedAttributeError:
        raise
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise MalformedAttributeError(f"type {kind} holds a value that it cannot: {error}") from error
    raise MalformedAttributeError(f"unknown DynamoDB type {kind!r}")


def unmarshal_item(image: AttributeMap) -> dict[str, Any]:
    """A whole item as a plain dictionary."""
    return {name: unmarshal(value) for name, value in image.items()}


def marshal(value: Any) -> dict[str, Any]:
    """One Python value as DynamoDB JSON. Floats are refused: they would not come back as they went."""
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case Mapping():
            return {"M": {str(name): marshal(item) for name, item in value.items()}}
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
    return {name: marshal(value) for name, value in item.items()}


def _number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def _binary(content: str | bytes) -> bytes:
    return base64.b64decode(content, validate=True) if isinstance(content, str) else bytes(content)
