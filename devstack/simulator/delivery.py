"""The event source mappings over virtual time: the state machines of the local stack, driven by the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from devstack import pipes
from devstack.event_source_mapping import (
    DeleteMessages,
    Invoke,
    InvokeResult,
    QueueAction,
    QueueMachine,
    QueueMessage,
    SendToDestination,
    StreamAction,
    StreamRecord,
    StreamShardMachine,
    WaitUntil,
    failure_message,
    failure_object_key,
)
from devstack.mappings.destinations import Destinations
from devstack.mappings.records import queue_message
from devstack.mappings.settings import queue_settings, stream_settings
from devstack.simulator.cloud.shards import Shard, ShardLog
from devstack.simulator.functions import Functions
from devstack.simulator.lag import LagWatch
from devstack.simulator.places import Place, event_of
from devstack.simulator.surroundings import Surroundings
from devstack.template import EventSourceMapping, Pipe

RETENTION_SECONDS: Final = {"dynamodb": 24 * 3600.0, "kinesis": 168 * 3600.0}
#: Between two reads of the streams, at least and at most: Lambda reads four times a second, or once.
POLL_SECONDS: Final = (0.25, 1.0)
QUEUE_POLL_SECONDS: Final = 1.0
THROTTLED_SECONDS: Final = 0.5
#: An invocation that an outage prevents is tried again after so many seconds: the outage lasts for hours and days.
TRIED_AGAIN_SECONDS: Final = 600.0
#: How long after a restart an invocation from before it may still be at work.
_LATE_SECONDS: Final = 90.0
_TRIM_AT: Final = 2_000


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Records that a mapping sent to its OnFailure destination, by their place in the stream."""

    function: str
    stream_arn: str
    shard_id: str
    first: str
    last: str
    events: tuple[Place, ...]

    @property
    def place(self) -> tuple[str, str, str, str]:
        return self.stream_arn, self.shard_id, self.first, self.last


class DeliverySurroundings(Surroundings, Protocol):
    """What a driver needs of the world besides."""

    functions: Functions
    given_up: list[GivenUp]
    lag: LagWatch

    def is_down(self, mapping: EventSourceMapping) -> bool:
        """Whether a mapping's function is not invoked now."""
        ...

    def was_read(self, driver: StreamDriver) -> None:
        """A driver has read on, and has not delivered yet."""
        ...

    def was_settled(self, driver: StreamDriver, records: Sequence[StreamRecord]) -> None:
        """A driver's checkpoint has passed these records."""
        ...


class _Driver:
    def __init__(self, world: DeliverySurroundings, mapping: EventSourceMapping) -> None:
        self.world = world
        self.mapping = mapping
        #: Rises when the mapping restarts, so that what was under way before is forgotten.
        self._epoch = 0
        #: When the last attempt that had met a fault was tried again; and whether one is still to be.
        self.outage_until = 0.0
        self._failing = False

    def goes_on_after(self, parent: _Driver) -> None:
        """An outage that held up the parent's shard has held up this one."""
        self.outage_until, self._failing = parent.outage_until, parent._failing

    def restart(self) -> None:
        """Stops and starts again from where it had come; what is in flight is forgotten, and may go on."""
        raise NotImplementedError

    def _invoke(self, records: Sequence[Any], complete: Callable[[InvokeResult], None], name: str) -> None:
        world, mapping = self.world, self.mapping
        engine, faults = world.engine, world.faults
        # Before the invocation: another action may overtake it, and restart the mapping.
        epoch = self._epoch
        if self._failing or (faults.rate and self._comes_again(records)):
            self.outage_until, self._failing = engine.now, False
        met = faults.counts.total()
        if world.is_down(mapping):
            ended, duration, self._failing = InvokeResult(throttled=True), TRIED_AGAIN_SECONDS, True
            met = -1
        elif faults.happens("throttle", 0.5):
            ended, duration = InvokeResult(throttled=True), THROTTLED_SECONDS
        else:
            slowed = engine.chance.uniform(1, 90) if faults.happens("slow_consumer", 0.5) else 0.0
            with world.lag.during(self):
                done = world.functions.deliver(mapping, records, slowed)
            ended, duration = done.result, done.duration
            if ended.error is None and faults.happens("duplicate_delivery"):
                # It succeeded and nobody heard of it: the whole batch comes again, and no retry is spent.
                ended = InvokeResult(throttled=True)
        engine.note(f"{mapping.title} {name} {len(records)} {duration:.3f} {_summary(ended)}")
        engine.after(duration, self._guarded(lambda: complete(ended), epoch))
        self._failing = faults.counts.total() > met or faults.broken
        if faults.happens("mapping_restart", 0.5):
            self._failing = True
            engine.after(engine.chance.uniform(0, duration), self._guarded(self.restart, epoch))
            # Nobody waits for the invocation any more; nobody stops it either.
            engine.after(engine.chance.uniform(0, _LATE_SECONDS), lambda: self._finish_late(records))

    def _comes_again(self, records: Sequence[Any]) -> bool:
        """Whether a message is tried again by itself, while others have gone on: a stream's records are not."""
        return any(int(each.get("attributes", {}).get("ApproximateReceiveCount", 1)) > 1 for each in records)

    def _finish_late(self, records: Sequence[Any]) -> None:
        self.world.engine.note(f"{self.mapping.title} late {len(records)}")
        self.world.functions.deliver(self.mapping, records)
        self.world.stir()

    def _guarded(self, action: Callable[[], None], epoch: int) -> Callable[[], None]:
        """The action, unless the mapping has restarted since it was of that epoch."""

        def run() -> None:
            if epoch == self._epoch:
                action()

        return run


class StreamDriver(_Driver):
    """One shard's delivery to one function."""

    def __init__(self, world: DeliverySurroundings, mapping: EventSourceMapping, log: ShardLog, shard: Shard) -> None:
        super().__init__(world, mapping)
        self.log = log
        self.shard = shard
        self.finished = False
        self.settings = stream_settings(mapping, RETENTION_SECONDS[log.kind])
        self._base = 0
        self._told = 0
        self._start()

    @property
    def settled(self) -> int:
        """The index in the shard that the checkpoint has reached."""
        return self._base + self.machine.settled

    @property
    def backlog(self) -> int:
        """Records in the shard past the checkpoint."""
        return self.shard.end - self.settled

    def restart(self) -> None:
        self._base = self.settled
        self._epoch += 1
        self._start()
        self.world.stir()

    def poll(self) -> bool:
        """Reads on, as far as there is room. False once a closed shard is delivered to its end."""
        world, machine, shard = self.world, self.machine, self.shard
        if (forgotten := shard.first_index - self.cursor) > 0:
            # Whatever was not read in time is gone, and nobody is told.
            self._base += forgotten
            self.cursor += forgotten
        limit = min(machine.room, shard.end - self.cursor)
        if limit > 0:
            if limit > 1 and world.faults.happens("batch_bounds"):
                limit = world.engine.chance.randrange(1, limit)
            records = shard.read(self.cursor, limit)
            self.cursor += limit
            world.was_read(self)
            self._carry_out(machine.receive(records, world.engine.now))
        # The machine may be another one now.
        self.finished = shard.closed and self.cursor == shard.end and self.machine.idle
        return not self.finished

    def _start(self) -> None:
        self.machine = StreamShardMachine(self.settings)
        self.cursor = self._base

    def _tick(self) -> None:
        self._carry_out(self.machine.tick(self.world.engine.now))

    def _carry_out(self, actions: Iterable[StreamAction]) -> None:
        epoch = self._epoch
        for action in actions:
            if epoch != self._epoch:
                # Restarted meanwhile, from the checkpoint: what the old machine still wanted is forgotten.
                return
            match action:
                case Invoke():
                    self._deliver(action)
                case SendToDestination():
                    self._give_up(action)
                case WaitUntil(time=time):
                    self.world.engine.at(time, self._guarded(self._tick, epoch))

    def _deliver(self, action: Invoke) -> None:
        def complete(result: InvokeResult) -> None:
            self._carry_out(self.machine.complete(action.batch_id, result, self.world.engine.now))
            if self.settled > self._told:
                # What was given up by its age may be forgotten already.
                start = max(self._told, self.shard.first_index)
                passed, self._told = self.shard.read(start, self.settled - start), self.settled
                self.world.was_settled(self, passed)
            self.world.stir()

        engine = self.world.engine
        records: Sequence[StreamRecord] = action.records
        if engine.keeps_trace:
            events = " ".join(
                f"{aggregate}@{version}" for aggregate, version in (event_of(record.body) for record in records)
            )
            engine.detail(f"{self.mapping.title} {self.shard.id} gets {events}")
        name = f"{self.shard.id[-4:]} {records[0].sequence_number[-12:]}"
        self._invoke([record.body for record in records], complete, name)

    def _give_up(self, action: SendToDestination) -> None:
        world, mapping = self.world, self.mapping
        engine = world.engine
        first, last = action.records[0], action.records[-1]
        events = tuple(event_of(record.body) for record in action.records)
        engine.note(f"{mapping.title} gives up {len(events)} from {events[0]} on: {action.condition}")
        world.lag.given_up(world.functions.consumer(mapping.function), events)
        if mapping.on_failure is None:
            return
        world.given_up.append(
            GivenUp(
                mapping.function,
                self.log.arn,
                self.shard.id,
                first.sequence_number,
                last.sequence_number,
                events,
            )
        )
        if isinstance(mapping, Pipe):
            message = pipes.dead_letter(
                action,
                pipe_arn=world.functions.pipe_arn(mapping.name),
                stream_arn=self.log.arn,
                shard_id=self.shard.id,
                now=engine.now,
            )
        else:
            message = failure_message(
                action,
                kind=self.log.kind,
                function_arn=world.functions.function_arn(mapping.function),
                stream_arn=self.log.arn,
                shard_id=self.shard.id,
                now=engine.now,
                new_request_id=engine.uuid7,
            )
        key = failure_object_key(mapping.title, self.shard.id, engine.now, engine.uuid7())
        payload = orjson.dumps({"Records": [record.body for record in action.records]})
        cloud = world.cloud
        target: Any = Destinations(cloud.sqs, cloud.sns, cloud.s3)  # type: ignore[arg-type]  # in memory
        _persist(lambda: target.send(mapping.on_failure, message, payload, key))
        # Given up by its age, it is no invocation's end: nothing else would wake whoever reads that queue.
        world.stir()


class QueueDriver(_Driver):
    """A queue's delivery to one function."""

    def __init__(self, world: DeliverySurroundings, mapping: EventSourceMapping) -> None:
        super().__init__(world, mapping)
        self.name = mapping.source_arn.rpartition(":")[2]
        self.queue = world.cloud.queue(self.name)
        self.url = self.queue.url
        self._start()

    def restart(self) -> None:
        # What it had received comes back when its visibility timeout ends.
        self._epoch += 1
        self._start()

    def poll(self) -> None:
        """Receives what there is room for."""
        world, machine = self.world, self.machine
        room = machine.room
        if room > 1 and world.faults.happens("batch_bounds"):
            room = world.engine.chance.randrange(1, room)
        if room <= 0:
            return
        try:
            answer = world.cloud.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=min(10, room),
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except (BotoCoreError, ClientError):
            return
        messages = [queue_message(message, self.mapping.source_arn) for message in answer.get("Messages") or []]
        if messages:
            read = [
                QueueMessage(message.message_id, message.receipt_handle, message.size, orjson.loads(message.body))
                for message in messages
            ]
            self._carry_out(machine.receive(read, world.engine.now))

    def _start(self) -> None:
        self.machine = QueueMachine(queue_settings(self.mapping))

    def _tick(self) -> None:
        self._carry_out(self.machine.tick(self.world.engine.now))

    def _carry_out(self, actions: Iterable[QueueAction]) -> None:
        epoch = self._epoch
        for action in actions:
            if epoch != self._epoch:
                # Restarted meanwhile, from the checkpoint: what the old machine still wanted is forgotten.
                return
            match action:
                case Invoke():
                    self._deliver(action)
                case DeleteMessages():
                    self._delete(action.messages)
                case WaitUntil(time=time):
                    self.world.engine.at(time, self._guarded(self._tick, epoch))

    def _deliver(self, action: Invoke) -> None:
        def complete(result: InvokeResult) -> None:
            self._carry_out(self.machine.complete(action.batch_id, result, self.world.engine.now))
            self.world.stir()

        bodies = [message.body for message in action.records]
        self._invoke(bodies, complete, str(bodies[0]["messageId"])[:8])

    def _delete(self, messages: Sequence[QueueMessage]) -> None:
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(i), "ReceiptHandle": message.receipt_handle}
                for i, message in enumerate(messages[start : start + 10])
            ]
            # What fails here comes back by itself, as on AWS.
            with suppress(BotoCoreError, ClientError):
                self.world.cloud.sqs.delete_message_batch(QueueUrl=self.url, Entries=entries)


def trim(log: ShardLog, drivers: Iterable[StreamDriver]) -> None:
    """Forgets records that every mapping on the stream is past; a stream's memory stays bounded that way."""
    mappings: dict[str, dict[str, StreamDriver]] = {}
    for driver in drivers:
        mappings.setdefault(driver.shard.id, {})[driver.mapping.title] = driver
    readers = max((len(by_title) for by_title in mappings.values()), default=0)
    for shard in log.shards:
        by_title = mappings.get(shard.id, {})
        if len(by_title) == readers:
            settled = min(driver.settled for driver in by_title.values())
            if settled - shard.first_index >= _TRIM_AT:
                shard.trim(settled)


def reorder(shard: Shard, read: int, chance: Any) -> bool:
    """Shuffles the shard's newest records of different items, as far as nobody has read them (index ``read`` on).

    A DynamoDB stream keeps the order of one item's changes, and promises nothing between items: a transaction's events
    may come 3, 1, 2.
    """
    start = max(read, shard.end - 8)
    tail = shard.records[start - shard.first_index :]
    keys = {record.lane_key for record in tail}
    if len(tail) < 2 or len(keys) < len(tail):
        return False
    shuffled = chance.sample(tail, len(tail))
    if shuffled == tail:
        return False
    numbers = [record.sequence_number for record in tail]
    shard.records[start - shard.first_index :] = [
        StreamRecord(number, record.lane_key, record.arrived_at, record.size, _renumbered(record.body, number))
        for number, record in zip(numbers, shuffled, strict=True)
    ]
    return True


def _renumbered(body: dict[str, Any], sequence_number: str) -> dict[str, Any]:
    return {**body, "dynamodb": {**body["dynamodb"], "SequenceNumber": sequence_number}}


def _summary(result: InvokeResult) -> str:
    if result.throttled:
        return "again"
    if result.error is not None:
        return result.error
    failures = (result.response or {}).get("batchItemFailures") or []
    return f"failed {failures[0]['itemIdentifier'][-12:]}" if failures else "ok"


def _persist(attempt: Callable[[], object]) -> None:
    """Lambda's own calls: as often as it takes."""
    while True:
        try:
            attempt()
        except (BotoCoreError, ClientError):
            continue
        return
