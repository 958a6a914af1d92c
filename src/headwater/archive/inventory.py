"""What lies in the archive's bucket, told apart by name. Every reader of the archive takes what it reads from here.

An object is *ours* if it has a name that the archive gives, else *foreign*: a folder that a console made, somebody's
notes, a download that was put beside. A foreign object is passed over, counted and named; it never stops what is ours.
Whether ours can be read, its name does not tell: see `headwater.archive.reader`, which finds the *damaged* ones.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Protocol


class Names(Enum):
    """The names that the archive gives. Anchored at both ends; ``dt`` is the UTC day, where a name states one.

    Athena passes over what begins with ``_`` or ``.``, so that no name of ours does.
    """

    RAW = r"raw/source=[a-z_]+/dt=(?P<dt>\d{4}-\d{2}-\d{2})/[A-Za-z0-9][A-Za-z0-9_-]*\.jsonl\.zst"
    CURATED = r"curated/source=[a-z_]+/month=(?P<month>\d{4}-\d{2})/(?P<dt>(?P=month)-\d{2})(-\d+)?\.parquet"
    PUBLISHED = r"curated-days/[a-z_]+-\d{4}-\d{2}\.jsonl"
    EXPORTED = r"bi/events/dt=(?P<dt>\d{4}-\d{2}-\d{2})-\d+\.json"

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern, re.ASCII)

    def owns(self, key: str) -> bool:
        """Whether the archive gives such a name."""
        found = self._pattern.fullmatch(key)
        return found is not None and ("dt" not in found.groupdict() or is_day(found["dt"]))

    def day(self, key: str) -> str:
        """The day that a name of ours states; empty if it states none."""
        found = self._pattern.fullmatch(key)
        return found.groupdict().get("dt") or "" if found is not None else ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An object whose name the archive did not give; ``reason`` says what it seems to be."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """An object that is the archive's by name, and incomplete, unreadable or missing; ``reason`` says which."""

    key: str
    reason: str


class Keyed(Protocol):
    """An entry of a listing."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Stock[T: Keyed]:
    """A listing, sorted out; both sides in its order."""

    own: list[T] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)


def sorted_out[T: Keyed](listing: Iterable[T], names: Names) -> Stock[T]:
    """Tells ours from what is foreign."""
    stock: Stock[T] = Stock()
    for each in listing:
        if names.owns(each.key):
            stock.own.append(each)
        else:
            stock.foreign.append(Foreign(each.key, _guessed(each.key)))
    return stock


def described(foreign: Iterable[Foreign], shown: int = 3) -> str:
    """How many there are, and the first of them by name; empty if there is none."""
    keys = [shown_key(each.key) for each in foreign]
    if not keys:
        return ""
    more = f" and {len(keys) - shown} more" if len(keys) > shown else ""
    return f"{len(keys)} foreign object(s) passed over: {', '.join(keys[:shown])}{more}"


def shown_key(key: str) -> str:
    """A key as it may stand in a line: S3 takes newlines and escape sequences in it, and a terminal acts on them."""
    return key if key.isprintable() else ascii(key)


def is_day(text: str) -> bool:
    """Whether it is a day, written YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _guessed(key: str) -> str:
    return "it is a folder's own object" if key.endswith("/") else "its name is none that the archive gives"
