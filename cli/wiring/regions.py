"""The parts of a file that are written: each stands between two marks, and all else is kept as it is.

A mark is a comment of its own line: ``# >>> alarms: …`` begins the region called alarms, and ``# <<< alarms`` ends it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

#: Writes a region's lines.
type Writer = Callable[[], str]

_MARK: Final = re.compile(r"^\s*(?:#|<!--) (?P<kind>>>>|<<<) (?P<name>[a-z_]+)\b.*\n", re.MULTILINE)


class MarkError(ValueError):
    """The marks of a file are not those of its regions; the message says which."""


@dataclass(frozen=True)
class _Region:
    name: str
    begins: int
    ends: int


def written(text: str, writers: Mapping[str, Writer], file: str) -> str:
    """The text with each of its regions anew.

    Raises
    ------
    MarkError
        A mark is missing, stands twice, or is of a region that nobody writes.
    """
    found = list(_regions(text, file))
    names = [region.name for region in found]
    if sorted(names) != sorted(writers):
        wrong = sorted({*names} ^ {*writers}) or sorted({name for name in names if names.count(name) > 1})
        raise MarkError(f"{file}: each of the regions {', '.join(wrong)} must be written, and have its marks once")
    for region in reversed(found):
        text = text[: region.begins] + writers[region.name]() + text[region.ends :]
    return text


def inside(text: str) -> dict[str, str]:
    """What stands in each region, by its name."""
    return {region.name: text[region.begins : region.ends] for region in _regions(text, "")}


def by_hand(text: str) -> str:
    """The text without what stands in its regions, which may be anything but sound."""
    for region in reversed(list(_regions(text, ""))):
        text = text[: region.begins] + text[region.ends :]
    return text


def stale(text: str, anew: str) -> list[str]:
    """The regions in which two texts differ that have the same ones."""
    new = inside(anew)
    return [name for name, old in inside(text).items() if old != new[name]]


def _regions(text: str, file: str) -> Iterator[_Region]:
    marks = list(_MARK.finditer(text))
    for begin, end in zip(marks[::2], marks[1::2], strict=False):
        if (begin["kind"], end["kind"]) != (">>>", "<<<") or begin["name"] != end["name"]:
            raise MarkError(f"{file}: '>>> {begin['name']}' must be followed by its '<<< {begin['name']}'")
        yield _Region(begin["name"], begin.end(), end.start())
    if len(marks) % 2:
        raise MarkError(f"{file}: '{marks[-1]['kind']} {marks[-1]['name']}' is without its other mark")
