"""Hiding a message for longer than its queue does, where trying again sooner would be in vain."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Protocol

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from headwater.change_stream.sqs import QueueMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = Logger()


class Postponement(Protocol):
    """Hides messages of the queue that they came from."""

    def postpone(self, message: QueueMessage, delay: timedelta) -> None:
        """Hides the message for ``delay`` from now on. A failure is none of the caller's: the message comes sooner."""
        ...


def pause(postponement: Postponement, message: QueueMessage, pauses: Sequence[timedelta]) -> None:
    """Hides a message that failed for the pause that follows this receipt; after the last one its queue moves it on."""
    if message.receive_count <= len(pauses):
        postponement.postpone(message, pauses[message.receive_count - 1])


class SqsPostponement:
    """Implements `Postponement`.

    Lambda leaves the visibility of a failed message alone, so that what is set while it is handled holds ("Handling
    errors for an SQS event source in Lambda"). SQS hides no message for more than 12 hours from its receipt.
    """

    def __init__(self, client: "SQSClient") -> None:
        self._client = client
        self._url = cache(self._queue_url)

    def postpone(self, message: QueueMessage, delay: timedelta) -> None:
        try:
            self._client.change_message_visibility(
                QueueUrl=self._url(message.queue),
                ReceiptHandle=message.receipt_handle,
                VisibilityTimeout=int(delay.total_seconds()),
            )
        except (BotoCoreError, ClientError) as error:
            logger.warning("a message was not postponed: it comes again sooner", error=type(error).__name__)

    def _queue_url(self, name: str) -> str:
        return self._client.get_queue_url(QueueName=name)["QueueUrl"]
