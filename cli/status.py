"""`headwater status`: how a stack does, on one screen.

Exit codes: 0, nothing needs a person; 1, something does, and it is named; 2, the command is not written right.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.observation import Figures, Observer, Snapshot, archive_told, as_json, duration
from operations.flow_graph import FlowGraph
from operations.output import as_json as json_text
from operations.output import counted, plain
from operations.target import Target

NEEDS_A_PERSON: Final = 1
#: Rates are differences: what was seen once has none.
_FIRST_SECONDS: Final = 1.0
_SHOWN_TROUBLES: Final = 10


@click.command()
@click.option("--json", "as_json_", is_flag=True, help="One JSON object, with --watch one a line.")
@click.option("--watch", is_flag=True, help="Goes on until Ctrl-C.")
@click.pass_obj
def status(target: Callable[[], Target], as_json_: bool, watch: bool) -> None:
    """Shows how the stack does: lag, queues, dead letters, the archive's freshness, alarms.

    The exit code is 1 when something needs a person, which is said first. A deployed stack's figures are those of the
    last five minutes, as CloudWatch has them.
    """
    # Late: a help text waits for no reader of templates.
    from cli.observer import observer

    stack = target()
    looking = observer(stack)
    seen = _watched(looking) if watch else _once(looking, local=stack.running is not None)
    snapshot = None
    try:
        with _json(looking.graph) if as_json_ else _screen(looking.graph, watch=watch) as show:
            for snapshot in seen:
                show(snapshot)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)
    if snapshot is not None and snapshot.troubles:
        raise click.exceptions.Exit(NEEDS_A_PERSON)


@contextmanager
def _json(graph: FlowGraph) -> Iterator[Callable[[Snapshot], None]]:
    yield lambda snapshot: click.echo(json_text(as_json(graph, snapshot)))


@contextmanager
def _screen(graph: FlowGraph, *, watch: bool) -> Iterator[Callable[[Snapshot], None]]:
    console = Console(highlight=False)
    if not (watch and console.is_terminal):
        yield lambda snapshot: console.print(shown(graph, snapshot))
        return
    with Live(console=console, auto_refresh=False, screen=True) as screen:
        yield lambda snapshot: screen.update(shown(graph, snapshot), refresh=True)


def _once(looking: Observer, *, local: bool) -> Iterator[Snapshot]:
    found = looking.observe()
    if local:
        time.sleep(_FIRST_SECONDS)
        found = looking.observe()
    yield found


def _watched(looking: Observer) -> Iterator[Snapshot]:
    while True:
        yield looking.observe()
        time.sleep(looking.every)


def shown(graph: FlowGraph, snapshot: Snapshot) -> RenderableType:
    """The screen."""
    parts: list[RenderableType] = [_verdict(snapshot)]
    for trouble in snapshot.troubles[:_SHOWN_TROUBLES]:
        parts.append(Text(f"  {plain(trouble.what)}", style="red"))
        parts.append(Text(f"    → {trouble.see}", style="dim"))
    if len(snapshot.troubles) > _SHOWN_TROUBLES:
        parts.append(Text(f"  and {len(snapshot.troubles) - _SHOWN_TROUBLES} more: --json has them all", style="red"))
    parts += [Text(), _table(graph, snapshot), Text(), *_rest(snapshot)]
    return Group(*parts)


def _verdict(snapshot: Snapshot) -> Text:
    head = Text(f"{snapshot.stack}, {snapshot.at.strftime('%H:%M:%S')} UTC: ", style="bold")
    if snapshot.troubles:
        needs = "needs" if len(snapshot.troubles) == 1 else "need"
        return head + Text(f"{counted(len(snapshot.troubles), 'thing')} {needs} a person", style="bold red")
    return head + Text("nothing needs a person", style="bold green")


def _table(graph: FlowGraph, snapshot: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("consumer", no_wrap=True)
    for column in ("lag", "waiting", "a second", "retries", "dead letters"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, station in graph.consumers.items():
        figures = snapshot.figures.get(station.id, Figures())
        table.add_row(
            name,
            "" if figures.lag is None else duration(figures.lag),
            _count(figures.waiting),
            "" if figures.rate is None else f"{figures.rate:.1f}",
            _count(figures.retries),
            _count(figures.parked),
            Text(_state(figures), style="yellow"),
        )
    return table


def _state(figures: Figures) -> str:
    if figures.paused:
        return "stopped"
    return "retrying" if figures.retrying else ""


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _rest(snapshot: Snapshot) -> Iterator[Text]:
    queued = sum(snapshot.dead_letters.values())
    still = sum(snapshot.standing.values())
    yield Text(f"Dead letters: {queued:,}, of {counted(still, 'aggregate')}.")
    yield Text(f"Archive: {archive_told(snapshot)}.")
    if snapshot.alarms is not None:
        ringing = [each for each in snapshot.alarms if each.state == "ALARM"]
        names = f": {', '.join(each.name for each in ringing)}" if ringing else ""
        yield Text(f"Alarms: {len(ringing)} of {len(snapshot.alarms)} ring{names}.")
    else:
        yield Text("Alarms: the local stack has none.")
    for each in snapshot.unknown:
        yield Text(f"Not known: {each}", style="yellow")
