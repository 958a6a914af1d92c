"""Badges: rules over a player's progress, and the progress itself, one play at a time.

Progress costs the same after ten thousand plays as after ten: days are kept as runs, whose number grows with the gaps
between them, and a play touches the latest run alone. It is plain data, so that a row holds it as it is.

To add a badge: write its rule and add it to `BADGES`. A rule is a condition on the progress ("has ten days in a row"),
not on the moment ("this is the tenth day"): a late play may fill a gap and jump past the moment, and a badge that is
added later still reaches who earned it, at the next play.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import TypedDict

from headwater.domain.events import PlayCompleted


@dataclass(frozen=True, slots=True)
class Days:
    """A set of UTC days, run-length encoded from the latest back: ``739685 10 4 1`` is ten days in a row up to the
    (proleptic Gregorian) ordinal 739685, four days without, and one day before them.

    A play of today or of the latest run changes the first numbers alone, however long the history; only a play that
    comes late takes the whole apart. Text, because a row stores it as one small attribute.
    """

    text: str = ""

    @property
    def intervals(self) -> list[tuple[int, int]]:
        """First and last day of each run, ends included, in order; no two of them touch."""
        if not self.text:
            return []
        last, *lengths = map(int, self.text.split())
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
            return Days(f"{day} {run + 1}{earlier}")
        if day > last:
            return Days(f"{day} 1 {day - last - 1} {run}{earlier}")
        return _encode(_insert(self.intervals, day))

    def run_through(self, day: int) -> int:
        """How many days in a row include this one; 0 if it is not in the set."""
        if not self.text:
            return 0
        last, run, _ = self._latest_run()
        if day > last - run:
            return run if day <= last else 0
        return next((last - first + 1 for first, last in self.intervals if first <= day <= last), 0)

    def _latest_run(self) -> tuple[int, int, str]:
        """The latest day, the length of its run, and the text of what came before, with its leading space."""
        last, _, lengths = self.text.partition(" ")
        run, space, earlier = lengths.partition(" ")
        return int(last), int(run), space + earlier


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
    lengths = [intervals[-1][1]]
    for (first, last), (_, earlier_last) in zip(intervals[::-1], [*intervals[-2::-1], (0, 0)], strict=True):
        lengths += (last - first + 1, first - earlier_last - 1)
    return Days(" ".join(map(str, lengths[:-1])))


class GameProgress(TypedDict):
    """Plays of one game, and the UTC days of them as `Days` text."""

    plays: int
    days: str


class Award(TypedDict):
    """A badge as earned. ``earned_at`` is the event time (``played_at``) of the play that earned it."""

    badge: str
    game: str | None
    title: str
    earned_at: str
    play_event_id: str


class Progress(TypedDict):
    """All that rules may ask of a player. ``earned`` is by badge key: ``<badge id>:<game>`` or ``<badge id>``."""

    games: dict[str, GameProgress]
    earned: dict[str, Award]


type Rule = Callable[[Progress, PlayCompleted], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A badge and the condition, over the progress that already counts the play, under which a play earns it."""

    id: str
    title: str
    description: str
    rule: Rule
    per_game: bool = True

    def key(self, game: str) -> str:
        return f"{self.id}:{game}" if self.per_game else self.id


def utc_day(played_at: str) -> int:
    """The UTC day of a moment, as an ordinal.

    Raises
    ------
    ValueError
        Not ISO 8601, or without Z or an offset.
    """
    moment = datetime.fromisoformat(played_at)
    if moment.tzinfo is None:
        raise ValueError("a moment without Z or an offset belongs to no UTC day")
    return moment.astimezone(UTC).toordinal()


def first_play(progress: Progress, play: PlayCompleted) -> bool:
    return progress["games"][play.game]["plays"] >= 1


def days_in_a_row(days: int) -> Rule:
    """The rule that a game was played on so many UTC days in a row."""

    def rule(progress: Progress, play: PlayCompleted) -> bool:
        return Days(progress["games"][play.game]["days"]).run_through(utc_day(play.played_at)) >= days

    return rule


BADGES: Sequence[Badge] = (
    Badge(id="first-play", title="First play", description="Played a game for the first time.", rule=first_play),
    Badge(
        id="ten-days-in-a-row",
        title="Ten days in a row",
        description="Played the same game on ten days in a row (UTC).",
        rule=days_in_a_row(10),
    ),
)


def no_progress() -> Progress:
    return Progress(games={}, earned={})


def record_play(
    progress: Progress, play: PlayCompleted, play_event_id: str, badges: Iterable[Badge] = BADGES
) -> Progress:
    """The progress after one more play, with the badges that it earns."""
    game = progress["games"].get(play.game) or GameProgress(plays=0, days="")
    days = Days(game["days"]).add(utc_day(play.played_at))
    games = {**progress["games"], play.game: GameProgress(plays=game["plays"] + 1, days=days.text)}
    counted = Progress(games=games, earned=progress["earned"])
    awards = {
        key: Award(
            badge=badge.id,
            game=play.game if badge.per_game else None,
            title=badge.title,
            earned_at=play.played_at,
            play_event_id=play_event_id,
        )
        for badge in badges
        if (key := badge.key(play.game)) not in progress["earned"] and badge.rule(counted, play)
    }
    return Progress(games=games, earned={**progress["earned"], **awards}) if awards else counted
