"""What use cases ask of an event store, and how it says no.

The expected version of an append always comes from a load: that is what keeps versions free of gaps.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headwater.domain.events import MalformedEventError, NewEvent, RecordedEvent
from headwater.failures import PermanentError, TransientError


class EventStoreError(Exception):
    """An append or a load that the store refused."""


class ConcurrencyError(EventStoreError, TransientError):
    """Others appended first. ``intervening`` holds what they appended after the expected version."""

    def __init__(self, aggregate_id: str, expected_version: int, intervening: Sequence[RecordedEvent]) -> None:
        super().__init__(
            f"{aggregate_id} is past version {expected_version}: "
            f"{len(intervening)} event(s) got in between; load again and decide again"
        )
        self.aggregate_id = aggregate_id
        self.expected_version = expected_version
        self.intervening = tuple(intervening)


class WriteRefusedError(EventStoreError):
    """A write that had to commit together with the events lost its condition; nothing was written."""

    def __init__(self, write: "ConditionalWrite") -> None:
        super().__init__(f"{type(write).__name__} in table {write.table} lost its condition; nothing was written")
        self.write = write


class AppendTooLargeError(EventStoreError, PermanentError):
    """More items than one transaction takes, or an event above the size of an item."""


@dataclass(frozen=True, slots=True)
class PutNew:
    """Puts an item whose key must not exist yet."""

    table: str
    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replace:
    """Puts an item over one that exists and has the ``expected`` attributes."""

    table: str
    item: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remove:
    """Deletes an item that exists and has the ``expected`` attributes."""

    table: str
    key: Mapping[str, Any]
    expected: Mapping[str, Any] = field(default_factory=dict)


#: A write to another table (keyed by ``pk``) that commits with the events or not at all.
type ConditionalWrite = PutNew | Replace | Remove


@dataclass(frozen=True, slots=True)
class Append:
    """Events to add to one aggregate, straight after the version that was loaded (0: it is new).

    ``derived``: they follow from an event that was read, which may be older than today's limits or another program's;
    what it holds, they may hold.
    """

    aggregate_id: str
    expected_version: int
    events: Sequence[NewEvent]
    derived: bool = False

    def recorded(self) -> list[RecordedEvent]:
        """The events under the versions that they will have."""
        return [
            event.recorded(self.aggregate_id, self.expected_version + offset)
            for offset, event in enumerate(self.events, start=1)
        ]


class UnreadableHistoryError(MalformedEventError):
    """The item of ``version`` is no event; ``before`` are the events up to it. ``event_id`` is None if it has none."""

    def __init__(
        self,
        aggregate_id: str,
        before: Sequence[RecordedEvent],
        version: int,
        reason: object,
        event_id: str | None = None,
    ) -> None:
        super().__init__(f"{aggregate_id}, version {version}: {reason}")
        self.aggregate_id = aggregate_id
        self.before = before
        self.version = version
        self.event_id = event_id


def folded[S](history: Sequence[RecordedEvent], fold: Callable[[Iterable[RecordedEvent]], S]) -> S:
    """What ``fold`` makes of a history, whose events it takes one after the other.

    Raises
    ------
    UnreadableHistoryError
        One of them is of no known shape, or cannot follow those before it.
    """
    taken = 0

    def one_by_one() -> Iterator[RecordedEvent]:
        nonlocal taken
        for event in history:
            taken += 1
            yield event

    try:
        return fold(one_by_one())
    except ValueError as error:
        event = history[taken - 1]
        raise UnreadableHistoryError(
            event.aggregate_id, history[: taken - 1], event.version, error, event.event_id
        ) from error


class EventStore(Protocol):
    """Append-only, one history per aggregate, versions 1, 2, 3 … without gaps."""

    def append(self, *appends: Append, also: Sequence[ConditionalWrite] = ()) -> list[RecordedEvent]:
        """Adds all events, and the writes in ``also``, or nothing.

        A repeated append whose first answer was lost succeeds: the store finds its own event ids.

        Raises
        ------
        ConcurrencyError
            Somebody else's events took one of the versions.
        WriteRefusedError
            A write in ``also`` lost its condition.
        AppendTooLargeError
            Beyond 100 items, or an event beyond 400 KiB; nothing was sent.
        MalformedEventError
            An event that some reader could not read, or that is beyond the limits of its type; nothing was sent.
        """
        ...

    def load(self, aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        """All events above version ``after``, in order, by a consistent read. Empty if there are none.

        An item under a version that no event can have, such as 1.5, is none of the history: fan_out parks it.

        Raises
        ------
        UnreadableHistoryError
            One of them cannot be read.
        """
        ...

    def present(self, aggregate_id: str, versions: Collection[int]) -> set[int]:
        """Which of these versions (100 at the most) are there, readable or not, as of one moment.

        Half a transaction is never seen: what is not there now had not been appended before what is.
        """
        ...

    def head(self, aggregate_id: str) -> int:
        """The newest version, by a consistent read; 0 if there is none. It is what an append expects."""
        ...
