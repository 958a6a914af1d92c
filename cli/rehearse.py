"""`headwater rehearse`: break the local stack on purpose, and undo it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.table import Table

from cli import given
from cli.control import Control
from operations.output import as_json as json_text
from operations.output import plain, say
from operations.target import Target


@click.group()
def rehearse() -> None:
    """Breaks the local stack on purpose, to see what follows and how to repair it. All ends with the stack."""


@rehearse.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: what there is, then what runs.")
@click.pass_obj
def list_(target: Callable[[], Target], as_json: bool) -> None:
    """Lists what can be broken, and what is broken now."""
    told = _control(target()).get("rehearsals")
    if as_json:
        for kind in ("known", "running"):
            for each in told[kind]:
                click.echo(json_text({"kind": kind, **each}))
        return
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("name", "what it does, and on what"):
        table.add_column(column, overflow="fold")
    for each in told["known"]:
        on = f"\n[dim]On: {', '.join(each['targets'])}[/]" if each["targets"] else ""
        table.add_row(each["name"], each["about"] + on)
    console.print(table)
    console.print()
    for each in told["running"]:
        # It names an aggregate, whose id somebody else chose.
        console.print(plain(f"Runs: {each['id']}, since {each['since']}: {each['did']}."), style="yellow", markup=False)
    if not told["running"]:
        console.print("Nothing is broken now.")


@rehearse.command()
@click.argument("name", callback=given.stated)
@click.argument("on", metavar="[TARGET]", required=False, callback=given.stated)
@click.pass_obj
def start(target: Callable[[], Target], name: str, on: str | None) -> None:
    """Starts the rehearsal NAME; TARGET names the consumer, table or bucket to break.

    A target goes by any of its names: leaderboard, as status and dead letters have it, or LeaderboardFunction.
    """
    done = _control(target()).post("rehearsals", {"name": name} | ({"target": on} if on else {}))
    say(plain(f"{done['id']}: {done['did']}."))
    if done["lasts"]:
        say(f"Undo it: headwater rehearse undo {done['id']}")


@rehearse.command()
@click.argument("identifier", metavar="[ID]", required=False, callback=given.stated)
@click.option("--all", "everything", is_flag=True, help="All that run.")
@click.pass_obj
def undo(target: Callable[[], Target], identifier: str | None, everything: bool) -> None:
    """Undoes the rehearsal ID, as start printed it, or the only one of that name."""
    if everything == bool(identifier):
        raise click.UsageError("say which: an ID, or --all")
    wanted = "all" if everything else quote(identifier or "", safe="")
    done = _control(target()).delete(f"rehearsals/{wanted}")
    say(f"Undone: {', '.join(done['undone'])}." if done["undone"] else "Nothing is broken now.")
    for text in done["next"].values():
        say(text)


def _control(stack: Target) -> Any:
    if stack.running is None:
        raise click.ClickException("rehearsals are for the local stack: start one with 'make run'")
    return Control(stack.running)
