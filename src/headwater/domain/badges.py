"""Badges: rules over what a player's plays add up to, and those sums themselves, one play at a time.

A play costs the same after ten thousand others as after ten: sums are counts, bests and days in runs (`Days`), and it
touches those of its game and the player's own. They are plain data, so that a row holds them as they are, and
they come out the same in whichever order plays arrive.

To add a badge: write its rule and add it to `BADGES`. A rule says how far a player has come, of how far it takes; the
badge is earned by the play after which the two meet. It looks at the sums ("has ten days in a row") and never at the
moment ("this is the tenth day"): a late play may fill a gap and jump past the moment, and a badge that is added later
still reaches who earned it, at the next play. An award is never taken back, whatever a later arrival says.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import NamedTuple, TypedDict

from headwater.domain.days import Days
from headwater.domain.events import PlayCompleted

#: Where `Progress.earned` keeps badges that belong to no game. No game's slug can be this.
ALL_GAMES = "*"

_NIGHT_ENDS_AT = 5


class GameTally(TypedDict):
    """One game's plays. ``days`` is `Days` text, ``longest_streak`` the most of them in a row.

    ``first_at`` is the earliest event time; ``first_score`` the best of that moment; ``best`` the best of all.
    """

    plays: int
    days: str
    longest_streak: int
    best: int
    first_at: str
    first_score: int


class Tally(TypedDict):
    """What all plays of a player add up to, in whichever order they came.

    ``weekends`` counts those with a play on both days, ``night_plays`` the plays before five o'clock (UTC).
    """

    games: dict[str, GameTally]
    days: str
    longest_streak: int
    weekends: int
    night_plays: int


class Progress(Tally):
    """A tally and what it has earned: by game (or `ALL_GAMES`), the ids of badges, in one text to stay small."""

    earned: dict[str, str]


class Award(TypedDict):
    """A badge as earned. ``earned_at`` is the event time (``played_at``) of the play that earned it."""

    badge: str
    game: str | None
    title: str
    earned_at: str
    play_event_id: str


class Standing(NamedTuple):
    """How far a player has come towards a badge, and how far it takes; both in the rule's own unit."""

    have: int
    need: int

    @property
    def earned(self) -> bool:
        return self.have >= self.need


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule may look at.

    ``game`` is the game that the badge is about, or of the latest play. ``today`` is the UTC day as an ordinal: that of
    the play while it is judged, that of the reader when progress is shown.
    """

    player: Tally
    game: GameTally
    today: int


type Rule = Callable[[Facts], Standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A badge, and the rule over the tally that already counts the play.

    ``per_game``: it can be earned once in each game. ``follows``: the badge below it on a ladder, until whose award
    nobody is shown progress towards this one.
    """

    id: str
    title: str
    description: str
    rule: Rule
    per_game: bool = True
    follows: str | None = None

    def key(self, game: str) -> str:
        """What tells the awards of one player apart."""
        return f"{self.id}:{game}" if self.per_game else self.id

    def is_next(self, game: str, earned: Collection[str]) -> bool:
        """Whether the badge below it, if there is one, is among the keys of what the player has earned."""
        return self.follows is None or replace(self, id=self.follows).key(game) in earned


def first_play_of_a_game(facts: Facts) -> Standing:
    return Standing(facts.game["plays"], 1)


def plays_of_a_game(need: int) -> Rule:
    """The rule that a game was played so many times."""
    return lambda facts: Standing(facts.game["plays"], need)


def days_in_a_row(need: int) -> Rule:
    """The rule that a game was played on so many UTC days in a row; what counts until then is the row up to today."""
    return lambda facts: _row(facts.game, facts.today, need)


def days_in_a_row_of_any_game(need: int) -> Rule:
    """The rule that something was played on so many UTC days in a row."""
    return lambda facts: _row(facts.player, facts.today, need)


def personal_best_beaten(facts: Facts) -> Standing:
    """A play scored more than every earlier one, which is so once any scored more than the earliest."""
    return Standing(int(facts.game["best"] > facts.game["first_score"]), 1)


def first_play_ever(facts: Facts) -> Standing:
    return Standing(len(facts.player["games"]), 1)


def different_games(facts: Facts) -> Standing:
    return Standing(len(facts.player["games"]), 5)


def whole_weekends(facts: Facts) -> Standing:
    """Weekends with a play on Saturday and one on Sunday."""
    return Standing(facts.player["weekends"], 4)


def plays_at_night(facts: Facts) -> Standing:
    return Standing(facts.player["night_plays"], 10)


def comeback(facts: Facts) -> Standing:
    """The latest days in a row began after thirty days or more without a play."""
    return Standing(int(Days(facts.player["days"]).pause >= 30), 1)


BADGES: Sequence[Badge] = (
    Badge(
        id="first-play-ever",
        title="Debut",
        description="Finished a first play.",
        rule=first_play_ever,
        per_game=False,
    ),
    Badge(
        id="first-play",
        title="First play",
        description="Played a game for the first time.",
        rule=first_play_of_a_game,
    ),
    Badge(
        id="three-days-in-a-row",
        title="Three days in a row",
        description="Played the same game on three days in a row (UTC).",
        rule=days_in_a_row(3),
    ),
    Badge(
        id="ten-days-in-a-row",
        title="Ten days in a row",
        description="Played the same game on ten days in a row (UTC).",
        rule=days_in_a_row(10),
        follows="three-days-in-a-row",
    ),
    Badge(
        id="thirty-days-in-a-row",
        title="Thirty days in a row",
        description="Played the same game on thirty days in a row (UTC).",
        rule=days_in_a_row(30),
        follows="ten-days-in-a-row",
    ),
    Badge(
        id="three-days-of-play",
        title="Three days of play",
        description="Played any game on three days in a row (UTC).",
        rule=days_in_a_row_of_any_game(3),
        per_game=False,
    ),
    Badge(
        id="ten-days-of-play",
        title="Ten days of play",
        description="Played any game on ten days in a row (UTC).",
        rule=days_in_a_row_of_any_game(10),
        per_game=False,
        follows="three-days-of-play",
    ),
    Badge(
        id="thirty-days-of-play",
        title="Thirty days of play",
        description="Played any game on thirty days in a row (UTC).",
        rule=days_in_a_row_of_any_game(30),
        per_game=False,
        follows="ten-days-of-play",
    ),
    Badge(
        id="ten-plays",
        title="Ten plays",
        description="Finished ten plays of a game.",
        rule=plays_of_a_game(10),
    ),
    Badge(
        id="hundred-plays",
        title="A hundred plays",
        description="Finished a hundred plays of a game.",
        rule=plays_of_a_game(100),
        follows="ten-plays",
    ),
    Badge(
        id="personal-best",
        title="Personal best",
        description="Scored more than in all earlier plays of a game.",
        rule=personal_best_beaten,
    ),
    Badge(
        id="all-rounder",
        title="All-rounder",
        description="Played five different games.",
        rule=different_games,
        per_game=False,
    ),
    Badge(
        id="weekend-player",
        title="Weekend player",
        description="Played on both days of four weekends (UTC).",
        rule=whole_weekends,
        per_game=False,
    ),
    Badge(
        id="night-owl",
        title="Night owl",
        description="Finished ten plays between midnight and five in the morning (UTC).",
        rule=plays_at_night,
        per_game=False,
    ),
    Badge(
        id="comeback",
        title="Comeback",
        description="Came back after thirty days or more without a play.",
        rule=comeback,
        per_game=False,
    ),
)


_NO_PLAYS = GameTally(plays=0, days="", longest_streak=0, best=0, first_at="", first_score=0)


def no_tally() -> Tally:
    return Tally(games={}, days="", longest_streak=0, weekends=0, night_plays=0)


def no_progress() -> Progress:
    return Progress(**no_tally(), earned={})


def utc_moment(played_at: str) -> datetime:
    """A moment, in UTC.

    Raises
    ------
    ValueError
        Not ISO 8601, or without Z or an offset.
    """
    moment = datetime.fromisoformat(played_at)
    if moment.tzinfo is None:
        raise ValueError("a moment without Z or an offset belongs to no UTC day")
    return moment.astimezone(UTC)


def utc_day(played_at: str) -> int:
    """The UTC day of a moment, as an ordinal; raises as `utc_moment` does."""
    return utc_moment(played_at).toordinal()


def count(tally: Tally, play: PlayCompleted) -> Tally:
    """The tally after one more play, late or not; raises as `utc_moment` does."""
    return _counted(tally, play, utc_moment(play.played_at))


def record_play(
    progress: Progress, play: PlayCompleted, play_event_id: str, badges: Iterable[Badge] = BADGES
) -> tuple[Progress, dict[str, Award]]:
    """The progress after one more play, and the awards that this play brings, by badge key (``<badge id>[:<game>]``).

    Raises as `utc_moment` does.
    """
    moment = utc_moment(play.played_at)
    tally = _counted(progress, play, moment)
    facts = Facts(tally, tally["games"][play.game], moment.toordinal())
    scopes = {True: play.game, False: ALL_GAMES}
    earned = {per_game: progress["earned"].get(scope, "").split() for per_game, scope in scopes.items()}
    awards: dict[str, Award] = {}
    for badge in badges:
        if badge.id in earned[badge.per_game] or not badge.rule(facts).earned:
            continue
        earned[badge.per_game].append(badge.id)
        awards[badge.key(play.game)] = Award(
            badge=badge.id,
            game=play.game if badge.per_game else None,
            title=badge.title,
            earned_at=play.played_at,
            play_event_id=play_event_id,
        )
    if not awards:
        return Progress(**tally, earned=progress["earned"]), awards
    texts = {scopes[per_game]: " ".join(ids) for per_game, ids in earned.items() if ids}
    return Progress(**tally, earned={**progress["earned"], **texts}), awards


class Streak(TypedDict):
    """Days in a row: up to today (or yesterday, as today is not over), and the most there ever were."""

    current: int
    longest: int


class Streaks(TypedDict):
    """Of all games together, and of each."""

    overall: Streak
    games: dict[str, Streak]


class Goal(TypedDict):
    """A badge not earned yet, and how far the player has come: ``have`` of ``need``."""

    badge: str
    game: str | None
    title: str
    description: str
    have: int
    need: int


def streaks(tally: Tally, today: int) -> Streaks:
    """A player's streaks as of a UTC day."""
    return Streaks(
        overall=_streak(tally, today),
        games={game: _streak(tally["games"][game], today) for game in sorted(tally["games"])},
    )


def goals(tally: Tally, earned: Collection[str], today: int, badges: Iterable[Badge] = BADGES) -> list[Goal]:
    """What the player may earn next, nearest first; of each ladder, the lowest badge whose key is not in ``earned``.

    A badge that the tally has reached, and whose award is on its way, is no goal any more.
    """
    found = []
    for badge in badges:
        scopes: Mapping[str, GameTally] = tally["games"] if badge.per_game else {"": _NO_PLAYS}
        for game, of_game in sorted(scopes.items(), key=itemgetter(0)):
            standing = badge.rule(Facts(tally, of_game, today))
            if standing.earned or badge.key(game) in earned or not badge.is_next(game, earned):
                continue
            found.append(
                Goal(
                    badge=badge.id,
                    game=game or None,
                    title=badge.title,
                    description=badge.description,
                    have=standing.have,
                    need=standing.need,
                )
            )
    return sorted(found, key=lambda goal: goal["have"] / goal["need"], reverse=True)


def description(badge_id: str, badges: Iterable[Badge] = BADGES) -> str | None:
    """What a badge is awarded for; None if it is awarded no longer."""
    return next((badge.description for badge in badges if badge.id == badge_id), None)


def _counted(tally: Tally, play: PlayCompleted, moment: datetime) -> Tally:
    day = moment.toordinal()
    before = Days(tally["days"])
    after = before.add(day)
    return Tally(
        games={**tally["games"], play.game: _counted_game(tally["games"].get(play.game, _NO_PLAYS), play, moment)},
        days=after.text,
        longest_streak=max(tally["longest_streak"], after.run_through(day)),
        weekends=tally["weekends"] + (after != before and _completes_a_weekend(before, day)),
        night_plays=tally["night_plays"] + (moment.hour < _NIGHT_ENDS_AT),
    )


def _counted_game(game: GameTally, play: PlayCompleted, moment: datetime) -> GameTally:
    day = moment.toordinal()
    days = Days(game["days"]).add(day)
    # Text of one form, so that the earlier is the lesser.
    at = moment.isoformat(timespec="microseconds")
    first_at, first_score = game["first_at"], game["first_score"]
    if not first_at or at < first_at:
        first_at, first_score = at, play.score
    elif at == first_at:
        first_score = max(first_score, play.score)
    return GameTally(
        plays=game["plays"] + 1,
        days=days.text,
        longest_streak=max(game["longest_streak"], days.run_through(day)),
        best=max(game["best"], play.score),
        first_at=first_at,
        first_score=first_score,
    )


def _completes_a_weekend(days: Days, day: int) -> bool:
    """Whether a new day's other half is there. Ordinal 1 is a Monday."""
    match day % 7:
        case 6:
            return day + 1 in days
        case 0:
            return day - 1 in days
    return False


def _row(tally: Tally | GameTally, today: int, need: int) -> Standing:
    longest = tally["longest_streak"]
    return Standing(longest if longest >= need else Days(tally["days"]).streak(today), need)


def _streak(tally: Tally | GameTally, today: int) -> Streak:
    return Streak(current=Days(tally["days"]).streak(today), longest=tally["longest_streak"])
