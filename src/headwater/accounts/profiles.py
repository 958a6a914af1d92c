"""Reading a profile: two rows of the read side, and the events themselves while those rows are on their way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headwater.domain import user
from headwater.domain.events import RecordedEvent
from headwater.event_store.store import EventStore

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
    """What anybody may see of a user: name, registered_at, plays, best_scores and last_play; badges by time.

    ``pending``: the read side has not seen the registration yet.
    """

    state: State
    badges: Sequence[State]
    pending: bool


class Profiles[M: ReadModel]:
    """``profiles`` and ``badges`` are the read models whose rows, by user id, make a profile."""

    def __init__(self, store: EventStore, rows: ReadModelRows[M], profiles: M, badges: M) -> None:
        self._store = store
        self._rows = rows
        self._profiles = profiles
        self._badges = badges

    def read(self, user_id: str) -> Profile:
        """The profile as the read side has it, a moment behind the events.

        A user whose row is not there yet is folded from the events: who has just registered must not read
        "not found".

        Raises
        ------
        UserNotFoundError, UserDeletedError
        """
        state, progress = self._rows.get_many([(self._profiles, user_id), (self._badges, user_id)])
        earned = (progress or {}).get("earned", {}).values()
        badges = sorted(earned, key=lambda badge: (badge["earned_at"], badge["badge"], badge["game"] or ""))
        # A row can hold plays before the registration has arrived: nothing orders events of two aggregates.
        if state is not None and state["name"] is not None:
            return Profile(state=state, badges=badges, pending=False)
        return Profile(state=self._fold(user_id), badges=badges, pending=True)

    def _fold(self, user_id: str) -> State:
        history = self._store.load(f"user#{user_id}")
        user.existing(user.fold(event.payload for event in history))
        return self._profiles.fold([*history, *self._store.load(f"player#{user_id}")]) or {}
