"""Looking into a queue: nothing is lost, and nothing stays hidden."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from operations.dead_letters.queues import held
from tests.fakes.moto import mock_aws

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

FOURTEEN_DAYS = 1_209_600


@pytest.fixture
def sqs() -> Iterator["SQSClient"]:
    with mock_aws():
        yield boto3.client("sqs")


def filled(sqs: "SQSClient", count: int) -> str:
    url: str = sqs.create_queue(QueueName="q", Attributes={"MessageRetentionPeriod": str(FOURTEEN_DAYS)})["QueueUrl"]
    for number in range(count):
        attributes: Any = {"reason": {"DataType": "String", "StringValue": "r"}} if number == 0 else {}
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageAttributes=attributes)
    return url


def visible(sqs: "SQSClient", url: str) -> int:
    names: Any = ["ApproximateNumberOfMessages"]
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])


def test_all_messages_are_had_oldest_first_and_shown_again_afterwards(sqs: "SQSClient") -> None:
    url = filled(sqs, 37)

    with held(sqs, url) as queue:
        assert sorted(int(message.body) for message in queue.messages) == list(range(37))
        assert queue.messages == sorted(queue.messages, key=lambda message: (message.sent_at, message.id))
        assert visible(sqs, url) == 0, "nobody else works on them meanwhile"

    assert visible(sqs, url) == 37


def test_a_message_says_when_it_expires_and_what_came_with_it(sqs: "SQSClient") -> None:
    url = filled(sqs, 1)

    with held(sqs, url) as queue:
        (message,) = queue.messages

    assert (message.expires_at - message.sent_at).total_seconds() == FOURTEEN_DAYS
    assert message.attributes == {"reason": "r"}
    assert message.receives == 1


def test_what_is_deleted_is_gone_and_the_others_are_shown(sqs: "SQSClient") -> None:
    url = filled(sqs, 12)

    with held(sqs, url) as queue:
        for message in queue.messages[:5]:
            queue.delete(message)

    assert visible(sqs, url) == 7


def test_a_failure_in_the_middle_hides_nothing(sqs: "SQSClient") -> None:
    url = filled(sqs, 12)

    with pytest.raises(KeyError), held(sqs, url):
        raise KeyError

    assert visible(sqs, url) == 12


def test_what_somebody_else_looks_at_is_told_and_left_to_them(sqs: "SQSClient") -> None:
    url = filled(sqs, 12)

    with held(sqs, url) as first:
        with held(sqs, url) as second:
            assert (second.messages, second.unseen()) == ([], 12)
        assert visible(sqs, url) == 0
        assert (len(first.messages), first.unseen()) == (12, 0)


def test_what_is_delayed_sent_since_or_taken_off_is_counted(sqs: "SQSClient") -> None:
    url = filled(sqs, 3)
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=900)

    with held(sqs, url) as queue:
        assert (len(queue.messages), queue.unseen()) == (3, 1)
        sqs.send_message(QueueUrl=url, MessageBody="new")
        assert queue.unseen() == 2
        queue.delete(queue.messages[0])
        assert queue.unseen() == 2


def test_looking_often_loses_nothing(sqs: "SQSClient") -> None:
    url = filled(sqs, 3)

    for _ in range(10):
        with held(sqs, url) as queue:
            assert len(queue.messages) == 3
    assert {message.receives for message in queue.messages} == {10}
