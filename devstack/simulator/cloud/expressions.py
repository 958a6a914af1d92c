"""DynamoDB's condition and key condition expressions, as far as this project writes them; the rest is refused by name.

Grammar: "Condition and filter expressions, operators, and functions in DynamoDB", Developer Guide.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from devstack.simulator.cloud.items import InvalidValueError, Item, canonical, ordered
from devstack.simulator.cloud.reserved_words import RESERVED_WORDS

type Names = Mapping[str, str]
type Values = Mapping[str, dict[str, Any]]
type Test = Callable[[Item, Names, Values], bool]

_TOKEN: Final = re.compile(r"\s*(?:([A-Za-z][A-Za-z0-9_]*|[#:][A-Za-z0-9_]+)|(<>|<=|>=|[=<>(),.\[\]+-]))")
_ORDER: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FUNCTIONS: Final = frozenset({"attribute_exists", "attribute_not_exists"})
_UNSUPPORTED: Final = frozenset({"attribute_type", "begins_with", "contains", "size", "between", "in"})


@dataclass(frozen=True, slots=True)
class _Node:
    """``kind`` is and, or, not, exists, missing or a comparator; leaves are attribute names and placeholders."""

    kind: str
    parts: tuple[_Node | str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled expression, and the placeholders that it uses."""

    test: Test
    placeholders: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """``attribute comparator value``, one for the partition key and at most one for the sort key."""

    clauses: tuple[tuple[str, str, str], ...]
    placeholders: frozenset[str]


@lru_cache(maxsize=1024)
def condition(text: str) -> Condition:
    """A ConditionExpression.

    Raises
    ------
    InvalidValueError
        DynamoDB would refuse it.
    NotImplementedError
        DynamoDB might take it; nobody here writes it.
    """
    node = _Parser("ConditionExpression", text).parse()
    return Condition(_compiled(node), frozenset(_placeholders(node)))


@lru_cache(maxsize=1024)
def key_condition(text: str) -> KeyCondition:
    """A KeyConditionExpression: comparisons of keys with values, joined by AND."""
    node = _Parser("KeyConditionExpression", text).parse()
    clauses = []
    for clause in _conjunction(node):
        if clause.kind not in {*_ORDER, "="}:
            raise InvalidValueError(f"Invalid operator used in KeyConditionExpression: {clause.kind.upper()}")
        name, value = clause.parts
        if not isinstance(name, str) or not isinstance(value, str) or name[0] == ":" or value[0] != ":":
            raise NotImplementedError(f"a key condition is `key comparator :value` here, not {text!r}")
        clauses.append((name, clause.kind, value))
    return KeyCondition(tuple(clauses), frozenset(_placeholders(node)))


@lru_cache(maxsize=1024)
def projection(text: str) -> tuple[str, ...]:
    """The names, or placeholders of names, of a ProjectionExpression over whole attributes."""
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if not re.fullmatch(r"#?[A-Za-z0-9_]+", name):
            raise NotImplementedError(f"a projection is a list of attributes here, not {text!r}")
        _refuse_reserved("ProjectionExpression", name)
    return names


def bound(
    given_names: Names | None, given_values: Mapping[str, Any] | None, used: Iterable[frozenset[str]], kind: str
) -> tuple[Names, Values]:
    """Names and values for the placeholders of a request's expressions, all of which must be used and defined.

    ``kind`` names the expression in an error.
    """
    if given_names is None and given_values is None:
        placeholders = [name for names in used for name in names]
        if placeholders:
            raise InvalidValueError(_undefined(kind, min(placeholders)))
        return {}, {}
    placeholders = [name for names in used for name in names]
    for field, given in (("ExpressionAttributeNames", given_names), ("ExpressionAttributeValues", given_values)):
        if given is None:
            continue
        if not placeholders:
            raise InvalidValueError(f"{field} can only be specified when using expressions")
        if not given:
            raise InvalidValueError(f"{field} must not be empty")
        if unused := sorted(given.keys() - placeholders):
            raise InvalidValueError(f"Value provided in {field} unused in expressions: keys: {{{', '.join(unused)}}}")
    names, values = given_names or {}, given_values or {}
    for placeholder in placeholders:
        if placeholder not in names and placeholder not in values:
            raise InvalidValueError(_undefined(kind, placeholder))
    return names, canonical(values)[0] if values else {}


def _undefined(kind: str, placeholder: str) -> str:
    what = "value" if placeholder[0] == ":" else "name"
    return (
        f"Invalid {kind}: An expression attribute {what} used in "
        f"{'expression' if what == 'value' else 'the document path'} is not defined; attribute {what}: {placeholder}"
    )


class _Parser:
    """OR binds weakest, then AND, then NOT."""

    def __init__(self, kind: str, text: str) -> None:
        self._kind = kind
        self._text = text
        self._tokens = self._tokenized()
        self._position = 0

    def parse(self) -> _Node:
        if not self._tokens:
            raise InvalidValueError(f"Invalid {self._kind}: The expression can not be empty;")
        node = self._or()
        if self._position < len(self._tokens):
            raise self._syntax_error()
        return node

    def _tokenized(self) -> list[str]:
        tokens, position, text = [], 0, self._text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise InvalidValueError(f"Invalid {self._kind}: Syntax error; token: {text[position:].lstrip()[0]!r}")
            tokens.append(found[1] or found[2])
            position = found.end()
        return tokens

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else "<EOF>"

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def _take(self, token: str) -> bool:
        if self._peek().upper() != token:
            return False
        self._position += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._syntax_error()

    def _syntax_error(self) -> InvalidValueError:
        return InvalidValueError(f'Invalid {self._kind}: Syntax error; token: "{self._peek()}", near: "{self._text}"')

    def _or(self) -> _Node:
        node = self._and()
        while self._take("OR"):
            node = _Node("or", (node, self._and()))
        return node

    def _and(self) -> _Node:
        node = self._not()
        while self._take("AND"):
            node = _Node("and", (node, self._not()))
        return node

    def _not(self) -> _Node:
        if self._take("NOT"):
            return _Node("not", (self._not(),))
        if self._take("("):
            node = self._or()
            self._expect(")")
            return node
        return self._comparison()

    def _comparison(self) -> _Node:
        first = self._next()
        self._refuse_unsupported(first)
        if first in _FUNCTIONS:
            self._expect("(")
            path = self._operand(self._next())
            self._expect(")")
            return _Node("exists" if first == "attribute_exists" else "missing", (path,))
        left = self._operand(first)
        comparator = self._next()
        self._refuse_unsupported(comparator)
        if comparator not in _ORDER and comparator != "=":
            self._position -= 1
            raise self._syntax_error()
        return _Node(comparator, (left, self._operand(self._next())))

    def _operand(self, token: str) -> str:
        if not (token[0] in "#:" or token[0].isalpha()):
            self._position -= 1
            raise self._syntax_error()
        self._refuse_unsupported(token)
        _refuse_reserved(self._kind, token)
        if self._peek() in {".", "["}:
            raise NotImplementedError(f"expressions reach whole attributes here, not {self._text!r}")
        return token

    def _refuse_unsupported(self, token: str) -> None:
        if token.lower() in _UNSUPPORTED or token == "<>":  # noqa: S105 - no secret
            raise NotImplementedError(f"expressions have no {token} here: {self._text!r}")


def _refuse_reserved(kind: str, name: str) -> None:
    if name.upper() in RESERVED_WORDS:
        raise InvalidValueError(f"Invalid {kind}: Attribute name is a reserved keyword; reserved keyword: {name}")


def _conjunction(node: _Node) -> list[_Node]:
    if node.kind != "and":
        return [node]
    return [clause for part in node.parts if isinstance(part, _Node) for clause in _conjunction(part)]


def _placeholders(node: _Node | str) -> Iterable[str]:
    if isinstance(node, str):
        if node[0] in "#:":
            yield node
        return
    for part in node.parts:
        yield from _placeholders(part)


def _compiled(node: _Node) -> Test:
    if node.kind in {"and", "or", "not"}:
        tests = [_compiled(part) for part in node.parts if isinstance(part, _Node)]
        return _joining(node.kind, tests)
    operands = [_operand(part) for part in node.parts if isinstance(part, str)]
    if node.kind == "exists":
        return lambda item, names, values: operands[0](item, names, values) is not None
    if node.kind == "missing":
        return lambda item, names, values: operands[0](item, names, values) is None
    return _comparing(node.kind, *operands)


def _joining(kind: str, tests: list[Test]) -> Test:
    first, last = tests[0], tests[-1]
    if kind == "and":
        return lambda item, names, values: first(item, names, values) and last(item, names, values)
    if kind == "or":
        return lambda item, names, values: first(item, names, values) or last(item, names, values)
    return lambda item, names, values: not first(item, names, values)


type _Operand = Callable[[Item, Names, Values], dict[str, Any] | None]


def _operand(token: str) -> _Operand:
    if token[0] == ":":
        return lambda _item, _names, values: values[token]
    if token[0] == "#":
        return lambda item, names, _values: item.get(names[token])
    return lambda item, _names, _values: item.get(token)


def _comparing(comparator: str, left: _Operand, right: _Operand) -> Test:
    order = _ORDER.get(comparator)

    def test(item: Item, names: Names, values: Values) -> bool:
        first, second = left(item, names, values), right(item, names, values)
        # An attribute that is not there compares with nothing.
        if first is None or second is None:
            return False
        if order is None:
            return first == second
        comparable = ordered(first, second)
        return comparable is not None and bool(order(*comparable))

    return test
