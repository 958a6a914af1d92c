"""Badges: rules over a player's progress, and the progress itself, one play at a time.

Progress costs the same after ten thousand plays as after ten: days are kept as intervals, whose number grows with the
gaps between them. It is plain data, so that a row holds it as it is.

To add a badge: write its rule and add it to `BADGES`. A rule is a condition on the progress ("has ten days in a row"),
not on the moment ("this is the tenth day"): a late play may fill a gap and jump past the moment, and a badge that is
added later still reaches who earned it, at the next play.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Self, TypedDict

from headwater.domain.events import PlayCompleted


@dataclass(frozen=True, slots=True)
class Days:
    """A set of UTC days: proleptic Gregorian ordinals as sorted intervals, ends included, no two of them touching."""

    intervals: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` gives: ``739676-739685 739690``. One text is far cheaper to store than a list of numbers."""
        spans = (span.partition("-") for span in text.split())
        return cls(tuple((int(first), int(last or first)) for first, _, last in spans))

    def __str__(self) -> str:
        return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in self.intervals)

    def add(self, day: int) -> "Days":
        """The set with one more day, whether it comes late, twice or in order."""
        after = self._after(day)
        before = after - 1
        first = last = day
        if before >= 0 and self.intervals[before][1] >= day - 1:
            if self.intervals[before][1] >= day:
                return self
            first = self.intervals[before][0]
        else:
            before += 1
        if after < len(self.intervals) and self.intervals[after][0] == day + 1:
            last = self.intervals[after][1]
            after += 1
        return Days((*self.intervals[:before], (first, last), *self.intervals[after:]))

    def run_through(self, day: int) -> int:
        """How many days in a row include this one; 0 if it is not in the set."""
        index = self._after(day) - 1
        if index < 0:
            return 0
        first, last = self.intervals[index]
        return last - first + 1 if day <= last else 0

    def _after(self, day: int) -> int:
        """The index of the first interval that begins after the day."""
        return bisect_right(self.intervals, day, key=itemgetter(0))


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
        return Days.parse(progress["games"][play.game]["days"]).run_through(utc_day(play.played_at)) >= days

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
    days = Days.parse(game["days"]).add(utc_day(play.played_at))
    games = {**progress["games"], play.game: GameProgress(plays=game["plays"] + 1, days=str(days))}
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
