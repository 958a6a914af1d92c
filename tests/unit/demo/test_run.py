"""What the demo has others do."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devstack.demo import run


def test_the_chart_is_of_this_stack_and_of_no_other_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setenv("HEADWATER_STACK", "deployed")
    monkeypatch.setattr("devstack.demo.run.subprocess.Popen", lambda command, env, **_: started.append((command, env)))
    stack: Any = SimpleNamespace(run_folder=tmp_path / "run-1")

    run._Chart(stack, tmp_path)

    ((command, env),) = started
    assert command[1:5] == ["-m", "cli.main", "--stack", "local"]
    assert env["HEADWATER_RUN"] == str(tmp_path / "run-1")
