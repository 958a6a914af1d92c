"""The templates' functions by name, and which of them a source's events go to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from devstack.template import EventSourceMapping, Function, HostedParts, Pipe
from devstack.try_input.errors import UsageError
from devstack.try_input.inputs import Input, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """A function. ``name`` is its module's, as in metrics and dead letters; ``mappings`` bring its batches."""

    name: str
    function: Function
    takes: frozenset[Source]
    mappings: Sequence[EventSourceMapping]

    @property
    def logical_id(self) -> str:
        return self.function.logical_id


class Callees:
    """All functions that the templates declare."""

    def __init__(self, callees: Iterable[Callee], *, front: str | None) -> None:
        self._all = sorted(callees, key=lambda callee: callee.name)
        self._front = front

    @classmethod
    def of(cls, parts: HostedParts) -> Self:
        routed = {route.function for route in parts.routes}
        # Whoever takes what no other route does is asked first.
        front = next((route.function for route in parts.routes if route.path is None), None)
        callees = []
        for logical_id, function in parts.functions.items():
            mappings = [mapping for mapping in parts.mappings if logical_id in mapping.functions]
            takes: set[Source] = {"pipe" if isinstance(mapping, Pipe) else mapping.kind for mapping in mappings}
            if logical_id in routed:
                takes |= {"http", "http-body"}
            callees.append(
                Callee(
                    name=_name(function.handler),
                    function=function,
                    takes=frozenset(takes or {"direct"}),
                    mappings=[mapping for mapping in mappings if not isinstance(mapping, Pipe)],
                )
            )
        return cls(callees, front=front)

    def named(self, name: str) -> Callee:
        """By its own name or its logical id.

        Raises
        ------
        UsageError
            There is none; the message names those that there are.
        """
        wanted = _plain(name)
        for callee in self._all:
            if wanted in {_plain(callee.name), _plain(callee.logical_id)}:
                return callee
        known = ", ".join(callee.name for callee in self._all)
        raise UsageError(f"no function is called {name!r}; there are {known}")

    def web(self) -> list[Callee]:
        """The functions behind routes, first the one that takes what no other route does."""
        routed = [callee for callee in self._all if "http" in callee.takes]
        return sorted(routed, key=lambda callee: callee.logical_id != self._front)

    def taking(self, given: Input, tables: Mapping[str, frozenset[str]]) -> list[Callee]:
        """The functions that an input goes to, where nobody named one.

        ``tables`` are the key attributes of the tables by name: a record of a table goes to those who read its stream.

        Raises
        ------
        UsageError
            It is for one of several, and nothing tells for which.
        """
        for callee in self._all:
            if callee.logical_id == given.stem:
                return [callee]
        fitting = [callee for callee in self._all if given.source in callee.takes]
        match given.source:
            case "kinesis":
                return fitting
            case "dynamodb":
                readers = [callee for callee in fitting if mapping_of(callee, given.records, tables) is not None]
                return readers or fitting
            case "http" | "http-body":
                return self.web()[:1]
        if len(fitting) == 1:
            return fitting
        raise UsageError(
            f"{given.name} is for one function, and its name tells none: say which, "
            f"FUNCTION={' or '.join(callee.name for callee in fitting)}"
        )

    def check(self, callee: Callee, given: Input) -> None:
        """
        Raises
        ------
        UsageError
            The function takes no events of that source.
        """
        if given.source not in callee.takes:
            others = ", ".join(each.name for each in self._all if given.source in each.takes) or "nobody"
            raise UsageError(
                f"{callee.name} takes {' and '.join(sorted(callee.takes))} events, and {given.name} "
                f"holds one of {given.source}, which {others} would take"
            )


def mapping_of(
    callee: Callee, records: Sequence[object], tables: Mapping[str, frozenset[str]]
) -> EventSourceMapping | None:
    """The mapping of a table's stream that such records come through, by their keys; None if there is no such one."""
    names = {
        frozenset(change["Keys"])
        for record in records
        if isinstance(record, dict)
        and isinstance(change := record.get("dynamodb"), dict)
        and isinstance(change.get("Keys"), dict)
    }
    for mapping in callee.mappings:
        table = mapping.source_arn.partition(":table/")[2].partition("/")[0]
        if tables.get(table) in names:
            return mapping
    return None


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").removesuffix("function")


def _name(handler: str) -> str:
    """A consumer's is its handler's own, another function's that of the module that holds it."""
    module, _, attribute = handler.rpartition(".")
    return module.rpartition(".")[2] if attribute == "handler" else attribute
