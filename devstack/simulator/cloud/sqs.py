"""SQS standard queues on the simulator's clock.

Sources: the SQS API reference; "Amazon SQS visibility timeout" and "Using dead-letter queues" in the Developer Guide.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from operations.running import ACCOUNT_ID, REGION

MESSAGE_BYTES: Final = 1024 * 1024
BATCH_ENTRIES: Final = 10
IN_FLIGHT: Final = 120_000
LONGEST_TIMEOUT: Final = 43_200
RETENTION_SECONDS: Final = 4 * 24 * 3600

_REFUSED_CHARACTERS: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_MISSING: Final = "The specified queue does not exist."
_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


class Message:
    """One copy of a message. ``visible_at`` is when it can be received next (epoch seconds)."""

    __slots__ = ("attributes", "body", "first_received_at", "hidden", "id", "receives", "sent_at", "visible_at")

    def __init__(self, identifier: str, body: str, attributes: Mapping[str, Any], sent_at: float) -> None:
        self.id = identifier
        self.body = body
        self.attributes = attributes
        self.sent_at = sent_at
        self.receives = 0
        self.first_received_at = 0.0
        self.hidden = False
        self.visible_at = sent_at


class Queue:
    """One queue's messages, by the number under which it holds each."""

    def __init__(
        self,
        name: str,
        surroundings: Surroundings,
        *,
        visibility_timeout: float,
        redrive: tuple[Queue, int] | None,
        retention: float,
    ) -> None:
        self.name = name
        self.arn = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{name}"
        self.url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{name}"
        self.visibility_timeout = visibility_timeout
        self.redrive = redrive
        self.retention = retention
        self.messages: dict[int, Message] = {}
        self.in_flight = 0
        self._surroundings = surroundings
        self._numbers = 0
        self._visible: list[int] = []
        self._hidden: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def visible(self) -> int:
        """Messages that can be received now."""
        self._reveal()
        return len(self.messages) - self.in_flight

    @property
    def next_visible_at(self) -> float | None:
        """When there is something to receive, in epoch seconds; None if the queue is empty."""
        if self.visible:
            return self._surroundings.clock()
        while self._hidden:
            time, number = self._hidden[0]
            if self._is_hidden_until(number, time):
                return time
            heapq.heappop(self._hidden)
        return None

    def add(self, identifier: str, body: str, attributes: Mapping[str, Any]) -> None:
        """Takes a message in; twice if the faults say so, as a standard queue may."""
        copies = 1 + len(self._surroundings.faults.refuse("sqs", "Duplicate", 1))
        for _ in range(copies):
            self._admit(Message(identifier, body, attributes, self._surroundings.clock()))

    def receive(self, limit: int, visibility_timeout: float) -> list[tuple[str, Message]]:
        """Hides at most ``limit`` messages and gives them, in no order, with a receipt handle each."""
        self._reveal()
        now = self._surroundings.clock()
        randrange = self._surroundings.rng.randrange
        received: list[tuple[str, Message]] = []
        while self._visible and len(received) < limit and self.in_flight < IN_FLIGHT:
            position = randrange(len(self._visible))
            number = self._visible[position]
            self._visible[position] = self._visible[-1]
            self._visible.pop()
            message = self.messages.get(number)
            if message is None or message.hidden:
                continue
            if now - message.sent_at > self.retention:
                del self.messages[number]
                continue
            if self.redrive is not None and message.receives >= self.redrive[1]:
                del self.messages[number]
                self.redrive[0]._admit(message)
                continue
            message.receives += 1
            message.first_received_at = message.first_received_at or now
            self._hide(number, message, now + visibility_timeout)
            received.append((f"{self.name}/{number}/{message.receives}", message))
        return received

    def delete(self, handle: str) -> None:
        """Takes a message off. A handle of an earlier receive, or of a message that is gone, does nothing.

        Raises
        ------
        ValueError
            The queue never gave this handle.
        """
        number, message = self._held(handle)
        if message is not None:
            self.in_flight -= message.hidden
            del self.messages[number]

    def change_visibility(self, handle: str, timeout: float) -> bool:
        """Hides a message for another time from now on; False if it is not in flight."""
        self._reveal()
        number, message = self._held(handle)
        if message is None or not message.hidden:
            return False
        self.in_flight -= 1
        self._hide(number, message, self._surroundings.clock() + timeout)
        return True

    def _admit(self, message: Message) -> None:
        message.hidden = False
        self._numbers += 1
        self.messages[self._numbers] = message
        self._visible.append(self._numbers)

    def _hide(self, number: int, message: Message, until: float) -> None:
        message.hidden = True
        message.visible_at = until
        self.in_flight += 1
        heapq.heappush(self._hidden, (until, number))

    def _reveal(self) -> None:
        now = self._surroundings.clock()
        while self._hidden and self._hidden[0][0] <= now:
            time, number = heapq.heappop(self._hidden)
            if self._is_hidden_until(number, time):
                self.messages[number].hidden = False
                self.in_flight -= 1
                self._visible.append(number)

    def _is_hidden_until(self, number: int, time: float) -> bool:
        message = self.messages.get(number)
        return message is not None and message.hidden and message.visible_at == time

    def _held(self, handle: str) -> tuple[int, Message | None]:
        name, _, rest = handle.partition("/")
        number, _, receives = rest.partition("/")
        if name != self.name or not number.isdecimal() or not receives.isdecimal():
            raise ValueError(f"{self.name} never gave the receipt handle {handle!r}")
        message = self.messages.get(int(number))
        return int(number), message if message is not None and message.receives == int(receives) else None


class Sqs(Client):
    """The client, and the queues that it reaches, by URL."""

    service = "sqs"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.queues: dict[str, Queue] = {}

    @operation("SendMessage", ("QueueUrl", "MessageBody"), ("MessageAttributes",))
    def send_message(self, params: Parameters) -> Answer:
        queue = self._queue("SendMessage", params["QueueUrl"])
        return self._send("SendMessage", queue, params)

    @operation("SendMessageBatch", ("QueueUrl", "Entries"))
    def send_message_batch(self, params: Parameters) -> Answer:
        queue = self._queue("SendMessageBatch", params["QueueUrl"])
        entries = self._entries("SendMessageBatch", params["Entries"])
        if sum(_size(entry["MessageBody"], entry.get("MessageAttributes") or {}) for entry in entries) > MESSAGE_BYTES:
            raise self.error(
                "SendMessageBatch",
                "AWS.SimpleQueueService.BatchRequestTooLong",
                f"Batch requests cannot be longer than {MESSAGE_BYTES} bytes.",
            )
        texts = [entry["MessageBody"] for entry in entries]
        condemned = self.surroundings.faults.condemn(self.service, "SendMessageBatch", queue.url, texts)
        doomed = {entries[position]["Id"] for position in condemned}

        def send(entry: Mapping[str, Any]) -> dict[str, Any]:
            if entry["Id"] in doomed:
                raise self.error("SendMessageBatch", "InvalidParameterValue", "Reason: the queue does not take it.")
            return {"Id": entry["Id"], **self._send("SendMessageBatch", queue, entry)}

        return self._batch("SendMessageBatch", entries, send)

    @operation(
        "ReceiveMessage",
        ("QueueUrl",),
        (
            "AttributeNames",
            "MaxNumberOfMessages",
            "MessageAttributeNames",
            "MessageSystemAttributeNames",
            "VisibilityTimeout",
            "WaitTimeSeconds",
        ),
    )
    def receive_message(self, params: Parameters) -> Answer:
        queue = self._queue("ReceiveMessage", params["QueueUrl"])
        limit = params.get("MaxNumberOfMessages", 1)
        if not 1 <= limit <= BATCH_ENTRIES:
            raise self._invalid_value(
                "ReceiveMessage",
                f"Value {limit} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, "
                "if provided.",
            )
        if queue.in_flight >= IN_FLIGHT:
            raise self.error("ReceiveMessage", "OverLimit", "Too many messages in flight")
        timeout = self._timeout("ReceiveMessage", params.get("VisibilityTimeout", queue.visibility_timeout))
        system = _wanted(params.get("MessageSystemAttributeNames") or params.get("AttributeNames"))
        own = _wanted(params.get("MessageAttributeNames"))
        messages = [_shown(handle, message, system, own) for handle, message in queue.receive(limit, timeout)]
        return {"Messages": messages} if messages else {}

    @operation("DeleteMessage", ("QueueUrl", "ReceiptHandle"))
    def delete_message(self, params: Parameters) -> Answer:
        self._delete("DeleteMessage", self._queue("DeleteMessage", params["QueueUrl"]), params)
        return {}

    @operation("DeleteMessageBatch", ("QueueUrl", "Entries"))
    def delete_message_batch(self, params: Parameters) -> Answer:
        queue = self._queue("DeleteMessageBatch", params["QueueUrl"])
        entries = self._entries("DeleteMessageBatch", params["Entries"])

        def delete(entry: Mapping[str, Any]) -> dict[str, Any]:
            self._delete("DeleteMessageBatch", queue, entry)
            return {"Id": entry["Id"]}

        return self._batch("DeleteMessageBatch", entries, delete)

    @operation("ChangeMessageVisibility", ("QueueUrl", "ReceiptHandle", "VisibilityTimeout"))
    def change_message_visibility(self, params: Parameters) -> Answer:
        name = "ChangeMessageVisibility"
        queue = self._queue(name, params["QueueUrl"])
        timeout = self._timeout(name, params["VisibilityTimeout"])
        try:
            changed = queue.change_visibility(params["ReceiptHandle"], timeout)
        except ValueError:
            raise self._invalid_handle(name, params["ReceiptHandle"]) from None
        if not changed:
            raise self.error(
                name, "AWS.SimpleQueueService.MessageNotInflight", "The message referred to isn't in flight."
            )
        return {}

    @operation("GetQueueUrl", ("QueueName",))
    def get_queue_url(self, params: Parameters) -> Answer:
        for queue in self.queues.values():
            if queue.name == params["QueueName"]:
                return {"QueueUrl": queue.url}
        raise self._no_queue("GetQueueUrl")

    @operation("GetQueueAttributes", ("QueueUrl", "AttributeNames"))
    def get_queue_attributes(self, params: Parameters) -> Answer:
        queue = self._queue("GetQueueAttributes", params["QueueUrl"])
        values = {
            "QueueArn": queue.arn,
            "VisibilityTimeout": str(int(queue.visibility_timeout)),
            "ApproximateNumberOfMessages": str(queue.visible),
            "ApproximateNumberOfMessagesNotVisible": str(queue.in_flight),
            "ApproximateNumberOfMessagesDelayed": "0",
        }
        wanted = params["AttributeNames"]
        if "All" not in wanted:
            if unknown := [name for name in wanted if name not in values]:
                raise NotImplementedError(f"GetQueueAttributes has no {unknown[0]} here")
            values = {name: values[name] for name in wanted}
        return {"Attributes": values}

    def _queue(self, operation_name: str, url: str) -> Queue:
        queue = self.queues.get(url)
        if queue is None:
            raise self._no_queue(operation_name)
        return queue

    def _send(self, operation_name: str, queue: Queue, entry: Mapping[str, Any]) -> dict[str, Any]:
        body, attributes = entry["MessageBody"], entry.get("MessageAttributes") or {}
        if error := refusal(body, attributes):
            code, message = error
            raise self.error(operation_name, code, message)
        identifier = self.surroundings.new_id()
        queue.add(identifier, body, attributes)
        answer = {"MessageId": identifier, "MD5OfMessageBody": _md5(body.encode())}
        return answer | ({"MD5OfMessageAttributes": attributes_md5(attributes)} if attributes else {})

    def _delete(self, operation_name: str, queue: Queue, entry: Mapping[str, Any]) -> None:
        try:
            queue.delete(entry["ReceiptHandle"])
        except ValueError:
            raise self._invalid_handle(operation_name, entry["ReceiptHandle"]) from None

    def _entries(self, operation_name: str, entries: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        if error := batch_refusal(entries, "AWS.SimpleQueueService."):
            code, message = error
            raise self.error(operation_name, code, message)
        return entries

    def _batch(
        self,
        operation_name: str,
        entries: Sequence[Mapping[str, Any]],
        carry_out: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> Answer:
        refused = self.surroundings.faults.refuse(self.service, operation_name, len(entries))
        taken: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for position, entry in enumerate(entries):
            if position in refused:
                failed.append(
                    {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError", "Message": "Try it again."}
                )
                continue
            try:
                taken.append(carry_out(entry))
            except ClientError as error:
                failed.append({"Id": entry["Id"], "SenderFault": True, **error.response["Error"]})
        return ({"Successful": taken} if taken else {}) | ({"Failed": failed} if failed else {})

    def _timeout(self, operation_name: str, timeout: float) -> float:
        if not 0 <= timeout <= LONGEST_TIMEOUT:
            raise self._invalid_value(
                operation_name,
                f"Value {timeout} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and "
                f"{LONGEST_TIMEOUT}, if provided.",
            )
        return timeout

    def _no_queue(self, operation_name: str) -> Exception:
        return self.error(operation_name, "AWS.SimpleQueueService.NonExistentQueue", _MISSING)

    def _invalid_handle(self, operation_name: str, handle: str) -> Exception:
        return self.error(
            operation_name,
            "ReceiptHandleIsInvalid",
            f'The input receipt handle "{handle}" is not a valid receipt handle.',
        )

    def _invalid_value(self, operation_name: str, message: str) -> Exception:
        return self.error(operation_name, "InvalidParameterValue", message)


def refusal(body: str, attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """Code and message with which a queue refuses a message; None if it takes it."""
    if not body:
        return "MissingParameter", "The request must contain the parameter MessageBody."
    if _size(body, attributes) > MESSAGE_BYTES:
        return (
            "InvalidParameterValue",
            f"One or more parameters are invalid. Reason: Message must be shorter than {MESSAGE_BYTES} bytes.",
        )
    if _REFUSED_CHARACTERS.search(body):
        return "InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | …"
    return None


def batch_refusal(entries: Sequence[Mapping[str, Any]], prefix: str = "") -> tuple[str, str] | None:
    """Code and message with which SQS and SNS refuse a batch as a whole; None if its entries' ids are sound."""
    identifiers = [entry["Id"] for entry in entries]
    if not entries:
        return f"{prefix}EmptyBatchRequest", "The batch request doesn't contain any entries."
    if len(entries) > BATCH_ENTRIES:
        return (
            f"{prefix}TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH_ENTRIES}. You have sent {len(entries)}.",
        )
    if len(set(identifiers)) < len(identifiers):
        return f"{prefix}BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id."
    if not all(map(_ENTRY_ID.fullmatch, identifiers)):
        return (
            f"{prefix}InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores; at most 80.",
        )
    return None


def attributes_md5(attributes: Mapping[str, Mapping[str, Any]]) -> str:
    """MD5OfMessageAttributes ("Amazon SQS message metadata", Developer Guide)."""
    content = b""
    for name in sorted(attributes):
        attribute = attributes[name]
        binary = attribute["DataType"].startswith("Binary")
        value = attribute["BinaryValue"] if binary else attribute["StringValue"].encode()
        for part in (name.encode(), attribute["DataType"].encode()):
            content += len(part).to_bytes(4) + part
        content += (b"\x02" if binary else b"\x01") + len(value).to_bytes(4) + value
    return _md5(content)


def _size(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    size = len(body.encode())
    for name, attribute in attributes.items():
        value = attribute["BinaryValue"] if "BinaryValue" in attribute else attribute["StringValue"].encode()
        size += len(name.encode()) + len(attribute["DataType"]) + len(value)
    return size


def _wanted(names: Sequence[str] | None) -> Callable[[str], bool]:
    if not names:
        return lambda _: False
    if "All" in names or ".*" in names:
        return lambda _: True
    return frozenset(names).__contains__


def _shown(handle: str, message: Message, system: Callable[[str], bool], own: Callable[[str], bool]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": handle,
        "MD5OfBody": _md5(message.body.encode()),
        "Body": message.body,
    }
    about = {
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "SentTimestamp": str(int(message.sent_at * 1000)),
        "ApproximateReceiveCount": str(message.receives),
        "ApproximateFirstReceiveTimestamp": str(int(message.first_received_at * 1000)),
    }
    if about := {name: value for name, value in about.items() if system(name)}:
        shown["Attributes"] = about
    if attributes := {name: dict(value) for name, value in message.attributes.items() if own(name)}:
        shown["MessageAttributes"] = attributes
        shown["MD5OfMessageAttributes"] = attributes_md5(attributes)
    return shown


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
