"""The operator's console beside a local stack: a process of its own, so that pages take nothing from the functions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devstack.emulator import free_port, require_free
from devstack.errors import DevstackError
from devstack.stack import LocalStack
from operations.running import CONSOLE_PORT, HOST, RUN_VARIABLE
from operations.target import SETTINGS

_START_SECONDS: Final = 30
_STOP_SECONDS: Final = 3


def port(wanted: int | None) -> int:
    """The port to serve on: what is wanted, or else the usual one, or a free one if that is taken.

    Raises
    ------
    DevstackError
        The one that is wanted cannot be opened.
    """
    if wanted == 0:
        return free_port()
    if wanted is not None:
        require_free(wanted, "--console-port")
        return wanted
    try:
        require_free(CONSOLE_PORT, "--console-port", patience=0)
    except DevstackError:
        return free_port()
    return CONSOLE_PORT


def fits(stack: LocalStack) -> bool:
    """Whether it is a stack of Headwater's, and no other template's: the console asks for what that has."""
    return set(SETTINGS.values()) <= stack.outputs.keys()


class Served:
    """The console's process; it ends with this one, however that ends."""

    def __init__(self, stack: LocalStack, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self._port = port
        self._folder = stack.run_folder
        self._process: subprocess.Popen[bytes] | None = None
        self.trouble: str | None = None
        """Why it does not answer, if it does not."""

    def __enter__(self) -> Self:
        port = str(self._port)
        log = self._folder / "console.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [
                    sys.executable,
                    "-m",
                    "cli.main",
                    "--stack",
                    "local",
                    "console",
                    "--port",
                    port,
                    "--until-end-of-input",
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder.parents[1],
                env={**os.environ, RUN_VARIABLE: str(self._folder)},
                # Ctrl-C is for the stack, which then ends this.
                start_new_session=True,
            )
        self.trouble = self._await(log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _await(self, log: Path) -> str | None:
        """Waits until it answers. A stack goes on without its console: what kept it is told."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.url.encode() in log.read_bytes():
                return None
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.__exit__(None, None, None)
        return f"did not start: see {log}"
