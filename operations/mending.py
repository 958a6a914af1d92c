"""An event that nobody can read, made readable."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import click
from botocore.exceptions import ClientError

from headwater.change_stream.dynamodb import as_delivered
from headwater.domain.events import EventTypes, RecordedEvent
from headwater.event_store import codec
from operations.kept import recorder
from operations.output import as_json as json_text
from operations.target import Target

type Item = Mapping[str, Any]

#: How the attributes that can be mended are stored. The key is none of them: it is what an event is found by.
MENDABLE: Final = {name: kind for name, kind in codec.KINDS.items() if name not in {"aggregate_id", "version"}}


@dataclass(frozen=True, slots=True)
class Stored:
    """One item of a history, and why it is no event that this code can read, if it is none."""

    item: Item
    event: RecordedEvent | None
    wrong: str | None

    @property
    def version(self) -> Decimal:
        """Its place; a foreign producer may have written a fraction."""
        return Decimal(self.item["version"]["N"])

    def text(self, name: str) -> str:
        """An attribute as it is, readable or not; empty if there is none."""
        attribute = self.item.get(name, {})
        value = attribute.get("S", attribute.get("N"))
        return json_text(as_delivered(attribute)) if attribute and value is None else str(value or "")


def read(item: Item, types: EventTypes) -> Stored:
    """The item with its event, checked as its readers check it."""
    try:
        return Stored(item, codec.decode(item, types), None)
    except ValueError as error:
        # It is unknown or malformed. The types may be those of the functions' own copy of headwater, whose errors have
        # other classes than those of this module's.
        return Stored(item, None, str(error))


def as_mended(stack: Target, aggregate: str, version: int, changes: Item) -> tuple[Stored, Stored]:
    """The event as it is and as it would be.

    Raises
    ------
    click.ClickException
        There is no such event, it can be read, or it still could not be.
    """
    table = stack.output("EventsTableName")
    answer = stack.client("dynamodb").get_item(TableName=table, Key=_key(aggregate, version), ConsistentRead=True)
    old = answer.get("Item")
    if old is None:
        raise click.ClickException(f"{table} has no version {version} of {aggregate}: 'events show' has its history")
    types = stack.application().events
    before, after = read(old, types), read({**old, **changes}, types)
    if before.wrong is None:
        raise click.ClickException(f"version {version} of {aggregate} can be read: events are never changed")
    if after.wrong is not None:
        raise click.ClickException(f"it could still not be read: {after.wrong}. Nothing was written")
    return before, after


def mended(stack: Target, aggregate: str, version: int, changes: Item, reason: str) -> str:
    """Makes an event readable; gives the address of the record of it.

    Raises
    ------
    click.ClickException
        There is no such event, it can be read, it still could not be, or somebody else changed it; nothing was written.
    """
    before, _ = as_mended(stack, aggregate, version, changes)
    facts = {"mended": as_delivered(before.item), "unreadable": before.wrong, "changes": changes}
    kept = recorder(stack, "mended", facts, verb="mend", done="mended", reason=reason)()
    _write(stack.client("dynamodb"), stack.output("EventsTableName"), _key(aggregate, version), before.item, changes)
    return kept


def _key(aggregate: str, version: int) -> dict[str, Any]:
    return {"aggregate_id": {"S": aggregate}, "version": {"N": str(version)}}


def _write(dynamodb: Any, table: str, key: Item, old: Item, changes: Item) -> None:
    """Replaces attributes of the item, if all that were read are still what they were."""
    names = sorted({*changes, *(name for name in MENDABLE if name in old)})
    conditions = ["attribute_exists(aggregate_id)"]
    values: dict[str, Any] = {}
    for position, name in enumerate(names):
        if name in old:
            values[f":old{position}"] = old[name]
            conditions.append(f"#n{position} = :old{position}")
        else:
            conditions.append(f"attribute_not_exists(#n{position})")
        if name in changes:
            values[f":new{position}"] = changes[name]
    sets = ", ".join(f"#n{position} = :new{position}" for position, name in enumerate(names) if name in changes)
    try:
        dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression=f"SET {sets}",
            ConditionExpression=" AND ".join(conditions),
            ExpressionAttributeNames={f"#n{position}": name for position, name in enumerate(names)},
            ExpressionAttributeValues=values,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        raise click.ClickException("somebody else changed it meanwhile; nothing was written: look again") from error
