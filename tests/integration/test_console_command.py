"""`headwater console`: what stops it before it begins, and how it ends."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.console.command import console
from cli.control import Control
from devstack.errors import DevstackError
from devstack.served_console import port
from operations.running import RunningStack
from operations.target import Target

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
    monkeypatch.setattr("devstack.served_console.CONSOLE_PORT", taken)

    assert port(None) not in {taken, 0}
    assert port(0) not in {taken, 0}
    monkeypatch.setattr("devstack.emulator.PORT_SECONDS", 0)
    with pytest.raises(DevstackError, match="--console-port"):
        port(taken)


def test_a_stack_that_is_gone_is_one_line() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    gone = RunningStack(f"http://127.0.0.1:{free}", "")

    with pytest.raises(Exception, match=r"does not answer any more .*start it again with 'make run'"):
        Control(gone).get("flow")


#: The command over a stack that answers from memory. A page of it takes a while each time after the first.
PROGRAM = """
import sys, time
import cli.observer
from cli.console.command import console
from operations.target import SETTINGS, Target
from tests.fakes.observer import Looking

class Slow(Looking):
    every = 0.1

    def observe(self):
        time.sleep(0.5 if self.asked else 0)
        return super().observe()

class Session:
    region_name = None

cli.observer.observer = lambda _: Slow()
console(sys.argv[1:], obj=lambda: Target(Session(), None, dict.fromkeys(SETTINGS.values(), "x"), stack_name="dev"))
"""


@contextmanager
def serving(*options: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--port", "0", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def streamed(process: "subprocess.Popen[str]") -> Iterator[http.client.HTTPResponse]:
    """The stream of a page, of which something has come."""
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:(\d+)/\?key=(\S+)", process.stdout.readline())
    assert found is not None
    with closing(http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)) as connection:
        connection.request("GET", "/flow/stream", headers={"cookie": f"headwater-console-{found[1]}={found[2]}"})
        with connection.getresponse() as answer:
            assert answer.status == 200
            assert answer.read1(10)
            yield answer


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ((), signal.SIGINT),
        ((), signal.SIGTERM),
        (("--until-end-of-input",), signal.SIGINT),
        (("--until-end-of-input",), None),
    ],
)
def test_it_ends_with_the_streams_of_open_pages_and_without_a_traceback(
    options: Sequence[str], end: signal.Signals | None
) -> None:
    with serving(*options) as process, streamed(process) as answer:
        assert process.stdin is not None
        assert process.stderr is not None
        if end is None:
            process.stdin.close()
        else:
            process.send_signal(end)
        # To its end, and not broken off.
        answer.read()

        assert process.wait(10) == 0
        assert process.stderr.read().splitlines() == ["Ctrl-C stops it.", "Stopped."]


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
