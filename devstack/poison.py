"""An event that no consumer can read, appended on purpose, and mended as an operator mends one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from devstack.rehearsals import RehearsalError
from operations.mending import mended, read

#: Items of the table, so that a rehearsal does not read a large one whole.
_LOOKED_AT: Final = 20_000


class UnreadableEvent:
    """Implements `devstack.rehearsals.Poison`. ``stack`` gives the target that the operator's command works on."""

    def __init__(self, dynamodb: Any, table: str, stack: Callable[[], Any]) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._stack = stack

    def append(self) -> tuple[str, int, str]:
        # The functions' own copy of it, as everything of theirs.
        from headwater.clock import timestamp, utc_now
        from headwater.ids import uuid7

        with _answered():
            base, version = self._repeatable()
        schema = int(base["schema_version"]["N"]) + 1
        item = base | {
            "version": {"N": str(version)},
            "schema_version": {"N": str(schema)},
            "event_id": {"S": uuid7()},
            "occurred_at": {"S": timestamp(utc_now())},
        }
        with _answered():
            self._dynamodb.put_item(
                TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(aggregate_id)"
            )
        return item["aggregate_id"]["S"], version, f"says schema version {schema}, which nobody knows"

    def mend(self, aggregate_id: str, version: int) -> None:
        key = {"aggregate_id": {"S": aggregate_id}, "version": {"N": str(version)}}
        with _answered():
            item = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        if item is None or read(item, self._stack().application().events).wrong is None:
            # Somebody has mended it by hand, or it is gone: nothing is left to undo.
            return
        changes = {"schema_version": {"N": str(int(item["schema_version"]["N"]) - 1)}}
        try:
            with _answered():
                mended(self._stack(), aggregate_id, version, changes, "a rehearsal's poison, undone")
        except click.ClickException as error:
            raise RehearsalError(error.format_message(), 409) from error

    def _repeatable(self) -> tuple[dict[str, Any], int]:
        """An event to copy, and the version that its aggregate has free.

        It is the last readable one of an aggregate that has two of its type: a third is nothing new to anybody. A copy
        of what cannot be read could not be mended; an aggregate that waits for nothing comes first.

        Raises
        ------
        RehearsalError
            There is none.
        """
        # Late: the functions' own copy of what it imports.
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        known = self._stack().application().events
        free: dict[str, int] = {}
        last: dict[str, dict[str, Any]] = {}
        types: Counter[tuple[str, str]] = Counter()
        for item in islice((item for page in pages for item in page["Items"]), _LOOKED_AT):
            aggregate, stored = item["aggregate_id"]["S"], read(item, known)
            free[aggregate] = max(free.get(aggregate, 0), int(stored.version) + 1)
            if stored.wrong is None:
                types[aggregate, stored.text("type")] += 1
                if aggregate not in last or stored.version > Decimal(last[aggregate]["version"]["N"]):
                    last[aggregate] = item
        found = [item for name, item in last.items() if types[name, item["type"]["S"]] > 1]
        if not found:
            raise RehearsalError(
                "no aggregate has two events of one type, which can be repeated: append some events first", 409
            )

        def preferred(item: dict[str, Any]) -> tuple[bool, str]:
            follows = Decimal(item["version"]["N"]) + 1 == free[item["aggregate_id"]["S"]]
            return follows, item["occurred_at"]["S"]

        item = max(found, key=preferred)
        return item, free[item["aggregate_id"]["S"]]


@contextmanager
def _answered() -> Iterator[None]:
    """Says what DynamoDB refuses as a rehearsal's own error."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise RehearsalError(f"DynamoDB refuses it ({error}): undo what is broken there first", 409) from error
