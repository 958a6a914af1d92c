"""``make mutate``: takes each guard away in turn and demands that its tests turn red."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.mutations.guards import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
#: pytest's exit codes: tests failed; anything else but 0 means that they could not run.
_GREEN, _RED = 0, 1
_SECONDS_FOR_ALL, _SECONDS_FOR_ONE = 1800, 600


class BrokenSuiteError(Exception):
    """The tests are red without a mutation, or did not run with one: nothing is proven."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``killed_by`` is the first of the mutation's test folders to turn red; None if the mutation survived."""

    mutation: Mutation
    killed_by: str | None
    seconds: float


def _pytest(tests: Iterable[str], mutation: Mutation | None = None) -> "subprocess.CompletedProcess[str]":
    plugin = ["-p", "tests.mutations.plugin"] if mutation else []
    named = {"HEADWATER_MUTATION": mutation.name} if mutation else {}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", *plugin, *tests],
        cwd=ROOT,
        env={**os.environ, **named},
        capture_output=True,
        text=True,
        timeout=_SECONDS_FOR_ONE if mutation else _SECONDS_FOR_ALL,
        check=False,
    )


def try_mutation(mutation: Mutation) -> Verdict:
    """Runs the mutation's tests, in their order, until one turns red, or does not end: the guard was what ended a loop.

    Raises
    ------
    BrokenSuiteError
        The tests did not run: pytest was neither green nor red.
    """
    started = time.monotonic()
    for tests in mutation.tests:
        try:
            run = _pytest([tests], mutation)
        except subprocess.TimeoutExpired:
            return Verdict(mutation, f"{tests}, which does not end", time.monotonic() - started)
        if run.returncode == _RED:
            return Verdict(mutation, tests, time.monotonic() - started)
        if run.returncode != _GREEN:
            raise BrokenSuiteError(f"{mutation.name}: {tests} did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return Verdict(mutation, None, time.monotonic() - started)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Mutations tried side by side.")
def main(names: tuple[str, ...], jobs: int) -> None:
    """Tries all mutations, or those of the NAMES given."""
    console = Console()
    known = {mutation.name: mutation for mutation in MUTATIONS}
    if unknown := set(names) - set(known):
        raise click.UsageError(f"no mutation is called {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    chosen = [known[name] for name in names] or list(MUTATIONS)
    try:
        verdicts = _try_all(chosen, jobs, console)
    except BrokenSuiteError as error:
        raise click.ClickException(str(error)) from error
    console.print(_table(verdicts))
    survivors = [verdict.mutation.name for verdict in verdicts if verdict.killed_by is None]
    console.print(f"{len(verdicts) - len(survivors)} of {len(verdicts)} mutations killed.")
    if survivors:
        raise click.ClickException(f"survived: {', '.join(survivors)}: no test notices that the guard is gone")


def _try_all(chosen: list[Mutation], jobs: int, console: Console) -> list[Verdict]:
    with Progress(console=console) as progress:
        task = progress.add_task("the suite without a mutation", total=len(chosen) + 1)
        tests = sorted({tests for mutation in chosen for tests in mutation.tests})
        whole = _pytest(tests)
        if whole.returncode != _GREEN:
            raise BrokenSuiteError(f"the suite is not green without a mutation:\n{whole.stdout[-4000:]}")
        progress.update(task, advance=1, description="guards taken away")

        def attempt(mutation: Mutation) -> Verdict:
            verdict = try_mutation(mutation)
            progress.advance(task)
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(attempt, chosen))


def _table(verdicts: list[Verdict]) -> Table:
    table = Table(title="Mutations", title_justify="left")
    for column in ("guard", "rule", "killed by"):
        table.add_column(column, overflow="fold")
    table.add_column("seconds", justify="right")
    for verdict in verdicts:
        killer = verdict.killed_by or "[bold red]nothing: it survived[/]"
        table.add_row(verdict.mutation.name, verdict.mutation.rule, killer, f"{verdict.seconds:.0f}")
    return table


if __name__ == "__main__":
    main()
