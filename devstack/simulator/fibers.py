"""Two actions whose calls alternate: A1 B1 A2 B2. Each runs in a thread of its own, and never both at once.

What belongs to the running action (its time above all) is put away and brought back whenever the other one's turn
comes, so that neither notices. Turns come at calls alone, and by the seed's chance: a history stays one history.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

type Action = Callable[[], None]


class Own(NamedTuple):
    """An attribute that belongs to whatever action is running, and what it is for one that begins."""

    holder: object
    name: str
    fresh: Any


class Fiber:
    """An action beside the one that started it. Both call `turn`, at each of their calls.

    ``own`` are the attributes of which each of the two has its own values.
    """

    def __init__(self, action: Action, own: Sequence[Own]) -> None:
        self._action = action
        self._own = own
        self._other: list[Any] = [each.fresh for each in own]
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
        mine = values(self._own)
        give(self._own, self._other)
        self._other = mine


def values(own: Sequence[Own]) -> list[Any]:
    """What the running action has."""
    return [getattr(each.holder, each.name) for each in own]


def give(own: Sequence[Own], them: Sequence[Any]) -> None:
    """Gives the running action these values."""
    for each, value in zip(own, them, strict=True):
        setattr(each.holder, each.name, value)
