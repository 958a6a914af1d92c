"""What a set of runs is shown as."""

import io
from collections import Counter
from pathlib import Path

from rich.console import Console

from devstack.simulator import report
from devstack.simulator.config import Config
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.runner import Verdict
from devstack.simulator.simulation import Result, Violation

LOST = Violation("read_model", Finding(Harm.LOST, "player#abc", "version 3 waits nowhere"))


def result(seed: int, *violations: Violation) -> Result:
    return Result(
        Config.of(seed, 1_000, 0.05),
        events=1_100,
        emails=150,
        faults=Counter({"crash": 3, "lost_answer": 40}),
        harms=Counter({Harm.HELD: 2, Harm.REPEATED: 3, **{violation.finding.harm: 1 for violation in violations}}),
        drained=90.0,
        virtual=7_200.0,
        violations=list(violations),
        backlog=[(0.0, 0), (60.0, 500), (120.0, 0)],
    )


def shown(verdict: Verdict) -> str:
    text = io.StringIO()
    console = Console(file=text, width=100)
    report.show(console, verdict, 12.0)
    report.show_failures(console, verdict)
    return text.getvalue()


def rows(text: str) -> dict[str, str]:
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    return dict(cells)


def test_the_table_adds_the_runs_up() -> None:
    text = shown(Verdict([result(1), result(2)]))

    assert rows(text) == {
        "events": "2,200",
        "fault: crash": "6",
        "fault: lost answer": "80",
        "poison records": "0",
        "waited, longest, without poison": "0.0 s",
        "lost": "0",
        "doubled": "0",
        "order breaks": "0",
        "wrong": "0",
        "parked": "0",
        "held": "4",
        "e-mails refused": "0",
        "e-mails repeated": "6",
        "e-mails": "300",
        "of which repeated": "2.00%",
        "drained": "2 of 2",
        "drained after, longest": "90.0 s",
        "virtual time": "4.0 h",
        "wall time": "12.0 s",
    }
    assert "fails" not in text


def test_a_failing_seed_is_named_with_what_it_violates() -> None:
    verdict = Verdict([result(1), result(2, LOST)], not_injected=["reorder"], diverging=[1])
    text = shown(verdict)

    assert not verdict.holds
    assert "seed 2 fails" in text
    assert "read_model: lost: player#abc: version 3 waits nowhere" in text
    assert "never injected: reorder" in text
    assert "seed 1 took another course" in text
    assert rows(text)["lost"] == "1"


def test_the_shortest_failing_run_says_how_to_keep_it() -> None:
    text = io.StringIO()

    report.show_shortest(Console(file=text, width=100), result(2, LOST))

    assert "tests/simulation/regressions.json" in text.getvalue()
    assert '"seed": 2' in text.getvalue()


def test_the_backlog_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "new" / "backlog.png"

    report.draw(Verdict([result(1), result(2)]), path)

    assert path.read_bytes().startswith(b"\x89PNG")
