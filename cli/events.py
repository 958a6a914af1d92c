"""`headwater events`: histories as the event store holds them."""

from collections.abc import Callable, Sequence

import click
import orjson
from rich.console import Console
from rich.table import Table

from cli.target import Target
from headwater.domain.events import RecordedEvent
from headwater.event_store.dynamodb import DynamoDbEventStore


@click.group()
def events() -> None:
    """Reads the event store."""


@events.command()
@click.argument("aggregate")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only events above this version.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")
@click.pass_obj
def show(target: Callable[[], Target], aggregate: str, after: int, as_json: bool) -> None:
    """Prints the history of AGGREGATE, such as user#0199… or player#0199…, in order."""
    if "#" not in aggregate:
        raise click.BadParameter(
            f"{aggregate!r} has no type; write it as <type>#<id>, in quotes: 'user#{aggregate}'", param_hint="AGGREGATE"
        )
    stack = target()
    table = stack.output("EventsTableName")
    history = DynamoDbEventStore(stack.client("dynamodb"), table).load(aggregate, after)
    if not history:
        above = f" above version {after}" if after else ""
        raise click.ClickException(f"{table} has no events of {aggregate}{above}")
    if as_json:
        for event in history:
            click.echo(_json(event))
    else:
        Console().print(_table(aggregate, history))


def _json(event: RecordedEvent) -> bytes:
    return orjson.dumps(event)


def _table(aggregate: str, history: Sequence[RecordedEvent]) -> Table:
    table = Table(title=aggregate, title_justify="left")
    table.add_column("version", justify="right")
    for column in ("occurred at", "type", "data", "event id"):
        table.add_column(column, overflow="fold")
    for event in history:
        table.add_row(
            str(event.version), event.occurred_at, event.type, orjson.dumps(event.data).decode(), event.event_id
        )
    return table
