"""The thread of each machine: a shard's delivery to a function or a pipe, and a queue's."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from devstack import pipes
from devstack.checkpoints import Position
from devstack.console import Console
from devstack.event_source_mapping import (
    Checkpoint,
    DeleteMessages,
    Invoke,
    InvokeResult,
    QueueAction,
    QueueMachine,
    QueueMessage,
    SendToDestination,
    StreamAction,
    StreamShardMachine,
    WaitUntil,
    failure_message,
    failure_object_key,
)
from devstack.functions import Outcome
from devstack.mappings.destinations import Destinations
from devstack.mappings.records import event_payload, queue_message
from devstack.mappings.settings import queue_settings, stream_settings
from devstack.mappings.shard_reader import ShardReader
from devstack.mappings.stream_client import RECONNECT_SECONDS
from devstack.template import EventSourceMapping, Pipe
from headwater.change_stream.source_kinds import StreamKind

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


QUEUE_WAIT_SECONDS: Final = 1
MAPPING_NAMESPACE: Final = uuid.UUID("6a6f1f43-29c5-4b6f-9c3c-6f36f6a9a9b1")


class Invoker(Protocol):
    """What a mapping needs of the functions."""

    def invoke(self, logical_id: str, payload: bytes) -> Future[Outcome]: ...

    def function_arn(self, logical_id: str) -> str: ...

    def pipe_arn(self, logical_id: str) -> str: ...


class _Driver:
    """A machine's thread: wakes for records, results and deadlines, and carries out what the machine asks for."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        name: str,
        functions: Invoker,
        console: Console,
    ) -> None:
        self.mapping = mapping
        self.paused = False
        """Whether nothing is delivered, as by a mapping that somebody disabled. What runs ends, and waits then."""
        self.retries = 0
        """Invocations that failed, whole or in part."""
        self._functions = functions
        self._console = console
        self._changed = threading.Condition()
        self._results: deque[tuple[int, InvokeResult]] = deque()
        self._news = True
        self._busy = False
        self._wake_at: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def busy(self) -> bool:
        """Whether something that happened is still being dealt with."""
        return self._busy or self._news or bool(self._results)

    def start(self) -> None:
        self._thread.start()

    def pause(self, *, paused: bool) -> None:
        """Stop or resume the delivery. A stack with a paused mapping that has work is not quiet."""
        with self._changed:
            self.paused = paused
            self._changed.notify()

    def notify(self) -> None:
        """There may be something to do."""
        with self._changed:
            self._news = True
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and (self.paused or not (self._news or self._results)):
                    wait = None if self._wake_at is None or self.paused else self._wake_at - time.time()
                    if wait is not None and wait <= 0:
                        break
                    self._changed.wait(wait)
                if self._stopping:
                    return
                self._busy = True
                self._news = False
                results = list(self._results)
                self._results.clear()
                self._wake_at = None
            try:
                self._step(results)
            except Exception as error:
                self._console.line(f"{self.mapping.title} no longer delivers: {error!r}")
                raise
            self._busy = False

    def _step(self, results: list[tuple[int, InvokeResult]]) -> None:
        raise NotImplementedError

    def _invoke(self, action: Invoke) -> None:
        payload = event_payload(record.body for record in action.records)
        future = self._functions.invoke(self.mapping.function, payload)
        future.add_done_callback(partial(self._finished, action))

    def _finished(self, action: Invoke, future: Future[Outcome]) -> None:
        outcome = future.result()
        result = InvokeResult(error=outcome.error, request_id=outcome.request_id)
        if outcome.error is None:
            result = InvokeResult(json.loads(outcome.payload), None, outcome.request_id)
        self._complete(action, result)

    def _complete(self, action: Invoke, result: InvokeResult) -> None:
        if result.error is not None:
            self.retries += 1
        self._show_partial_failure(action, result.response)
        with self._changed:
            self._results.append((action.batch_id, result))
            self._changed.notify()

    def _show_partial_failure(self, action: Invoke, response: object) -> None:
        # The invocation succeeded, so that nobody else says that records in it did not.
        failures = response.get("batchItemFailures") if isinstance(response, Mapping) else None
        if failures and self.mapping.report_batch_item_failures:
            self.retries += 1
            self._console.retried(
                f"{self.mapping.title} reports {len(failures)} of {len(action.records)} record(s) failed"
            )

    def _persist(self, what: str, attempt: Callable[[], None]) -> bool:
        """Do what must not be lost, as often as it takes. False if the stack stops before it is done."""
        wait = RECONNECT_SECONDS
        while not self._stopping:
            try:
                attempt()
            except (BotoCoreError, ClientError) as error:
                self._console.line(f"{self.mapping.title}: {what} failed and is tried again: {error}")
                time.sleep(wait)
                wait = min(wait * 2, 10)
            else:
                return True
        return False


class StreamDriver(_Driver):
    """One shard's delivery to one function; ``on_drained`` is called once a closed shard is read and settled."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        reader: ShardReader,
        *,
        retention: float,
        functions: Invoker,
        destinations: Destinations,
        console: Console,
        on_drained: Callable[[StreamDriver], None] = lambda _: None,
    ) -> None:
        super().__init__(mapping, f"{mapping.title} {reader.shard_id}", functions, console)
        self._age = 0.0
        self._oldest: float | None = None
        self.retrying = False
        """Whether its first records are being tried again."""
        self.reader = reader
        self.drained = False
        self._on_drained = on_drained
        self._checkpoint: str | None = None
        self.machine = StreamShardMachine(stream_settings(mapping, retention))
        self._kind: StreamKind = "kinesis" if mapping.kind == "kinesis" else "dynamodb"
        self._destinations = destinations
        self._subscriber = reader.subscribe(self.notify)

    @property
    def backlog(self) -> int:
        """Records read from the shard and not yet checkpointed."""
        return self.reader.total - self.machine.settled

    def age(self, seconds: float) -> None:
        """Let what it has taken, and its pauses, be so much older."""
        with self._changed:
            self._age += seconds
            if self._oldest is not None:
                self._oldest -= seconds
        self.notify()

    @property
    def delivered(self) -> int:
        """Records that are settled since it began."""
        return self.machine.settled

    @property
    def lag(self) -> float | None:
        """The age of the oldest record that is not settled, in seconds; None if all are."""
        if not self.backlog:
            return None
        arrivals = [each for each in (self._oldest, self.reader.oldest_for(self._subscriber)) if each is not None]
        return max(0.0, time.time() - min(arrivals)) if arrivals else None

    @property
    def position(self) -> Position:
        """Where a later run goes on."""
        return Position(self._checkpoint or self.reader.began_after, self.drained)

    def _step(self, results: list[tuple[int, InvokeResult]]) -> None:
        machine = self.machine
        with self._changed:
            seconds, self._age = self._age, 0.0
        if seconds:
            machine.age(seconds)
        for batch_id, result in results:
            self._carry_out(machine.complete(batch_id, result, time.time()))
        while (room := machine.room) and (records := self.reader.take(self._subscriber, room)):
            self._carry_out(machine.receive(records, time.time()))
        self._carry_out(machine.tick(time.time()))
        self._wake_at = machine.next_time
        self._oldest, self.retrying = machine.oldest, machine.retrying
        if self.reader.ended and not self.drained and not self.backlog:
            self.drained = True
            self._on_drained(self)

    def _carry_out(self, actions: Sequence[StreamAction]) -> None:
        for action in actions:
            match action:
                case Invoke():
                    self._invoke(action)
                case SendToDestination():
                    if not self._give_up(action):
                        # The stack stops; the checkpoint stays before what nobody was told of.
                        return
                case Checkpoint():
                    self._checkpoint = action.sequence_number
                case WaitUntil():
                    pass

    def _give_up(self, action: SendToDestination) -> bool:
        mapping = self.mapping
        destination = mapping.on_failure
        self._console.line(
            f"{mapping.title} gives up {len(action.records)} record(s) after {action.invoke_count} invocation(s): "
            f"{action.condition}, {'told to ' + destination if destination else 'dropped (no OnFailure)'}"
        )
        if destination is None:
            return True
        now = time.time()
        message = self._message(action, now)
        key = failure_object_key(
            str(uuid.uuid5(MAPPING_NAMESPACE, mapping.title)), self.reader.shard_id, now, str(uuid.uuid4())
        )
        payload = event_payload(record.body for record in action.records)
        return self._persist("OnFailure", lambda: self._destinations.send(destination, message, payload, key))

    def _message(self, action: SendToDestination, now: float) -> dict[str, Any]:
        return failure_message(
            action,
            kind=self._kind,
            function_arn=self._functions.function_arn(self.mapping.function),
            stream_arn=self.mapping.source_arn,
            shard_id=self.reader.shard_id,
            now=now,
            new_request_id=lambda: str(uuid.uuid4()),
        )


class PipeDriver(StreamDriver):
    """One shard's way through a pipe: its enrichment, if it has one, then its target."""

    def __init__(self, pipe: Pipe, reader: ShardReader, **settings: Any) -> None:
        super().__init__(pipe, reader, **settings)
        self._pipe = pipe

    def _invoke(self, action: Invoke) -> None:
        payload = pipes.payload(record.body for record in action.records)
        if self._pipe.enrichment is None:
            self._invoke_target(action, payload)
            return
        future = self._functions.invoke(self._pipe.enrichment, payload)
        future.add_done_callback(partial(self._enriched, action))

    def _enriched(self, action: Invoke, future: Future[Outcome]) -> None:
        outcome = future.result()
        if outcome.error is not None:
            self._complete(action, InvokeResult(error=outcome.error, request_id=outcome.request_id))
        elif pipes.skips_target(json.loads(outcome.payload)):
            self._console.line(
                f"{self.mapping.title} drops {len(action.records)} record(s): the enrichment answered nothing, "
                "which a pipe takes for nothing to do"
            )
            self._complete(action, InvokeResult(request_id=outcome.request_id))
        else:
            self._invoke_target(action, outcome.payload)

    def _invoke_target(self, action: Invoke, payload: bytes) -> None:
        future = self._functions.invoke(self._pipe.function, payload)
        future.add_done_callback(partial(self._finished, action))

    def _complete(self, action: Invoke, result: InvokeResult) -> None:
        response = pipes.in_sequence_numbers(result.response, [record.body for record in action.records])
        super()._complete(action, replace(result, response=response))

    def _message(self, action: SendToDestination, now: float) -> dict[str, Any]:
        return pipes.dead_letter(
            action,
            pipe_arn=self._functions.pipe_arn(self._pipe.name),
            stream_arn=self.mapping.source_arn,
            shard_id=self.reader.shard_id,
            now=now,
        )


class QueueDriver(_Driver):
    """A queue's delivery to one function, and the long poll that feeds it."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        functions: Invoker,
        sqs: SQSClient,
        console: Console,
    ) -> None:
        super().__init__(mapping, mapping.title, functions, console)
        self.delivered = 0
        """Messages that were dealt with and deleted since it began."""
        self._sqs = sqs
        self.machine = QueueMachine(queue_settings(mapping))
        self.url = sqs.get_queue_url(QueueName=mapping.source_arn.rsplit(":", 1)[1])["QueueUrl"]
        self._received: deque[QueueMessage] = deque()
        self._room = threading.Event()
        self._receiver = threading.Thread(target=self._receive, name=f"receive {mapping.title}", daemon=True)

    def start(self) -> None:
        super().start()
        self._receiver.start()

    def pause(self, *, paused: bool) -> None:
        super().pause(paused=paused)
        self._room.set()

    def stop(self) -> None:
        super().stop()
        self._room.set()

    def depth(self) -> int:
        """Messages on the queue: visible, delayed and handed out."""
        names: Final = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
        )
        attributes = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=list(names))["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def _receive(self) -> None:
        while not self._stopping:
            room = self.machine.room - len(self._received)
            if room <= 0 or self.paused:
                self._room.wait()
                self._room.clear()
                continue
            try:
                answer = self._sqs.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=min(10, room),
                    WaitTimeSeconds=QUEUE_WAIT_SECONDS,
                    MessageSystemAttributeNames=["All"],
                    MessageAttributeNames=["All"],
                )
            except (BotoCoreError, ClientError) as error:
                if not self._stopping:
                    self._console.line(f"{self.mapping.title} cannot receive: {error}")
                    time.sleep(RECONNECT_SECONDS)
                continue
            messages = answer.get("Messages") or []
            if messages:
                self._received.extend(queue_message(message, self.mapping.source_arn) for message in messages)
                self.notify()

    def _step(self, results: list[tuple[int, InvokeResult]]) -> None:
        machine = self.machine
        for batch_id, result in results:
            self._carry_out(machine.complete(batch_id, result, time.time()))
        received = [self._received.popleft() for _ in range(len(self._received))]
        self._carry_out(machine.receive(received, time.time()) if received else machine.tick(time.time()))
        self._wake_at = machine.next_time
        self._room.set()

    def _carry_out(self, actions: Sequence[QueueAction]) -> None:
        for action in actions:
            match action:
                case Invoke():
                    self._invoke(action)
                case DeleteMessages():
                    self._delete(action.messages)
                case WaitUntil():
                    pass

    def _delete(self, messages: Sequence[QueueMessage]) -> None:
        self.delivered += len(messages)
        for start in range(0, len(messages), 10):
            chunk = messages[start : start + 10]
            self._persist("DeleteMessageBatch", partial(self._delete_all, chunk))

    def _delete_all(self, messages: Sequence[QueueMessage]) -> None:
        answer = self._sqs.delete_message_batch(
            QueueUrl=self.url,
            Entries=[{"Id": str(i), "ReceiptHandle": message.receipt_handle} for i, message in enumerate(messages)],
        )
        for failed in answer.get("Failed") or []:
            # It comes back when its visibility timeout ends, as on AWS.
            reason = failed.get("Message", failed["Code"])
            self._console.line(f"{self.mapping.title}: a message was not deleted: {reason}")
