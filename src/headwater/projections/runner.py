"""Keeps a projection's rows in step with the events that Kinesis delivers: at least once, and in no sure order.

A batch is grouped by key (inbox.py), the keys' rows are read together, each is folded in memory (folding.py) and
written once (settling.py), with the rows of its parts if it has any. In a row, a gate per source aggregate holds the
last version applied, and moves in the same write as the effect. An event is a hint that its aggregate has reached a
version, never the only copy: what is missing below it comes from the event store (history.py).

An aggregate that cannot go on stops alone, and its row's gate is marked, so that its later events are acknowledged
unapplied:

- ``parked_from``: a record is parked, or set aside (dead_letters/parking.py), until `ProjectionRunner.redrive` heals
  the aggregate. The record goes first and the mark follows: a crash in between parks it twice, which a redrive does not
  mind; the other way round, a marked gate would have nothing parked.
- ``waits_for``: the next version is missing, which is parked, or cannot be read, which is fan_out's to park. Once it
  arrives, the aggregate goes on by itself.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor

from headwater.change_stream import kinesis
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.claim_checks import ClaimStore
from headwater.dead_letters.parking import Parking, PutAway
from headwater.dead_letters.patience import Failed, Patience, Verdicts
from headwater.dead_letters.redrive import GivenUp
from headwater.domain.events import EventTypes
from headwater.event_store.store import EventStore
from headwater.failures import BLAMELESS, FailureKind, PermanentError, TransientError, kind_of
from headwater.limits import DynamoDbLimits
from headwater.projections import inbox as inboxes_of
from headwater.projections.folding import Folding, Stop
from headwater.projections.history import History
from headwater.projections.inbox import Inbox, Record
from headwater.projections.projection import BeforeWrite, Projection
from headwater.projections.read_models import ReadModelStore, Row, UnreadableRowsError
from headwater.projections.settling import Settled, Settling


class NotStoppedError(Exception):
    """An aggregate that stands still nowhere, as far as this projection knows."""


class StandsEarlierError(PermanentError):
    """An aggregate that is to pass over a version, and stands at one below it."""


class _MovedOnError(TransientError):
    """Somebody else has moved an aggregate on while it was judged."""


class ProjectionRunner:
    """Applies batches of Kinesis records to one projection.

    Parameters
    ----------
    parking
        Takes what fails for good, or for long.
    patience
        Judges what nobody foresaw.
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
        types: EventTypes,
        *,
        parking: Parking,
        patience: Patience,
        before_write: BeforeWrite | None = None,
        writers: Executor | None = None,
        sleep: Callable[[float], None] = time.sleep,
        limits: DynamoDbLimits | None = None,
    ) -> None:
        self._projection = projection
        self._rows = rows
        self._types = types
        self._parking = parking
        self._patience = patience
        # The checkpoint is one of the transaction's items.
        most_parts = (limits or DynamoDbLimits()).transaction_items - 1
        folding = Folding(projection, History(events), claims, types, most_parts)
        self._settling = Settling(projection, rows, folding, before_write, sleep)
        self._map: Callable[..., Iterable[Settled]] = map if writers is None else writers.map

    def process(self, records: Sequence[Record]) -> BatchOutcome:
        """Applies one batch; reports every record whose event is not in its row, nor parked, nor waited for.

        Raises
        ------
        MalformedRecordError
            A record has no sequence number or partition key, so that no answer could name it.
        """
        given_up = Counter[None]()

        def unreadable(aggregate_id: str, raw: Record, error: Exception) -> Exception | None:
            failed = self._set_down_record(aggregate_id, raw, error)
            given_up[None] += failed is None
            return failed

        inboxes, failures = inboxes_of.delivered(self._projection, self._types, records, unreadable)
        settled = self._settle(inboxes)
        verdicts = self._judge(settled)
        parked, stopped = given_up[None], list[str]()
        for each in settled:
            # Where nothing stopped and no mark stands, all that came is applied.
            if not (each.stops or each.row.parked_from or each.row.waits_for):
                continue
            failed = [failure for stop in each.stops for failure in self._set_down(stop, each, verdicts)]
            applied = {inbox.gate: each.row.applied.get(inbox.gate, 0) for inbox in each.inboxes}
            # Neither applied nor reported: parked, or behind a mark.
            above = sum(len(inbox.above(applied[inbox.gate])) for inbox in each.inboxes)
            parked += max(0, above - len(failed))
            failures += failed
            stopped += [inbox.aggregate_id for inbox in each.inboxes if _standing(each.row, inbox)]
        return BatchOutcome(len(records), failures, parked, stopped)

    def redrive(self, records: Sequence[Record]) -> BatchOutcome:
        """Applies dead letters' aggregates from the event store up to their heads, and takes their marks away.

        Nothing is parked anew: while one event of an aggregate fails, all its records are reported. Where it waits for
        a version that is fan_out's to bring, only those that were not applied.
        """
        inboxes, failures = inboxes_of.redriven(self._projection, self._types, records)
        return BatchOutcome(len(records), failures + _still_failing(self._heal(inboxes)))

    def discard(self, records: Sequence[Record]) -> tuple[list[GivenUp], BatchOutcome]:
        """Lets each aggregate of dead letters that is marked go on without the event at which it stands, or the gap.

        It is redriven first, so that only what still fails is given up. An aggregate that stops at another event then
        keeps a mark, there, and all its records are reported.
        """
        inboxes, _ = inboxes_of.redriven(self._projection, self._types, records)
        stops = self._heal([inbox for inbox in inboxes if _standing(self._settling.row(inbox.key), inbox)])
        given_up: list[GivenUp] = []
        if not any(stop.blameless for stop in stops):
            for stop in stops:
                stop.inbox.given_up = stop.missing
                given_up.append(GivenUp(stop.inbox.aggregate_id, stop.missing[0], stop.missing[-1]))
            stops = self._heal([stop.inbox for stop in stops])
        return given_up, BatchOutcome(len(records), _still_failing(stops))

    def pass_over(self, aggregate_id: str, version: int) -> bool:
        """Lets an aggregate go on without a version that nobody will bring; False if it need not.

        It is applied from the event store first, so that a version which can be had is not given up.

        Raises
        ------
        StandsEarlierError
            It cannot go on to that version: an earlier one is to be seen to first.
        Exception
            Whatever kept it from being tried for now.
        """
        if not self._projection.follows(aggregate_id):
            return False
        inbox = Inbox.of(self._projection, aggregate_id, redriven=True)
        parked = inbox.gate in self._settling.row(inbox.key).parked_from
        stops = self._heal([inbox])
        passed = bool(stops) and stops[0].version == version and not stops[0].blameless
        if passed:
            # Of a gap, too, no more than the one: the others are no letter's, until it stands at them.
            inbox.given_up = range(version, version + 1)
            stops = self._heal([inbox])
        for stop in stops:
            if stop.blameless:
                raise stop.error
            if stop.version < version:
                raise StandsEarlierError(
                    f"{aggregate_id} stands at version {stop.version} in {self._projection.name}: see to that first"
                )
            # Where it stands now, it may be the first to stand: nothing of it would be seen.
            if not parked and not stop.unreadable:
                self._park_anew(stop)
        return passed

    def release(self, aggregate_id: str) -> tuple[int, Exception] | None:
        """Takes away the mark of an aggregate of which nothing is parked any more, and gives up nothing.

        It is applied from the event store as far as it goes. Gives the version that still fails, and why, if one does:
        the aggregate's next event tries it again, and parks it anew. One that cannot be read is parked at once, for
        nobody else would do it.

        Raises
        ------
        NotStoppedError
            It has no mark.
        Exception
            Whatever kept it from being tried for now; the mark stays.
        """
        follows = self._projection.follows(aggregate_id)
        inbox = Inbox.of(self._projection, aggregate_id, redriven=True) if follows else None
        if inbox is None or not _standing(self._settling.row(inbox.key), inbox):
            raise NotStoppedError(f"{aggregate_id} does not stand still in {self._projection.name}")
        stop = next(iter(self._heal([inbox])), None)
        if stop is None:
            return None
        if stop.blameless:
            raise stop.error
        if stop.unreadable:
            self._park_anew(stop)
        else:
            self._settling.mark(inbox, self._settling.row(inbox.key), stop.applied)
        return stop.version, stop.error

    def _settle(self, inboxes: Iterable[Inbox]) -> list[Settled]:
        by_key: dict[str, list[Inbox]] = {}
        for inbox in inboxes:
            by_key.setdefault(inbox.key, []).append(inbox)
        pks = {key: self._projection.pk(key) for key in by_key}
        rows, unreadable = self._read(list(pks.values()))
        settled: list[Settled] = []
        for key in [key for key, pk in pks.items() if pk in unreadable]:
            those = by_key.pop(key)
            stops = [Stop(inbox, unreadable[pks[key]], 0) for inbox in those]
            settled.append(Settled(those, self._settling.new_row(key), stops))
        stored = [rows.get(pks[key]) or self._settling.new_row(key) for key in by_key]
        return settled + list(self._map(self._settling.settle, by_key.keys(), by_key.values(), stored))

    def _read(self, pks: Sequence[str]) -> tuple[Mapping[str, Row], Mapping[str, Exception]]:
        try:
            return self._rows.get(pks), {}
        except UnreadableRowsError as error:
            return error.rows, {pk: UnreadableRowsError({}, [pk]) for pk in error.unreadable}

    def _judge(self, settled: Sequence[Settled]) -> Verdicts:
        tried: dict[str, Failed | None] = {}
        for each in settled:
            for inbox in each.inboxes:
                if not _standing(each.row, inbox):
                    tried[inbox.aggregate_id] = None
            for stop in each.stops:
                aggregate_id = stop.inbox.aggregate_id
                tried[aggregate_id] = None if stop.unreadable else Failed(stop.error, f"{aggregate_id}#{stop.version}")
        return self._patience.judge(tried)

    def _set_down(self, stop: Stop, settled: Settled, verdicts: Verdicts) -> list[Failure]:
        """Parks an aggregate, or sets it aside, and marks it; gives the records that have to come again."""
        inbox = stop.inbox
        try:
            if not stop.unreadable:
                put_away = verdicts.way(inbox.aggregate_id, stop.error, self._parking)
                if put_away is None:
                    return inbox.failures(stop.applied, stop.error)
                _put(stop, put_away)
            try:
                settled.row = self._settling.mark(inbox, settled.row, stop.applied, **stop.mark)
            except Exception as error:
                if kind_of(error) in BLAMELESS:
                    raise
                # A row that takes no mark: each later event meets the same, and is parked by itself.
                if stop.unreadable:
                    _put(stop, self._parking.park)
            else:
                if stop.unreadable and not _standing(settled.row, inbox):
                    raise _MovedOnError(f"{inbox.aggregate_id} has moved on")
        except Exception as error:  # noqa: BLE001  # the queue's trouble, or the table's, and this aggregate's alone
            return inbox.failures(stop.applied, error)
        return []

    def _park_anew(self, stop: Stop) -> None:
        """Parks an aggregate of which no record is at hand: what stands for one names the aggregate alone."""
        aggregate_id = stop.inbox.aggregate_id
        record = {"kinesis": {"partitionKey": aggregate_id, "sequenceNumber": "0", "data": ""}}
        self._parking.park(aggregate_id, [stop.version], [record], stop.error)

    def _set_down_record(self, aggregate_id: str, raw: Record, error: Exception) -> Exception | None:
        """As `_set_down`, for a record that cannot be read; None once that is done. It needs no mark."""
        verdicts = self._patience.judge({aggregate_id: Failed(error, kinesis.sequence_number(raw))})
        put_away = verdicts.way(aggregate_id, error, self._parking)
        if put_away is None:
            return error
        try:
            put_away(aggregate_id, [], [raw], error)
        except Exception as failed:  # noqa: BLE001  # as there
            return failed
        return None

    def _heal(self, inboxes: Sequence[Inbox]) -> list[Stop]:
        """Applies redriven aggregates as far as they go, and marks those that stop for good."""
        stops: list[Stop] = []
        for settled in self._settle(inboxes):
            for stop in settled.stops:
                unforeseen = kind_of(stop.error) is FailureKind.UNFORESEEN
                # What nobody foresaw may be this machine's: it moves a mark, and sets none.
                if stop.blameless or (unforeseen and not _standing(settled.row, stop.inbox)):
                    stops.append(stop)
                    continue
                try:
                    settled.row = self._settling.mark(stop.inbox, settled.row, stop.applied, **stop.mark)
                except Exception as error:  # noqa: BLE001  # a row that cannot be marked now is tried again later
                    stops.append(stop._replace(error=error))
                else:
                    stops.append(stop)
        return stops


def _put(stop: Stop, put_away: PutAway) -> None:
    run = stop.inbox.run(stop.applied)
    versions = [arrival.version for arrival in run]
    put_away(stop.inbox.aggregate_id, versions, [arrival.raw for arrival in run], stop.error)


def _still_failing(stops: Iterable[Stop]) -> list[Failure]:
    """Records of a redrive that have to stay."""
    failures: list[Failure] = []
    for stop in stops:
        failures += (stop.inbox.unapplied if stop.unreadable else stop.inbox.failures)(stop.applied, stop.error)
    return failures


def _standing(row: Row, inbox: Inbox) -> bool:
    """Whether the aggregate is marked."""
    return inbox.gate in row.parked_from or inbox.gate in row.waits_for
