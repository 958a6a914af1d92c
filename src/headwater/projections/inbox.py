"""What a batch brings, by aggregate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headwater.change_stream import cloud_events, kinesis
from headwater.change_stream.batch import Failure
from headwater.change_stream.cloud_events import Delivery
from headwater.domain.events import EventTypes
from headwater.failures import FailureKind, kind_of
from headwater.projections.projection import Projection

type Record = Mapping[str, Any]
#: Takes a record that cannot be read, by the aggregate that it was routed by. Gives why it is not done with, or None.
type Unreadable = Callable[[str, Record, Exception], Exception | None]


class HeldBackError(Exception):
    """An event whose aggregate stopped at an earlier one."""


class Arrival(NamedTuple):
    """A record, and the version that it brings; 0 where it cannot be read."""

    version: int
    sequence_number: str
    raw: Record


@dataclass(slots=True)
class Inbox:
    """What a batch brings of one aggregate: deliveries by version, and each record.

    ``redriven``: it comes from a queue of dead letters, or from none. ``reads_on``: events above those that came were
    acknowledged unapplied, so that only the event store still has them. ``given_up`` are the versions to pass
    over, if the aggregate still stands at the first of them.
    """

    aggregate_id: str
    key: str
    gate: str
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    redriven: bool = False
    reads_on: bool = False
    unreadable: Exception | None = None
    given_up: range = range(0)

    @classmethod
    def of(cls, projection: Projection, aggregate_id: str, *, redriven: bool = False) -> "Inbox":
        return cls(aggregate_id, projection.key(aggregate_id), projection.gate_of(aggregate_id), redriven=redriven)

    def failures(self, applied: int, error: Exception) -> list[Failure]:
        """All records above the version that was applied: acknowledging one would lose it."""
        if self.redriven or self.reads_on:
            # What stopped it may lie above all of them, acknowledged long ago: only these records still tell.
            return [Failure(arrival.sequence_number, error) for arrival in self.arrivals]
        above = self.above(applied)
        first = min((arrival.version for arrival in above), default=0)
        return [
            Failure(arrival.sequence_number, error if arrival.version == first else held_back(self.aggregate_id))
            for arrival in above
        ]

    def unapplied(self, applied: int, error: Exception) -> list[Failure]:
        """Those records of a redrive that were not applied, and those that cannot be read."""
        return [
            Failure(arrival.sequence_number, error) for arrival in self.arrivals if not 0 < arrival.version <= applied
        ]

    def above(self, applied: int) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.version > applied]

    def run(self, applied: int) -> list[Arrival]:
        """What to park of it."""
        return self.above(applied) or self.arrivals


def held_back(aggregate_id: str) -> HeldBackError:
    return HeldBackError(f"{aggregate_id} stopped at an earlier event")


def delivered(
    projection: Projection, types: EventTypes, records: Sequence[Record], unreadable: Unreadable
) -> tuple[list[Inbox], list[Failure]]:
    """A batch's records by aggregate, without those of aggregates that the projection does not follow.

    Past a record that is unreadable and not done with, its aggregate takes nothing more. One that is done with needs
    no mark: the next event of its aggregate meets a gap.

    Raises
    ------
    MalformedRecordError
        A record has no sequence number or partition key, so that no answer could name it.
    """
    inboxes: dict[str, Inbox] = {}
    failures: list[Failure] = []
    stopped: set[str] = set()
    for raw in records:
        sequence_number = kinesis.sequence_number(raw)
        try:
            delivery = cloud_events.decode(kinesis.body(raw), types)
            event = delivery.event
            if not projection.follows(event.aggregate_id):
                continue
            inbox = inboxes.get(event.aggregate_id) or Inbox.of(projection, event.aggregate_id)
        except Exception as error:  # noqa: BLE001  # whatever a record holds, it stops its own aggregate alone
            # The body may tell nothing, but the record was routed by its aggregate.
            aggregate_id = kinesis.partition_key(raw)
            if not projection.follows(aggregate_id):
                continue
            if (failed := unreadable(aggregate_id, raw, error)) is not None:
                failures.append(Failure(sequence_number, failed))
                stopped.add(aggregate_id)
            continue
        if event.aggregate_id in stopped:
            failures.append(Failure(sequence_number, held_back(event.aggregate_id)))
            continue
        inboxes[event.aggregate_id] = inbox
        inbox.deliveries[event.version] = delivery
        inbox.arrivals.append(Arrival(event.version, sequence_number, raw))
    return list(inboxes.values()), failures


def redriven(projection: Projection, types: EventTypes, records: Sequence[Record]) -> tuple[list[Inbox], list[Failure]]:
    """Dead letters' records by aggregate. One that is still unreadable only names the aggregate to heal."""
    inboxes: dict[str, Inbox] = {}
    failures: list[Failure] = []
    for raw in records:
        sequence_number, aggregate_id = kinesis.sequence_number(raw), kinesis.partition_key(raw)
        delivery, unreadable = None, None
        try:
            delivery = cloud_events.decode(kinesis.body(raw), types)
            aggregate_id = delivery.event.aggregate_id
        except Exception as error:  # noqa: BLE001  # as when it was delivered
            unreadable = error
        if not projection.follows(aggregate_id):
            continue
        if unreadable is not None and kind_of(unreadable) is FailureKind.UNFORESEEN:
            failures.append(Failure(sequence_number, unreadable))
            continue
        inbox = inboxes.get(aggregate_id) or Inbox.of(projection, aggregate_id, redriven=True)
        inboxes[aggregate_id] = inbox
        inbox.unreadable = inbox.unreadable or unreadable
        if delivery:
            inbox.deliveries[delivery.event.version] = delivery
        inbox.arrivals.append(Arrival(delivery.event.version if delivery else 0, sequence_number, raw))
    return list(inboxes.values()), failures
