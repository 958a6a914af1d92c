"""Elements that the account domain cannot be told of, on the queue of parked records."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from headwater.applications.elements import Element
from headwater.clock import timestamp

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CONSUMER = "ApplicationStatus"


class SqsParking:
    """Implements `headwater.applications.target.Parking`: a message an element, the record as the stream had it."""

    def __init__(self, client: "SQSClient", url: str, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._url = url
        self._clock = clock

    def park(self, element: Element) -> None:
        body = {
            "consumer": CONSUMER,
            "error": element.error,
            "reason": element.reason,
            "parked_at": timestamp(self._clock()),
            "records": [element.record],
        }
        self._client.send_message(QueueUrl=self._url, MessageBody=orjson.dumps(body).decode())
