"""Messages of a queue, as Lambda delivers them."""

from typing import Any

import pytest

from headwater.change_stream import sqs
from headwater.change_stream.records import MalformedRecordError
from tests.fakes.queue_messages import queue_message
from tests.fakes.table_stream import play


def test_a_message_gives_its_body_its_text_attributes_and_how_often_it_came() -> None:
    raw = queue_message(play(1, 1), "m-1", body="{}")
    raw["attributes"]["ApproximateReceiveCount"] = "3"
    raw["messageAttributes"]["seal"] = {"binaryValue": "c2VhbA==", "dataType": "Binary"}

    assert sqs.parse(raw) == sqs.QueueMessage(
        message_id="m-1",
        body="{}",
        attributes={"type": "PlayCompleted", "aggregate_type": "player"},
        receive_count=3,
        receipt_handle="AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        queue="welcome-email",
    )


def test_message_attributes_are_optional() -> None:
    raw = queue_message(play(1, 1), "m-1")
    del raw["messageAttributes"]

    assert sqs.parse(raw).attributes == {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"messageId": None}, "messageId"),
        ({"body": None}, "body"),
        ({"body": {"a": 1}}, "body"),
        ({"attributes": {}}, "ApproximateReceiveCount"),
        ({"attributes": {"ApproximateReceiveCount": "many"}}, "many"),
        ({"attributes": None}, "attributes"),
        ({"messageAttributes": {"type": None}}, "messageAttributes"),
    ],
)
def test_what_is_no_message_is_refused_by_field(change: dict[str, Any], named: str) -> None:
    with pytest.raises(MalformedRecordError, match=named):
        sqs.parse(queue_message(play(1, 1), "m-1") | change)


@pytest.mark.parametrize("raw", [{}, {"messageId": ""}, [], None])
def test_a_record_without_a_message_id_cannot_be_named(raw: Any) -> None:
    with pytest.raises(MalformedRecordError, match="messageId"):
        sqs.message_id(raw)
