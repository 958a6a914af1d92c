"""Finds a failed batch's records in the archive, once its stream does not give them any more.

The table's records are found by their sequence numbers. The archive knows no Kinesis records: those are published anew
from the table's changes of the time before they arrived, for the hash keys of the failed shard. That is more than
the batch, which does no harm: consumers discard what they have. What was parked for another batch of the shard is left
out.

Neither numbers nor counts prove that nothing is missing in between. What does: the archiver has no more to come of that
time, since it archives a change or gives it up before the table's stream forgets it; and what it gave up, none of which
waits to be redriven.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import md5
from math import ceil
from types import MappingProxyType
from typing import Any, Final, Protocol

from headwater.archive import curated, reader
from headwater.archive.envelope import UnreadableRecordError, change_record
from headwater.archive.inventory import Names, sorted_out
from headwater.archive.objects import GIVEN_UP, ObjectStore
from headwater.change_stream import cloud_events, dynamodb, kinesis
from headwater.change_stream.records import Operation
from headwater.clock import timestamp, utc_now
from headwater.dead_letters.pointers import Pointer
from headwater.domain.events import EventTypes, MalformedEventError, UnknownEventError

type Raw = dict[str, Any]
#: The hash keys of a shard by stream ARN and shard id; None where the stream has forgotten it.
type HashKeys = Callable[[str, str], range | None]

#: Clocks of several services are compared here, and S3 and the stream keep whole seconds.
_SLACK: Final = timedelta(minutes=5)
_PAGE_RECORDS: Final = 1000
#: Objects of which a process remembers the times, in some 20 MB.
_REMEMBERED: Final = 50_000
#: The retention of a table's stream ("Change data capture for DynamoDB Streams").
STREAM_REMEMBERS: Final = timedelta(hours=24)
#: The longest that a change may wait until it is on Kinesis: MaximumRecordAgeInSeconds of fan-out's mapping.
PUBLISHING_TAKES: Final = timedelta(hours=22)


class NotArchivedError(Exception):
    """The archive does not hold the whole batch (yet)."""


class ParkedSpans(Protocol):
    """Which times of a shard of Kinesis were parked for a consumer already: pairs of epoch seconds, the end not within.

    It remembers for as long as dead letters wait.
    """

    def of(self, consumer: str, shard: str, now: datetime) -> Sequence[tuple[int, int]]: ...

    def add(self, consumer: str, shard: str, span: tuple[int, int], now: datetime) -> None: ...


class ArchivedRecords:
    """The archive as a place to read failed batches from.

    ``given_up`` are the batches that the archiver gave up; ``sources`` those of consumers that read no events.
    """

    def __init__(
        self,
        objects: ObjectStore,
        given_up: ObjectStore,
        hash_keys: HashKeys,
        parked: ParkedSpans,
        types: EventTypes,
        *,
        sources: Mapping[str, str] = MappingProxyType({}),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._objects = objects
        self._given_up = given_up
        self._hash_keys = hash_keys
        self._parked = parked
        self._types = types
        self._sources = sources
        self._now = now
        #: When the lines of objects were captured, the first and the last: an object that was read is not read again
        #: for a batch that it has nothing of. After an outage hundreds of batches point to one day.
        self._captured: dict[tuple[str, datetime], tuple[str, str]] = {}

    def records(self, pointer: Pointer) -> Iterator[list[Raw]]:
        """The batch's records, page by page, as Lambda's event shows them; each once.

        Raises
        ------
        NotArchivedError
            Some are not there, or may not be. Pages given before are then to be forgotten.
        """
        self._demand_no_holes(pointer)
        found = 0
        page: list[Raw] = []
        for raw in self._changes(pointer) if pointer.kind == "dynamodb" else self._published(pointer):
            found += 1
            page.append(raw)
            if len(page) == _PAGE_RECORDS:
                yield page
                page = []
        if page:
            yield page
        # On Kinesis the same event may stand several times, so that its batches may hold more than there is.
        if pointer.kind == "dynamodb" and found < pointer.records:
            raise NotArchivedError(
                f"the archive holds {found} of {pointer.records} records from {pointer.first} to {pointer.last} "
                f"of {pointer.shard_id}"
            )

    def parked(self, pointer: Pointer) -> None:
        """Remembers that all that `records` gave of a batch of Kinesis is parked: no other batch brings it again."""
        since, until = _span(pointer)
        # Whole seconds within it.
        span = ceil(since.timestamp()), int(until.timestamp())
        self._parked.add(pointer.consumer, _shard(pointer), span, self._now())

    def _demand_no_holes(self, pointer: Pointer) -> None:
        since, until = _span(pointer)
        settled = until + STREAM_REMEMBERS
        # A table's records are archived in the order of their shard, of which the batch's last one is looked for.
        if pointer.kind == "kinesis" and self._now() < settled:
            raise NotArchivedError(
                f"nobody can tell before {timestamp(settled)} whether the archive has all that {pointer.shard_id} had"
            )
        for key, written_at in self._given_up.listed(GIVEN_UP):
            if since <= written_at <= settled:
                raise NotArchivedError(f"the archiver gave up a batch of that time: redrive {key} first")

    def _changes(self, pointer: Pointer) -> Iterator[Raw]:
        first, last = int(pointer.first), int(pointer.last)
        bounds = set()
        for columns in self._lines(pointer, _span(pointer)[0], last):
            number = columns.get("sequence_number")
            if number is None or not first <= int(number) <= last:
                continue
            bounds.add(int(number))
            try:
                yield dynamodb.delivered_again(change_record(columns), pointer.stream_arn)
            except UnreadableRecordError as error:
                yield error.raw_record
        if not {first, last} <= bounds:
            raise NotArchivedError(f"the archive lacks {pointer.first} or {pointer.last} of {pointer.shard_id}")

    def _published(self, pointer: Pointer) -> Iterator[Raw]:
        keys = self._hash_keys(pointer.stream_arn, pointer.shard_id)
        span = _span(pointer)
        since, until = (moment.timestamp() for moment in span)
        parked = sorted(self._parked.of(pointer.consumer, _shard(pointer), self._now()))
        for first, last in parked:
            # One pointer follows the other: the objects that the one before has read need not be read again.
            since = last if first <= since < last else since
        if since > until:
            return
        number = int(pointer.first)
        for columns in self._lines(pointer, max(span[0], datetime.fromtimestamp(since, UTC) - _SLACK)):
            if columns.get("operation") != Operation.INSERT:
                continue
            # First what costs little: of a shard's pointers each passes over the events of all others.
            at = datetime.fromisoformat(columns["captured_at"]).timestamp()
            if not since <= at <= until or any(first <= at < last for first, last in parked):
                continue
            record = change_record(columns)
            if keys is not None and _hash_key(record.keys["aggregate_id"]["S"]) not in keys:
                continue
            try:
                event = cloud_events.encode(record.new_image or {}, self._types)
            except (MalformedEventError, UnknownEventError):
                # It was never published.
                continue
            yield kinesis.event_record(
                event.body,
                partition_key=event.aggregate_id,
                # Its own is nowhere any more; what it has to do is to tell the records apart, in order.
                sequence_number=str(number),
                arrived_at=at,
                stream_arn=pointer.stream_arn,
                shard_id=pointer.shard_id,
            )
            number += 1

    def _lines(self, pointer: Pointer, since: datetime, last: int | None = None) -> Iterator[dict[str, Any]]:
        """Lines of the objects that may hold the batch's changes from ``since`` on, each line once."""
        _, until = _span(pointer)
        seen: set[str] = set()
        source = self._sources.get(pointer.consumer, "events")
        for offset in range((until.date() - since.date()).days + 1):
            day = (since.date() + timedelta(days=offset)).isoformat()
            # What is foreign there is passed over; compaction names it every night.
            for key, written_at in sorted_out(self._objects.listed(curated.raw_prefix(source, day)), Names.RAW).own:
                # An object is named by its first record, and is never written before its records arrive.
                if written_at < since or (last is not None and _first_sequence_number(key) > last):
                    continue
                captured = self._captured.get((key, written_at))
                if captured and (captured[1] < timestamp(since) or captured[0] > timestamp(until)):
                    continue
                try:
                    lines = reader.whole(self._objects.get(key))
                except reader.UnreadableObjectError as error:
                    raise NotArchivedError(
                        f"{key} may hold some of the batch, and is damaged: {error}. Put an earlier version of it "
                        "back; if there is none, move it out of raw/ and give up what it held"
                    ) from error
                self._remember((key, written_at), [columns.get("captured_at") or "" for columns in lines])
                for columns in lines:
                    if columns["stream_event_id"] not in seen:
                        seen.add(columns["stream_event_id"])
                        yield columns

    def _remember(self, written: tuple[str, datetime], captured: Sequence[str]) -> None:
        # One without a time may have been captured at any.
        if captured and all(captured):
            if len(self._captured) == _REMEMBERED:
                self._captured.clear()
            self._captured[written] = min(captured), max(captured)


def _span(pointer: Pointer) -> tuple[datetime, datetime]:
    """When the batch's changes were captured, at the earliest and at the latest."""
    before = PUBLISHING_TAKES if pointer.kind == "kinesis" else timedelta(0)
    return (
        datetime.fromtimestamp(pointer.arrived_from, UTC) - before - _SLACK,
        datetime.fromtimestamp(pointer.arrived_until, UTC) + _SLACK,
    )


def _shard(pointer: Pointer) -> str:
    return f"{pointer.stream_arn}/{pointer.shard_id}"


def _first_sequence_number(key: str) -> int:
    number = key.rpartition("/")[2].partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _hash_key(partition_key: str) -> int:
    """The number that Kinesis routes by (PutRecord, Kinesis API reference)."""
    return int.from_bytes(md5(partition_key.encode(), usedforsecurity=False).digest())
