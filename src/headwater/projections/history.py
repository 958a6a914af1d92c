"""What the event store has above a version, and what it proves to be missing."""

from collections.abc import Mapping

from headwater.change_stream.cloud_events import Delivery
from headwater.domain.events import RecordedEvent
from headwater.event_store.store import EventStore, UnreadableHistoryError
from headwater.failures import PermanentError


class GapError(PermanentError):
    """Versions below one that arrived had not been appended before it: from the next one up to ``last``."""

    def __init__(self, aggregate_id: str, first: int, last: int) -> None:
        missing = f"version {first} is" if first == last else f"versions {first} to {last} are"
        super().__init__(f"{aggregate_id} has reached version {last + 1}, and {missing} missing")
        self.last = last


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
        stored, whole, above = self._from(aggregate_id, needed)
        above = min(above or arrived, arrived or above)
        if stored or not above:
            return stored, whole
        there = needed in self._events.present(aggregate_id, {needed, above})
        # That transaction is over, so that a query sees all of any that the first one saw half of.
        stored, whole, lowest = self._from(aggregate_id, needed)
        if stored:
            return stored, whole
        if there:
            raise UnreadableVersionError(f"{aggregate_id}, version {needed}: it is there, and no query shows it")
        raise GapError(aggregate_id, needed, min(above, lowest or above) - 1)

    def _from(self, aggregate_id: str, needed: int) -> tuple[Mapping[int, Delivery], bool, int]:
        """The events from a version on, none without that one; whether these are all; and the lowest version there."""
        stored, broken = self._load(aggregate_id, needed - 1)
        if broken and broken.version == needed:
            raise UnreadableVersionError(str(broken)) from broken
        versions = [event.version for event in stored] or ([broken.version] if broken else [0])
        return _deliveries(stored if versions[0] == needed else []), broken is None, versions[0]

    def _load(self, aggregate_id: str, applied: int) -> tuple[list[RecordedEvent], UnreadableHistoryError | None]:
        """The events above a version, and why they end before the last, if they do: so far they can be applied."""
        try:
            return self._events.load(aggregate_id, after=applied), None
        except UnreadableHistoryError as error:
            return list(error.before), error


def _deliveries(events: list[RecordedEvent]) -> Mapping[int, Delivery]:
    return {event.version: Delivery(event=event) for event in events}
