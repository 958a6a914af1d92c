"""What can be wrong with a value, with a JSON document and with an item's attribute.

Nothing here knows a field by its name. What is tried follows from what is there: a sample of the value, and the JSON
Schema of its field where there is one.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

#: What a change gives to take the field away.
DROPPED: Final = object()

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
#: JSON that no Python value stands for goes through as a text between these.
_RAW: Final = re.compile(r'"<<(.*?)>>"')
_DEEP: Final = 1_000
_LONG: Final = 70_000
_JSON_TYPES: Final[Mapping[str, Any]] = {
    "null": None,
    "boolean": True,
    "integer": 7,
    "number": 7.5,
    "string": "7",
    "array": [7],
    "object": {"seven": 7},
}
#: Whole numbers at which some reader ends: signs, the bits of integers, DynamoDB's digits.
_NUMBERS: Final[Mapping[str, int]] = {
    "0": 0,
    "-1": -1,
    "2^31": 2**31,
    "2^53 + 1": 2**53 + 1,
    "2^63 - 1": 2**63 - 1,
    "2^63": 2**63,
    "2^64": 2**64,
    "10^37": 10**37,
    "38 digits": int("9" * 38),
}
_TEXTS: Final[Mapping[str, str]] = {
    "empty": "",
    "blank": " ",
    "of something invisible": "\u200b",
    "NUL in it": "\x00",
    "a line break in it": "\r\nBcc: everybody@example.org",
    "U+FFFE in it": "\ufffe",
    "U+FFFF in it": "\uffff",
    "U+2028 in it": "\u2028",
    "four bytes a character": "🏆" * 64,
}
_BRIEFLY: Final = {name: text for name, text in _TEXTS.items() if name in {"empty", "NUL in it"}}
_MOMENTS: Final[Mapping[str, str]] = {
    "no moment": "2026-02-30T25:61:00.000Z",
    "a date alone": "2026-02-28",
    "a moment without a zone": "2026-02-28T12:00:00.000",
    "a moment of another zone": "2026-02-28T12:00:00.000+05:30",
    "a moment of nanoseconds": "2026-02-28T12:00:00.123456789Z",
    "the first moment": "0001-01-01T00:00:00.000+14:00",
    "the last moment": "9999-12-31T23:59:59.999-12:00",
    "a leap second": "2016-12-31T23:59:60.000Z",
}
#: An attribute of each type of DynamoDB.
EXTRA_ATTRIBUTES: Final[Mapping[str, Mapping[str, Any]]] = {
    "S": {"S": "7"},
    "N": {"N": "7"},
    "B": {"B": b"\x00\xff"},
    "BOOL": {"BOOL": True},
    "NULL": {"NULL": True},
    "M": {"M": {"a": {"S": "x"}}},
    "L": {"L": [{"S": "x"}]},
    "SS": {"SS": ["a", "b"]},
    "NS": {"NS": ["1", "2.5"]},
    "BS": {"BS": [b"\x00", b"\xff"]},
}
_ITEM_NUMBERS: Final[Mapping[str, str]] = {
    **{name: str(number) for name, number in _NUMBERS.items()},
    "1.5": "1.5",
    "1E-130": "1E-130",
    "9.9E+125": "9.9E+125",
}


class Defect(NamedTuple):
    """One thing wrong: its name, and the change that brings it about."""

    name: str
    change: Callable[[Any], Any]


def of_value(sample: Any, schema: Mapping[str, Any] | None = None) -> Iterator[Defect]:
    """What can be wrong with a field whose value is like the sample, and as the schema says.

    Without a schema, it is a field on its way: who reads the text itself has met it in the table.
    """
    brief = schema is None
    schema = schema or {}
    types = _types(sample, schema)
    yield Defect("dropped", lambda _: DROPPED)
    for kind, other in _JSON_TYPES.items():
        if kind not in types and not (kind == "integer" and "number" in types):
            yield _fixed(f"{_article(kind)} {kind} instead", other)
    if "string" in types:
        yield from _of_text(sample if isinstance(sample, str) else "", schema, _BRIEFLY if brief else _TEXTS)
    if "integer" in types:
        yield from _of_integer(schema)
    if "object" in types:
        yield _fixed("empty", {})
        yield Defect("a member that nobody knows", lambda value: {**_members(value), "unheard_of": "x"})
        yield Defect("deep", lambda value: {**_members(value), "deep": _nested(_DEEP)})
        yield Defect("wide", lambda value: {**_members(value), **{f"m{number}": number for number in range(2_000)}})


def of_document(*, binary: bool = False) -> Iterator[Defect]:
    """What can be wrong with a JSON object's text; with ``binary``, with bytes that should be such a text."""
    yield _fixed("no text", "")
    yield _fixed("blank", " ")
    yield _fixed("no JSON", "not JSON")
    for kind, other in _JSON_TYPES.items():
        if kind != "object":
            yield _fixed(f"{_article(kind)} {kind} instead", json.dumps(other))
    yield _fixed("an empty object", "{}")
    yield _fixed("NaN", "NaN")
    yield Defect("cut short", lambda text: text[: len(text) * 2 // 3])
    yield Defect("followed by more", lambda text: text + text)
    yield Defect("a byte order mark first", lambda text: "\ufeff" + text)
    yield Defect("a member twice", lambda text: text[:-1] + ("," if len(text) > 2 else "") + text[1:])
    yield Defect("a member that nobody knows", lambda text: _with(text, unheard_of="x"))
    yield Defect("half a surrogate pair in it", lambda text: _with(text, unheard_of="x\ud83d"))
    yield Defect("NaN in it", lambda text: _with(text, unheard_of=float("nan")))
    yield Defect("deep", lambda text: _with(text, unheard_of=_nested(_DEEP)))
    if binary:
        yield Defect("no UTF-8", lambda text: text.encode("utf-16"))
        yield Defect("compressed", lambda text: zlib.compress(text.encode()))
        yield _fixed("zeros", bytes(64))


def of_attribute(sample: Mapping[str, Any]) -> Iterator[Defect]:
    """What can be wrong with an attribute of a DynamoDB item that is like the sample."""
    ((own, content),) = sample.items()
    yield Defect("dropped", lambda _: DROPPED)
    for kind, other in EXTRA_ATTRIBUTES.items():
        if kind != own:
            yield _fixed(f"of type {kind}", other)
    if own == "N":
        for name, number in _ITEM_NUMBERS.items():
            yield _fixed(name, {"N": number})
    if own == "S":
        # UTF-8 cannot hold half a surrogate pair; a JSON escape within the text can.
        for defect in _of_text(content, {}, _TEXTS):
            if not _SURROGATE.search(str(defect.change(content))):
                yield Defect(defect.name, partial(_as_attribute, defect.change))


def write(document: Any) -> str:
    """The document as JSON, with whatever JSON can escape and UTF-8 cannot hold."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", _RAW.sub(r"\1", text))


def changed(document: Mapping[str, Any], field: str, defect: Defect) -> dict[str, Any]:
    """The document with one of its fields changed, which it need not have."""
    value = defect.change(document.get(field))
    rest = {name: member for name, member in document.items() if name != field}
    return rest if value is DROPPED else {**rest, field: value}


def _of_text(sample: str, schema: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[Defect]:
    for name, text in texts.items():
        if name.endswith(" in it"):
            yield Defect(name, partial(_followed_by, text))
        else:
            yield _fixed(name, text)
    yield Defect("half a surrogate pair", lambda value: f"{_text(value)}\ud83d")
    yield _fixed("NaN as text", "NaN")
    yield Defect("long", lambda value: _stretched(_text(value), _LONG))
    if most := schema.get("maxLength"):
        yield Defect("at its limit", lambda value: _stretched(_text(value), most))
        yield Defect("over its limit", lambda value: _stretched(_text(value), most + 1))
    if "pattern" in schema:
        yield Defect("against its pattern", lambda value: f"§{_text(value)}§")
    if sample.isdecimal():
        for name, number in _NUMBERS.items():
            yield _fixed(f"{name} as text", str(number))
        yield _fixed("digits of another script", "\u0661")
        yield _fixed("an underscore in it", "1_0")
    if _is_moment(sample) or schema.get("format") == "date-time" or _takes_a_moment(schema):
        for name, moment in _MOMENTS.items():
            yield _fixed(name, moment)


def _of_integer(schema: Mapping[str, Any]) -> Iterator[Defect]:
    for name, number in _NUMBERS.items():
        yield _fixed(name, number)
    yield _fixed("7.0", 7.0)
    yield _fixed("NaN", float("nan"))
    yield _fixed("1e400", "<<1e400>>")
    yield _fixed("NaN as text", "NaN")
    for bound, step in (("minimum", -1), ("maximum", 1)):
        if bound in schema:
            yield _fixed(f"at its {bound}", schema[bound])
            yield _fixed(f"past its {bound}", schema[bound] + step)


def _types(sample: Any, schema: Mapping[str, Any]) -> set[str]:
    """JSON's names for the types that a field may have."""
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return set[str]().union(*(_types(None, choice) for choice in choices))
    for kind, other in _JSON_TYPES.items():
        if type(sample) is type(other):
            return {kind}
    return set()


def _fixed(name: str, value: Any) -> Defect:
    return Defect(name, lambda _: value)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("S")
    return value if isinstance(value, str) else ""


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _followed_by(text: str, value: Any) -> str:
    return f"{_text(value)}{text}"


def _as_attribute(change: Callable[[Any], Any], value: Any) -> dict[str, Any]:
    return {"S": change(_text(value))}


def _stretched(text: str, length: int) -> str:
    return (text + (text[-1:] or "x") * length)[:length]


def _nested(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


def _with(text: str, **members: Any) -> str:
    return write({**json.loads(text), **members})


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return "T" in text


def _takes_a_moment(schema: Mapping[str, Any]) -> bool:
    return re.search(schema.get("pattern", "^$"), "2026-02-28T12:00:00.000Z") is not None


def limits(sizes: Sequence[int], unit: str) -> Iterator[tuple[str, int]]:
    """Names and sizes: at each limit, and one over it."""
    for size in sizes:
        yield f"{size:,} {unit}", size
        yield f"{size + 1:,} {unit}", size + 1
