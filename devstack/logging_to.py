"""Lets the functions' modules log to a stand-in."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Log(Protocol):
    """What stands in for Powertools' `Logger`. Of all its other methods it does nothing."""

    def error(self, message: str, **fields: Any) -> None: ...

    def __getattr__(self, name: str) -> Any: ...


@contextmanager
def logging_to(log: Log) -> Iterator[None]:
    """Within it, every module of the backbone that has a logger logs there, also where an outer one had it log."""
    saved = [
        (module, logger)
        for name, module in list(sys.modules.items())
        if name.startswith("headwater.") and (logger := getattr(module, "logger", None)) is not None
    ]
    try:
        for module, _ in saved:
            setattr(module, "logger", log)  # noqa: B010  # another type, on purpose
        yield
    finally:
        for module, logger in saved:
            setattr(module, "logger", logger)  # noqa: B010
