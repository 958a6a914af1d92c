"""Looks into a queue without losing or hiding what is in it.

SQS knows no reading without receiving. So each message is hidden while the command works on it, and shown again as soon
as that is over; if the command is killed, it shows again by itself when the hold ends. Its receive count rises, which
is why no queue that people look into has a redrive policy.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: Long enough to go through thousands of messages, short enough that a killed command hides nothing for long.
HOLD_SECONDS: Final = 300
_BATCH: Final = 10
#: Waiting asks all of SQS's servers, so that an empty answer means an empty queue.
_WAIT_SECONDS: Final = 1
_COUNTS: Final[Sequence[Any]] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message that is held. ``attributes`` are its text attributes; ``expires_at`` is when SQS deletes it."""

    id: str
    body: str
    receipt_handle: str
    sent_at: datetime
    expires_at: datetime
    receives: int
    attributes: dict[str, str]


def counted(sqs: "SQSClient", url: str) -> int:
    """How many messages a queue has by SQS's own count: to be had, in flight and delayed.

    The count is right a minute after the last change, and about right before (GetQueueAttributes, SQS API reference).
    """
    return sum(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"].values()))


@dataclass(slots=True)
class Held:
    """A queue's messages, oldest first, as many as could be had."""

    messages: list[Message]
    _sqs: "SQSClient"
    _url: str
    _deleted: set[str] = field(default_factory=set)

    def unseen(self) -> int:
        """How many more the queue has: in somebody else's hands, delayed, or sent since."""
        return max(0, counted(self._sqs, self._url) - len(self.messages) + len(self._deleted))

    def delete(self, message: Message) -> None:
        """Takes a message off the queue for good."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt_handle)
        self._deleted.add(message.id)

    def release(self) -> None:
        """Shows all others again."""
        left = [message for message in self.messages if message.id not in self._deleted]
        for batch in batched(left, _BATCH, strict=False):
            # What fails here shows again by itself.
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(position), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": 0}
                    for position, message in enumerate(batch)
                ],
            )


@contextmanager
def held(sqs: "SQSClient", url: str) -> Iterator[Held]:
    """All messages of a queue that can be received now; within it nobody else gets them."""
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["MessageRetentionPeriod"])["Attributes"]
    retention = timedelta(seconds=int(attributes["MessageRetentionPeriod"]))
    found = Held([], sqs, url)
    by_id: dict[str, Message] = {}
    try:
        while answer := sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=_WAIT_SECONDS,
            VisibilityTimeout=HOLD_SECONDS,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages"):
            new = [_message(raw, retention) for raw in answer]
            if not any(message.id not in by_id for message in new):
                # So many that the first ones show again already.
                break
            by_id |= {message.id: message for message in new}
        found.messages = sorted(by_id.values(), key=lambda message: (message.sent_at, message.id))
        yield found
    finally:
        found.messages = found.messages or list(by_id.values())
        found.release()


def _message(raw: Any, retention: timedelta) -> Message:
    system = raw["Attributes"]
    sent_at = datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC)
    return Message(
        id=raw["MessageId"],
        body=raw["Body"],
        receipt_handle=raw["ReceiptHandle"],
        sent_at=sent_at,
        expires_at=sent_at + retention,
        receives=int(system["ApproximateReceiveCount"]),
        attributes={
            name: value["StringValue"]
            for name, value in raw.get("MessageAttributes", {}).items()
            if "StringValue" in value
        },
    )
