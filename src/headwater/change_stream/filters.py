"""FilterCriteria: which records a mapping or a pipe delivers. Pure; patterns are checked when they are read.

Sources: AWS Lambda Developer Guide, "Control which events Lambda sends to your function" and "Using event filtering
with a DynamoDB, Kinesis, Amazon SQS event source"; Amazon EventBridge User Guide, "Comparison operators for use in
event patterns" (the column for pipes) and "Event filtering in Amazon EventBridge Pipes". What these tables do not list
is refused by name: a pattern that AWS does not take, or takes and never matches, must not pass here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, Self

from headwater.change_stream.source_kinds import SourceKind

type Dialect = Literal["lambda", "pipes"]

FILTERS_LIMIT: Final = 5
"""Filters in one FilterCriteria, unless AWS has raised the quota ("Control which events …": by default, up to five)."""

PATTERN_LIMIT: Final = 4096
"""Characters of a Pattern (Lambda and EventBridge Pipes API references, Filter)."""

NUMERIC_LIMIT: Final = Decimal("5.0e9")
"""Largest magnitude that ``numeric`` compares ("Comparison operators for use in event patterns")."""

_MISSING: Final = object()

_DATA_KEYS: Final[Mapping[SourceKind, str]] = {"dynamodb": "dynamodb", "kinesis": "data", "sqs": "body"}

_STREAM_FIELDS = frozenset(
    {"awsRegion", "eventID", "eventName", "eventSource", "eventSourceARN", "eventVersion", "userIdentity"}
)
_METADATA: Final[Mapping[SourceKind, frozenset[str]]] = {
    "dynamodb": _STREAM_FIELDS,
    "kinesis": (_STREAM_FIELDS - {"userIdentity"})
    | {
        "approximateArrivalTimestamp",
        "invokeIdentityArn",
        "kinesisSchemaVersion",
        "partitionKey",
        "sequenceNumber",
    },
    "sqs": frozenset(
        {
            "attributes",
            "awsRegion",
            "eventSource",
            "eventSourceARN",
            "md5OfBody",
            "messageAttributes",
            "messageId",
            "receiptHandle",
        }
    ),
}
"""Fields of a record beside its data, as the guides' example records show them."""

_OPERATORS: Final = frozenset({"anything-but", "equals-ignore-case", "exists", "numeric", "prefix", "suffix"})

type _Test = Callable[[Any], bool]
"""Whether a field's value fits; the value is _MISSING where the record has no such leaf."""


class FilterError(ValueError):
    """A pattern that AWS would not take; the message names the part."""


@dataclass(frozen=True, slots=True)
class _Grammar:
    """What a pattern may say, by the guide that describes it and the source that it filters."""

    dialect: Dialect
    source: SourceKind

    def __str__(self) -> str:
        return "Lambda's event filtering" if self.dialect == "lambda" else "EventBridge Pipes"


class _Number(str):
    """A JSON number as it was written: "300, 300.0, and 3.0e2 are not considered equal"."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FilterCriteria:
    """The filters of one mapping: a record passes if it fits one of them."""

    source: SourceKind
    patterns: tuple[str, ...]
    _tests: tuple[Callable[[Mapping[str, Any]], bool], ...]

    @classmethod
    def parse(cls, criteria: object, source: SourceKind, dialect: Dialect = "lambda") -> Self | None:
        """Read FilterCriteria as CreateEventSourceMapping and a template have it; None if it filters nothing.

        Raises
        ------
        FilterError
            Names the filter, the field and the operator that the dialect does not document.
        """
        if criteria is None or criteria == {}:
            return None
        if not isinstance(criteria, Mapping) or set(criteria) != {"Filters"}:
            raise FilterError("FilterCriteria must hold Filters and nothing else")
        filters = criteria["Filters"]
        if not isinstance(filters, Sequence) or isinstance(filters, str):
            raise FilterError("Filters must be a list")
        if not filters:
            return None
        if len(filters) > FILTERS_LIMIT:
            raise FilterError(f"there are {len(filters)} filters, and AWS takes {FILTERS_LIMIT}")
        patterns = [_pattern_text(number, entry) for number, entry in enumerate(filters, 1)]
        tests = [_compile(f"filter {n}", text, _Grammar(dialect, source)) for n, text in enumerate(patterns, 1)]
        return cls(source, tuple(patterns), tuple(tests))

    def accepts(self, record: Mapping[str, Any] | bytes | str) -> bool:
        """Whether a record, as the event shows it or as its JSON, is delivered."""
        shown = _decode(record) if isinstance(record, bytes | str) else record
        fields = _fields(shown, self.source)
        return any(test(fields) for test in self._tests)


def _fields(record: Mapping[str, Any], source: SourceKind) -> Mapping[str, Any]:
    """A record as patterns see it: metadata beside the data field, which is decoded if it can be."""
    if source == "dynamodb":
        return record
    if source == "sqs":
        return {**record, "body": _document(record.get("body"))}
    inner = record.get("kinesis", {})
    flat = {**{name: value for name, value in record.items() if name != "kinesis"}, **inner}
    try:
        flat["data"] = _document(base64.b64decode(flat.get("data", ""), validate=True).decode())
    except (binascii.Error, UnicodeDecodeError):
        flat["data"] = None
    return flat


def _document(text: Any) -> Any:
    """The JSON object or array in ``text``, or the text itself.

    A bare JSON scalar stays text: a plain string of digits is a plain string.
    """
    if not isinstance(text, str):
        return text
    try:
        value = _decode(text)
    except ValueError:
        return text
    return value if isinstance(value, dict | list) else text


def _decode(text: str | bytes) -> Any:
    return json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# ---- reading patterns


def _pattern_text(number: int, entry: object) -> str:
    if not isinstance(entry, Mapping) or set(entry) != {"Pattern"}:
        raise FilterError(f"filter {number} must hold a Pattern and nothing else")
    pattern = entry["Pattern"]
    if not isinstance(pattern, str):
        raise FilterError(f"filter {number}: Pattern must be a string of JSON, not {type(pattern).__name__}")
    if len(pattern) > PATTERN_LIMIT:
        raise FilterError(f"filter {number}: Pattern has {len(pattern)} characters, and AWS takes {PATTERN_LIMIT}")
    return pattern


def _compile(title: str, text: str, grammar: _Grammar) -> Callable[[Mapping[str, Any]], bool]:
    try:
        pattern = json.loads(
            text,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
            object_pairs_hook=lambda pairs: _merged(title, pairs),
        )
    except FilterError:
        raise
    except ValueError as error:
        raise FilterError(f"{title}: Pattern is not JSON: {error}") from None
    if not isinstance(pattern, dict):
        raise FilterError(f"{title}: Pattern must be a JSON object")
    _check_fields(title, pattern, grammar.source)
    return _object(title, pattern, grammar)


def _merged(title: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members. A key may be there twice if both are objects: the guide's own example does it, for And."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name not in members:
            members[name] = value
        elif isinstance(value, dict) and isinstance(members[name], dict):
            members[name] = _merged(title, [*members[name].items(), *value.items()])
        else:
            raise FilterError(f"{title}: {name} is there twice")
    return members


def _check_fields(title: str, pattern: Mapping[str, Any], source: SourceKind) -> None:
    """The top level must name fields that this source's records have, and data in the form that can match."""
    data_key = _DATA_KEYS[source]
    for name, value in pattern.items():
        if name == "$or" and isinstance(value, list):
            for alternative in value:
                if isinstance(alternative, dict):
                    _check_fields(title, alternative, source)
        elif name == data_key:
            # "The filter pattern for data properties must be in a valid JSON format"; SQS knows plain strings, too.
            if source != "sqs" and not isinstance(value, dict):
                raise FilterError(f"{title}: {name} must be an object of patterns: a stream's data is matched as JSON")
        elif name not in _METADATA[source]:
            known = ", ".join([data_key, *sorted(_METADATA[source])])
            raise FilterError(f"{title}: a record of this source has no field {name}; it has {known}")


def _object(path: str, pattern: Mapping[str, Any], grammar: _Grammar) -> Callable[[Any], bool]:
    """And across the fields of an object."""
    if not pattern:
        raise FilterError(f"{path}: an empty object matches nothing")
    fields: list[tuple[str, Callable[[Any], bool]]] = []
    alternatives: list[Callable[[Any], bool]] = []
    for name, value in pattern.items():
        where = f"{path}: {name}" if path.startswith("filter ") and ":" not in path else f"{path}.{name}"
        if name == "$or":
            alternatives.append(_or(where, value, grammar))
        elif isinstance(value, dict):
            fields.append((name, _nested(_object(where, value, grammar))))
        elif isinstance(value, list):
            fields.append((name, _leaf(where, value, grammar)))
        else:
            raise FilterError(f"{where} must be a list of rules or an object, not {json.dumps(value)}")

    def fits(node: Any) -> bool:
        members = node if isinstance(node, Mapping) else {}
        return all(test(members.get(name, _MISSING)) for name, test in fields) and all(
            test(node) for test in alternatives
        )

    return fits


def _nested(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """An object's pattern over an object, or over any object of a list."""

    def fits(node: Any) -> bool:
        if isinstance(node, list):
            return any(fits(element) for element in node)
        # What is missing has no leaves either: exists false holds below it.
        return test(node)

    return fits


def _or(path: str, value: Any, grammar: _Grammar) -> Callable[[Any], bool]:
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(entry, dict) for entry in value):
        raise FilterError(f"{path} must be a list of at least two objects")
    tests = [_object(f"{path}[{index}]", entry, grammar) for index, entry in enumerate(value)]
    return lambda node: any(test(node) for test in tests)


def _leaf(path: str, rules: list[Any], grammar: _Grammar) -> Callable[[Any], bool]:
    """Or within a list of rules. A list in the record fits if one of its elements does."""
    if not rules:
        raise FilterError(f"{path}: an empty list matches nothing")
    tests = [_rule(path, rule, grammar) for rule in rules]

    def fits(node: Any) -> bool:
        return any(test(leaf) for leaf in _leaves(node) for test in tests)

    return fits


def _leaves(node: Any) -> Iterable[Any]:
    """The leaf values at a field: none of an object, all of a list."""
    if isinstance(node, Mapping):
        return (_MISSING,)
    if isinstance(node, list):
        leaves = [leaf for element in node for leaf in _leaves(element) if leaf is not _MISSING]
        return leaves or (_MISSING,)
    return (node,)


def _rule(path: str, rule: Any, grammar: _Grammar) -> _Test:
    if isinstance(rule, dict):
        return _operator(path, rule, grammar)
    if isinstance(rule, list):
        raise FilterError(f"{path}: a list in a list is no rule")
    return _equals(rule)


def _equals(wanted: Any) -> _Test:
    key = _identity(wanted)
    return lambda leaf: leaf is not _MISSING and _identity(leaf) == key


def _identity(value: Any) -> tuple[str, Any]:
    """What makes two scalars equal: their type, and a number's text."""
    if isinstance(value, _Number):
        return ("number", str(value))
    if value is None or isinstance(value, bool):
        return ("literal", value)
    if isinstance(value, int | float | Decimal):
        return ("number", str(value))
    return ("text", value)


def _operator(path: str, rule: Mapping[str, Any], grammar: _Grammar) -> _Test:
    if len(rule) != 1:
        raise FilterError(f"{path}: a rule holds one operator, not {', '.join(rule) or 'none'}")
    ((name, operand),) = rule.items()
    if name not in _OPERATORS:
        raise FilterError(f"{path}: {grammar} knows no operator {name}")
    where = f"{path}: {name}"
    match name:
        case "exists":
            if not isinstance(operand, bool):
                raise FilterError(f"{where} takes true or false")
            return lambda leaf: (leaf is not _MISSING) == operand
        case "numeric":
            if grammar.source == "dynamodb":
                raise FilterError(f"{where}: DynamoDB's records hold numbers as strings, which it never matches")
            return _numeric(where, operand)
        case "anything-but":
            return _anything_but(where, operand, grammar)
        case "equals-ignore-case":
            return _text(where, operand, lambda leaf, wanted: leaf == wanted, ignore_case=True)
        case "prefix":
            return _affix(where, operand, str.startswith, grammar)
        case _:
            return _affix(where, operand, str.endswith, grammar)


def _text(where: str, operand: Any, compare: Callable[[str, str], bool], *, ignore_case: bool = False) -> _Test:
    if not isinstance(operand, str) or isinstance(operand, _Number):
        raise FilterError(f"{where} takes a string, not {json.dumps(operand)}")
    wanted = operand.lower() if ignore_case else operand

    def fits(leaf: Any) -> bool:
        if not isinstance(leaf, str) or isinstance(leaf, _Number):
            return False
        return compare(leaf.lower() if ignore_case else leaf, wanted)

    return fits


def _affix(where: str, operand: Any, compare: Callable[[str, str], bool], grammar: _Grammar) -> _Test:
    if isinstance(operand, dict):
        if grammar.dialect == "lambda" or set(operand) != {"equals-ignore-case"}:
            inner = ", ".join(operand) or "nothing"
            raise FilterError(f"{where}: {grammar} knows no {inner} in it; it takes a string")
        return _text(f"{where}: equals-ignore-case", operand["equals-ignore-case"], compare, ignore_case=True)
    return _text(where, operand, compare)


def _anything_but(where: str, operand: Any, grammar: _Grammar) -> _Test:
    if isinstance(operand, dict):
        inner = ", ".join(operand) or "nothing"
        raise FilterError(f"{where}: {grammar} knows no {inner} in it; it takes strings or numbers")
    excluded = operand if isinstance(operand, list) else [operand]
    kinds = {_identity(value)[0] for value in excluded if not isinstance(value, dict | list)}
    if len(kinds) != 1 or not kinds <= {"text", "number"} or any(isinstance(value, dict | list) for value in excluded):
        raise FilterError(f"{where} takes only strings or only numbers, at least one")
    keys = {_identity(value) for value in excluded}
    return lambda leaf: leaf is not _MISSING and _identity(leaf) not in keys


_BELOW: Final = {"<": Decimal.__lt__, "<=": Decimal.__le__}
_ABOVE: Final = {">": Decimal.__gt__, ">=": Decimal.__ge__}


def _numeric(where: str, operand: Any) -> _Test:
    """``["=", n]``, a bound, or a lower bound followed by an upper one."""
    if not isinstance(operand, list) or len(operand) not in {2, 4}:
        raise FilterError(f'{where} takes a list such as ["=", 1] or [">", 1, "<=", 2]')
    steps = [(operand[index], _bound(where, operand[index + 1])) for index in range(0, len(operand), 2)]
    compare = {**_BELOW, **_ABOVE, "=": Decimal.__eq__}
    for sign, _ in steps:
        if not isinstance(sign, str) or sign not in compare:
            raise FilterError(f"{where} knows no comparison {json.dumps(sign)}")
    if len(steps) == 2:
        (first, low), (second, high) = steps
        if first not in _ABOVE or second not in _BELOW:
            raise FilterError(f"{where}: a range is a lower bound (> or >=), then an upper one (< or <=)")
        if low >= high:
            raise FilterError(f"{where}: no number is between {low} and {high}")

    def fits(leaf: Any) -> bool:
        number = _decimal(leaf)
        return number is not None and all(compare[sign](number, bound) for sign, bound in steps)

    return fits


def _bound(where: str, value: Any) -> Decimal:
    number = _decimal(value)
    if number is None:
        raise FilterError(f"{where} compares with numbers from -5.0e9 to 5.0e9, not {json.dumps(value)}")
    return number


def _decimal(value: Any) -> Decimal | None:
    """A JSON number in the range that EventBridge compares; a string of digits is none."""
    if isinstance(value, bool) or not isinstance(value, _Number | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) <= NUMERIC_LIMIT else None
