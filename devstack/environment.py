"""This process's environment while a stack runs: nothing in it leads to an AWS account."""

from __future__ import annotations

import os
import threading
from typing import Final

from devstack.emulator import NO_AWS_ACCOUNT
from devstack.errors import DevstackError
from operations.running import HOST

_process_is_free: Final = threading.Lock()


class IsolatedEnvironment:
    """Takes the process for one stack.

    Every ``AWS_`` variable goes: a person's profile, session token or endpoint of a single service would win over the
    stack's own. A proxy is not asked for loopback.
    """

    def __init__(self) -> None:
        self._saved: dict[str, str] | None = None

    def enter(self) -> None:
        """Raise a DevstackError if another stack has the process."""
        if not _process_is_free.acquire(blocking=False):
            raise DevstackError("another local stack runs in this process; its functions have the environment")
        self._saved = dict(os.environ)
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(NO_AWS_ACCOUNT)
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST, "localhost")))

    def leave(self) -> None:
        """Put the environment back; without effect if it was not taken."""
        if self._saved is None:
            return
        os.environ.clear()
        os.environ.update(self._saved)
        self._saved = None
        _process_is_free.release()
