"""The demo's failure: events that the consumers' code does not know, parked, then repaired and redriven."""

import itertools
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from devstack.demo import traffic
from devstack.stack import LocalStack
from headwater.clock import timestamp
from headwater.dead_letters.redrive import in_order
from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.event_store import codec
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.ids import uuid7
from operations.dead_letters import view
from operations.dead_letters.inventory import opened
from operations.dead_letters.redriving import Redriving
from operations.target import Target

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
    target = stack.target()
    console.rule("What is parked")
    _show(console, target)
    console.print(f"Repair: the consumers learn to read version {_NEWER_SCHEMA} of PlayCompleted, as by a deployment.")
    _learn()
    console.rule("Redrive")
    _redrive(target)
    stack.wait_until_quiet(quiet_seconds)
    console.rule("What is parked now")
    return _show(console, target)


def _show(console: Console, target: Target) -> bool:
    """Prints what waits, as `headwater dead-letters list` does. Whether that is nothing.

    It is quiet, and the emulator's counts are right at once: nobody need wait to be sure.
    """
    with opened(target) as found:
        if found.letters:
            view.print_groups(found.letters, found.ids, datetime.now(UTC))
        nothing = not found.letters and not found.unseen
        if nothing:
            console.print("Nothing waits.")
        return nothing


def _redrive(target: Target) -> None:
    """Processes again what waits, as `headwater dead-letters redrive --all` does, and prints what became of it."""
    with opened(target) as found, target.as_function():
        redrive = Redriving(target, found).redrive
        results = list(in_order(found.letters, lambda letter: (letter.consumer, letter.aggregate), redrive))
        view.print_results(results, found.ids, len(found.letters), dry_run=False)


def _learn() -> None:
    """Lets the functions' code read the newer version. It is theirs: they import their own copy when a stack starts."""
    events: Any = sys.modules["headwater.domain.events"]
    known = events.EventTypes.of

    def reader(types: Any, type_: str, schema_version: int, event_id: str) -> Any:
        newer = type_ == PlayCompleted.__name__ and schema_version == _NEWER_SCHEMA
        return known(types, type_, schema_version - newer, event_id)

    events.EventTypes.of = reader
