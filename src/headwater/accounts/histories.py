"""A user from their history."""

from collections.abc import Sequence

from headwater.domain import user
from headwater.domain.events import RecordedEvent
from headwater.domain.user import User
from headwater.event_store.store import folded


def existing_user(history: Sequence[RecordedEvent]) -> User:
    """The user that a whole history makes, if there is one to act on.

    Raises
    ------
    UserNotFoundError, UserDeletedError
    UnreadableHistoryError
        An event is of no known shape, or cannot follow those before it.
    """
    return user.existing(folded(history, lambda events: user.fold(event.payload for event in events)))
