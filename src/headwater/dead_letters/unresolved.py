"""The queue of failed batches that nobody could resolve, and of messages that nobody knows."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: The message attribute that says why a message is there; one that the redrive policy moved has none.
REASON = "reason"


class SqsUnresolvedPointers:
    """Implements `headwater.dead_letters.resolver.UnresolvedPointers`."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def keep(self, body: str, reason: str) -> None:
        self._client.send_message(
            QueueUrl=self._queue_url,
            MessageBody=body,
            MessageAttributes={REASON: {"DataType": "String", "StringValue": reason}},
        )
