"""Messages as Lambda delivers them from a queue behind the topic (AWS's documented shape, raw delivery)."""

from typing import Any

from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.domain.events import RecordedEvent
from tests.fakes.kinesis_records import outgoing


def queue_message(event: RecordedEvent | OutgoingEvent, message_id: str, body: str | None = None) -> dict[str, Any]:
    """One message; ``body`` replaces the event's own."""
    message = event if isinstance(event, OutgoingEvent) else outgoing(event)
    return {
        "messageId": message_id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": message.body.decode() if body is None else body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1772366400123",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1772366400185",
        },
        "messageAttributes": {
            "type": {
                "stringValue": message.type,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            },
            "aggregate_type": {
                "stringValue": message.aggregate_type,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            },
        },
        "md5OfBody": "098f6bcd4621d373cade4e832627b4f6",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:welcome-email",
        "awsRegion": "eu-west-1",
    }
