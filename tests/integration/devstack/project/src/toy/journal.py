"""What the functions of this process did; tests read it."""

import threading
from typing import Any

_lock = threading.Lock()
#: What "held" messages wait for.
released = threading.Event()
entries: list[tuple[str, tuple[str, ...]]] = []
events: list[tuple[str, dict[str, Any]]] = []


def note(function: str, ids: list[str], event: dict[str, Any]) -> None:
    with _lock:
        entries.append((function, tuple(ids)))
        events.append((function, event))


def seen(function: str) -> list[str]:
    """Every id that the function was given, in order, repetitions included."""
    with _lock:
        return [one for name, ids in entries if name == function for one in ids]
