"""Two actions whose calls alternate: A1 B1 A2 B2. Each runs in a thread of its own, and never both at once.

What belongs to the running action (its time above all) is put away and brought back whenever the other one's turn
comes, so that neither notices. Turns come at calls alone, and by the seed's chance: a history stays one history.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

type Action = Callable[[], None]


class Fiber:
    """An action beside the one that started it. Both call `turn`, at each of their calls.

    ``own`` are attributes, as object and name, of which each of the two has its own values.
    """

    def __init__(self, action: Action, own: Sequence[tuple[object, str]]) -> None:
        self._action = action
        self._own = own
        self._other: list[Any] = self._values()
        self._starter = threading.Semaphore(0)
        self._mine = threading.Semaphore(0)
        self._failed: BaseException | None = None
        self.done = False
        self._thread = threading.Thread(target=self._run, name="fiber", daemon=True)
        self._thread.start()

    def turn(self) -> None:
        """It is the other one's turn; returns when it is the caller's again."""
        if threading.current_thread() is self._thread:
            self._starter.release()
            self._mine.acquire()
        elif not self.done:
            self._switch()
            self._mine.release()
            self._starter.acquire()
            self._switch()

    def join(self) -> None:
        """Lets it go on to its end, turn by turn; what it raised is raised here."""
        while not self.done:
            self.turn()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        self._mine.acquire()
        try:
            self._action()
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            self._failed = error
        self.done = True
        self._starter.release()

    def _switch(self) -> None:
        mine = self._values()
        for (holder, name), value in zip(self._own, self._other, strict=True):
            setattr(holder, name, value)
        self._other = mine

    def _values(self) -> list[Any]:
        return [getattr(holder, name) for holder, name in self._own]
