"""``sam deploy`` against an emulator of its own: a rehearsal of the deployment, without an AWS account.

It shows that CloudFormation's engine resolves and orders the whole template, functions, roles and alarms included. The
stack is gone when it ends; to use the system, `make run`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devstack.emulator import NO_AWS_ACCOUNT, Emulator
from devstack.errors import DevstackError
from devstack.stack import ENDPOINT_PARAMETER


def rehearse(sam: Sequence[str]) -> int:
    """Run a ``sam deploy`` command that ends in ``--parameter-overrides …`` against a new emulator; its exit code.

    The template leaves out by itself what the emulator refuses, once it is given the endpoint.

    Raises
    ------
    DevstackError
        In one line: what is wrong, and what to do.
    """
    with (
        tempfile.TemporaryDirectory(prefix="devstack-deploy-") as folder,
        Emulator(Path(folder), rehearses=True) as emulator,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {**NO_AWS_ACCOUNT, "AWS_ENDPOINT_URL": emulator.endpoint}
        command = [*sam, f"{ENDPOINT_PARAMETER}={emulator.endpoint}"]
        try:
            return subprocess.run(command, check=False, env=environment).returncode  # noqa: S603 - the person's command
        except OSError as error:
            raise DevstackError(f"{sam[0]} cannot be run ({error.strerror}): use `make deploy-local`") from error
