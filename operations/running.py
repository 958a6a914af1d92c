"""A local stack that another process runs, as others find it: by the file that it leaves in its run's folder."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from boto3.session import Session

HOST: Final = "127.0.0.1"
"""Everything of a local stack is on loopback, in the account and Region of its emulator."""
REGION: Final = "us-east-1"
ACCOUNT_ID: Final = "000000000000"
ACCESS_KEY: Final = "test"
SECRET_KEY: Final = "test"  # noqa: S105 - the emulator checks no signature

STACK_NAME: Final = "local"
TEMPLATE_NAME: Final = "template.yaml"
RECEIVER_NAME: Final = "receiver.yaml"
RUNS_FOLDER: Final = ".devstack"
ANNOUNCEMENT: Final = "stack.json"
CONTROL_PATH: Final = "/_devstack/"
"""Where the stack's own door is, below its API; `devstack.control` answers."""
TOKEN_HEADER: Final = "x-devstack-token"  # noqa: S105 - its name
CONSOLE_PORT: Final = 8088
"""Of the console, unless another is asked for."""
PID: Final = "pid"
RUN_VARIABLE: Final = "HEADWATER_RUN"
"""An environment variable with the folder of a run: where several stacks run, this one is meant."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A local stack that another process runs."""

    url: str
    endpoint_url: str
    stack_name: str = STACK_NAME
    receiver_url: str = ""
    token: str = field(default="", repr=False)
    """What opens the stack's own door, `devstack.control`."""
    run_folder: str = ""

    @property
    def pid(self) -> str:
        """Of the process that runs it."""
        try:
            return (Path(self.run_folder) / PID).read_text(encoding="utf-8").strip()
        except OSError:
            return "unknown"

    def session(self) -> Session:
        """A session for its emulator; pass ``endpoint_url`` to its clients."""
        return local_session()


def local_session() -> Session:
    """A session with the credentials that the emulator takes."""
    import boto3  # late: a large import

    return boto3.session.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=REGION)


def running_stack(folder: Path) -> RunningStack | None:
    """The stack that runs for the project in ``folder`` or above it, the youngest; None if there is none.

    `RUN_VARIABLE` names one of several.
    """
    if named := os.environ.get(RUN_VARIABLE):
        return _of_run(Path(named))
    folder = folder.resolve()
    for root in (folder, *folder.parents):
        for path in sorted((root / RUNS_FOLDER).glob("run-*"), reverse=True):
            if found := _of_run(path):
                return found
    return None


def _of_run(path: Path) -> RunningStack | None:
    if not is_alive(path):
        return None
    try:
        announced = (path / ANNOUNCEMENT).read_text(encoding="utf-8")
    except OSError:
        # Not up yet, or it stops just now.
        return None
    return RunningStack(**json.loads(announced), run_folder=str(path))


def is_alive(run: Path) -> bool:
    """Whether the process of a run's folder still has its lock."""
    try:
        with (run / "alive").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
