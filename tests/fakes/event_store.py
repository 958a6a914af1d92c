"""The event store in memory. tests/contract holds it to the same behaviour as the DynamoDB one."""

from collections.abc import Collection, Sequence

from headwater.domain.events import MalformedEventError, RecordedEvent, UnknownEventError
from headwater.event_store import codec
from headwater.event_store.store import (
    Append,
    AppendTooLargeError,
    ConcurrencyError,
    ConditionalWrite,
    PutNew,
    Remove,
    UnreadableHistoryError,
    WriteRefusedError,
)
from headwater.limits import DynamoDbLimits
from tests.fakes.events import EVENT_TYPES, read


class InMemoryEventStore:
    """Implements `headwater.event_store.store.EventStore`; ``tables`` holds what conditional writes touch, by pk.

    ``unreadable`` are ids of stored events whose items are to be none.
    """

    def __init__(self, limits: DynamoDbLimits | None = None) -> None:
        self.histories: dict[str, list[RecordedEvent]] = {}
        self.tables: dict[str, dict[str, dict[str, object]]] = {}
        self.unreadable: set[str] = set()
        self._limits = limits or DynamoDbLimits()

    def append(self, *appends: Append, also: Sequence[ConditionalWrite] = ()) -> list[RecordedEvent]:
        recorded = [event for append in appends for event in append.recorded()]
        if len(recorded) + len(also) > self._limits.transaction_items:
            raise AppendTooLargeError(f"{len(recorded) + len(also)} items in one append")
        for append in appends:
            for event in append.recorded():
                codec.encode_new(event, EVENT_TYPES, derived=append.derived)
        for append in appends:
            if self.present(append.aggregate_id, {event.version for event in append.recorded()}):
                stored = self.load(append.aggregate_id, append.expected_version)
                if stored[0].event_id == append.events[0].event_id:
                    return recorded
                raise ConcurrencyError(append.aggregate_id, append.expected_version, stored)
        for write in also:
            self._check(write)
        for event in recorded:
            self.histories.setdefault(event.aggregate_id, []).append(event)
        for write in also:
            self._apply(write)
        return recorded

    def load(self, aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        events: list[RecordedEvent] = []
        for event in sorted(self.histories.get(aggregate_id, []), key=lambda event: event.version):
            if event.version > after:
                if event.event_id in self.unreadable:
                    raise UnreadableHistoryError(aggregate_id, events, event.version, "no event", event.event_id)
                try:
                    events.append(event if "payload" in vars(event) else read(event))
                except (MalformedEventError, UnknownEventError) as error:
                    raise UnreadableHistoryError(
                        aggregate_id, events, event.version, str(error), event.event_id
                    ) from error
        return events

    def present(self, aggregate_id: str, versions: Collection[int]) -> set[int]:
        return {event.version for event in self.histories.get(aggregate_id, [])}.intersection(versions)

    def head(self, aggregate_id: str) -> int:
        return max((event.version for event in self.histories.get(aggregate_id, [])), default=0)

    def _check(self, write: ConditionalWrite) -> None:
        rows = self.tables.setdefault(write.table, {})
        if isinstance(write, PutNew):
            if write.item["pk"] in rows:
                raise WriteRefusedError(write)
            return
        row = rows.get((write.key if isinstance(write, Remove) else write.item)["pk"])
        if row is None or any(row.get(name) != value for name, value in write.expected.items()):
            raise WriteRefusedError(write)

    def _apply(self, write: ConditionalWrite) -> None:
        rows = self.tables[write.table]
        if isinstance(write, Remove):
            del rows[write.key["pk"]]
        else:
            rows[write.item["pk"]] = dict(write.item)
