"""Drives the machines of event source mappings, and of pipes, against the emulator's streams and queues.

One reader polls each shard and keeps what it read until every mapping on the shard has taken it: polling is what costs,
and the emulator has one process for everything. Each mapping has a machine and a thread per shard, each queue one of
each. The emulator's own event source mappings are never created; it would lose records on errors.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from devstack import pipes
from devstack.checkpoints import Checkpoints, Position, StreamPositions
from devstack.console import Console
from devstack.emulator import ACCOUNT_ID, HOST, REGION
from devstack.errors import DevstackError
from devstack.event_source_mapping import (
    Checkpoint,
    DeleteMessages,
    Invoke,
    InvokeResult,
    QueueAction,
    QueueMachine,
    QueueMappingSettings,
    QueueMessage,
    SendToDestination,
    StreamAction,
    StreamMappingSettings,
    StreamRecord,
    StreamShardMachine,
    WaitUntil,
    aged,
    failure_message,
    failure_object_key,
    readable_shards,
)
from devstack.functions import Outcome
from devstack.template import EventSourceMapping, Pipe
from headwater.change_stream.source_kinds import StreamKind

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

GATHER_SECONDS: Final = 0.25
BUSY_POLL_SECONDS: Final = 0.1
IDLE_POLL_SECONDS: Final = 0.25
"""Between two reads of a shard: after one that found records, while functions run, and else.

Many small batches cost the emulator and the functions more than anything else does, so that what comes within the first
of these makes one batch. Lambda, too, reads a table's stream four times a second. The first invocation after a pause is
followed by a read at once.
"""

FULL_PAGE_RECORDS: Final = 100
RECONNECT_SECONDS: Final = 0.5
QUEUE_WAIT_SECONDS: Final = 1
DYNAMODB_RETENTION_SECONDS: Final = 24 * 3600
ROLE_ARN: Final = f"arn:aws:iam::{ACCOUNT_ID}:role/devstack"
MAPPING_NAMESPACE: Final = uuid.UUID("6a6f1f43-29c5-4b6f-9c3c-6f36f6a9a9b1")


class Invoker(Protocol):
    """What a mapping needs of the functions."""

    def invoke(self, logical_id: str, payload: bytes) -> Future[Outcome]: ...

    def function_arn(self, logical_id: str) -> str: ...

    def pipe_arn(self, logical_id: str) -> str: ...


class EmulatorError(Exception):
    """The emulator refused a stream operation; ``code`` is AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class StreamClient:
    """Reads shards in the services' own JSON; used by one thread.

    Their raw JSON is already the shape that Lambda's events have; boto3 would turn binary and times into Python's
    types, to be turned back.
    """

    def __init__(self, kind: StreamKind, port: int) -> None:
        self.kind: StreamKind = kind
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def describe_shards(self, stream_arn: str) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = []
        if self.kind == "kinesis":
            request = {"StreamARN": stream_arn}
            while True:
                answer = self._call("ListShards", request)
                shards += answer["Shards"]
                if not answer.get("NextToken"):
                    return shards
                request = {"NextToken": answer["NextToken"]}
        request = {"StreamArn": stream_arn}
        while True:
            description = self._call("DescribeStream", request)["StreamDescription"]
            shards += description["Shards"]
            if "LastEvaluatedShardId" not in description:
                return shards
            request = {"StreamArn": stream_arn, "ExclusiveStartShardId": description["LastEvaluatedShardId"]}

    def retention(self, stream_arn: str) -> float:
        """Seconds that the stream keeps a record."""
        if self.kind == "dynamodb":
            return DYNAMODB_RETENTION_SECONDS
        summary = self._call("DescribeStreamSummary", {"StreamARN": stream_arn})["StreamDescriptionSummary"]
        return float(summary["RetentionPeriodHours"]) * 3600

    def iterator(self, stream_arn: str, shard_id: str, position: str, after: str | None = None) -> str:
        """An iterator at TRIM_HORIZON or LATEST, or after a sequence number."""
        kinesis = self.kind == "kinesis"
        request = {"StreamARN" if kinesis else "StreamArn": stream_arn, "ShardId": shard_id}
        if after is None:
            request["ShardIteratorType"] = position
        else:
            request["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
            request["StartingSequenceNumber" if kinesis else "SequenceNumber"] = after
        iterator: str = self._call("GetShardIterator", request)["ShardIterator"]
        return iterator

    def records(self, iterator: str) -> tuple[list[dict[str, Any]], str | None]:
        """A page of records, at most 1,000, and the next iterator, None once a closed shard is read."""
        answer = self._call("GetRecords", {"ShardIterator": iterator, "Limit": 1000})
        return answer["Records"], answer.get("NextShardIterator")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        kinesis = self.kind == "kinesis"
        prefix = "Kinesis_20131202" if kinesis else "DynamoDBStreams_20120810"
        if self._connection is None:
            self._connection = http.client.HTTPConnection(HOST, self._port, timeout=20)
        try:
            self._connection.request(
                "POST",
                "/",
                orjson.dumps(request),
                {
                    "Content-Type": f"application/x-amz-json-1.{1 if kinesis else 0}",
                    "X-Amz-Target": f"{prefix}.{operation}",
                },
            )
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        answer: dict[str, Any] = orjson.loads(body)
        if response.status != http.HTTPStatus.OK:
            code = str(answer.get("__type", response.status)).rpartition("#")[2]
            raise EmulatorError(code, str(answer.get("message", "")))
        return answer


def dynamodb_record(record: Mapping[str, Any], stream_arn: str) -> StreamRecord:
    """A record of GetRecords as Lambda's event shows it; the JSON of both is the same, binary in base64 included."""
    shown = {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": record.get("eventVersion", "1.1"),
        "eventSource": "aws:dynamodb",
        "awsRegion": record.get("awsRegion", REGION),
        "dynamodb": record["dynamodb"],
        "eventSourceARN": stream_arn,
    }
    if identity := record.get("userIdentity"):
        # The API spells these in capitals, Lambda does not.
        shown["userIdentity"] = {
            "principalId": identity.get("PrincipalId", identity.get("principalId")),
            "type": identity.get("Type", identity.get("type")),
        }
    change = record["dynamodb"]
    body = orjson.dumps(shown)
    key = orjson.dumps(change["Keys"], option=orjson.OPT_SORT_KEYS).decode()
    return StreamRecord(change["SequenceNumber"], key, float(change["ApproximateCreationDateTime"]), len(body), body)


def kinesis_record(record: Mapping[str, Any], stream_arn: str, shard_id: str) -> StreamRecord:
    """A record of GetRecords as Lambda's event shows it."""
    sequence_number = record["SequenceNumber"]
    arrived_at = float(record["ApproximateArrivalTimestamp"])
    body = orjson.dumps(
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record["PartitionKey"],
                "sequenceNumber": sequence_number,
                "data": record["Data"],
                "approximateArrivalTimestamp": arrived_at,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{sequence_number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": ROLE_ARN,
            "awsRegion": REGION,
            "eventSourceARN": stream_arn,
        }
    )
    return StreamRecord(sequence_number, record["PartitionKey"], arrived_at, len(body), body)


def queue_message(message: Mapping[str, Any], queue_arn: str) -> QueueMessage:
    """A message of ReceiveMessage as Lambda's event shows it."""
    attributes = {name: _message_attribute(value) for name, value in (message.get("MessageAttributes") or {}).items()}
    shown = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes") or {},
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }
    if "MD5OfMessageAttributes" in message:
        shown["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    body = orjson.dumps(shown)
    return QueueMessage(message["MessageId"], message["ReceiptHandle"], len(body), body)


def _message_attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        shown["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        shown["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return shown


def event_payload(bodies: Iterable[bytes]) -> bytes:
    """The event of a batch, from its records' JSON."""
    return b'{"Records":[' + b",".join(bodies) + b"]}"


class ShardReader:
    """Polls one shard and hands its records to every mapping on it, each at its own pace.

    It begins after the sequence number ``after``, or else at ``position``, TRIM_HORIZON or LATEST.
    """

    def __init__(
        self,
        client: StreamClient,
        stream_arn: str,
        shard_id: str,
        *,
        position: str,
        console: Console,
        after: str | None = None,
    ) -> None:
        self.stream_arn = stream_arn
        self.shard_id = shard_id
        self._position = position
        self.began_after = after
        """The last record before those that are read here; None at the shard's beginning."""
        self._client = client
        self._console = console
        self._records: deque[StreamRecord] = deque()
        self._first = 0
        self._cursors: dict[int, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self.total = 0
        self.drained_at = 0.0
        """When the last read began that found nothing (monotonic seconds)."""
        self.ended = False
        """Whether the shard is closed and everything in it was read."""
        self._iterator: str | None = None
        self._last = after
        self._thread = threading.Thread(target=self._run, name=f"read {shard_id}", daemon=True)

    def subscribe(self, listener: Callable[[], None]) -> int:
        """Register a mapping before ``start``; ``listener`` is called when there is something to take."""
        self._listeners.append(listener)
        number = len(self._cursors)
        self._cursors[number] = 0
        return number

    def start(self) -> None:
        if self._position == "LATEST" and self.began_after is None:
            # Here and not in the thread, so that LATEST means: when the stack started. As a sequence number, because
            # an iterator at LATEST that expires, or a restart, would step over what has come since.
            self.began_after = self._last = self._newest()
            self._position = "TRIM_HORIZON"
        self._thread.start()

    def take(self, subscriber: int, limit: int) -> list[StreamRecord]:
        """The subscriber's next records, at most ``limit``."""
        with self._lock:
            offset = self._cursors[subscriber] - self._first
            available = min(limit, len(self._records) - offset)
            if available <= 0:
                return []
            taken = [self._records[i] for i in range(offset, offset + available)]
            self._cursors[subscriber] += available
            slowest = min(self._cursors.values())
            while self._first < slowest:
                self._records.popleft()
                self._first += 1
            return taken

    def oldest_for(self, subscriber: int) -> float | None:
        """When the first record arrived that the subscriber has not taken; None if it has taken all."""
        with self._lock:
            offset = self._cursors[subscriber] - self._first
            return self._records[offset].arrived_at if offset < len(self._records) else None

    def age(self, seconds: float) -> None:
        """Let what nobody has taken be so much older."""
        with self._lock:
            self._records = deque(aged(record, seconds) for record in self._records)

    def poke(self) -> None:
        """Something was probably written: read soon."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _newest(self) -> str | None:
        newest = None
        iterator: str | None = self._client.iterator(self.stream_arn, self.shard_id, "TRIM_HORIZON")
        while iterator is not None:
            records, iterator = self._client.records(iterator)
            if not records:
                break
            newest = self._converted(records)[-1].sequence_number
        return newest

    def _run(self) -> None:
        try:
            while not self._stopping and self._read():
                pass
        except Exception as error:
            self._console.line(f"{self.stream_arn} {self.shard_id} is no longer read: {error!r}")
            raise
        finally:
            self._client.close()

    def _read(self) -> bool:
        """Read once, then wait until the next read is due. False at the end of a closed shard."""
        began = time.monotonic()
        try:
            if self._iterator is None:
                self._iterator = self._client.iterator(self.stream_arn, self.shard_id, self._position, self._last)
            records, following = self._client.records(self._iterator)
        except EmulatorError as error:
            if error.code == "ResourceNotFoundException":
                # AWS keeps a closed shard until its records expire; the emulator removes one that was split at once.
                self._console.line(f"{self.stream_arn} {self.shard_id} is gone: its children are read now")
                return self._end()
            self._recover(error)
            return True
        except (OSError, http.client.HTTPException):
            self._pause(RECONNECT_SECONDS)
            return True
        if records:
            self._add(records)
        else:
            self.drained_at = began
        self._iterator = following
        if following is None:
            return self._end()
        # A page that is full, in records or in bytes, has another behind it.
        if len(records) < FULL_PAGE_RECORDS and (records or self._wake.wait(IDLE_POLL_SECONDS)):
            self._pause(began + (GATHER_SECONDS if records else BUSY_POLL_SECONDS) - time.monotonic())
            self._wake.clear()
        return True

    def _end(self) -> bool:
        self.ended = True
        for listener in self._listeners:
            listener()
        # After the listeners, so that nobody takes the stack for quiet before they look for the shard's children.
        self.drained_at = float("inf")
        return False

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and not self._stopping:
            time.sleep(seconds)

    def _add(self, records: Sequence[Mapping[str, Any]]) -> None:
        converted = self._converted(records)
        self._last = converted[-1].sequence_number
        with self._lock:
            self._records.extend(converted)
            self.total += len(converted)
        for listener in self._listeners:
            listener()

    def _converted(self, records: Sequence[Mapping[str, Any]]) -> list[StreamRecord]:
        if self._client.kind == "dynamodb":
            return [dynamodb_record(record, self.stream_arn) for record in records]
        return [kinesis_record(record, self.stream_arn, self.shard_id) for record in records]

    def _recover(self, error: EmulatorError) -> None:
        if error.code in {"ExpiredIteratorException", "TrimmedDataAccessException"}:
            self._iterator = None
        if error.code == "TrimmedDataAccessException":
            # As Lambda does: on with the oldest record that is left.
            self._position, self._last = "TRIM_HORIZON", None
        if error.code != "ExpiredIteratorException" and not self._stopping:
            self._console.line(f"{self.stream_arn} {self.shard_id} cannot be read: {error}")
            self._pause(RECONNECT_SECONDS)


@dataclass(slots=True)
class Destinations:
    """Where given-up batches go; clients of the emulator."""

    sqs: SQSClient
    sns: SNSClient
    s3: S3Client

    def send(self, arn: str, message: Mapping[str, Any], payload: bytes, key: str) -> None:
        """Tell an OnFailure destination, whatever service its ARN names. The event itself goes to a bucket only."""
        service = arn.split(":")[2]
        if service == "sqs":
            url = self.sqs.get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"]
            self.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(message))
        elif service == "sns":
            self.sns.publish(TopicArn=arn, Message=json.dumps(message))
        else:
            body = json.dumps({**message, "payload": payload.decode()})
            self.s3.put_object(Bucket=arn.rsplit(":", 1)[1], Key=key, Body=body.encode())


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


def stream_settings(mapping: EventSourceMapping, retention: float) -> StreamMappingSettings:
    """The machine's settings for a mapping of the template; ``retention`` is the stream's, in seconds."""
    return StreamMappingSettings(
        batch_size=mapping.batch_size,
        batching_window=mapping.batching_window,
        parallelization_factor=mapping.parallelization_factor,
        maximum_retry_attempts=mapping.maximum_retry_attempts,
        maximum_record_age=mapping.maximum_record_age,
        bisect_on_function_error=mapping.bisect_on_function_error,
        report_batch_item_failures=mapping.report_batch_item_failures,
        retention=retention,
        accepts=mapping.filters.accepts if mapping.filters else None,
    )


def queue_settings(mapping: EventSourceMapping) -> QueueMappingSettings:
    """The machine's settings for a queue's mapping of the template."""
    return QueueMappingSettings(
        batch_size=mapping.batch_size,
        batching_window=mapping.batching_window,
        report_batch_item_failures=mapping.report_batch_item_failures,
        maximum_concurrency=mapping.maximum_concurrency,
        accepts=mapping.filters.accepts if mapping.filters else None,
    )


def _parents(shards: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Each shard's parents, as `readable_shards` takes them."""
    return {
        shard["ShardId"]: [shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name)]
        for shard in shards
    }


def _closed(shards: Iterable[Mapping[str, Any]]) -> set[str]:
    return {shard["ShardId"] for shard in shards if shard["SequenceNumberRange"].get("EndingSequenceNumber")}


class _StreamMapping:
    """One stream mapping's way through the shards of its stream."""

    def __init__(self, mapping: EventSourceMapping, kind: StreamKind, port: int, known: Checkpoints) -> None:
        self.mapping = mapping
        self.kind: StreamKind = kind
        self._port = port
        self._known = known.of(mapping.title, mapping.source_arn)
        self._drained = {shard for shard, place in (self._known or {}).items() if place.drained}
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        try:
            client = StreamClient(kind, port)
            self.retention = client.retention(mapping.source_arn)
            if self._known is None and mapping.starting_position == "LATEST":
                self._drained = _closed(client.describe_shards(mapping.source_arn))
        except EmulatorError as error:
            raise DevstackError(f"{mapping.title}: {mapping.source_arn} cannot be read: {error}") from error
        finally:
            client.close()

    def next_shards(self, drained: str | None = None) -> list[tuple[str, str, str | None]]:
        """Shards to read from now on, each with its position and the sequence number to begin after.

        What comes to light later is a child of what was read, and is read from its beginning whatever the mapping's
        StartingPosition: LATEST would step over what was written since the split.
        """
        first = not self._taken and self._known is None
        client = StreamClient(self.kind, self._port)
        try:
            shards = client.describe_shards(self.mapping.source_arn)
        finally:
            client.close()
        with self._lock:
            if drained is not None:
                self._drained.add(drained)
            due = [shard for shard in readable_shards(_parents(shards), self._drained) if shard not in self._taken]
            self._taken.update(due)
        known = self._known or {}
        position = self.mapping.starting_position if first else "TRIM_HORIZON"
        return [(shard, position, known[shard].after if shard in known else None) for shard in due]

    def positions(self, drivers: Iterable[StreamDriver]) -> StreamPositions:
        shards = {shard: Position(drained=True) for shard in self._drained}
        shards |= {driver.reader.shard_id: driver.position for driver in drivers if driver.mapping is self.mapping}
        return StreamPositions(self.mapping.source_arn, shards)


class Mappings:
    """All mappings of the stack.

    Shards that come to light later, when one was split, join while it runs.

    Raises
    ------
    DevstackError
        A stream cannot be read.
    """

    def __init__(
        self,
        mappings: Iterable[EventSourceMapping],
        *,
        port: int,
        functions: Invoker,
        destinations: Destinations,
        console: Console,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._port = port
        self._functions = functions
        self._destinations = destinations
        self._console = console
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._paused: set[str] = set()
        self.streams: list[StreamDriver] = []
        self.queues: list[QueueDriver] = []
        self.readers: list[ShardReader] = []
        self._stream_mappings: dict[str, _StreamMapping] = {}
        shared: dict[tuple[str, str, str, str | None], ShardReader] = {}
        for mapping in mappings:
            if mapping.kind == "sqs":
                self.queues.append(QueueDriver(mapping, functions, destinations.sqs, console))
                continue
            stream = _StreamMapping(mapping, mapping.kind, port, checkpoints or Checkpoints())
            self._stream_mappings[mapping.title] = stream
            for shard_id, position, after in stream.next_shards():
                key = (mapping.source_arn, shard_id, position, after)
                reader = shared.get(key)
                if reader is None:
                    reader = shared[key] = self._reader(stream, shard_id, position, after)
                self.streams.append(self._driver(stream, reader))
        self.readers = list(shared.values())

    def _reader(self, stream: _StreamMapping, shard_id: str, position: str, after: str | None) -> ShardReader:
        client = StreamClient(stream.kind, self._port)
        arn = stream.mapping.source_arn
        return ShardReader(client, arn, shard_id, position=position, after=after, console=self._console)

    def _driver(self, stream: _StreamMapping, reader: ShardReader) -> StreamDriver:
        settings: dict[str, Any] = {
            "retention": stream.retention,
            "functions": self._functions,
            "destinations": self._destinations,
            "console": self._console,
            "on_drained": self._follow,
        }
        if isinstance(stream.mapping, Pipe):
            return PipeDriver(stream.mapping, reader, **settings)
        return StreamDriver(stream.mapping, reader, **settings)

    def _follow(self, drained: StreamDriver) -> None:
        """Read the children of a shard that one mapping has settled. Called in that driver's thread."""
        stream = self._stream_mappings[drained.mapping.title]
        while not self._stopping.is_set():
            try:
                due = stream.next_shards(drained.reader.shard_id)
                break
            except (EmulatorError, OSError, http.client.HTTPException) as error:
                self._console.line(f"{drained.mapping.title} cannot list shards: {error}")
                time.sleep(RECONNECT_SECONDS)
        else:
            return
        for shard_id, position, after in due:
            # Another mapping reaches a child at another time, so that each has a reader of its own there.
            reader = self._reader(stream, shard_id, position, after)
            driver = self._driver(stream, reader)
            driver.paused = stream.mapping.title in self._paused
            with self._changing:
                if self._stopping.is_set():
                    return
                # New lists, because others walk through them.
                self.readers = [*self.readers, reader]
                self.streams = [*self.streams, driver]
                reader.start()
                driver.start()

    def start(self) -> None:
        for part in self._parts():
            part.start()

    def stop(self) -> None:
        with self._changing:
            self._stopping.set()
        for part in self._parts():
            part.stop()

    def join(self, timeout: float) -> None:
        """Wait for the threads, together at most ``timeout`` seconds; what still runs is a daemon."""
        deadline = time.monotonic() + timeout
        for part in self._parts():
            part.join(max(0.0, deadline - time.monotonic()))

    def poke(self) -> None:
        """An invocation has ended, so that streams may hold something new."""
        for reader in self.readers:
            reader.poke()

    def backlog(self) -> dict[str, int]:
        """Per mapping: records read and not checkpointed; messages on the queue."""
        counts: dict[str, int] = {}
        for stream in self.streams:
            counts[stream.mapping.title] = counts.get(stream.mapping.title, 0) + stream.backlog
        for queue in self.queues:
            counts[queue.mapping.title] = queue.depth()
        return counts

    def pause(self, title: str, *, paused: bool) -> None:
        """Stop or resume a mapping, on every shard of its stream and on those to come."""
        with self._changing:
            (self._paused.add if paused else self._paused.discard)(title)
            drivers = [each for each in (*self.streams, *self.queues) if each.mapping.title == title]
        for driver in drivers:
            driver.pause(paused=paused)

    def skip(self, seconds: float) -> None:
        """Let time pass for all that waits in streams, and for no other."""
        for driver in self.streams:
            driver.age(seconds)
        for reader in self.readers:
            reader.age(seconds)

    def told(self) -> list[dict[str, Any]]:
        """How each mapping goes, as JSON: counts since the start, ``lag_seconds`` of the oldest that waits."""
        found: dict[str, dict[str, Any]] = {}
        drivers: tuple[StreamDriver | QueueDriver, ...] = (*self.streams, *self.queues)
        for driver in drivers:
            lag, retrying = (driver.lag, driver.retrying) if isinstance(driver, StreamDriver) else (None, False)
            waiting = driver.backlog if isinstance(driver, StreamDriver) else driver.depth()
            mapping = driver.mapping
            each = found.setdefault(
                mapping.title,
                {
                    "title": mapping.title,
                    "function": mapping.function,
                    "pipe": mapping.name if isinstance(mapping, Pipe) else None,
                    "source_arn": mapping.source_arn,
                    "paused": driver.paused,
                    "lag_seconds": None,
                    **dict.fromkeys(("waiting", "delivered", "retries"), 0),
                    "retrying": False,
                },
            )
            each["waiting"] += waiting
            each["delivered"] += driver.delivered
            each["retries"] += driver.retries
            each["retrying"] |= retrying
            if lag is not None:
                each["lag_seconds"] = max(lag, each["lag_seconds"] or 0.0)
        return list(found.values())

    def records_read(self) -> dict[str, int]:
        """Records that each stream has brought since the start, by its ARN."""
        counts: dict[str, int] = {}
        read: set[tuple[str, str]] = set()
        for reader in self.readers:
            # A shard that two mappings reached at different times has two readers: it is counted once.
            if (reader.stream_arn, reader.shard_id) not in read:
                read.add((reader.stream_arn, reader.shard_id))
                counts[reader.stream_arn] = counts.get(reader.stream_arn, 0) + reader.total
        return counts

    def checkpoints(self) -> Checkpoints:
        """Where a later run goes on; meaningful once everything has stopped."""
        return Checkpoints({title: stream.positions(self.streams) for title, stream in self._stream_mappings.items()})

    def _parts(self) -> Iterable[ShardReader | StreamDriver | QueueDriver]:
        return (*self.readers, *self.streams, *self.queues)
