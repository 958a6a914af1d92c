"""Sets of UTC days, small enough to lie in a row and quick to add to however many they are."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter

#: A length: a digit of base 36, or in brackets what takes more than one.
_LENGTH = re.compile(r"\((\d+)\)|(.)")


@dataclass(frozen=True, slots=True)
class Days:
    """A set of UTC days, run-length encoded from the latest back: ``739685 a4(40)`` is ten days in a row up to the
    (proleptic Gregorian) ordinal 739685, four days without, and forty in a row before them.

    A play of today or of the latest run changes the first lengths alone, however long the history; only a play that
    comes late takes the whole apart. Text, because a row stores it as one attribute: two characters a pause.
    """

    text: str = ""

    @property
    def intervals(self) -> list[tuple[int, int]]:
        """First and last day of each run, ends included, in order; no two of them touch."""
        if not self.text:
            return []
        day, _, codes = self.text.partition(" ")
        last, lengths = int(day), _lengths(codes)
        intervals = []
        for run, gap in zip(lengths[::2], [*lengths[1::2], 0], strict=True):
            intervals.append((last - run + 1, last))
            last -= run + gap
        return intervals[::-1]

    def add(self, day: int) -> "Days":
        """The set with one more day, whether it comes late, twice or in order."""
        if not self.text:
            return Days(f"{day} 1")
        last, run, earlier = self._latest_run()
        if last - run < day <= last:
            return self
        if day == last + 1:
            return Days(f"{day} {_code(run + 1)}{earlier}")
        if day > last:
            return Days(f"{day} 1{_code(day - last - 1)}{_code(run)}{earlier}")
        return _encode(_insert(self.intervals, day))

    def __contains__(self, day: int) -> bool:
        return self.run_through(day) > 0

    @property
    def last(self) -> int:
        """The latest day; 0 if there is none."""
        return self._latest_run()[0] if self.text else 0

    @property
    def pause(self) -> int:
        """How many days without came before the latest run; 0 if nothing came before it."""
        earlier = self._latest_run()[2] if self.text else ""
        return _first_length(earlier)[0] if earlier else 0

    def streak(self, today: int) -> int:
        """How many days in a row up to today, or up to yesterday: today is not over yet."""
        if not self.text:
            return 0
        last, run, _ = self._latest_run()
        return run if last >= today - 1 else 0

    def run_through(self, day: int) -> int:
        """How many days in a row include this one; 0 if it is not in the set."""
        if not self.text:
            return 0
        last, run, _ = self._latest_run()
        if day > last - run:
            return run if day <= last else 0
        return next((last - first + 1 for first, last in self.intervals if first <= day <= last), 0)

    def _latest_run(self) -> tuple[int, int, str]:
        """The latest day, the length of its run, and the text of what came before."""
        last, _, codes = self.text.partition(" ")
        return int(last), *_first_length(codes)


def _code(length: int) -> str:
    return "0123456789abcdefghijklmnopqrstuvwxyz"[length] if length < 36 else f"({length})"


def _first_length(codes: str) -> tuple[int, str]:
    """The first length of a text that has one, and the rest of the text."""
    if codes[0] != "(":
        return int(codes[0], 36), codes[1:]
    length, _, rest = codes[1:].partition(")")
    return int(length), rest


def _lengths(codes: str) -> list[int]:
    return [int(long) if long else int(short, 36) for long, short in _LENGTH.findall(codes)]


def _insert(intervals: list[tuple[int, int]], day: int) -> list[tuple[int, int]]:
    """The intervals with one more day, merged with the runs that it touches."""
    after = bisect_right(intervals, day, key=itemgetter(0))
    before, first, last = after, day, day
    if after and intervals[after - 1][1] >= day - 1:
        before = after - 1
        first, last = intervals[before][0], max(day, intervals[before][1])
    if after < len(intervals) and intervals[after][0] == day + 1:
        last = intervals[after][1]
        after += 1
    return [*intervals[:before], (first, last), *intervals[after:]]


def _encode(intervals: list[tuple[int, int]]) -> Days:
    lengths: list[int] = []
    for (first, last), (_, earlier_last) in zip(intervals[::-1], [*intervals[-2::-1], (0, 0)], strict=True):
        lengths += (last - first + 1, first - earlier_last - 1)
    return Days(f"{intervals[-1][1]} {''.join(map(_code, lengths[:-1]))}")
