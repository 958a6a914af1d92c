"""Gives the backbone's modules something in place of what they name."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def standing_in(name: str, stand_in: object) -> Iterator[None]:
    """Within it, every loaded module of the backbone that has something by that name has the stand-in.

    A second one within it takes the first one's place for as long.
    """
    saved = [
        (module, vars(module)[name])
        for path, module in list(sys.modules.items())
        if path.startswith("headwater.") and name in vars(module)
    ]
    try:
        for module, _ in saved:
            setattr(module, name, stand_in)
        yield
    finally:
        for module, original in saved:
            setattr(module, name, original)
