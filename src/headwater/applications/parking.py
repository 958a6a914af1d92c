"""Elements that the account domain cannot be told of, on the queue of parked records."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from headwater.applications.elements import Element
from headwater.attribute_values import MalformedAttributeError, unmarshal_item
from headwater.clock import timestamp

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: Who could not go on, and the pipe that it stands behind.
CONSUMER = "ApplicationStatus"
PIPE = "ApplicationStatusPipe"


class SqsParking:
    """Implements `headwater.applications.target.Parking`: a message an element, in the shape of all parked records.

    ``raw`` holds the record as the stream had it, ``parsed`` the action in it, None if it cannot be read.
    """

    def __init__(self, client: "SQSClient", url: str, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._url = url
        self._clock = clock

    def park(self, element: Element) -> None:
        now = timestamp(self._clock())
        record = element.record if isinstance(element.record, dict) else {}
        action = _action(record)
        body = {
            "consumer": CONSUMER,
            "mapping": PIPE,
            "source_arn": str(record.get("eventSourceARN", "")),
            "aggregate_id": "" if action is None else str(action.get("pk", "")),
            "versions": [],
            "reason": element.reason,
            "error": element.error,
            "attempts": None,
            "failed_at": now,
            "parked_at": now,
            "parsed": [action],
            "raw": [element.record],
        }
        self._client.send_message(QueueUrl=self._url, MessageBody=orjson.dumps(body, default=str).decode())


def _action(record: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return unmarshal_item(record["dynamodb"]["NewImage"])
    except (KeyError, TypeError, MalformedAttributeError):
        return None
