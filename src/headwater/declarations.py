"""Where something is declared, and the error that says what is wrong with it."""

import os
import sys
from pathlib import Path
from typing import Final

#: Whose frames lie between a declaration and who asks for its place: the classes that are declared, and dataclasses.
_BETWEEN: Final = frozenset(
    {
        __name__,
        "dataclasses",
        "headwater.application",
        "headwater.effects.effect",
        "headwater.grants",
        "headwater.projections.projection",
    }
)


class DeclarationError(ValueError):
    """A declaration contradicts another, or itself; the message says where it stands and what to change."""


def place() -> str:
    """``file:line`` of what is being declared, the file as seen from the working directory."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__") in _BETWEEN:
        frame = frame.f_back
    return _told(frame.f_code.co_filename, frame.f_lineno)


def place_of(declared: type) -> str:
    """``file:line`` of a class; its module's name if its source is not there."""
    import inspect  # late: nobody asks unless something is wrong

    try:
        return _told(inspect.getfile(declared), inspect.getsourcelines(declared)[1])
    except (OSError, TypeError):
        return declared.__module__


def _told(file: str, line: int) -> str:
    path = Path(file)
    here = path.is_relative_to(Path.cwd())
    return f"{os.fspath(path.relative_to(Path.cwd())) if here else file}:{line}"
