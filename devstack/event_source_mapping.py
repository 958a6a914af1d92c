"""Lambda's event source mappings as pure state machines.

What AWS documents about delivery lives here and nowhere else: the local stack drives these machines with threads
and wall-clock time, the simulator drives the same ones with virtual time. They do no I/O, know no clock and start
no threads. Every method takes ``now`` (epoch seconds) and returns the actions to carry out, in order.

Sources: AWS Lambda Developer Guide, "Using Lambda to process records from Amazon DynamoDB/Kinesis/SQS" (batching,
error handling, partial batch responses, retained discarded records). docs/delivery-semantics.md has each rule's words
and its test, and what is this project's choice where AWS is silent.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Literal

from headwater.change_stream.source_kinds import StreamKind

PAYLOAD_LIMIT_BYTES: Final = 6 * 1024 * 1024
"""Request payload of a synchronous invocation (Lambda quotas)."""

ENVELOPE_BYTES: Final = len(b'{"Records":[]}')

UNLIMITED: Final = -1
"""MaximumRetryAttempts and MaximumRecordAgeInSeconds: until the record expires from the stream."""

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]

type Accepts = Callable[[Any], bool]
"""Whether a record's body passes the mapping's FilterCriteria."""


@dataclass(frozen=True, slots=True)
class StreamMappingSettings:
    """How one DynamoDB or Kinesis mapping delivers; names and defaults are CreateEventSourceMapping's.

    Times are seconds. ``retention`` is the stream's own (DynamoDB: 24 h): no retry outlives it. ``accepts`` stands for
    FilterCriteria; None delivers every record.
    AWS does not publish its backoff; the two backoff values are this project's choice.
    """

    batch_size: int = 100
    batching_window: float = 0
    parallelization_factor: int = 1
    maximum_retry_attempts: int = UNLIMITED
    maximum_record_age: float = UNLIMITED
    bisect_on_function_error: bool = False
    report_batch_item_failures: bool = False
    retention: float = 24 * 3600
    payload_limit: int = PAYLOAD_LIMIT_BYTES
    first_backoff: float = 0.2
    longest_backoff: float = 30
    accepts: Accepts | None = None

    @property
    def age_limit(self) -> float:
        """Seconds after which a record is discarded, whichever of mapping and stream says so first."""
        if self.maximum_record_age == UNLIMITED:
            return self.retention
        return min(self.maximum_record_age, self.retention)


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What delivery depends on; ``body`` is the record as the event shows it and is never looked into.

    ``lane_key`` is the partition key (Kinesis) or the full primary key (DynamoDB), ``arrived_at`` the stream's
    approximate arrival (epoch seconds), ``size`` the record's bytes in the event.
    """

    sequence_number: str
    lane_key: str
    arrived_at: float
    size: int
    body: Any


def aged(record: StreamRecord, seconds: float) -> StreamRecord:
    """The record as if it had arrived so much earlier."""
    return replace(record, arrived_at=record.arrived_at - seconds)


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """How an invocation ended.

    ``error`` is Lambda's FunctionError ("Unhandled") or None; ``response`` the function's decoded answer;
    ``throttled`` that the function was not invoked at all, which spends no retry.
    """

    response: Any = None
    error: str | None = None
    request_id: str = ""
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Invoke:
    """Invoke the function with these records and hand the result to ``complete`` under ``batch_id``."""

    batch_id: int
    records: tuple[Any, ...]
    attempt: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything up to and including this sequence number is settled and is never delivered again."""

    sequence_number: str


@dataclass(frozen=True, slots=True)
class SendToDestination:
    """Delivery is given up for these records; tell the OnFailure destination, if there is one."""

    records: tuple[StreamRecord, ...]
    condition: Condition
    invoke_count: int
    request_id: str
    function_error: str | None


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Call ``tick`` at this time (epoch seconds), unless something else happens earlier."""

    time: float


@dataclass(frozen=True, slots=True)
class DeleteMessages:
    """Take these messages off their queue; those of the batch that are not named come back by themselves."""

    messages: tuple[QueueMessage, ...]


type StreamAction = Invoke | Checkpoint | SendToDestination | WaitUntil
type QueueAction = Invoke | DeleteMessages | WaitUntil


def failed_identifiers(response: object, known: Mapping[str, int]) -> list[int] | None:
    """Positions that a ReportBatchItemFailures answer names; empty is success, None a failure of the whole batch.

    A null answer, an empty one and a null or empty list are success. An identifier that is missing, empty, null or
    not in the batch, and an answer of another shape, fail the whole batch.
    """
    if response is None:
        return []
    if not isinstance(response, Mapping):
        return None
    failures = response.get("batchItemFailures")
    if failures is None:
        return []
    if not isinstance(failures, list):
        return None
    positions = []
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, Mapping) else None
        position = known.get(identifier) if isinstance(identifier, str) else None
        if position is None:
            return None
        positions.append(position)
    return positions


class _Batch:
    """Records that travel together; the pieces of a split batch keep its counts."""

    __slots__ = ("attempts", "indexes", "invocations", "records")

    def __init__(self, records: list[StreamRecord], indexes: list[int], attempts: int, invocations: int) -> None:
        self.records = records
        self.indexes = indexes
        self.attempts = attempts
        self.invocations = invocations

    def part(self, start: int, stop: int | None = None) -> _Batch:
        return _Batch(self.records[start:stop], self.indexes[start:stop], self.attempts, self.invocations)


class _Lane:
    """One of a shard's ParallelizationFactor sequences: in order in itself, independent of the others."""

    __slots__ = ("failures", "in_flight", "indexes", "not_before", "opened_at", "queue", "queued_bytes", "retries")

    def __init__(self) -> None:
        self.queue: deque[StreamRecord] = deque()
        self.indexes: deque[int] = deque()
        self.queued_bytes = 0
        self.opened_at = 0.0
        self.retries: deque[_Batch] = deque()
        self.in_flight: _Batch | None = None
        self.failures = 0
        self.not_before = 0.0

    def age(self, seconds: float) -> None:
        self.queue = deque(aged(record, seconds) for record in self.queue)
        for batch in (*self.retries, *((self.in_flight,) if self.in_flight else ())):
            batch.records = [aged(record, seconds) for record in batch.records]
        self.opened_at -= seconds
        self.not_before -= seconds

    def oldest(self) -> float | None:
        """When its first unsettled record arrived."""
        if self.in_flight is not None:
            return self.in_flight.records[0].arrived_at
        if self.retries:
            return self.retries[0].records[0].arrived_at
        return self.queue[0].arrived_at if self.queue else None

    def first_unsettled(self) -> int | None:
        if self.in_flight is not None:
            return self.in_flight.indexes[0]
        if self.retries:
            return self.retries[0].indexes[0]
        return self.indexes[0] if self.indexes else None


def readable_shards(parents: Mapping[str, Sequence[str]], drained: Set[str]) -> list[str]:
    """Shards of a stream that may be read now: those not drained whose parents are, in the order of ``parents``.

    ``parents`` maps each listed shard to its parent shards' ids (two after a merge); a parent that is no longer listed
    has left the stream's retention. ``drained`` are shards whose end was read and whose every record is settled.
    """
    return [
        shard
        for shard, above in parents.items()
        if shard not in drained and all(parent in drained or parent not in parents for parent in above)
    ]


class StreamShardMachine:
    """Delivery of one shard to one function.

    Records go in with ``receive`` (in shard order, not more than ``room``), results with ``complete``; ``tick``
    moves time forward. A shard runs one batch per lane at a time; a lane's later records wait for its earlier ones.
    """

    def __init__(self, settings: StreamMappingSettings) -> None:
        self.settings = settings
        self.checkpoint: str | None = None
        self.filtered = 0
        """Records that the filter dropped since the machine began."""
        self._lanes = [_Lane() for _ in range(settings.parallelization_factor)]
        self._lane_of_batch: dict[int, _Lane] = {}
        self._last_batch_id = 0
        self._unsettled: deque[str] = deque()
        self._unsettled_filtered: deque[int] = deque()
        self._first_unsettled = 0
        self._announced_wait: float | None = None

    @property
    def pending(self) -> int:
        """Records received and not yet covered by the checkpoint."""
        return len(self._unsettled)

    @property
    def settled(self) -> int:
        """Records covered by the checkpoint since the machine began."""
        return self._first_unsettled

    @property
    def in_flight(self) -> int:
        """Invocations whose result has not come in."""
        return len(self._lane_of_batch)

    def age(self, seconds: float) -> None:
        """Let all that it holds, and the pauses between tries, be so much older; call `tick` then."""
        for lane in self._lanes:
            lane.age(seconds)

    @property
    def oldest(self) -> float | None:
        """When the oldest record that is not settled arrived (epoch seconds); None if all are."""
        return min((each for lane in self._lanes if (each := lane.oldest()) is not None), default=None)

    @property
    def retrying(self) -> bool:
        """Whether a lane's first records have failed, and are tried again."""
        return any(lane.failures for lane in self._lanes)

    @property
    def idle(self) -> bool:
        return not self._unsettled

    @property
    def room(self) -> int:
        """How many further records are worth reading now."""
        settings = self.settings
        # What the filter dropped fills no batch, so that it must not keep what would from being read.
        held = len(self._unsettled) - len(self._unsettled_filtered)
        return max(0, 2 * settings.batch_size * settings.parallelization_factor - held)

    def receive(self, records: Sequence[StreamRecord], now: float) -> list[StreamAction]:
        """Take in the shard's next records."""
        lanes = self._lanes
        accepts = self.settings.accepts
        index = self._first_unsettled + len(self._unsettled)
        for record in records:
            if accepts is not None and not accepts(record.body):
                # In no lane, so that the checkpoint passes it as soon as all before it are settled.
                self._unsettled_filtered.append(index)
                self.filtered += 1
                index += 1
                continue
            lane = lanes[0] if len(lanes) == 1 else lanes[zlib.crc32(record.lane_key.encode()) % len(lanes)]
            if not lane.queue:
                lane.opened_at = now
            lane.queue.append(record)
            lane.indexes.append(index)
            lane.queued_bytes += record.size + 1
            index += 1
        self._unsettled.extend(record.sequence_number for record in records)
        return self.tick(now)

    def tick(self, now: float) -> list[StreamAction]:
        """Start what is due at ``now``."""
        actions: list[StreamAction] = []
        for lane in self._lanes:
            if lane.in_flight is None:
                self._start_next(lane, now, actions)
        return self._finish(actions)

    def complete(self, batch_id: int, result: InvokeResult, now: float) -> list[StreamAction]:
        """Take in how the invocation ``batch_id`` ended."""
        lane = self._lane_of_batch.pop(batch_id)
        batch = lane.in_flight
        if batch is None:
            raise AssertionError(f"batch {batch_id} is not in flight")
        lane.in_flight = None
        actions: list[StreamAction] = []
        failed_from = self._failed_from(batch, result)
        given_up = None
        if failed_from is not None:
            given_up = self._plan_retry(lane, batch, failed_from, throttled=result.throttled)
        if given_up is not None:
            records = tuple(given_up.records)
            actions.append(
                SendToDestination(
                    records, "RetryAttemptsExhausted", given_up.invocations, result.request_id, result.error
                )
            )
        lane.failures = 0 if failed_from is None or given_up is not None else lane.failures + 1
        lane.not_before = now + self._backoff(lane.failures)
        self._start_next(lane, now, actions)
        return self._finish(actions)

    def _backoff(self, failures: int) -> float:
        settings = self.settings
        if not failures:
            return 0.0
        return float(min(settings.first_backoff * 2.0 ** min(failures - 1, 60), settings.longest_backoff))

    def _failed_from(self, batch: _Batch, result: InvokeResult) -> int | None:
        """Position of the first record that failed; None when all succeeded.

        When an answer names several, the lowest sequence number counts: Lambda retries everything from there.
        """
        if result.error is not None or result.throttled:
            return 0
        if not self.settings.report_batch_item_failures:
            return None
        known = {record.sequence_number: position for position, record in enumerate(batch.records)}
        failed = failed_identifiers(result.response, known)
        if failed is None:
            return 0
        return min(failed) if failed else None

    def _plan_retry(self, lane: _Lane, batch: _Batch, failed_from: int, *, throttled: bool) -> _Batch | None:
        """Queue what is to be tried again; the batch that has used up its retries comes back instead."""
        settings = self.settings
        rest = batch.part(failed_from) if failed_from else batch
        if throttled:
            rest.invocations -= 1
        elif settings.bisect_on_function_error and (failed_from or len(rest.records) > 1):
            # An answer that names the first record leaves nothing to its left, so that batch is halved as on an error:
            # a batch that neither shrank nor spent a retry would be delivered for ever.
            middle = 0 if failed_from else len(rest.records) // 2
            if middle:
                lane.retries.appendleft(rest.part(middle))
                rest = rest.part(0, middle)
        else:
            rest.attempts += 1
            if settings.maximum_retry_attempts != UNLIMITED and rest.attempts > settings.maximum_retry_attempts:
                return rest
        lane.retries.appendleft(rest)
        return None

    def _start_next(self, lane: _Lane, now: float, actions: list[StreamAction]) -> None:
        while lane.in_flight is None:
            batch = self._next_batch(lane, now)
            if batch is None:
                return
            batch = self._without_aged(batch, now, actions)
            if batch is None:
                continue
            batch.invocations += 1
            lane.in_flight = batch
            self._last_batch_id += 1
            self._lane_of_batch[self._last_batch_id] = lane
            actions.append(Invoke(self._last_batch_id, tuple(batch.records), batch.attempts))

    def _next_batch(self, lane: _Lane, now: float) -> _Batch | None:
        if lane.retries:
            return lane.retries.popleft() if now >= lane.not_before else None
        if not lane.queue or now < self._window_end(lane):
            return None
        return self._take(lane, now)

    def _window_end(self, lane: _Lane) -> float:
        """When the batch that is being gathered goes: at once if it is full."""
        settings = self.settings
        if len(lane.queue) >= settings.batch_size or lane.queued_bytes + ENVELOPE_BYTES >= settings.payload_limit:
            return 0.0
        return lane.opened_at + settings.batching_window

    def _take(self, lane: _Lane, now: float) -> _Batch:
        settings = self.settings
        count = min(settings.batch_size, len(lane.queue))
        used = ENVELOPE_BYTES
        taken = 0
        for record in islice(lane.queue, count):
            if taken and used + record.size > settings.payload_limit:
                break
            used += record.size + 1
            taken += 1
        records = [lane.queue.popleft() for _ in range(taken)]
        indexes = [lane.indexes.popleft() for _ in range(taken)]
        lane.queued_bytes -= used - ENVELOPE_BYTES
        lane.opened_at = now
        return _Batch(records, indexes, 0, 0)

    def _without_aged(self, batch: _Batch, now: float, actions: list[StreamAction]) -> _Batch | None:
        """Discard the records at the front that are too old, before an invocation and before each retry."""
        oldest = now - self.settings.age_limit
        records = batch.records
        if records[0].arrived_at >= oldest:
            return batch
        aged = next((i for i, record in enumerate(records) if record.arrived_at >= oldest), len(records))
        actions.append(SendToDestination(tuple(records[:aged]), "RecordAgeExceeded", batch.invocations, "", None))
        return batch.part(aged) if aged < len(records) else None

    def _finish(self, actions: list[StreamAction]) -> list[StreamAction]:
        self._advance(actions)
        wait = self.next_time
        if wait != self._announced_wait:
            self._announced_wait = wait
            if wait is not None:
                actions.append(WaitUntil(wait))
        return actions

    def _advance(self, actions: list[StreamAction]) -> None:
        """Move the checkpoint to just before the first record, over all lanes, that is not settled."""
        end = self._first_unsettled + len(self._unsettled)
        unsettled = [first for lane in self._lanes if (first := lane.first_unsettled()) is not None]
        settled = min(unsettled, default=end) - self._first_unsettled
        if settled <= 0:
            return
        for _ in range(settled):
            self.checkpoint = self._unsettled.popleft()
        self._first_unsettled += settled
        while self._unsettled_filtered and self._unsettled_filtered[0] < self._first_unsettled:
            self._unsettled_filtered.popleft()
        if self.checkpoint is not None:
            actions.append(Checkpoint(self.checkpoint))

    @property
    def next_time(self) -> float | None:
        """When ``tick`` has something to start, if nothing else happens before."""
        times = []
        for lane in self._lanes:
            if lane.in_flight is not None:
                continue
            if lane.retries:
                times.append(lane.not_before)
            elif lane.queue:
                times.append(self._window_end(lane))
        return min(times, default=None)


@dataclass(frozen=True, slots=True)
class QueueMappingSettings:
    """How a mapping of a standard SQS queue delivers. Times are seconds.

    ``maximum_concurrency`` is ScalingConfig's; without it Lambda starts with five concurrent batches.
    Visibility timeout, receive count and redrive are the queue's. ``accepts`` stands for FilterCriteria.
    """

    batch_size: int = 10
    batching_window: float = 0
    report_batch_item_failures: bool = False
    maximum_concurrency: int = 5
    payload_limit: int = PAYLOAD_LIMIT_BYTES
    accepts: Accepts | None = None


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A received message; ``body`` is the record as the event shows it."""

    message_id: str
    receipt_handle: str
    size: int
    body: Any


class QueueMachine:
    """Delivery of one standard queue to one function: no order, several batches at a time."""

    def __init__(self, settings: QueueMappingSettings) -> None:
        self.settings = settings
        self.filtered = 0
        """Messages that the filter dropped since the machine began."""
        self._gathered: deque[QueueMessage] = deque()
        self._gathered_bytes = 0
        self._opened_at = 0.0
        self._in_flight: dict[int, tuple[QueueMessage, ...]] = {}
        self._last_batch_id = 0
        self._announced_wait: float | None = None

    @property
    def pending(self) -> int:
        """Messages received and neither deleted nor given back to the queue."""
        return len(self._gathered) + sum(map(len, self._in_flight.values()))

    @property
    def in_flight(self) -> int:
        """Invocations whose result has not come in."""
        return len(self._in_flight)

    @property
    def idle(self) -> bool:
        return not self._gathered and not self._in_flight

    @property
    def room(self) -> int:
        """How many messages to receive now; zero while every concurrent batch is taken, so that none ages here."""
        if len(self._in_flight) >= self.settings.maximum_concurrency:
            return 0
        return max(0, self.settings.batch_size - len(self._gathered))

    def receive(self, messages: Sequence[QueueMessage], now: float) -> list[QueueAction]:
        """Take in messages that the queue has just handed out; what the filter drops is deleted at once."""
        actions: list[QueueAction] = []
        if (accepts := self.settings.accepts) is not None:
            kept: list[QueueMessage] = []
            dropped: list[QueueMessage] = []
            for message in messages:
                (kept if accepts(message.body) else dropped).append(message)
            messages = kept
            self.filtered += len(dropped)
            if dropped:
                actions.append(DeleteMessages(tuple(dropped)))
        if messages and not self._gathered:
            self._opened_at = now
        self._gathered.extend(messages)
        self._gathered_bytes += sum(message.size + 1 for message in messages)
        return actions + self.tick(now)

    def tick(self, now: float) -> list[QueueAction]:
        """Start what is due at ``now``."""
        actions: list[QueueAction] = []
        while self._gathered and len(self._in_flight) < self.settings.maximum_concurrency:
            if now < self._window_end():
                break
            batch = self._take(now)
            self._last_batch_id += 1
            self._in_flight[self._last_batch_id] = batch
            actions.append(Invoke(self._last_batch_id, batch, 0))
        wait = self.next_time
        if wait != self._announced_wait:
            self._announced_wait = wait
            if wait is not None:
                actions.append(WaitUntil(wait))
        return actions

    def complete(self, batch_id: int, result: InvokeResult, now: float) -> list[QueueAction]:
        """Take in how the invocation ``batch_id`` ended: delete what succeeded."""
        batch = self._in_flight.pop(batch_id)
        actions: list[QueueAction] = []
        succeeded = self._succeeded(batch, result)
        if succeeded:
            actions.append(DeleteMessages(succeeded))
        actions.extend(self.tick(now))
        return actions

    def _succeeded(self, batch: tuple[QueueMessage, ...], result: InvokeResult) -> tuple[QueueMessage, ...]:
        if result.error is not None or result.throttled:
            return ()
        if not self.settings.report_batch_item_failures:
            return batch
        known = {message.message_id: position for position, message in enumerate(batch)}
        failed = failed_identifiers(result.response, known)
        if failed is None:
            return ()
        names = {batch[position].message_id for position in failed}
        return tuple(message for message in batch if message.message_id not in names)

    def _window_end(self) -> float:
        settings = self.settings
        full = self._gathered_bytes + ENVELOPE_BYTES >= settings.payload_limit
        if full or len(self._gathered) >= settings.batch_size:
            return 0.0
        return self._opened_at + settings.batching_window

    def _take(self, now: float) -> tuple[QueueMessage, ...]:
        batch: list[QueueMessage] = []
        used = ENVELOPE_BYTES
        while self._gathered and len(batch) < self.settings.batch_size:
            if batch and used + self._gathered[0].size > self.settings.payload_limit:
                break
            message = self._gathered.popleft()
            used += message.size + 1
            batch.append(message)
        self._gathered_bytes -= used - ENVELOPE_BYTES
        self._opened_at = now
        return tuple(batch)

    @property
    def next_time(self) -> float | None:
        """When ``tick`` has something to start, if nothing else happens before."""
        if not self._gathered or len(self._in_flight) >= self.settings.maximum_concurrency:
            return None
        return self._window_end()


def failure_message(
    action: SendToDestination,
    *,
    kind: StreamKind,
    function_arn: str,
    stream_arn: str,
    shard_id: str,
    now: float,
    new_request_id: Callable[[], str],
) -> dict[str, Any]:
    """The invocation record that Lambda sends to an OnFailure queue or topic.

    Its shape is the documented one (DDBStreamBatchInfo, KinesisBatchInfo): it carries positions, not records, and no
    mapping UUID. An S3 destination gets the same object with the event under ``payload``.
    """
    response = None
    if action.invoke_count:
        response = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": action.function_error}
    return {
        "requestContext": {
            "requestId": action.request_id or new_request_id(),
            "functionArn": function_arn,
            "condition": action.condition,
            "approximateInvokeCount": action.invoke_count,
        },
        "responseContext": response,
        "version": "1.0",
        "timestamp": instant(now),
        **batch_info(action, kind=kind, stream_arn=stream_arn, shard_id=shard_id),
    }


def batch_info(action: SendToDestination, *, kind: StreamKind, stream_arn: str, shard_id: str) -> dict[str, Any]:
    """The part of a failure's message that says where its records are."""
    first, last = action.records[0], action.records[-1]
    return {
        "DDBStreamBatchInfo" if kind == "dynamodb" else "KinesisBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": instant(first.arrived_at),
            "approximateArrivalOfLastRecord": instant(last.arrived_at),
            "batchSize": len(action.records),
            "streamArn": stream_arn,
        }
    }


def failure_object_key(mapping_id: str, shard_id: str, now: float, unique: str) -> str:
    """Where Lambda puts the invocation record in an OnFailure bucket."""
    at = datetime.fromtimestamp(now, UTC)
    return f"aws/lambda/{mapping_id}/{shard_id}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{unique}"


def instant(epoch_seconds: float) -> str:
    """ISO 8601 as AWS prints it: milliseconds only when there are any."""
    at = datetime.fromtimestamp(epoch_seconds, UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond >= 1000 else "seconds").replace("+00:00", "Z")
