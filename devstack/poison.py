"""An event that no consumer can read, appended on purpose, and mended as an operator mends one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from devstack.rehearsals import RehearsalError

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
        from headwater.ids import uuid7

        item = dict(self._repeatable())
        version, schema = int(item["version"]["N"]) + 1, int(item["schema_version"]["N"]) + 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        item |= {
            "version": {"N": str(version)},
            "schema_version": {"N": str(schema)},
            "event_id": {"S": uuid7()},
            "occurred_at": {"S": now},
        }
        self._dynamodb.put_item(
            TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(aggregate_id)"
        )
        return item["aggregate_id"]["S"], version, f"says schema version {schema}, which nobody knows"

    def mend(self, aggregate_id: str, version: int) -> None:
        import click

        from cli.events import mended, read

        key = {"aggregate_id": {"S": aggregate_id}, "version": {"N": str(version)}}
        item = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        if item is None or read(item).wrong is None:
            # Somebody has mended it by hand, or it is gone: nothing is left to undo.
            return
        changes = {"schema_version": {"N": str(int(item["schema_version"]["N"]) - 1)}}
        try:
            mended(self._stack(), aggregate_id, version, changes, "a rehearsal's poison, undone")
        except click.ClickException as error:
            raise RehearsalError(error.format_message(), 409) from error

    def _repeatable(self) -> dict[str, Any]:
        """The last event of an aggregate that has two of its type already: a third is nothing new to anybody.

        Raises
        ------
        RehearsalError
            There is none.
        """
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        last: dict[str, dict[str, Any]] = {}
        types: Counter[tuple[str, str]] = Counter()
        for item in islice((item for page in pages for item in page["Items"]), _LOOKED_AT):
            aggregate = item["aggregate_id"]["S"]
            types[aggregate, item.get("type", {}).get("S", "")] += 1
            if aggregate not in last or int(item["version"]["N"]) > int(last[aggregate]["version"]["N"]):
                last[aggregate] = item
        found = [item for name, item in last.items() if types[name, item.get("type", {}).get("S", "")] > 1]
        if not found:
            raise RehearsalError(
                "no aggregate has two events of one type, which can be repeated: append some events first", 409
            )
        return max(found, key=lambda item: item.get("occurred_at", {}).get("S", ""))
