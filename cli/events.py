"""`headwater events`: histories as the event store holds them, and an event that nobody can read made readable."""

import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.command_line import command_line
from cli.given import aggregate as given_aggregate
from cli.given import reason_option
from headwater.change_stream.dynamodb import as_delivered
from headwater.event_store.dynamodb import DynamoDbEventStore
from operations.mending import MENDABLE, Stored, as_mended, mended, read
from operations.output import as_json as json_text
from operations.output import plain, say
from operations.target import Target

#: What shows ids, for whoever knows none: the newest first.
_IDS: Final = "SELECT aggregate_id, max(occurred_at) AS last FROM events_all GROUP BY 1 ORDER BY 2 DESC LIMIT 20"


@click.group()
def events() -> None:
    """Reads the event store, and mends an event that cannot be read."""


@events.command()
@click.argument("aggregate", callback=given_aggregate)
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only events above this version.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
@click.pass_obj
def show(target: Callable[[], Target], aggregate: str, after: int, as_json: bool) -> None:
    """Prints the history of AGGREGATE, such as user#0199… or player#0199…, in order.

    An event that cannot be read is marked with what is wrong; the exit code is 1 then. With --json it comes with
    "unreadable", why, and "item", as DynamoDB has it.
    """
    stack = target()
    table = stack.output("EventsTableName")
    types = stack.application().events
    store = DynamoDbEventStore(stack.client("dynamodb"), table, types)
    history = [read(item, types) for item in store.items(aggregate, after)]
    if not history:
        above = f" above version {after}" if after else ""
        again = command_line()
        raise click.ClickException(
            f"{table} has no events of {aggregate}{above}. The archive has the ids; dead letters have theirs:\n"
            f'  {again} archive query "{_IDS}"\n'
            f"  {again} dead-letters list"
        )
    if as_json:
        for each in history:
            click.echo(json_text(_shown(each)))
    else:
        console = Console(highlight=False)
        console.print(_table(aggregate, history))
        for each in history:
            if each.wrong is not None:
                console.print(Text(f"version {each.version:f} cannot be read: {plain(each.wrong)}", style="red"))
    if unreadable := [f"{each.version:f}" for each in history if each.wrong is not None]:
        raise click.ClickException(
            f"{len(unreadable)} of {len(history)} events cannot be read: version {', '.join(unreadable)}. "
            'See "An event that cannot be read" in docs/runbook.md'
        )


@events.command()
@click.argument("aggregate", callback=given_aggregate)
@click.argument("version", type=click.IntRange(min=1))
@click.option("--data", help="The event's data, as JSON; @FILE reads a file, - the standard input.")
@click.option("--metadata", help="Its metadata, likewise.")
@click.option("--type", "type_", help="Its type, such as PlayCompleted.")
@click.option("--schema-version", type=click.IntRange(min=1), help="Of its type's data.")
@click.option("--occurred-at", help="When it happened, such as 2026-03-01T12:00:00.000Z.")
@click.option("--event-id", help="Its own id. What was done under the one before is then not known to have been.")
@reason_option("What was wrong, and how you know what is right. It is recorded.")
@click.option("--dry-run", is_flag=True, help="Only prints the event as it would be.")
@click.pass_obj
def mend(
    target: Callable[[], Target], /, aggregate: str, version: int, *, reason: str, dry_run: bool, **given: Any
) -> None:
    """Makes event VERSION of AGGREGATE readable, which it is not. One that can be read stays as it is.

    What is given replaces what is stored, under the condition that it is still what was read. The stream shows the
    change, so that the archive keeps both images; the alarm IllegalChanges rings for it. No consumer is told of it:
    redrive fan_out's dead letter.
    """
    changes = _changes(aggregate, given)
    stack = target()
    if dry_run:
        _, after = as_mended(stack, aggregate, version, changes)
        click.echo(json_text(_shown(after), indent=True))
        return
    kept = mended(stack, aggregate, version, changes, reason)
    again = command_line()
    say(
        f"Mended: version {version} of {aggregate}. {kept} keeps what it was, with your reason.\n"
        "IllegalChanges will ring within minutes: this was the change.\n"
        "Nobody was told of the event yet. Next:\n"
        f"  {again} dead-letters redrive --consumer fan_out --aggregate '{aggregate}'\n"
        f"  {again} events show '{aggregate}'\n"
        f"  {again} dead-letters list"
    )


def _changes(aggregate: str, given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The attributes that are to replace those that are stored, as DynamoDB has them."""
    values = {name.rstrip("_"): value for name, value in given.items() if value is not None}
    for name in ("data", "metadata"):
        if name in values:
            values[name] = _json_object(name, values[name])
    # It is the part of the key before the #, and can be nothing else.
    values["aggregate_type"] = aggregate.partition("#")[0]
    return {name: {MENDABLE[name]: str(value)} for name, value in values.items()}


def _json_object(name: str, given: str) -> str:
    hint = f"--{name}"
    match given:
        case "-":
            text = sys.stdin.read()
        case _ if given.startswith("@"):
            try:
                text = Path(given[1:]).read_text(encoding="utf-8")
            except (OSError, UnicodeError) as error:
                raise click.BadParameter(f"{given[1:]} cannot be read: {error}", param_hint=hint) from error
        case _:
            text = given
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"it is not JSON: {error}", param_hint=hint) from error
    if not isinstance(value, dict):
        raise click.BadParameter('it is not a JSON object, such as {"name": "Ada"}', param_hint=hint)
    return orjson.dumps(value).decode()


def _shown(stored: Stored) -> dict[str, Any]:
    event = stored.event
    if event is None:
        return {
            "aggregate_id": stored.text("aggregate_id"),
            "version": _number(stored.version),
            "event_id": stored.text("event_id") or None,
            "unreadable": stored.wrong,
            "item": as_delivered(stored.item),
        }
    return {
        "aggregate_id": event.aggregate_id,
        "version": event.version,
        "event_id": event.event_id,
        "type": event.type,
        "schema_version": event.schema_version,
        "occurred_at": event.occurred_at,
        "data": event.data,
        "metadata": event.metadata,
        "expires_at": event.expires_at,
    }


def _number(value: Decimal) -> int | str:
    return int(value) if value == value.to_integral_value() else str(value)


def _table(aggregate: str, history: Sequence[Stored]) -> Table:
    """An event's type, id and data are below each other, so that the id stays whole in 80 columns."""
    table = Table(title=Text(plain(aggregate)), title_justify="left", show_lines=True)
    table.add_column("version", justify="right")
    table.add_column("occurred at", overflow="fold")
    table.add_column("type, event id, data", overflow="fold")
    for each in history:
        event = "\n".join(plain(each.text(name)) for name in ("type", "event_id", "data"))
        cells = (f"{each.version:f}", plain(each.text("occurred_at")), event)
        table.add_row(*map(Text, cells), style=None if each.wrong is None else "red")
    return table
