"""A game's best players: one row a player and game, in an index that spreads each game, and the reader over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from headwater.domain.events import (
    SCORE_LIMIT,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.incidents import Incidents
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Projection, Rank, State
from headwater.projections.read_models import Ranked, ReadModelReader

#: Partitions of the index that share a game. One takes 1,000 write units a second (DynamoDB, "Best practices for
#: designing partition keys"), which are some 500 new bests: eight carry 4,000 a second of a single game, and a reader
#: asks eight partitions at once. Rows keep their partition: another number needs another generation.
SPREAD = 8

_SCORE_DIGITS = len(str(SCORE_LIMIT))


class GameNotFoundError(Exception):
    """Nobody is on the game's leaderboard: it was never played, or nobody who did is left."""

    def __init__(self) -> None:
        super().__init__("nobody is on the leaderboard of this game")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A player's best in one game. ``achieved_at`` is the event time of the play that first reached the score."""

    score: int
    achieved_at: str
    user_id: str

    @property
    def text(self) -> str:
        """Sorts the best first: by score, of the same score by who reached it earlier, then by user id."""
        return f"{SCORE_LIMIT - self.score:0{_SCORE_DIGITS}d}#{self.achieved_at}#{self.user_id}"

    @classmethod
    def parse(cls, text: str) -> "Standing":
        """Reads it back.

        Raises
        ------
        ValueError
            It is none.
        """
        below_limit, achieved_at, user_id = text.split("#")
        return cls(score=SCORE_LIMIT - int(below_limit), achieved_at=achieved_at, user_id=user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of a leaderboard; ``rank`` counts from 1, ``name`` is None while the player's profile is on its way."""

    rank: int
    user_id: str
    name: str | None
    score: int
    achieved_at: str


def _played(state: State, play: PlayCompleted, _: RecordedEvent) -> State:
    plays = state["plays"] + 1
    # Of equal scores the earliest counts, whichever arrived first.
    if state["plays"] and (-play.score, play.played_at) >= (-state["score"], state["achieved_at"]):
        return {**state, "plays": plays}
    return {"score": play.score, "achieved_at": play.played_at, "plays": plays}


def _game(play: PlayCompleted) -> str:
    return play.game


def _rank(key: str, state: State) -> Rank:
    user_id, _, game = key.partition("#")
    standing = Standing(score=state["score"], achieved_at=state["achieved_at"], user_id=user_id)
    return Rank(_partition(game, crc32(user_id.encode()) % SPREAD), standing.text)


def _partition(game: str, number: int) -> str:
    return f"{game}#{number}"


LEADERBOARD = Projection(
    name="leaderboard",
    generation=1,
    initial={"score": None, "achieved_at": None, "plays": 0},
    folds={PlayCompleted: _played},
    deleted_by=[UserDeleted],
    ignores=[UserRegistered, UserEmailChanged, UserProfileChanged],
    part=_game,
    rank=_rank,
)


class Leaderboards:
    """Reads leaderboards: one query a partition of the game, side by side, and one read of the players' names."""

    def __init__(self, rows: ReadModelReader, incidents: Incidents) -> None:
        self._rows = rows
        self._incidents = incidents

    def top(self, game: str, limit: int) -> Sequence[Entry]:
        """The game's best players, a moment behind the events. A row that cannot be read is left out, and reported.

        Raises
        ------
        GameNotFoundError
        """
        partitions = [_partition(game, number) for number in range(SPREAD)]
        ranked = self._rows.first(LEADERBOARD, partitions, limit)
        standings = [standing for row in ranked if (standing := self._standing(row))]
        if not standings:
            raise GameNotFoundError
        profiles = self._rows.get_many([(PLAYER_PROFILES, standing.user_id) for standing in standings])
        return [
            Entry(
                rank=rank,
                user_id=standing.user_id,
                name=profile["name"] if profile else None,
                score=standing.score,
                achieved_at=standing.achieved_at,
            )
            for rank, (standing, profile) in enumerate(zip(standings, profiles, strict=True), start=1)
        ]

    def _standing(self, row: Ranked) -> Standing | None:
        try:
            return Standing.parse(row.ranked_by)
        except ValueError:
            self._incidents.report("UnreadableRows", "a leaderboard holds a row that cannot be read", row=row.pk)
            return None
