"""The demo's failure: events that the consumers' code does not know, parked, then repaired and redriven."""

import itertools
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from cli.dead_letters import dead_letters
from cli.inventory import opened
from cli.target import Target
from devstack.demo import traffic
from devstack.stack import LocalStack
from headwater.clock import timestamp
from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.event_store import codec
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.ids import uuid7

_NEWER_SCHEMA = PlayCompleted.schema_version + 1


def strew(stack: LocalStack, people: Sequence[traffic.User], count: int) -> None:
    """Appends plays of a schema version that nobody here knows, as a producer does that was deployed too early.

    Each is followed by a play as usual, which must not overtake it.
    """
    dynamodb, table = stack.client("dynamodb"), stack.outputs["EventsTableName"]
    store, api = DynamoDbEventStore(dynamodb, table, stack.target().application().events), traffic.Api(stack.url)
    # The last of several users has left.
    players = itertools.cycle(people[:-1] or people)
    for person in itertools.islice(players, count):
        aggregate_id = f"player#{person.user_id}"
        now = timestamp(datetime.now(UTC))
        event = RecordedEvent(
            aggregate_id=aggregate_id,
            version=store.head(aggregate_id) + 1,
            event_id=uuid7(),
            type=PlayCompleted.__name__,
            schema_version=_NEWER_SCHEMA,
            occurred_at=now,
            data={"game": traffic.GAMES[0], "score": 1, "played_at": now},
        )
        dynamodb.put_item(
            TableName=table, Item=codec.encode(event), ConditionExpression="attribute_not_exists(aggregate_id)"
        )
        api.send(
            traffic.Request("POST", "/users/{user_id}/plays", {"game": traffic.GAMES[0], "score": 2}), person.user_id
        )


def resolve(console: Console, stack: LocalStack, quiet_seconds: float) -> bool:
    """Prints what is parked, repairs the consumers, redrives, and prints what is left. Whether that is nothing."""
    # It is quiet, and the emulator's counts are right at once.
    target = stack.target(steady=0.0)
    console.rule("What is parked")
    _command(target, "list")
    console.print(f"Repair: the consumers learn to read version {_NEWER_SCHEMA} of PlayCompleted, as by a deployment.")
    _learn()
    console.rule("Redrive")
    _command(target, "redrive", "--all")
    stack.wait_until_quiet(quiet_seconds)
    console.rule("What is parked now")
    _command(target, "list")
    with opened(target) as found:
        return not found.letters and not found.unseen


def _command(target: Target, *arguments: str) -> None:
    """Runs the operator's command."""
    try:
        dead_letters.main(list(arguments), prog_name="headwater", obj=lambda: target, standalone_mode=False)
    except click.ClickException as error:
        error.show()


def _learn() -> None:
    """Lets the functions' code read the newer version. It is theirs: they import their own copy when a stack starts."""
    events: Any = sys.modules["headwater.domain.events"]
    known = events.EventTypes.of

    def reader(types: Any, type_: str, schema_version: int, event_id: str) -> Any:
        newer = type_ == PlayCompleted.__name__ and schema_version == _NEWER_SCHEMA
        return known(types, type_, schema_version - newer, event_id)

    events.EventTypes.of = reader
