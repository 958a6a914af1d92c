"""Reading a profile: two rows of the read side, and the events themselves while those rows are on their way."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

from headwater.accounts.histories import existing_user
from headwater.domain import badges
from headwater.domain.badges import Goal, Streaks, Tally
from headwater.domain.events import RecordedEvent
from headwater.event_store.store import EventStore, folded

type State = Mapping[str, Any]


class ReadModel(Protocol):
    def fold(self, events: Iterable[RecordedEvent]) -> dict[str, Any] | None:
        """The row's state after whole histories; None if they end in a deletion."""
        ...


class ReadModelRows[M: ReadModel](Protocol):
    def get_many(self, wanted: Sequence[tuple[M, str]]) -> Sequence[dict[str, Any] | None]:
        """States of rows in the order asked for, in one request; None for one that is missing or a tombstone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What anybody may see of a user.

    ``state`` is name, registered_at, plays, best_scores and last_play. ``badges``, by time, say when each was earned,
    for what (description) and by which play; ``progress`` is what may be earned next, nearest first.
    ``pending``: the read side has not seen the registration yet.
    """

    state: State
    streaks: Streaks
    badges: Sequence[State]
    progress: Sequence[Goal]
    pending: bool


class Profiles[M: ReadModel]:
    """``profiles`` and ``achievements`` are the read models whose rows, by user id, make a profile."""

    def __init__(
        self,
        store: EventStore,
        rows: ReadModelRows[M],
        profiles: M,
        achievements: M,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._rows = rows
        self._profiles = profiles
        self._achievements = achievements
        self._clock = clock

    def read(self, user_id: str) -> Profile:
        """The profile as the read side has it, a moment behind the events.

        A user whose row is not there yet is folded from the events: who has just registered must not read
        "not found".

        Raises
        ------
        UserNotFoundError, UserDeletedError
        UnreadableHistoryError
            An event of the user's cannot be read.
        """
        state, achieved = self._rows.get_many([(self._profiles, user_id), (self._achievements, user_id)])
        # A row can hold plays before the registration has arrived: nothing orders events of two aggregates.
        pending = state is None or state["name"] is None
        plays: Sequence[RecordedEvent] = ()
        if state is None or pending:
            history = self._store.load(f"user#{user_id}")
            existing_user(history)
            plays = self._store.load(f"player#{user_id}")
            state = folded([*history, *plays], self._profiles.fold) or {}
        return self._profile(state, achieved or folded(plays, self._achievements.fold) or {}, pending)

    def _profile(self, state: State, achieved: dict[str, Any], pending: bool) -> Profile:
        today = self._clock().toordinal()
        tally, earned = cast(Tally, achieved), achieved["earned"]
        return Profile(
            state=state,
            streaks=badges.streaks(tally, today),
            badges=sorted((_badge(key, award) for key, award in earned.items()), key=_by_time),
            progress=badges.goals(tally, earned, today),
            pending=pending,
        )


def _badge(key: str, award: State) -> State:
    badge, _, game = key.partition(":")
    return {"badge": badge, "game": game or None, "description": badges.description(badge), **award}


def _by_time(badge: State) -> tuple[str, str, str]:
    return badge["earned_at"], badge["badge"], badge["game"] or ""
