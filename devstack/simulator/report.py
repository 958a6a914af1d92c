"""What a set of runs is shown as: two tables, what failed and how, and a picture of the backlog."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from devstack.simulator.findings import Harm
from devstack.simulator.lag import MOST_SECONDS, percentile
from devstack.simulator.runner import Verdict
from devstack.simulator.shrink import entry, story
from devstack.simulator.simulation import Result

#: So many seeds get a line in the picture.
_CURVES: Final = 12
_VIOLATIONS: Final = 5
_HARMS: Final = {
    "lost": Harm.LOST,
    "doubled": Harm.DOUBLED,
    "order breaks": Harm.ORDER,
    "wrong": Harm.WRONG,
    "parked": Harm.PARKED,
    "held": Harm.HELD,
    "e-mails repeated": Harm.REPEATED,
    "e-mails refused": Harm.REFUSED,
}


def show(console: Console, verdict: Verdict, wall: float) -> None:
    """Prints the table of the whole set. ``wall`` is the set's own time in seconds, not the sum of its runs'."""
    results = verdict.results
    table = Table(title=f"{len(results)} seed(s)", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("events", f"{sum(result.events for result in results):,}")
    table.add_section()
    for kind, count in sorted(verdict.faults.items()):
        table.add_row(f"fault: {kind.replace('_', ' ')}", f"{count:,}")
    table.add_row("poison records", f"{sum(result.poisons for result in results):,}")
    if any(result.config.poison for result in results):
        table.add_row("dead letters redriven", f"{sum(result.redriven for result in results):,}")
    table.add_row("waited, longest, without poison", _duration(max((result.waited for result in results), default=0)))
    if odd := verdict.odd:
        table.add_row("odd records", f"{odd.total():,}")
        table.add_row("kinds of them met", f"{sum(map(bool, odd.values())):,} of {len(odd):,}")
        refused = frozenset[str]().union(*(result.odd_refused for result in results))
        table.add_row("of which AWS takes none", f"{len(refused):,}")
    table.add_section()
    for name, harm in _HARMS.items():
        total = verdict.total(harm)
        table.add_row(name, f"{total:,}", style="red" if total and harm.breaks else "")
    emails = sum(result.emails for result in results)
    table.add_row("e-mails", f"{emails:,}")
    table.add_row("of which repeated", f"{verdict.total(Harm.REPEATED) / max(1, emails):.2%}")
    table.add_section()
    table.add_row("drained", f"{sum(result.drained is not None for result in results)} of {len(results)}")
    table.add_row("drained after, longest", _duration(max((result.drained or 0 for result in results), default=0)))
    table.add_row("virtual time", _duration(sum(result.virtual for result in results)))
    table.add_row("wall time", _duration(wall))
    console.print(table)
    console.print(_lags(verdict))
    if (unmet := [name for name, count in verdict.odd.items() if not count]) and verdict.odd.total() > len(verdict.odd):
        console.print(f"[yellow]{len(unmet)} kinds of odd records were never met[/yellow]:")
        for name in sorted(unmet):
            console.print(f"  {name}", markup=False, highlight=False)


def _lags(verdict: Verdict) -> Table:
    """How long healthy events took to each consumer."""
    table = Table(title="From append to applied, healthy aggregates, outages left out", title_justify="left")
    table.add_column("consumer", style="bold")
    for name in ("events", "half", "99 %", "longest"):
        table.add_column(name, justify="right")
    for consumer, counts in sorted(verdict.lags.items()):
        seconds = (percentile(counts, share) for share in (0.5, 0.99, 1.0))
        style = "red" if consumer in verdict.late else ""
        table.add_row(consumer, f"{counts.total():,}", *map(_duration, seconds), style=style)
    return table


def line(result: Result) -> str:
    """One run in one line."""
    harms = ", ".join(f"{result.harms[harm]:,} {name}" for name, harm in _HARMS.items())
    drained = "never drained" if result.drained is None else f"drained after {_duration(result.drained)}"
    return f"seed {result.config.seed}: {result.events:,} events, {harms}; {drained}; {result.wall:.1f} s"


def show_failures(console: Console, verdict: Verdict) -> None:
    """Prints each failing seed and what it violates, one line a finding."""
    for result in verdict.failing:
        console.print(f"[red]seed {result.config.seed} fails[/red] ({len(result.violations)} findings)")
        for violation in result.violations[:_VIOLATIONS]:
            console.print(f"  {violation}", markup=False, highlight=False)
    for seed in verdict.diverging:
        console.print(f"[red]seed {seed} took another course when it was run again[/red]: something is not seeded")
    for consumer, lag in verdict.late.items():
        told = f"{_duration(lag)} for 99 of 100 healthy events, {MOST_SECONDS:.0f} s are allowed"
        console.print(f"[red]{consumer} lags[/red]: {told}")
    if verdict.not_injected:
        kinds = ", ".join(verdict.not_injected)
        console.print(f"[red]never injected: {kinds}[/red]; run more events or seeds, or raise FAULTS")


def show_shortest(console: Console, shortest: Result) -> None:
    """Prints the shortest failing run and what happened to its aggregate."""
    if not shortest.violations:
        console.print("The failure does not repeat in this process.")
        return
    violation = shortest.violations[0]
    console.print(f"\nShortest failing run: {shortest.config.events} events, seed {shortest.config.seed}")
    console.print(f"  {violation}", markup=False, highlight=False)
    for line in story(shortest, violation.finding):
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print("Keep it: add this to tests/simulation/regressions.json, with a line 'why':")
    console.print(f"  {entry(shortest.config)}", markup=False, highlight=False, soft_wrap=True)


def draw(verdict: Verdict, path: Path) -> None:
    """Writes the backlog over virtual time as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 4.5), layout="constrained")
    for result in verdict.results[:_CURVES]:
        times, counts = zip(*result.backlog, strict=True)
        axes.step([time / 60 for time in times], counts, where="post", label=f"seed {result.config.seed}", linewidth=1)
    config = verdict.results[0].config
    axes.set_title(f"Records past the checkpoints: {config.events:,} events a seed, {config.faults:.0%} faults")
    axes.set_xlabel("virtual time, minutes")
    axes.set_ylabel("records and messages")
    axes.set_yscale("symlog", linthresh=10)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
