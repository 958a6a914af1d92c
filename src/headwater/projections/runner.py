"""Keeps a projection's rows in step with the events that Kinesis delivers: at least once, and in no sure order.

A batch is grouped by key, the keys' rows are read together, each is folded in memory and written once, with the rows
of its parts if it has any. In a row, a gate per source aggregate holds the last version applied, and moves in the same
write as the effect. An event is a hint that its aggregate has reached a version, never the only copy: what is missing
below it comes from the event store.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from headwater.change_stream import cloud_events, kinesis
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import Delivery
from headwater.change_stream.records import MalformedRecordError
from headwater.domain.events import MalformedEventError, RecordedEvent, UnknownEventError
from headwater.event_store.store import EventStore
from headwater.limits import DynamoDbLimits
from headwater.projections.projection import Projection, State
from headwater.projections.read_models import ReadModelStore, ReadModelThrottledError, Row, RowConflictError

#: Tries to write one row against other writers, and the base of the jittered wait between them. A row has at most one
#: writer per source aggregate at a time (a lane of the mapping each), so that few rounds settle it.
_WRITE_ATTEMPTS = 6
_WRITE_BASE_SECONDS = 0.01


class GapError(Exception):
    """A version arrived before one that the event store does not show either. Transient: another try may find it."""


class HeldBackError(Exception):
    """An event whose aggregate stopped at an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """What one batch does to one row: the state before and after (None in a tombstone), and the events applied."""

    key: str
    before: State | None
    after: State | None
    events: Sequence[RecordedEvent]


#: An effect that must be there before the row says so. It may run again for the same events: make it idempotent.
type BeforeWrite = Callable[[RowChange], None]


@dataclass(slots=True)
class _Inbox:
    """What a batch brings of one aggregate: deliveries by version, and each record's version and sequence number."""

    aggregate_id: str
    gate: str
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    arrivals: list[tuple[int, str]] = field(default_factory=list)

    def failures(self, applied: int, error: Exception) -> list[Failure]:
        """All records above the version that was applied: acknowledging one would lose it."""
        above = [arrival for arrival in self.arrivals if arrival[0] > applied]
        first = min(above, default=(0, ""))[0]
        return [
            Failure(sequence_number, error if version == first else _held_back(self.aggregate_id))
            for version, sequence_number in above
        ]


@dataclass(slots=True)
class _Folded:
    """A row's next state, and the failures of those of its aggregates that had to stop.

    ``full``: one transaction holds no more parts; what is left to fold follows in the next one.
    """

    state: State | None
    applied: dict[str, int]
    events: list[RecordedEvent] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    full: bool = False


class ProjectionRunner:
    """Applies batches of Kinesis records to one projection.

    Parameters
    ----------
    before_write
        Called once a row and try, after the fold and before the row's write.
    writers
        Settles rows side by side; each row stays with one thread. None uses the caller's thread alone.
    """

    def __init__(
        self,
        projection: Projection,
        rows: ReadModelStore,
        events: EventStore,
        claims: ClaimStore,
        *,
        before_write: BeforeWrite | None = None,
        writers: Executor | None = None,
        sleep: Callable[[float], None] = time.sleep,
        limits: DynamoDbLimits | None = None,
    ) -> None:
        self._projection = projection
        self._rows = rows
        self._events = events
        self._claims = claims
        self._before_write = before_write
        self._sleep = sleep
        # The checkpoint is one of the transaction's items.
        self._most_parts = (limits or DynamoDbLimits()).transaction_items - 1
        self._map: Callable[..., Iterable[list[Failure]]] = map if writers is None else writers.map

    def process(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Applies one batch; reports every record whose event is not in its row afterwards.

        Raises
        ------
        MalformedRecordError
            A record has no sequence number or partition key, so that no answer could name it.
        """
        inboxes, failures = self._sort(records)
        by_key: dict[str, list[_Inbox]] = {}
        for inbox in inboxes:
            by_key.setdefault(self._projection.key(inbox.aggregate_id), []).append(inbox)
        stored = self._rows.get([self._projection.pk(key) for key in by_key])
        rows = [stored.get(self._projection.pk(key)) for key in by_key]
        for failed in self._map(self._settle, by_key.keys(), by_key.values(), rows):
            failures += failed
        return BatchOutcome(len(records), failures)

    def _sort(self, records: Sequence[Mapping[str, Any]]) -> tuple[Iterable[_Inbox], list[Failure]]:
        """Deliveries by aggregate. Past a record that cannot be read, its aggregate takes nothing more."""
        inboxes: dict[str, _Inbox] = {}
        failures: list[Failure] = []
        unreadable: set[str] = set()
        for raw in records:
            sequence_number = kinesis.sequence_number(raw)
            try:
                delivery = cloud_events.decode(kinesis.body(raw))
                event = delivery.event
                if not self._projection.concerns(event):
                    continue
            except (MalformedRecordError, MalformedEventError, UnknownEventError) as error:
                failures.append(Failure(sequence_number, error))
                # The body may tell nothing, but the record was routed by its aggregate.
                unreadable.add(kinesis.partition_key(raw))
                continue
            if event.aggregate_id in unreadable:
                failures.append(Failure(sequence_number, _held_back(event.aggregate_id)))
                continue
            inbox = inboxes.get(event.aggregate_id)
            if inbox is None:
                inbox = inboxes[event.aggregate_id] = _Inbox(event.aggregate_id, self._projection.gate(event))
            inbox.deliveries[event.version] = delivery
            inbox.arrivals.append((event.version, sequence_number))
        return inboxes.values(), failures

    def _settle(self, key: str, inboxes: Sequence[_Inbox], row: Row | None) -> list[Failure]:
        """One row, from what was read to what is written."""
        row = row or self._new_row(key)
        try:
            return self._advance(key, inboxes, row)
        except Exception as error:  # noqa: BLE001  # whatever fails here fails this row's records alone; others go on
            return [failure for inbox in inboxes for failure in inbox.failures(row.applied.get(inbox.gate, 0), error)]

    def _advance(self, key: str, inboxes: Sequence[_Inbox], row: Row) -> list[Failure]:
        attempt = 1
        while True:
            folded = self._fold(inboxes, row)
            if not folded.events and not folded.full:
                return folded.failures
            if self._before_write and folded.events:
                self._before_write(RowChange(key=key, before=row.state, after=folded.state, events=folded.events))
            moved = self._next_row(key, row, folded)
            try:
                self._rows.put(moved, self._parts(key, row, moved) if self._projection.part else ())
            except (RowConflictError, ReadModelThrottledError):
                # Another lane's write, or our own whose answer was lost: the gates tell what is still above them.
                if attempt == _WRITE_ATTEMPTS:
                    raise
                self._sleep(random.uniform(0, _WRITE_BASE_SECONDS * 2**attempt))  # noqa: S311  # jitter
                row = self._rows.get([row.pk]).get(row.pk) or self._new_row(key)
                attempt += 1
            else:
                if not folded.full:
                    return folded.failures
                row, attempt = moved, 1

    def _next_row(self, key: str, row: Row, folded: _Folded) -> Row:
        return Row(
            pk=row.pk,
            state=folded.state,
            applied=folded.applied,
            revision=row.revision + 1,
            rank=None if self._projection.part else self._projection.ranked(key, folded.state),
        )

    def _parts(self, key: str, row: Row, moved: Row) -> list[Row]:
        """The rows of the parts that move with their checkpoint."""
        changed = self._projection.changed_parts(row.state, moved.state)
        if changed and "#" in key:
            raise MalformedEventError(f"projection {self._projection.name}: {key!r} and its parts need a key without #")
        rows = []
        for part, state in changed.items():
            part_key = f"{key}#{part}"
            rank = self._projection.ranked(part_key, state)
            pk = self._projection.pk(part_key)
            rows.append(Row(pk=pk, state=state, applied={}, revision=moved.revision, rank=rank))
        return rows

    def _fold(self, inboxes: Sequence[_Inbox], row: Row) -> _Folded:
        """Folds each aggregate as far as it goes, and as far as one transaction does."""
        folded = _Folded(row.state, dict(row.applied))
        for inbox in inboxes:
            if folded.full:
                break
            try:
                self._fold_aggregate(inbox, row.state, folded)
            except Exception as error:  # noqa: BLE001  # the row's other aggregates flow on; nothing is dropped
                folded.failures += inbox.failures(folded.applied.get(inbox.gate, 0), error)
        return folded

    def _fold_aggregate(self, inbox: _Inbox, before: State | None, folded: _Folded) -> None:
        applied = folded.applied.get(inbox.gate, 0)
        deliveries = inbox.deliveries
        head = max(deliveries)
        while applied < head:
            if applied + 1 not in deliveries:
                missing = self._events.load(inbox.aggregate_id, after=applied)
                deliveries = {**deliveries, **{event.version: Delivery(event=event) for event in missing}}
                if applied + 1 not in deliveries:
                    raise GapError(
                        f"{inbox.aggregate_id} has reached version {head}, but the event store shows no {applied + 1}"
                    )
                head = max(deliveries)
            delivery = deliveries[applied + 1]
            event = self._whole(delivery)
            state = self._projection.evolve(folded.state, event)
            if self._projection.part and self._overflows(before, state):
                folded.full = True
                if not folded.events:
                    # One event takes more parts than a transaction does, which only a deletion can: some of them go
                    # now, and the gate moves with the last.
                    folded.state = self._projection.without_parts(before, self._most_parts)
                return
            folded.state = state
            applied = folded.applied[inbox.gate] = event.version
            folded.events.append(event)

    def _overflows(self, before: State | None, after: State | None) -> bool:
        return self._projection.count_parts(after or before) > self._most_parts and (
            len(self._projection.changed_parts(before, after)) > self._most_parts
        )

    def _whole(self, delivery: Delivery) -> RecordedEvent:
        """The event with its data. Claim checks are followed only here, so that a duplicate costs no request."""
        if delivery.dataref is None:
            return delivery.event
        claimed = cloud_events.decode(self._claims.get(delivery.dataref)).event
        if claimed.event_id != delivery.event.event_id:
            raise MalformedEventError(f"the claim check of event {delivery.event.event_id} leads to another event")
        return claimed

    def _new_row(self, key: str) -> Row:
        return Row(pk=self._projection.pk(key), state=self._projection.new_state(), applied={}, revision=0)


def _held_back(aggregate_id: str) -> HeldBackError:
    return HeldBackError(f"{aggregate_id} stopped at an earlier event")
