"""What ships may call nothing that the runtime's boto3 does not know.

Development has a newer boto3 than Lambda, so that types and tests would accept a call that fails when deployed. What
the oldest one that we allow knows is recorded in boto3_floor.json (record_boto3_floor.py says how).
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.infrastructure.expansion import PROJECT
from tests.infrastructure.record_boto3_floor import FILE, FLOOR, knowledge

SOURCE: Final = PROJECT / "src" / "headwater"

#: Capitalised keys of dictionaries that are no request to AWS: metrics, and the parts of a stream record, by name.
OTHER_KEYS: Final = re.compile(
    r"(Records|Requests)[A-Z][a-z]+|ProcessingTime|ApproximateCreationDateTime|SequenceNumber|(New|Old)Image"
    r"|(DDBStream|Kinesis)BatchInfo|URIPrefixes|Filters|Pattern"
)


@dataclass(slots=True)
class Floor:
    """Names that the floor knows (``operations``, ``members``) and that today's botocore knows (``today``)."""

    services: frozenset[str]
    operations: dict[str, set[str]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    today: set[str] = field(default_factory=set)

    @classmethod
    def load(cls) -> "Floor":
        record = json.loads(FILE.read_text(encoding="utf-8"))
        assert record["botocore"] == FLOOR, "record it again: record_boto3_floor.py says how"
        services = record["services"]
        floor = cls(frozenset(services))
        for name, service in services.items():
            for operation, parameters in service["operations"].items():
                # Several services may have an operation of this name: what one of them takes is let through.
                floor.operations.setdefault(operation, set()).update(parameters)
            floor.members.update(service["members"])
            floor.today.update(knowledge(name)["operations"])
        return floor


@pytest.fixture(scope="module")
def floor() -> Floor:
    return Floor.load()


def too_new(source: str, floor: Floor) -> list[str]:
    """Complaints about ``source``, each with its line."""
    return [f"{node.lineno}: {complaint}" for node, complaint in _complaints(ast.parse(source), floor)]


def _complaints(tree: ast.AST, floor: Floor) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if name in floor.today and name not in floor.operations:
                yield node, f"the floor knows no operation {name}"
            case ast.Call(func=ast.Attribute(attr="client"), args=[ast.Constant(value=str(name)), *_]):
                if name not in floor.services:
                    yield node, f"{name} is not recorded: add it to record_boto3_floor.py"
            case ast.Call(
                func=ast.Attribute(attr="get_paginator" | "get_waiter"), args=[ast.Constant(value=str(name))]
            ):
                if name in floor.today and name not in floor.operations:
                    yield node, f"the floor knows no operation {name}"
            case ast.Call(func=ast.Attribute(attr=name), keywords=keywords) if name in floor.operations:
                for keyword in keywords:
                    known = keyword.arg is None or not keyword.arg[0].isupper() or keyword.arg in floor.operations[name]
                    if not known:
                        yield node, f"the floor's {name} takes no {keyword.arg}"
            case ast.Dict(keys=keys):
                for key in keys:
                    match key:
                        case ast.Constant(value=str(text)) if text[:1].isupper() and text.isalnum():
                            if text not in floor.members and not OTHER_KEYS.fullmatch(text):
                                yield (
                                    node,
                                    f"the floor knows no request member {text}; if it is none, add it to OTHER_KEYS",
                                )


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_what_ships_asks_for_nothing_newer_than_the_floor(floor: Floor, file: Path) -> None:
    assert too_new(file.read_text(encoding="utf-8"), floor) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("client.put_object(Bucket=b, FromTheFuture=1)", "1: the floor's put_object takes no FromTheFuture"),
        ("session.client('quantum')", "1: quantum is not recorded: add it to record_boto3_floor.py"),
        (
            "request = {'TableName': t, 'FromTheFuture': 1}",
            "1: the floor knows no request member FromTheFuture; if it is none, add it to OTHER_KEYS",
        ),
    ],
)
def test_a_call_from_the_future_is_refused(floor: Floor, source: str, complaint: str) -> None:
    assert too_new(source, floor) == [complaint]


def test_an_operation_from_the_future_is_refused(floor: Floor) -> None:
    # Given an operation that the floor lacks and today's botocore has
    floor.today.add("put_dream")

    # Then both ways of asking for it are refused
    assert too_new("client.put_dream(Name=n)", floor) == ["1: the floor knows no operation put_dream"]
    assert too_new("client.get_paginator('put_dream')", floor) == ["1: the floor knows no operation put_dream"]


def test_what_the_floor_knows_passes(floor: Floor) -> None:
    source = "client.put_object(Bucket=b, Key=k, Body=d, IfNoneMatch='*'); client.transact_write_items(TransactItems=i)"

    assert too_new(source, floor) == []
