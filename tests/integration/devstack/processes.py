"""The small project of these tests, and stacks of it in processes of their own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from operations.running import running_stack

PROJECT = Path(__file__).parent / "project"
ROOT = Path(__file__).parents[3]
PARAMETERS = {"CountingWindow": "0", "SenderAddress": "me@example.com", "Owner": "tests"}


def copy_of_project(folder: Path) -> Path:
    return Path(shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns(".devstack", "__pycache__")))


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    # A limit that only a hang reaches.
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


def devstack(project: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    # The console is a process more; a test of it asks for it.
    command = [sys.executable, "-m", "devstack", "run", "--root", str(project), "--port", "0", "--no-console"]
    for name, value in PARAMETERS.items():
        command += ["--parameter", f"{name}={value}"]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until_up(process: "subprocess.Popen[str]", project: Path) -> str:
    """Wait for a stack in another process, and return its AWS endpoint."""
    found = eventually(lambda: running_stack(project) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    endpoint: str = found.endpoint_url
    return endpoint


def answers(endpoint: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", int(endpoint.rsplit(":", 1)[1])), timeout=10):
            return True
    except OSError:
        return False
