"""The published list of compacted days: a day in it is read from curated, every other from raw.

An object a source and month under ``curated-days/``, a JSON line a day, for Athena's table ``curated_days``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import orjson

from headwater.archive.growing_objects import GrowingObjects, ObjectChangedError
from headwater.archive.inventory import is_day

_ATTEMPTS = 5


class UnreadableListError(Exception):
    """An object of the list holds something else; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDay:
    """``raw_digest`` tells the raw objects that went in, ``tags`` the compacted ones: others, and the day is due again.

    ``digests`` are the compacted objects' SHA-256, for whoever has their bytes and no tags. Athena's objects have none.
    Days that were published before tags were noted have none either, and are due.
    """

    source: str
    dt: str
    objects: Sequence[str]
    records: int
    raw_objects: int
    raw_digest: str
    published_at: str
    tags: Sequence[str] = ()
    digests: Sequence[str] = ()


type Days = Mapping[str, PublishedDay]


class Boundary:
    """The list, over objects that are written only over the version that was read."""

    def __init__(self, objects: GrowingObjects) -> None:
        self._objects = objects

    def days(self, source: str, month: str) -> Days:
        """The month's published days by ``dt``; ``month`` is YYYY-MM.

        Raises
        ------
        UnreadableListError
            The list is foreign or corrupt.
        """
        return self._read(_key(source, month))[0]

    def publish(self, day: PublishedDay) -> None:
        """Puts a day into the list, in place of what the list said of it.

        Raises
        ------
        ObjectChangedError
            Others wrote the list again and again.
        UnreadableListError
            The list is foreign or corrupt.
        """
        self._change(_key(day.source, day.dt[:7]), lambda days: {**days, day.dt: day})

    def withdraw(self, source: str, dt: str) -> None:
        """Takes a day off the list, so that it is read from raw.

        Raises
        ------
        ObjectChangedError
            Others wrote the list again and again.
        UnreadableListError
            The list is foreign or corrupt.
        """
        self._change(_key(source, dt[:7]), lambda days: {each: day for each, day in days.items() if each != dt})

    def _change(self, key: str, changed: Callable[[Days], Days]) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            before, tag = self._read(key)
            days = changed(before)
            if days == before:
                return
            body = b"".join(orjson.dumps(asdict(days[dt]), option=orjson.OPT_APPEND_NEWLINE) for dt in sorted(days))
            try:
                self._objects.write(key, body, tag)
            except ObjectChangedError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    def _read(self, key: str) -> tuple[Days, str | None]:
        body, tag = self._objects.read(key)
        days = [_day(key, number, line) for number, line in enumerate(body.splitlines(), start=1)]
        return {day.dt: day for day in days}, tag


def _day(key: str, number: int, line: bytes) -> PublishedDay:
    try:
        day = PublishedDay(**orjson.loads(line))
        dated = is_day(day.dt)
    except (TypeError, ValueError) as error:
        raise _unreadable(key, number, error) from error
    if not dated:
        raise _unreadable(key, number, "its dt is no day")
    return day


def _unreadable(key: str, number: int, reason: object) -> UnreadableListError:
    return UnreadableListError(
        f"{key}: line {number} is no compacted day ({reason}). Put an earlier version of the object back, or "
        "delete it: its days are read from raw then, and compacted again"
    )


def _key(source: str, month: str) -> str:
    return f"curated-days/{source}-{month}.jsonl"
