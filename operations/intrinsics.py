"""CloudFormation's intrinsics: what a node of a template refers to, and what it comes to on this machine.

The emulator's own CloudFormation computes what it provisions. Whoever needs a value without it computes it here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

type Node = Any
"""A piece of a template: mappings, lists and scalars, intrinsics in their long form."""

_SUBSTITUTION: Final = re.compile(r"\$\{([^}]+)\}")
#: In a Fn::Sub, what follows is left as it is written, without this mark.
_LITERAL: Final = "!"


class UnknownIntrinsicError(Exception):
    """An intrinsic, or a name in one, that cannot be computed here; the message names it."""


def pseudo_parameters(*, region: str, account: str, stack: str) -> dict[str, str]:
    """Those that every template may refer to."""
    return {
        "AWS::AccountId": account,
        "AWS::Partition": "aws",
        "AWS::Region": region,
        "AWS::StackName": stack,
        "AWS::URLSuffix": "amazonaws.com",
    }


def is_intrinsic(node: Node) -> bool:
    if not isinstance(node, dict) or len(node) != 1:
        return False
    key = next(iter(node))
    return key == "Ref" or str(key).startswith("Fn::")


def outermost(node: Node) -> Iterator[Node]:
    """The intrinsics in a node that are in no other intrinsic."""
    if is_intrinsic(node):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from outermost(value)
    elif isinstance(node, list):
        for value in node:
            yield from outermost(value)


def references(node: Node) -> Iterator[str]:
    """Names that the intrinsics in a node refer to: resources, parameters and pseudo parameters."""
    if isinstance(node, list):
        for value in node:
            yield from references(value)
    elif isinstance(node, dict):
        for key, value in node.items():
            match key:
                case "Ref":
                    yield value
                case "Fn::GetAtt":
                    yield (value.split(".") if isinstance(value, str) else value)[0]
                case "Fn::Sub":
                    text, variables = (value, {}) if isinstance(value, str) else value
                    yield from references(list(variables.values()))
                    names = (name for name in _SUBSTITUTION.findall(text) if not name.startswith(_LITERAL))
                    yield from (name.split(".")[0] for name in names if name not in variables)
                case _:
                    yield from references(value)


def resources(node: Node) -> set[str]:
    """The names among a node's references that are a template's own."""
    return {name for name in references(node) if not name.startswith("AWS::")}


def _no_attribute(resource: str, attribute: str) -> str:
    raise UnknownIntrinsicError(f"{attribute} of {resource} is not known here")


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Computes those of a template, with its ``conditions`` and ``mappings``.

    ``reference`` gives what a name stands for, ``attribute`` an attribute of a resource, both as text. Either raises
    UnknownIntrinsicError of what it does not know, and so do the methods.
    """

    reference: Callable[[str], str]
    attribute: Callable[[str, str], str] = _no_attribute
    conditions: Mapping[str, Node] = field(default_factory=dict)
    mappings: Mapping[str, Node] = field(default_factory=dict)

    @classmethod
    def over(cls, names: Mapping[str, str], document: Mapping[str, Node]) -> Self:
        """Of a template's document, where values are known by name, and no attribute of a resource is."""

        def reference(name: str) -> str:
            if name not in names:
                raise UnknownIntrinsicError(f"{name!r} is not known here")
            return names[name]

        return cls(reference, conditions=document.get("Conditions") or {}, mappings=document.get("Mappings") or {})

    def text(self, node: Node) -> str:
        """What a node comes to, as text."""
        return str(self.value(node))

    def value(self, node: Node) -> Node:
        """What a node comes to; a mapping's entry as the template has it."""
        if not isinstance(node, Mapping):
            return node
        match next(iter(node.items()), None):
            case "Ref", str(name):
                return self.reference(name)
            case "Fn::GetAtt", [str(name), str(attribute)]:
                return self.attribute(name, attribute)
            case "Fn::Sub", str(text):
                return self._substituted(text, {})
            case "Fn::Sub", [str(text), Mapping() as variables]:
                return self._substituted(text, variables)
            case "Fn::If", [str(condition), then, otherwise]:
                return self.value(then if self._is_met(condition) else otherwise)
            case "Fn::FindInMap", [str(name), key, str(entry)]:
                return self.mappings[name][self.text(key)][entry]
        raise UnknownIntrinsicError(f"{dict(node)} cannot be computed here")

    def holds(self, condition: Node) -> bool:
        """Whether a condition is met."""
        match next(iter(condition.items()), None):
            case "Fn::Equals", [left, right]:
                return self.text(left) == self.text(right)
            case "Fn::Not", [inner]:
                return not self.holds(inner)
            case "Fn::And", parts:
                return all(map(self.holds, parts))
            case "Fn::Or", parts:
                return any(map(self.holds, parts))
            case "Condition", str(name):
                return self._is_met(name)
        raise UnknownIntrinsicError(f"{condition} cannot be computed here")

    def _is_met(self, name: str) -> bool:
        if name not in self.conditions:
            raise UnknownIntrinsicError(f"the condition {name!r} is not known here")
        return self.holds(self.conditions[name])

    def _substituted(self, text: str, variables: Mapping[str, Node]) -> str:
        def filled(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith(_LITERAL):
                return f"${{{name.removeprefix(_LITERAL)}}}"
            if name in variables:
                return self.text(variables[name])
            resource, dot, attribute = name.partition(".")
            return self.attribute(resource, attribute) if dot else self.reference(name)

        return _SUBSTITUTION.sub(filled, text)
