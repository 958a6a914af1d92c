"""``python -m devstack simulate``: the set of runs, with a progress bar."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from devstack.simulator import report
from devstack.simulator.config import Config
from devstack.simulator.graph import Blueprint
from devstack.simulator.runner import resolve, run_set
from devstack.simulator.shrink import shrink
from devstack.simulator.simulation import Result, simulate

#: Of larger sets, only the failing seeds get a line as they end.
_TOLD_ONE_BY_ONE: Final = 20


def run(
    *,
    events: int,
    seeds: range,
    faults: float,
    poison: float,
    odd: float = 0.0,
    jobs: int | None,
    picture: Path | None,
    within: str | None = None,
) -> int:
    """Runs the seeds and shows what they came to; gives the exit code, 0 if everything holds."""
    console = Console()
    configs = [Config.of(seed, events, faults, poison=poison, odd=odd) for seed in seeds]
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("events", total=events * len(seeds))

        def finished(result: Result) -> None:
            if result.violations or len(seeds) <= _TOLD_ONE_BY_ONE:
                style = "red" if result.violations else ""
                progress.console.print(report.line(result), markup=False, highlight=False, style=style)

        verdict = run_set(
            configs,
            jobs=jobs,
            within=within,
            report=lambda count: progress.advance(task, count),
            finished=finished,
        )
        progress.update(task, completed=events * len(seeds))
    report.show(console, verdict, time.monotonic() - began)
    if picture is not None:
        report.draw(verdict, picture)
        console.print(f"Backlog over virtual time: {picture}", soft_wrap=True)
    report.show_failures(console, verdict)
    if verdict.failing:
        shortest = min(verdict.failing, key=lambda result: result.wall)
        report.show_shortest(console, _shortest(shortest.config, within))
    elif verdict.holds:
        console.print("[green]Every invariant holds.[/green]")
    return 0 if verdict.holds else 1


def _shortest(config: Config, within: str | None) -> Result:
    blueprint = Blueprint.load()
    context = resolve(within) or nullcontext
    return shrink(config, lambda attempt: simulate(attempt, blueprint, within=context))
