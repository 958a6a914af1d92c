"""The data plane: ministack in a process of its own, on loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devstack.emulator_child import REHEARSES
from devstack.errors import DevstackError
from devstack.refusals import HEARD_PATH, Refusal, line_of
from operations.running import ACCESS_KEY, ACCOUNT_ID, HOST, REGION, SECRET_KEY

START_TIMEOUT_SECONDS: Final = 30
SAVE_TIMEOUT_SECONDS: Final = 30
PORT_SECONDS: Final = 5
HEAR_TIMEOUT_SECONDS: Final = 10

NO_AWS_ACCOUNT: Final = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Environment under which no AWS SDK finds a person's own credentials, profile or region."""


def free_port() -> int:
    """A port on loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, option: str, patience: float = PORT_SECONDS) -> None:
    """Raise with one line that says what to do if ``port`` cannot be opened, for ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while True:
        with socket.socket() as probe:
            # As the servers themselves do: a socket in TIME_WAIT from the last run is not in use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                # The emulator of a stack that was killed notices it a moment later.
                if time.monotonic() < deadline:
                    time.sleep(0.1)
                    continue
                raise DevstackError(
                    f"port {port} on {HOST} cannot be opened ({error.strerror}): "
                    f"stop what uses it, or choose another with {option}, or {option} 0 for a free one"
                ) from error
            return


class Emulator:
    """A running ministack. Its files stay in ``folder``.

    With ``keeps`` it loads what is in ``files`` when it starts, and ``stop`` has it save its state there; without, its
    state ends with it. With ``rehearses`` a whole stack can be deployed to it.
    """

    def __init__(self, folder: Path, port: int = 0, *, keeps: bool = False, rehearses: bool = False) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / "emulator.log"
        self.files = folder / "tmp"
        self._keeps = keeps
        self._rehearses = rehearses
        self._process: subprocess.Popen[bytes] | None = None
        self._told = 0

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def launch(self) -> None:
        """Start the process without waiting for it; ``wait`` does."""
        if self.port:
            require_free(self.port, "--emulator-port")
        else:
            self.port = free_port()
        self.files.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "devstack.emulator_child"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.files,
                env=self._environment(self.files),
                # Ctrl-C is ours to handle: the emulator must outlive the functions that call it.
                start_new_session=True,
            )

        (self.folder / "emulator.pid").write_text(f"{self._process.pid}\n", encoding="utf-8")

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            if self._healthy():
                return
            time.sleep(0.05)
        self.stop()
        raise DevstackError(
            f"the emulator did not start: see {self.log}, and run `make setup` if a package is missing there"
        )

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Have it refuse these, and what it was told before no more; returns once that holds.

        Raises
        ------
        DevstackError
            It does not hear.
        """
        if self._process is None or self._process.stdin is None:
            return
        self._told += 1
        deadline = time.monotonic() + HEAR_TIMEOUT_SECONDS
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line_of(refusals, self._told))
            self._process.stdin.flush()
        while self.alive and time.monotonic() < deadline:
            if self._get(HEARD_PATH) == str(self._told).encode():
                return
            time.sleep(0.01)
        raise DevstackError(f"the emulator does not hear what to refuse: see {self.log}")

    def stop(self) -> bool:
        """Stop the process. Whether it stopped in order, and so saved its state; one that keeps none is killed."""
        process = self._process
        self._process = None
        if process is None:
            return False
        graceful = self._keeps and process.poll() is None
        if graceful:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SAVE_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                graceful = False
        process.kill()
        process.wait()
        if process.stdin is not None:
            # One that died has read nothing of what the pipe still holds.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        return graceful

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _healthy(self) -> bool:
        return self._get("/_ministack/health") is not None

    def _get(self, path: str) -> bytes | None:
        """The body of a page of its own; None if it does not answer so."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=1)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return None
        else:
            return body if answer.status == http.HTTPStatus.OK else None
        finally:
            connection.close()

    def _environment(self, temporary: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
        project = str(Path(__file__).resolve().parent.parent)
        return {
            **kept,
            **NO_AWS_ACCOUNT,
            "PYTHONPATH": project,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(temporary),
            "PERSIST_STATE": "1" if self._keeps else "0",
            "S3_PERSIST": "1" if self._keeps else "0",
            REHEARSES: "1" if self._rehearses else "0",
            "STATE_DIR": str(temporary / "state"),
            "S3_DATA_DIR": str(temporary / "s3"),
            # It would look for leftover containers of other instances on a Docker daemon, and stop them.
            "DOCKER_HOST": f"unix://{temporary / 'no-docker.sock'}",
        }

    def __enter__(self) -> Self:
        self.launch()
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
