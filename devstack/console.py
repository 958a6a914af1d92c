"""Where devstack's own lines go, apart from what functions print."""

from __future__ import annotations

import sys
import threading
from typing import TextIO


class Console:
    """Readable lines for the person at the keyboard; ``detail`` only when asked for.

    What is tried again by itself is a line too, unless the console is ``quiet``: it is counted then.
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.verbose = verbose
        self.tried_again = 0
        """Batches that failed, whole or in part, and come again."""
        self._quiet = quiet
        self._lock = threading.Lock()
        # Taken now: while functions run, sys.stdout is theirs.
        self._stream = stream if stream is not None else sys.stdout

    def line(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def retried(self, text: str) -> None:
        with self._lock:
            self.tried_again += 1
        if not self._quiet:
            self.line(text)

    def detail(self, text: str) -> None:
        if self.verbose:
            self.line(text)
