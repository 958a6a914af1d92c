"""`headwater console`: what stops it before it begins, and how it ends."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.console.command import console
from cli.control import Control
from cli.target import Target
from devstack.errors import DevstackError
from devstack.running import RunningStack
from devstack.served_console import PORT, port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_in_use_is_told_before_anything_is_asked(taken: int) -> None:
    stack = Target(None, None, {})  # type: ignore[arg-type] # nobody calls AWS here
    said = CliRunner().invoke(console, ["--port", str(taken)], obj=lambda: stack)

    assert said.exit_code == 1
    assert f"port {taken} on 127.0.0.1 cannot be opened" in said.output
    assert "--port 0 for a free one" in said.output


def test_the_local_stack_serves_on_another_port_if_nobody_asked_for_this_one(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devstack.served_console.PORT", taken)

    assert port(None) not in {taken, 0}
    assert port(0) not in {taken, 0}
    monkeypatch.setattr("devstack.emulator.PORT_SECONDS", 0)
    with pytest.raises(DevstackError, match="--console-port"):
        port(taken)
    assert PORT == 8088


def test_a_stack_that_is_gone_is_one_line() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    gone = RunningStack(f"http://127.0.0.1:{free}", "")

    with pytest.raises(Exception, match=r"does not answer any more .*start it again with 'make run'"):
        Control(gone).get("flow")


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "console", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr
