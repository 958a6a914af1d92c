"""A user's preferences: the record that every user has, made when they register and removed when they are deleted."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from headwater.accounts.histories import existing_user
from headwater.accounts.items import Items
from headwater.domain.events import RecordedEvent, UserRegistered
from headwater.domain.user import UserDeletedError
from headwater.effects.consumer import UnexpectedEventError
from headwater.effects.effect import Actions
from headwater.event_store.store import EventStore

DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({"language": "en", "time_zone": "UTC", "email_notices": True})


class Preferences:
    """The records of PreferencesTable, key ``user#<id>``; once removed, a record without preferences."""

    def __init__(self, items: Items, events: EventStore) -> None:
        self._items = items
        self._events = events

    def read(self, user_id: str) -> Mapping[str, Any]:
        """The user's preferences; the defaults, while their record is on its way.

        Raises
        ------
        UserNotFoundError, UserDeletedError, UnreadableHistoryError
        """
        item = self._items.get(_pk(user_id))
        if item is not None and "preferences" in item:
            preferences: Mapping[str, Any] = item["preferences"]
            return preferences
        if item is not None:
            raise UserDeletedError
        existing_user(self._events.load(_pk(user_id)))
        return DEFAULTS

    def create_default(self, user_id: str) -> None:
        """Makes the record, unless there is one, or was one: a deletion may overtake its registration."""
        self._items.put_new({"pk": _pk(user_id), "preferences": dict(DEFAULTS)})

    def remove(self, user_id: str) -> None:
        """Empties the record. Its key stays, so that a registration that comes late finds it taken."""
        self._items.put({"pk": _pk(user_id)})


class DefaultResources:
    """Prepares what a new user is given."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences

    def prepare(self, event: RecordedEvent) -> Actions:
        """The making of the user's preferences, not yet done."""
        if not isinstance(event.payload, UserRegistered):
            raise UnexpectedEventError(f"event {event.event_id} is a {event.type}, not a UserRegistered")
        return {"": partial(self._preferences.create_default, event.aggregate_key)}


def _pk(user_id: str) -> str:
    return f"user#{user_id}"
