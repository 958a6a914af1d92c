"""SNS standard topics with queues behind them.

Sources: Publish and PublishBatch in the SNS API reference; "Amazon SNS message filtering" and "Amazon SNS raw message
delivery" in the Developer Guide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from devstack.simulator.cloud.sqs import Queue, batch_refusal, refusal

REQUEST_BYTES: Final = 256 * 1024
RAW_DELIVERY_ATTRIBUTES: Final = 10

type FilterPolicy = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A queue behind a topic: raw delivery of what its filter policy lets through."""

    queue: Queue
    accepted: Mapping[str, frozenset[str]]
    dead_letter_queue: Queue | None


@dataclass(slots=True)
class Topic:
    """``undelivered`` are messages that a queue without a dead-letter queue refused: SNS drops those."""

    arn: str
    subscriptions: list[Subscription] = field(default_factory=list)
    published: int = 0
    undelivered: list[str] = field(default_factory=list)

    def subscribe(self, queue: Queue, filter_policy: FilterPolicy | None, dead_letter_queue: Queue | None) -> None:
        """Puts a queue behind the topic.

        Raises
        ------
        NotImplementedError
            The filter policy is more than lists of exact strings by message attribute.
        """
        for name, values in (filter_policy or {}).items():
            if isinstance(values, str) or not isinstance(values, Sequence):
                raise NotImplementedError(f"a filter policy is lists of exact strings here, not {name}: {values!r}")
            for value in values:
                if not isinstance(value, str):
                    raise NotImplementedError(f"a filter policy matches exact strings here, not {name}: {value!r}")
            if not values:
                raise ValueError(f"the filter policy's list {name} is empty: SNS refuses that")
        accepted = {name: frozenset(values) for name, values in (filter_policy or {}).items()}
        self.subscriptions.append(Subscription(queue, accepted, dead_letter_queue))

    def deliver(self, identifier: str, message: str, attributes: Mapping[str, Mapping[str, Any]]) -> None:
        self.published += 1
        for subscription in self.subscriptions:
            if not _matches(subscription.accepted, attributes):
                continue
            # Raw delivery discards what a queue's message cannot carry.
            if refusal(message, attributes) is None and len(attributes) <= RAW_DELIVERY_ATTRIBUTES:
                subscription.queue.add(identifier, message, attributes)
            elif subscription.dead_letter_queue is not None and refusal(message, {}) is None:
                subscription.dead_letter_queue.add(identifier, message, {})
            else:
                self.undelivered.append(message)


class Sns(Client):
    """The client, and the topics that it reaches, by ARN."""

    service = "sns"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.topics: dict[str, Topic] = {}

    @operation("Publish", ("TopicArn", "Message"), ("MessageAttributes",))
    def publish(self, params: Parameters) -> Answer:
        topic = self._topic("Publish", params["TopicArn"])
        attributes = params.get("MessageAttributes") or {}
        self._check_attributes("Publish", attributes)
        if not params["Message"]:
            raise self.error("Publish", "InvalidParameter", "Invalid parameter: Empty message")
        if _size(params["Message"], attributes) > REQUEST_BYTES:
            raise self.error("Publish", "InvalidParameter", "Invalid parameter: Message too long")
        identifier = self.surroundings.new_id()
        topic.deliver(identifier, params["Message"], attributes)
        return {"MessageId": identifier}

    @operation("PublishBatch", ("TopicArn", "PublishBatchRequestEntries"))
    def publish_batch(self, params: Parameters) -> Answer:
        name, entries = "PublishBatch", params["PublishBatchRequestEntries"]
        topic = self._topic(name, params["TopicArn"])
        if error := batch_refusal(entries):
            raise self.error(name, *error)
        total = 0
        for entry in entries:
            if unsupported := entry.keys() - {"Id", "Message", "MessageAttributes"}:
                raise NotImplementedError(f"an entry of PublishBatch has no {min(unsupported)} here")
            attributes = entry.get("MessageAttributes") or {}
            self._check_attributes(name, attributes)
            total += _size(entry["Message"], attributes)
        if total > REQUEST_BYTES:
            raise self.error(
                name, "BatchRequestTooLong", "The length of all the messages put together is more than the limit."
            )
        refused = self.surroundings.faults.refuse(self.service, name, len(entries))
        texts = [entry["Message"] for entry in entries]
        condemned = self.surroundings.faults.condemn(self.service, name, topic.arn, texts)
        taken: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for position, entry in enumerate(entries):
            if position in refused:
                failed.append({"Id": entry["Id"], "Code": "InternalError", "Message": "", "SenderFault": False})
            elif position in condemned or not entry["Message"]:
                failed.append(
                    {
                        "Id": entry["Id"],
                        "Code": "InvalidParameter",
                        "Message": f"Invalid parameter: {'Message' if entry['Message'] else 'Empty message'}",
                        "SenderFault": True,
                    }
                )
            else:
                identifier = self.surroundings.new_id()
                topic.deliver(identifier, entry["Message"], entry.get("MessageAttributes") or {})
                taken.append({"Id": entry["Id"], "MessageId": identifier})
        return {"Successful": taken, "Failed": failed}

    def _topic(self, operation_name: str, arn: str) -> Topic:
        topic = self.topics.get(arn)
        if topic is None:
            raise self.error(operation_name, "NotFound", "Topic does not exist", status=404)
        return topic

    def _check_attributes(self, operation_name: str, attributes: Mapping[str, Mapping[str, Any]]) -> None:
        for name, attribute in attributes.items():
            if attribute["DataType"] != "String":
                raise NotImplementedError(f"message attributes are Strings here, not {attribute['DataType']} ({name})")
            if not attribute.get("StringValue"):
                raise self.error(
                    operation_name,
                    "ParameterValueInvalid",
                    f"The message attribute '{name}' must contain non-empty message attribute value",
                )


def _matches(accepted: Mapping[str, frozenset[str]], attributes: Mapping[str, Mapping[str, Any]]) -> bool:
    for name, values in accepted.items():
        if name not in attributes or attributes[name]["StringValue"] not in values:
            return False
    return True


def _size(message: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    size = len(message) if message.isascii() else len(message.encode())
    for name, attribute in attributes.items():
        size += len(name.encode()) + len(attribute["DataType"]) + len(attribute["StringValue"].encode())
    return size
