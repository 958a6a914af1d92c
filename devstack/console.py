"""Where devstack's own lines go, apart from what functions print."""

from __future__ import annotations

import sys
from typing import TextIO


class Console:
    """Readable lines for the person at the keyboard; ``detail`` only when asked for."""

    def __init__(self, *, verbose: bool = False, stream: TextIO | None = None) -> None:
        self.verbose = verbose
        # Taken now: while functions run, sys.stdout is theirs.
        self._stream = stream if stream is not None else sys.stdout

    def line(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def detail(self, text: str) -> None:
        if self.verbose:
            self.line(text)
