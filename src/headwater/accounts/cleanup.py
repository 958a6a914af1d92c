"""What is removed once a user is deleted. The events stay: history is not rewritten.

Badge progress and the read models are not removed here: their projections see the deletion and leave tombstones, and
a row has one writer.
"""

from functools import partial

from headwater.accounts.credentials import Credentials
from headwater.accounts.preferences import Preferences
from headwater.domain.events import RecordedEvent, UserDeleted, UserEmailChanged, UserRegistered
from headwater.effects.consumer import UnexpectedEventError
from headwater.effects.effect import Actions
from headwater.event_store.store import EventStore


class AccountCleanup:
    """Prepares the removals; each may find that there is nothing left to remove."""

    def __init__(self, credentials: Credentials, preferences: Preferences, events: EventStore) -> None:
        self._credentials = credentials
        self._preferences = preferences
        self._events = events

    def prepare(self, event: RecordedEvent) -> Actions:
        """The removal of credentials and preferences, not yet done. Names are kept by the ledger."""
        if not isinstance(event.payload, UserDeleted):
            raise UnexpectedEventError(f"event {event.event_id} is a {event.type}, not a UserDeleted")
        user_id = event.aggregate_key
        return {
            "credentials": partial(self._remove_credentials, user_id),
            "preferences": partial(self._preferences.remove, user_id),
        }

    def _remove_credentials(self, user_id: str) -> None:
        """A deletion through the API did this in its own transaction; one that was appended by hand did not."""
        addresses: dict[str, None] = {}
        for event in self._events.load(f"user#{user_id}"):
            match event.payload:
                case UserRegistered(email=address) | UserEmailChanged(new_email=address):
                    addresses[address] = None
        self._credentials.remove(user_id, list(addresses))
