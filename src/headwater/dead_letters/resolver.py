"""Turns each failed batch's pointer into parked records, while its stream still has them.

A pointer names a range of a shard. Of the records in it stays what the mapping's filter lets through and the consumer
has not applied; that goes to the parked queue, one message an aggregate, and only then is the pointer's message done.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import orjson

from headwater.change_stream import dynamodb, kinesis, sqs
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.filters import FilterCriteria
from headwater.change_stream.source_kinds import StreamKind
from headwater.clock import timestamp, utc_now
from headwater.dead_letters import pointers
from headwater.dead_letters.parked import ParkedRecords, ParkingLot
from headwater.dead_letters.parking import parsed
from headwater.dead_letters.pointers import Pointer, UnknownPointerError
from headwater.dead_letters.shards import Raw, RecordsGoneError, Shards
from headwater.domain.events import EventTypes
from headwater.incidents import Incidents

#: What the mappings' and pipes' FilterCriteria let through, by consumer; a test compares with the template.
FILTERS: Mapping[str, FilterCriteria | None] = {
    "application_status": FilterCriteria.parse(
        {
            "Filters": [
                {
                    "Pattern": '{"dynamodb": {"NewImage": {"$or": [ '
                    '{"sk": {"S": [{"prefix": "#ACTION#"}]}, "type": {"S": [{"prefix": "ApplicationStatusUpdated"}]}}, '
                    '{"sk": {"S": [{"prefix": "#ACTION#"}]}, "type": {"S": [{"prefix": "ApplicationCreated"}]}}]}}}'
                }
            ]
        },
        "dynamodb",
        "pipes",
    ),
}


#: Why a pointer stays although all of our records that it leads to are parked.
FROM_ARCHIVE: Final = (
    "the stream has forgotten the records; those of the events table are parked, from the archive, "
    "and what others put onto the stream is gone: discard this once you know of none"
)


class Gates(Protocol):
    """What a consumer has applied."""

    def unapplied(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The records that it has not, in order."""
        ...


class Archive(Protocol):
    """Where records are that a stream has forgotten."""

    def records(self, pointer: Pointer) -> Iterator[list[Raw]]:
        """As `Shards.records`; raises an error of its own if the batch is not there whole."""
        ...

    def parked(self, pointer: Pointer) -> None:
        """Is told once all of a batch of Kinesis is parked, so that the shard's next one does not bring it again."""
        ...


class UnresolvedPointers(Protocol):
    """The queue of what could not be resolved."""

    def keep(self, body: str, reason: str) -> None:
        """Puts a message there as it came, with the reason beside it."""
        ...


class Resolver:
    """Resolves the messages of one batch of FailedBatchesQueue.

    ``gates`` and ``filters`` go by consumer; one that is in neither gets the whole range, since doing something twice
    is what consumers are made for and missing it is not.
    """

    def __init__(
        self,
        shards: Mapping[StreamKind, Shards],
        archive: Archive,
        lot: ParkingLot,
        unresolved: UnresolvedPointers,
        incidents: Incidents,
        *,
        types: EventTypes,
        gates: Mapping[str, Gates],
        filters: Mapping[str, FilterCriteria | None],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._shards = shards
        self._archive = archive
        self._lot = lot
        self._unresolved = unresolved
        self._incidents = incidents
        self._types = types
        self._gates = gates
        self._filters = filters
        self._now = now

    def resolve(self, messages: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Handles one batch, as Lambda delivers it. A message that fails comes again, until its queue moves it on.

        Raises
        ------
        MalformedRecordError
            A message has no id, so that no answer could name it; nothing was done.
        """
        return sqs.each_on_its_own(messages, self._resolve)

    def _resolve(self, message: sqs.QueueMessage) -> None:
        body = message.body
        try:
            pointer = pointers.parse(body)
        except UnknownPointerError as error:
            # Trying again would not help, and nobody but a person can tell what it is.
            self._unresolved.keep(body, str(error))
            self._incidents.report(
                "UnknownPointers",
                "a message on FailedBatchesQueue has an unknown shape; it is kept in UnresolvedPointersQueue",
                message_id=message.message_id,
                reason=str(error),
            )
            return
        try:
            runs = self._runs(pointer, self._shards[pointer.kind].records(pointer))
            whole = True
        except RecordsGoneError:
            runs = self._runs(pointer, self._archive.records(pointer))
            # The archive has what was in the table, and nothing that others put onto the stream of events.
            whole = pointer.kind == "dynamodb"
        parked_at = timestamp(self._now())
        self._lot.park(self._parked(pointer, aggregate_id, run, parked_at) for aggregate_id, run in runs.items())
        if not whole:
            self._unresolved.keep(body, FROM_ARCHIVE)
            # At last: who is stopped before parks some twice, and loses none.
            self._archive.parked(pointer)

    def _runs(self, pointer: Pointer, pages: Iterable[list[Raw]]) -> dict[str, list[bytes]]:
        """The records to park, by aggregate. As JSON, since thousands of them lie in memory together."""
        runs: dict[str, list[bytes]] = {}
        criteria, gates = self._filters.get(pointer.consumer), self._gates.get(pointer.consumer)
        aggregate_id = dynamodb.aggregate_id if pointer.kind == "dynamodb" else kinesis.partition_key
        for page in pages:
            records: Sequence[Mapping[str, Any]] = page
            if criteria is not None:
                records = [raw for raw in records if criteria.accepts(orjson.dumps(raw))]
            if gates is not None:
                records = gates.unapplied(records)
            for raw in records:
                runs.setdefault(aggregate_id(raw), []).append(orjson.dumps(raw))
        return runs

    def _parked(self, pointer: Pointer, aggregate_id: str, run: Sequence[bytes], parked_at: str) -> ParkedRecords:
        raw = [orjson.loads(record) for record in run]
        events = [parsed(pointer.kind, record, self._types) for record in raw]
        return ParkedRecords(
            consumer=pointer.consumer,
            mapping=pointer.resource_arn,
            source_arn=pointer.stream_arn,
            aggregate_id=aggregate_id,
            # Another table's items have none.
            versions=[event["version"] for event in events if event and isinstance(event.get("version"), int)],
            reason=pointer.reason,
            error=pointer.error,
            attempts=pointer.attempts,
            failed_at=pointer.failed_at,
            parked_at=parked_at,
            parsed=events,
            raw=raw,
        )
