"""Keeps a projection's rows in step with the events that Kinesis delivers: at least once, and in no sure order.

A batch is grouped by key, the keys' rows are read together, each is folded in memory and written once, with the rows
of its parts if it has any. In a row, a gate per source aggregate holds the last version applied, and moves in the same
write as the effect. An event is a hint that its aggregate has reached a version, never the only copy: what is missing
below it comes from the event store.

A permanent error parks its aggregate (see dead_letters/parking.py): the records are parked first, then the row's gate
is marked ``parked_from`` and its later events are acknowledged, until `ProjectionRunner.redrive` heals it. A crash in
between parks them twice, which a redrive does not mind; the other way round, a marked gate would have nothing parked.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from headwater.change_stream import cloud_events, kinesis
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import Delivery
from headwater.dead_letters.parking import PERMANENT, Parking
from headwater.domain.events import MalformedEventError, RecordedEvent
from headwater.event_store.store import EventStore, UnreadableHistoryError
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


class NotStoppedError(Exception):
    """An aggregate that stands still nowhere, as far as this projection knows."""


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
    """What a batch brings of one aggregate: deliveries by version, and each record with its version and number.

    ``redriven``: it comes from the queue of parked records. The version of one that cannot be read is 0. ``given_up``
    is the version to pass over, if the aggregate still stands there.
    """

    aggregate_id: str
    gate: str
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    arrivals: list[tuple[int, str, Mapping[str, Any]]] = field(default_factory=list)
    redriven: bool = False
    unreadable: Exception | None = None
    given_up: int = 0

    def failures(self, applied: int, error: Exception) -> list[Failure]:
        """All records above the version that was applied: acknowledging one would lose it."""
        if self.redriven:
            # What stopped it may lie above all of them, acknowledged long ago: only the parked message still tells.
            return [Failure(sequence_number, error) for _, sequence_number, _ in self.arrivals]
        above = self.above(applied)
        first = min((version for version, _, _ in above), default=0)
        return [
            Failure(sequence_number, error if version == first else _held_back(self.aggregate_id))
            for version, sequence_number, _ in above
        ]

    def above(self, applied: int) -> list[tuple[int, str, Mapping[str, Any]]]:
        return [arrival for arrival in self.arrivals if arrival[0] > applied]


@dataclass(slots=True)
class _Folded:
    """A row's next state, and the failures of those of its aggregates that had to stop.

    ``full``: one transaction holds no more parts; what is left to fold follows in the next one.
    """

    state: State | None
    applied: dict[str, int]
    events: list[RecordedEvent] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    parked_from: dict[str, int] = field(default_factory=dict)
    poisoned: list[tuple[_Inbox, Exception]] = field(default_factory=list)
    full: bool = False


class _Settled(NamedTuple):
    """What became of one row: failures, how many records wait parked, and which of its aggregates stand still."""

    failures: list[Failure]
    parked: int = 0
    stopped: Sequence[str] = ()


class ProjectionRunner:
    """Applies batches of Kinesis records to one projection.

    Parameters
    ----------
    parking
        Takes what fails for good.
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
        parking: Parking,
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
        self._parking = parking
        self._sleep = sleep
        # The checkpoint is one of the transaction's items.
        self._most_parts = (limits or DynamoDbLimits()).transaction_items - 1
        self._map: Callable[..., Iterable[_Settled]] = map if writers is None else writers.map

    def process(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Applies one batch; reports every record whose event is not in its row afterwards.

        Raises
        ------
        MalformedRecordError
            A record has no sequence number or partition key, so that no answer could name it.
        """
        inboxes, failures, parked = self._sort(records)
        outcome = self._process(records, inboxes, failures)
        return replace(outcome, parked=outcome.parked + parked)

    def redrive(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Applies parked records' aggregates from the event store up to their heads, and takes their marks away.

        Nothing is parked anew: while one event of an aggregate fails, all its records are reported.
        """
        inboxes, failures = self._sort_redriven(records)
        return self._process(records, inboxes, failures)

    def discard(self, records: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[str, int]], BatchOutcome]:
        """Lets each aggregate of parked records that is marked go on without the event at which it stands.

        It is redriven first, so that only an event which still fails is given up: their aggregate ids and versions are
        given. An aggregate that stops at another event then keeps a mark, there, and all its records are reported.
        """
        inboxes, _ = self._sort_redriven(records)
        marked = [inbox for inbox in inboxes if self._mark(inbox)]
        outcome = self._process(records, marked, [])
        if any(not isinstance(failure.error, PERMANENT) for failure in outcome.failures):
            return [], outcome
        for inbox in marked:
            inbox.given_up = self._mark(inbox)
        standing = [inbox for inbox in marked if inbox.given_up]
        given_up = [(inbox.aggregate_id, inbox.given_up) for inbox in standing]
        return given_up, self._process(records, standing, [])

    def release(self, aggregate_id: str) -> tuple[int, Exception] | None:
        """Takes away the mark of an aggregate of which nothing is parked any more, and gives up nothing.

        It is applied from the event store as far as it goes. Gives the version that still fails, and why, if one does:
        the aggregate's next event tries it again, and parks it anew.

        Raises
        ------
        NotStoppedError
            It has no mark.
        Exception
            Whatever kept it from being tried for now; the mark stays.
        """
        inbox = _Inbox(aggregate_id, self._projection.gate_of(aggregate_id), redriven=True)
        if not (self._projection.follows(aggregate_id) and self._mark(inbox)):
            raise NotStoppedError(f"{aggregate_id} does not stand still in {self._projection.name}")
        # It stands for the records that are gone, so that what fails is told.
        inbox.arrivals.append((0, "0", {}))
        outcome = self._process([{}], [inbox], [])
        if not outcome.failures:
            return None
        error = outcome.failures[0].error
        if not isinstance(error, PERMANENT):
            raise error
        return self._unmark(inbox), error

    def _unmark(self, inbox: _Inbox) -> int:
        """Takes a mark away; gives the version that comes next."""
        attempt = 1
        while True:
            row = self._row(inbox) or self._new_row(self._projection.key(inbox.aggregate_id))
            if inbox.gate in row.parked_from:
                marks = {gate: version for gate, version in row.parked_from.items() if gate != inbox.gate}
                try:
                    self._rows.put(replace(row, parked_from=marks, revision=row.revision + 1))
                except RowConflictError:
                    if attempt == _WRITE_ATTEMPTS:
                        raise
                    self._pause(attempt)
                    attempt += 1
                    continue
            return row.applied.get(inbox.gate, 0) + 1

    def _mark(self, inbox: _Inbox) -> int:
        """The version at which its aggregate stands; 0 if it does not."""
        row = self._row(inbox)
        return row.parked_from.get(inbox.gate, 0) if row else 0

    def _row(self, inbox: _Inbox) -> Row | None:
        pk = self._projection.pk(self._projection.key(inbox.aggregate_id))
        return self._rows.get([pk]).get(pk)

    def _pause(self, attempt: int) -> None:
        self._sleep(random.uniform(0, _WRITE_BASE_SECONDS * 2**attempt))  # noqa: S311  # jitter

    def _process(
        self, records: Sequence[Mapping[str, Any]], inboxes: Iterable[_Inbox], failures: list[Failure]
    ) -> BatchOutcome:
        by_key: dict[str, list[_Inbox]] = {}
        for inbox in inboxes:
            by_key.setdefault(self._projection.key(inbox.aggregate_id), []).append(inbox)
        stored = self._rows.get([self._projection.pk(key) for key in by_key])
        rows = [stored.get(self._projection.pk(key)) for key in by_key]
        parked, stopped = 0, list[str]()
        for settled in self._map(self._settle, by_key.keys(), by_key.values(), rows):
            failures += settled.failures
            parked += settled.parked
            stopped += settled.stopped
        return BatchOutcome(len(records), failures, parked, stopped)

    def _sort(self, records: Sequence[Mapping[str, Any]]) -> tuple[Iterable[_Inbox], list[Failure], int]:
        """Deliveries by aggregate, failures, and how many were parked.

        Past a record that is unreadable and not parked, its aggregate takes nothing more. Parking one
        needs no mark: the next event of its aggregate meets a gap, and heals it from the event store.
        """
        inboxes: dict[str, _Inbox] = {}
        failures: list[Failure] = []
        unreadable: set[str] = set()
        parked = 0
        for raw in records:
            sequence_number = kinesis.sequence_number(raw)
            try:
                delivery = cloud_events.decode(kinesis.body(raw))
                event = delivery.event
                if not self._projection.concerns(event):
                    continue
            except PERMANENT as error:
                # The body may tell nothing, but the record was routed by its aggregate.
                aggregate_id = kinesis.partition_key(raw)
                if (failed := self._park(aggregate_id, [], [raw], error)) is not None:
                    failures.append(Failure(sequence_number, failed))
                    unreadable.add(aggregate_id)
                else:
                    parked += 1
                continue
            if event.aggregate_id in unreadable:
                failures.append(Failure(sequence_number, _held_back(event.aggregate_id)))
                continue
            inbox = inboxes.get(event.aggregate_id)
            if inbox is None:
                inbox = inboxes[event.aggregate_id] = _Inbox(event.aggregate_id, self._projection.gate(event))
            inbox.deliveries[event.version] = delivery
            inbox.arrivals.append((event.version, sequence_number, raw))
        return inboxes.values(), failures, parked

    def _sort_redriven(self, records: Sequence[Mapping[str, Any]]) -> tuple[Iterable[_Inbox], list[Failure]]:
        """Parked records by aggregate. One that is still unreadable only names the aggregate to heal."""
        inboxes: dict[str, _Inbox] = {}
        failures: list[Failure] = []
        for raw in records:
            sequence_number, aggregate_id = kinesis.sequence_number(raw), kinesis.partition_key(raw)
            delivery, unreadable = None, None
            try:
                delivery = cloud_events.decode(kinesis.body(raw))
                if not self._projection.concerns(delivery.event):
                    continue
                aggregate_id = delivery.event.aggregate_id
            except PERMANENT as error:
                if not self._projection.follows(aggregate_id):
                    failures.append(Failure(sequence_number, error))
                    continue
                unreadable = error
            inbox = inboxes.setdefault(
                aggregate_id, _Inbox(aggregate_id, self._projection.gate_of(aggregate_id), redriven=True)
            )
            inbox.unreadable = inbox.unreadable or unreadable
            if delivery and not unreadable:
                inbox.deliveries[delivery.event.version] = delivery
            inbox.arrivals.append((delivery.event.version if delivery else 0, sequence_number, raw))
        return inboxes.values(), failures

    def _park(
        self, aggregate_id: str, versions: Sequence[int], records: Sequence[Mapping[str, Any]], error: Exception
    ) -> Exception | None:
        """None once they are parked; else the error to report them with."""
        try:
            self._parking.park(aggregate_id, versions, records, error)
        except Exception as failed:  # noqa: BLE001  # the queue's trouble is transient, and this aggregate's alone
            return failed
        return None

    def _settle(self, key: str, inboxes: Sequence[_Inbox], row: Row | None) -> _Settled:
        """One row, from what was read to what is written."""
        row = row or self._new_row(key)
        try:
            folded = self._advance(key, inboxes, row)
        except Exception as error:  # noqa: BLE001  # whatever fails here fails this row's records alone; others go on
            failures = [each for inbox in inboxes for each in inbox.failures(row.applied.get(inbox.gate, 0), error)]
            return _Settled(failures)
        # Neither applied nor reported: parked, or behind a mark.
        above = sum(len(inbox.above(folded.applied.get(inbox.gate, 0))) for inbox in inboxes if not inbox.redriven)
        stopped = [inbox.aggregate_id for inbox in inboxes if inbox.gate in folded.parked_from]
        return _Settled(folded.failures, max(0, above - len(folded.failures)), stopped)

    def _advance(self, key: str, inboxes: Sequence[_Inbox], row: Row) -> _Folded:
        attempt = 1
        redriven = any(inbox.redriven for inbox in inboxes)
        parked: dict[str, int] = {}
        while True:
            folded = self._fold(inboxes, row)
            self._park_poisoned(folded, parked)
            if not folded.events and not folded.full and folded.parked_from == row.parked_from:
                return folded
            if self._before_write and folded.events:
                self._before_write(RowChange(key=key, before=row.state, after=folded.state, events=folded.events))
            moved = self._next_row(key, row, folded)
            try:
                self._rows.put(moved, self._parts(key, row, moved) if self._projection.part else ())
            except (RowConflictError, ReadModelThrottledError):
                # Another lane's write, or our own whose answer was lost: the gates tell what is still above them.
                if attempt == _WRITE_ATTEMPTS:
                    raise
                self._pause(attempt)
                row = self._rows.get([row.pk]).get(row.pk) or self._new_row(key)
                attempt += 1
            else:
                # An event that was acknowledged while its mark stood is in the event store before the mark goes, so
                # that a redrive which reads on after its write finds it.
                if not folded.full and not redriven:
                    return folded
                row, attempt = moved, 1

    def _park_poisoned(self, folded: _Folded, parked: dict[str, int]) -> None:
        """Parks first; the mark follows in the row's write. ``parked`` remembers it from one try to the next."""
        for inbox, error in folded.poisoned:
            applied = folded.applied.get(inbox.gate, 0)
            if parked.get(inbox.gate) != applied:
                run = inbox.above(applied)
                versions = [version for version, _, _ in run]
                failed = self._park(inbox.aggregate_id, versions, [raw for _, _, raw in run], error)
                if failed is not None:
                    folded.failures += inbox.failures(applied, failed)
                    continue
                parked[inbox.gate] = applied
            folded.parked_from[inbox.gate] = applied + 1

    def _next_row(self, key: str, row: Row, folded: _Folded) -> Row:
        return Row(
            pk=row.pk,
            state=folded.state,
            applied=folded.applied,
            parked_from=folded.parked_from,
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
        folded = _Folded(row.state, dict(row.applied), parked_from=dict(row.parked_from))
        for inbox in inboxes:
            if folded.full:
                break
            if inbox.gate in row.parked_from and not inbox.redriven:
                # Acknowledged: the event store holds them for the redrive, and none may overtake what is parked.
                continue
            # Not by the mark: it stands until the last of several transactions, and would set the gate back.
            if inbox.given_up and folded.applied.get(inbox.gate, 0) + 1 == inbox.given_up:
                folded.applied[inbox.gate] = inbox.given_up
            try:
                self._fold_aggregate(inbox, row.state, folded)
                if not folded.full:
                    folded.parked_from.pop(inbox.gate, None)
            except PERMANENT as error:
                if inbox.redriven:
                    folded.parked_from[inbox.gate] = folded.applied.get(inbox.gate, 0) + 1
                    folded.failures += inbox.failures(folded.applied.get(inbox.gate, 0), error)
                else:
                    folded.poisoned.append((inbox, error))
            except Exception as error:  # noqa: BLE001  # the row's other aggregates flow on; nothing is dropped
                folded.failures += inbox.failures(folded.applied.get(inbox.gate, 0), error)
        return folded

    def _fold_aggregate(self, inbox: _Inbox, before: State | None, folded: _Folded) -> None:
        applied = folded.applied.get(inbox.gate, 0)
        deliveries = inbox.deliveries
        broken: Exception | None = None
        if inbox.redriven:
            stored, broken = self._load(inbox.aggregate_id, applied)
            deliveries = {**deliveries, **{event.version: Delivery(event=event) for event in stored}}
            if not stored and not applied and inbox.unreadable:
                raise inbox.unreadable
        head = max(deliveries, default=0)
        while applied < head:
            if applied + 1 not in deliveries:
                missing, broken = self._load(inbox.aggregate_id, applied)
                deliveries = {**deliveries, **{event.version: Delivery(event=event) for event in missing}}
                if applied + 1 not in deliveries:
                    raise broken or GapError(
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
        if broken and inbox.redriven:
            raise broken

    def _load(self, aggregate_id: str, after: int) -> tuple[Sequence[RecordedEvent], Exception | None]:
        """The events above a version, and why they end before the last, if they do: so far they can be applied."""
        try:
            return self._events.load(aggregate_id, after=after), None
        except UnreadableHistoryError as error:
            return error.before, error

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
