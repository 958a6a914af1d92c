"""What was tried, for people at 80 columns and for programs as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devstack.try_input.verdicts import Fate, Outcome, Run
from operations.output import plain

_WIDTH: Final = 80
_TITLE_WIDTH: Final = 28
_STYLES: Final = {Fate.FAILED: "red", Fate.LOST: "red", Fate.SKIPPED: "dim"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A route that was asked afterwards."""

    path: str
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One file: its runs and routes, or why there are none: ``error`` is the caller's to mend, ``left_out`` is not."""

    name: str
    runs: Sequence[Run] = ()
    asked: Sequence[Asked] = ()
    error: str | None = None
    left_out: str | None = None

    @property
    def exit_code(self) -> int:
        return 2 if self.error else int(any(run.bad for run in self.runs))


def to_json(tried: Sequence[Tried]) -> str:
    """One JSON document, plain ASCII, so that odd text does no harm to whoever reads it."""
    return json.dumps({"files": [_file(each) for each in tried]}, indent=1)


def to_text(tried: Sequence[Tried], *, colour: bool = False) -> str:
    """Tables of `_WIDTH` columns; reasons and bodies are whole."""
    out = io.StringIO()
    console = Console(
        file=out, width=_WIDTH, force_terminal=colour, no_color=not colour, highlight=False, emoji=False, markup=False
    )
    for each in tried:
        for run in each.runs:
            console.print(Text(plain(f"{each.name} → {run.function}"), style="bold"))
            if run.source in {"http", "http-body"}:
                for outcome in run.outcomes:
                    console.print(Text(plain(f" {outcome.record.title}  {outcome.fate}  {outcome.reason}")))
            else:
                console.print(_table(run.outcomes))
            for mail in run.mails:
                console.print(Text(plain(f"  e-mail to {mail}")))
        for asked in each.asked:
            console.print(Text(plain(f"GET {asked.path} → {asked.status}"), style="bold"))
            console.print(Text(plain(f"  {asked.body}")))
    if left_out := [each.name for each in tried if each.left_out]:
        console.print(Text(plain(f"left out, as they are for other functions: {', '.join(left_out)}"), style="dim"))
    outcomes = [outcome for each in tried for run in each.runs for outcome in run.outcomes]
    if outcomes:
        again = sum(outcome.retried for outcome in outcomes)
        lost = sum(outcome.fate is Fate.LOST for outcome in outcomes)
        console.print(f"{len(outcomes)} record(s): Lambda would deliver {again} again; {lost} lost.")
    # Rich pads each line to the table's width.
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _table(outcomes: Sequence[Outcome]) -> Table:
    again = any(outcome.retried for outcome in outcomes)
    table = Table(box=None, padding=(0, 1), pad_edge=True, show_edge=False, width=_WIDTH)
    table.add_column("record", width=_TITLE_WIDTH, no_wrap=True)
    table.add_column("became", no_wrap=True)
    if again:
        table.add_column("again", no_wrap=True)
    table.add_column("why, or where", overflow="fold", ratio=1)
    for outcome in outcomes:
        table.add_row(
            Text(_short(plain(outcome.record.title))),
            Text(outcome.fate, style=_STYLES.get(outcome.fate, "")),
            *([Text("yes" if outcome.retried else "")] if again else []),
            Text(plain(outcome.reason)),
        )
    return table


def _file(tried: Tried) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "file": tried.name,
        "runs": [
            {
                "function": run.function,
                "source": run.source,
                "records": [
                    {
                        "record": outcome.record.title,
                        "identifier": outcome.record.identifier,
                        "aggregate_id": outcome.record.aggregate_id,
                        "version": outcome.record.version,
                        "became": outcome.fate,
                        "reason": outcome.reason,
                        "retried": outcome.retried,
                    }
                    for outcome in run.outcomes
                ],
                "mails": list(run.mails),
            }
            for run in tried.runs
        ],
        "routes": [{"path": asked.path, "status": asked.status, "body": asked.body} for asked in tried.asked],
    }
    told = {"error": tried.error, "left_out": tried.left_out}
    return shown | {name: text for name, text in told.items() if text}


def _short(text: str) -> str:
    """Without its middle, if it is long: ids differ at their ends."""
    if len(text) <= _TITLE_WIDTH:
        return text
    end = _TITLE_WIDTH // 2
    return f"{text[: _TITLE_WIDTH - end - 1]}…{text[-end:]}"
