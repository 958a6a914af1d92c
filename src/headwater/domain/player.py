"""A user as a player: values, state, decisions. One aggregate per user, ``player#<user id>``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from headwater.domain.constraints import parsed
from headwater.domain.events import DomainEvent, Game, PlayCompleted, Score
from headwater.domain.fields import InvalidFieldError
from headwater.domain.user import User, existing

#: A player's clock may be ahead of ours by a little; a play further in the future has not happened.
CLOCK_TOLERANCE = timedelta(minutes=5)
EARLIEST_PLAY = datetime(2000, 1, 1, tzinfo=UTC)

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """What a history of plays adds up to. ``last_play`` is the latest by event time, not by arrival."""

    plays: int = 0
    best_scores: Mapping[str, int] = field(default_factory=dict)
    last_play: PlayCompleted | None = None


def evolve(player: Player, event: DomainEvent) -> Player:
    """The player after one more event."""
    if not isinstance(event, PlayCompleted):
        raise ValueError(f"{type(event).__name__} is no event of a player")
    best = max(event.score, player.best_scores.get(event.game, 0))
    is_latest = player.last_play is None or event.played_at >= player.last_play.played_at
    return Player(
        plays=player.plays + 1,
        best_scores={**player.best_scores, event.game: best},
        last_play=event if is_latest else player.last_play,
    )


def fold(events: Iterable[DomainEvent]) -> Player:
    """The player that a whole history makes; no plays make a player without any."""
    player = Player()
    for event in events:
        player = evolve(player, event)
    return player


def complete_play(user: User | None, game: str, score: int, played_at: str) -> PlayCompleted:
    """A play of an existing user. It depends on no earlier play: its aggregate's version is all that an append needs.

    Raises
    ------
    UserNotFoundError, UserDeletedError
    """
    existing(user)
    return PlayCompleted(game=game, score=score, played_at=played_at)


def parse_game(value: object, field: str = "game") -> str:
    """A game's slug."""
    game: str = parsed(field, value, Game)
    return game


def parse_score(value: object, field: str = "score") -> int:
    """A whole number of points; neither ``true`` nor ``7.0`` is one."""
    score: int = parsed(field, value, Score)
    return score


def parse_played_at(value: object, now: datetime, field: str = "played_at") -> datetime:
    """When a play ended: ISO 8601 with an offset or Z, from the year 2000 to five minutes after ``now``; in UTC."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise InvalidFieldError(field, "must be an ISO 8601 time with Z or an offset, such as 2026-03-01T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value).astimezone(UTC)
    except (OverflowError, ValueError):
        raise InvalidFieldError(field, "must be a time that exists, such as 2026-03-01T12:00:00Z") from None
    if moment < EARLIEST_PLAY:
        raise InvalidFieldError(field, f"must not be before {EARLIEST_PLAY.year}")
    if moment > now + CLOCK_TOLERANCE:
        raise InvalidFieldError(field, "must not be in the future")
    return moment
