"""What the event store has above a version, and what it proves to be missing."""

from collections.abc import Mapping

from headwater.change_stream.cloud_events import Delivery
from headwater.domain.events import RecordedEvent
from headwater.event_store.store import EventStore, UnreadableHistoryError
from headwater.failures import PermanentError


class GapError(PermanentError):
    """A version arrived, and one below it had not been appended before it."""


class UnreadableVersionError(PermanentError):
    """The next version is in the event store, and is no event: the dead letter of fan_out says why."""


class History:
    """Reads the event store as far as it can be read."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    def after(self, aggregate_id: str, applied: int) -> tuple[Mapping[int, Delivery], bool]:
        """The events above a version, and whether these are all."""
        stored, broken = self._load(aggregate_id, applied)
        return _deliveries(stored), broken is None

    def missing(self, aggregate_id: str, applied: int, arrived: int) -> tuple[Mapping[int, Delivery], bool]:
        """The events from the next version on, and whether these are all. None, if nothing ``arrived`` above (0).

        Raises
        ------
        GapError
            The next version is not there, and one transaction over it and what arrived proves it: a plain query may
            see half a transaction.
        UnreadableVersionError
        """
        needed = applied + 1
        for proven in (False, True):
            stored, broken = self._load(aggregate_id, applied)
            if any(event.version == needed for event in stored):
                return _deliveries(stored), broken is None
            if broken and (proven or broken.version == needed):
                raise UnreadableVersionError(str(broken)) from broken
            above = arrived or min((event.version for event in stored), default=broken.version if broken else 0)
            if not above:
                return {}, True
            if needed not in self._events.present(aggregate_id, {needed, above}):
                raise GapError(f"{aggregate_id} has reached version {above}, and there is no {needed}")
        raise UnreadableVersionError(f"{aggregate_id}, version {needed}: it is there, and no query shows it")

    def _load(self, aggregate_id: str, applied: int) -> tuple[list[RecordedEvent], UnreadableHistoryError | None]:
        """The events above a version, and why they end before the last, if they do: so far they can be applied."""
        try:
            return self._events.load(aggregate_id, after=applied), None
        except UnreadableHistoryError as error:
            return list(error.before), error


def _deliveries(events: list[RecordedEvent]) -> Mapping[int, Delivery]:
    return {event.version: Delivery(event=event) for event in events}
