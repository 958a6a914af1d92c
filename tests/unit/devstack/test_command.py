"""`make`'s targets by the names that whoever calls them knows."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from devstack.__main__ import main
from devstack.errors import DevstackError
from devstack.stack import LocalStack
from operations.running import RunningStack


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (["demo", "--users", "0"], "USERS"),
        (["demo", "--plays", "many"], "PLAYS"),
        (["demo", "--poison", "-1"], "POISON"),
        (["run", "--port", "99999"], "PORT"),
        (["simulate", "--events", "0"], "EVENTS"),
        (["simulate", "--seeds", "0"], "SEEDS"),
        (["simulate", "--faults", "2"], "FAULTS"),
        (["simulate", "--poison", "2"], "POISON"),
        (["simulate", "--odd", "2"], "ODD"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_told_by_makes_own_name(command: list[str], variable: str) -> None:
    told = CliRunner().invoke(main, command)

    assert told.exit_code == 2
    assert f"({variable} of make" in told.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(KeyboardInterrupt(), 130, "Stopped.\n"), (DevstackError("no port"), 1, "devstack: no port\n")],
)
def test_a_command_that_ends_early_says_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def run(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr("devstack.demo.run.run", run)
    monkeypatch.setattr("devstack.__main__.exit_on_signals", lambda: None)
    told = CliRunner().invoke(main, ["demo"])

    assert (told.exit_code, told.output) == (code, said)


def test_a_port_that_another_stack_of_the_folder_has_is_told_with_that_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pid").write_text("4711\n")
    other = RunningStack("http://127.0.0.1:8080", "http://127.0.0.1:1", run_folder=str(tmp_path))
    monkeypatch.setattr("devstack.stack.running_stack", lambda _: other)
    stack = LocalStack(tmp_path, port=8080)

    with pytest.raises(DevstackError, match=r"already runs \(pid 4711, port 8080\).*: PORT=8081 make run"):
        stack._demand_no_other(8080)
    stack._demand_no_other(8081)
