"""One suite against the simulator's SNS, SQS and SES and moto's.

Where moto does otherwise than AWS documents, its case is skipped with what moto does.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from devstack.mappings.records import queue_message
from headwater.change_stream import sqs as queue_records
from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

KIB = 1024
SENDER = "no-reply@example.com"


@dataclass(frozen=True)
class Messaging:
    """Clients. ``queue`` has ``dead_letters`` after two receives; ``subscribe`` puts a new queue behind ``topic``."""

    sns: "SNSClient"
    sqs: "SQSClient"
    topic: str
    queue: str
    dead_letters: str
    subscribe: Callable[[str, Mapping[str, Sequence[str]] | None], str]


def in_memory() -> Messaging:
    aws = FakeAws()
    dead_letters = aws.cloud.create_queue("dead-letters")
    queue = aws.cloud.create_queue("work", 30, ("dead-letters", 2))

    def subscribe(name: str, policy: Mapping[str, Sequence[str]] | None) -> str:
        url = aws.cloud.create_queue(name)
        aws.cloud.subscribe(aws.topic, url, policy)
        return url

    return Messaging(aws.sns, aws.sqs, aws.topic, queue, dead_letters, subscribe)


def on_moto() -> Messaging:
    sns: SNSClient = boto3.client("sns")
    sqs: SQSClient = boto3.client("sqs")
    topic = sns.create_topic(Name="events")["TopicArn"]

    def arn(url: str) -> str:
        return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    dead_letters = sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": arn(dead_letters), "maxReceiveCount": 2})
    queue = sqs.create_queue(QueueName="work", Attributes={"VisibilityTimeout": "30", "RedrivePolicy": redrive})

    def subscribe(name: str, policy: Mapping[str, Sequence[str]] | None) -> str:
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        attributes = {"RawMessageDelivery": "true"} | ({"FilterPolicy": json.dumps(policy)} if policy else {})
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn(url), Attributes=attributes)
        return url

    return Messaging(sns, sqs, topic, queue["QueueUrl"], dead_letters, subscribe)


@pytest.fixture(params=[in_memory, on_moto])
def aws(request: pytest.FixtureRequest) -> Iterator[Messaging]:
    build: Callable[[], Messaging] = request.param
    with mock_aws():
        yield build()


def skip_moto(request: pytest.FixtureRequest, what_moto_does: str) -> None:
    if "on_moto" in request.node.name:
        pytest.skip(f"moto {what_moto_does}")


def receive(aws: Messaging, url: str | None = None, **request: Any) -> list[Any]:
    answer = aws.sqs.receive_message(
        QueueUrl=url or aws.queue,
        MaxNumberOfMessages=10,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
        **request,
    )
    return list(answer.get("Messages", []))


def bodies(messages: list[Any]) -> list[str]:
    return sorted(message["Body"] for message in messages)


def give_back(aws: Messaging, message: Any) -> None:
    aws.sqs.change_message_visibility(QueueUrl=aws.queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)


def string(value: str) -> Any:
    return {"DataType": "String", "StringValue": value}


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


# SQS


def test_a_message_arrives_whole_and_is_hidden_until_it_comes_back(aws: Messaging) -> None:
    sent = aws.sqs.send_message(
        QueueUrl=aws.queue, MessageBody="Zoë 🏆", MessageAttributes={"type": string("A"), "more": string("ü")}
    )

    (message,) = receive(aws)
    assert receive(aws) == []
    give_back(aws, message)
    (again,) = receive(aws)

    assert message["Body"] == "Zoë 🏆"
    assert message["MessageAttributes"] == {"type": string("A"), "more": string("ü")}
    assert (message["MessageId"], message["MD5OfBody"], message["MD5OfMessageAttributes"]) == (
        sent["MessageId"],
        sent["MD5OfMessageBody"],
        sent["MD5OfMessageAttributes"],
    )
    assert (sent["MD5OfMessageBody"], sent["MD5OfMessageAttributes"]) == (
        "932ad993ad0c4605c551d4674cff825f",
        "1dc336405e864c0deb16ae4648b1f092",
    )
    counts = [each["Attributes"]["ApproximateReceiveCount"] for each in (message, again)]
    assert counts == ["1", "2"]
    assert again["MessageId"] == message["MessageId"]


def test_a_receive_shows_attributes_on_demand_alone(aws: Messaging) -> None:
    aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="x", MessageAttributes={"type": string("A")})

    (message,) = aws.sqs.receive_message(QueueUrl=aws.queue)["Messages"]

    assert "Attributes" not in message
    assert "MessageAttributes" not in message


def test_an_empty_queue_answers_no_messages(aws: Messaging) -> None:
    assert receive(aws) == []


def test_what_is_deleted_is_gone_and_deleting_it_again_is_harmless(aws: Messaging) -> None:
    aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="x")
    (message,) = receive(aws, VisibilityTimeout=0)

    for _ in range(2):
        aws.sqs.delete_message(QueueUrl=aws.queue, ReceiptHandle=message["ReceiptHandle"])

    assert receive(aws) == []


def test_the_handle_of_an_earlier_receive_deletes_nothing(request: pytest.FixtureRequest, aws: Messaging) -> None:
    skip_moto(request, "deletes by any handle that it gave")
    aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="x")
    (first,) = receive(aws)
    give_back(aws, first)
    (second,) = receive(aws)

    aws.sqs.delete_message(QueueUrl=aws.queue, ReceiptHandle=first["ReceiptHandle"])

    give_back(aws, second)
    attributes = aws.sqs.get_queue_attributes(QueueUrl=aws.queue, AttributeNames=["ApproximateNumberOfMessages"])
    assert attributes["Attributes"] == {"ApproximateNumberOfMessages": "1"}


def test_a_message_received_too_often_goes_to_the_dead_letters(aws: Messaging) -> None:
    aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="poison", MessageAttributes={"type": string("A")})

    for _ in range(2):
        (message,) = receive(aws)
        assert receive(aws, aws.dead_letters) == []
        give_back(aws, message)
    assert receive(aws) == []

    (dead,) = receive(aws, aws.dead_letters)
    assert (dead["MessageId"], dead["Body"]) == (message["MessageId"], "poison")
    assert dead["MessageAttributes"] == {"type": string("A")}


def test_a_batch_tells_what_it_deleted_and_what_not(aws: Messaging) -> None:
    aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="x")
    (message,) = receive(aws)

    answer = aws.sqs.delete_message_batch(
        QueueUrl=aws.queue,
        Entries=[
            {"Id": "good", "ReceiptHandle": message["ReceiptHandle"]},
            {"Id": "bad", "ReceiptHandle": "never given"},
        ],
    )

    assert answer["Successful"] == [{"Id": "good"}]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("bad", "ReceiptHandleIsInvalid", True)


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ([], "AWS.SimpleQueueService.EmptyBatchRequest"),
        (["a", "a"], "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        ([str(number) for number in range(11)], "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        (["a b"], "AWS.SimpleQueueService.InvalidBatchEntryId"),
    ],
    ids=["none", "repeated", "eleven", "bad id"],
)
def test_sqs_keeps_to_the_limits_of_a_batch(
    request: pytest.FixtureRequest, aws: Messaging, identifiers: list[str], expected: str
) -> None:
    if len(identifiers) in {1, 11}:
        skip_moto(request, "checks neither ids nor their number in DeleteMessageBatch")

    with pytest.raises(ClientError) as caught:
        aws.sqs.delete_message_batch(
            QueueUrl=aws.queue, Entries=[{"Id": identifier, "ReceiptHandle": "x"} for identifier in identifiers]
        )

    assert code(caught) == expected
    assert type(caught.value).__name__ == expected.rpartition(".")[2]


def test_sqs_refuses_what_it_cannot_hold(request: pytest.FixtureRequest, aws: Messaging) -> None:
    with pytest.raises(ClientError) as caught:
        aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="x" * (1024 * KIB + 1))
    assert code(caught) == "InvalidParameterValue"

    skip_moto(request, "takes an empty message, and any character")
    with pytest.raises(ClientError) as caught:
        aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="")
    assert code(caught) == "MissingParameter"
    with pytest.raises(aws.sqs.exceptions.InvalidMessageContents):
        aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="\ufffe")


def test_a_receive_takes_ten_at_the_most(aws: Messaging) -> None:
    for number in range(12):
        aws.sqs.send_message(QueueUrl=aws.queue, MessageBody=str(number))

    assert len(receive(aws)) == 10
    assert len(receive(aws)) == 2
    with pytest.raises(ClientError) as caught:
        aws.sqs.receive_message(QueueUrl=aws.queue, MaxNumberOfMessages=11)
    assert code(caught) == "InvalidParameterValue"


def test_a_queue_that_is_not_there_is_told(aws: Messaging) -> None:
    calls: list[Callable[[], object]] = [
        lambda: aws.sqs.send_message(QueueUrl=f"{aws.queue}x", MessageBody="x"),
        lambda: aws.sqs.receive_message(QueueUrl=f"{aws.queue}x"),
        lambda: aws.sqs.get_queue_url(QueueName="nowhere"),
    ]
    for call in calls:
        with pytest.raises(aws.sqs.exceptions.QueueDoesNotExist) as caught:
            call()
        assert code(caught) == "AWS.SimpleQueueService.NonExistentQueue"


def test_a_handle_that_was_never_given_is_refused(aws: Messaging) -> None:
    with pytest.raises(aws.sqs.exceptions.ReceiptHandleIsInvalid):
        aws.sqs.delete_message(QueueUrl=aws.queue, ReceiptHandle="never given")


def test_a_queue_is_found_by_name_and_counts_its_messages(aws: Messaging) -> None:
    assert aws.sqs.get_queue_url(QueueName="work")["QueueUrl"] == aws.queue
    for number in range(3):
        aws.sqs.send_message(QueueUrl=aws.queue, MessageBody=str(number))
    aws.sqs.receive_message(QueueUrl=aws.queue)

    attributes = aws.sqs.get_queue_attributes(QueueUrl=aws.queue, AttributeNames=["All"])["Attributes"]

    assert (attributes["ApproximateNumberOfMessages"], attributes["ApproximateNumberOfMessagesNotVisible"]) == (
        "2",
        "1",
    )
    assert attributes["VisibilityTimeout"] == "30"


def test_a_hidden_message_comes_back_when_its_time_is_over() -> None:
    aws = FakeAws()
    url = aws.cloud.create_queue("work", visibility_timeout=30)
    queue = aws.cloud.queue("work")
    aws.sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = aws.sqs.receive_message(QueueUrl=url)["Messages"]

    assert queue.next_visible_at == pytest.approx(aws.clock.now + 30)
    aws.clock.now += 29.9
    assert "Messages" not in aws.sqs.receive_message(QueueUrl=url)
    aws.clock.now += 0.1
    assert queue.next_visible_at == aws.clock.now
    # Late, but nobody else has it: as on AWS, the handle still deletes.
    aws.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert len(queue) == queue.visible == queue.in_flight == 0
    assert not queue.next_visible_at


def test_a_message_past_the_queues_retention_is_gone() -> None:
    aws = FakeAws()
    url = aws.cloud.create_queue("work", retention=60)
    aws.sqs.send_message(QueueUrl=url, MessageBody="x")
    aws.clock.now += 61

    assert "Messages" not in aws.sqs.receive_message(QueueUrl=url)


def test_a_received_message_has_the_shape_that_lambda_delivers() -> None:
    aws = FakeAws()
    aws.sns.publish(TopicArn=aws.topic, Message="body", MessageAttributes={"type": string("A")})

    (message,) = aws.sqs.receive_message(
        QueueUrl=aws.queue, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]

    record = queue_records.parse(json.loads(queue_message(message, aws.cloud.queue("probe").arn).body))
    assert (record.body, record.attributes, record.receive_count) == ("body", {"type": "A"}, 1)
    assert message["Attributes"] == {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1772366400250",
        "SenderId": "AIDAIENQZJOLO23YVJ4VO",
        "ApproximateFirstReceiveTimestamp": "1772366400250",
    }


# SNS


def entry(identifier: str, message: str = "m", **attributes: str) -> Any:
    shown = {"Id": identifier, "Message": message}
    values = {name: string(value) for name, value in attributes.items()}
    return shown | ({"MessageAttributes": values} if values else {})


def publish(aws: Messaging, *entries: Any) -> Any:
    return aws.sns.publish_batch(TopicArn=aws.topic, PublishBatchRequestEntries=list(entries))


def test_a_message_reaches_every_queue_whose_policy_it_matches(aws: Messaging) -> None:
    everything = aws.subscribe("everything", None)
    registrations = aws.subscribe("registrations", {"type": ["UserRegistered", "UserDeleted"]})
    both = aws.subscribe("both", {"type": ["UserRegistered"], "aggregate_type": ["user"]})

    answer = publish(
        aws,
        entry("1", "one", type="UserRegistered", aggregate_type="user"),
        entry("2", "two", type="PlayCompleted", aggregate_type="player"),
        entry("3", "three", type="UserDeleted", aggregate_type="user"),
        entry("4", "four", type="UserRegistered"),
        entry("5", "five"),
    )

    assert [taken["Id"] for taken in answer["Successful"]] == ["1", "2", "3", "4", "5"]
    assert answer["Failed"] == []
    assert bodies(receive(aws, everything)) == ["five", "four", "one", "three", "two"]
    assert bodies(receive(aws, registrations)) == ["four", "one", "three"]
    (message,) = receive(aws, both)
    assert message["Body"] == "one"
    assert message["MessageAttributes"] == {"type": string("UserRegistered"), "aggregate_type": string("user")}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], "EmptyBatchRequest"),
        ([entry("a")] * 2, "BatchEntryIdsNotDistinct"),
        ([entry(str(number)) for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([entry("a b")], "InvalidBatchEntryId"),
        ([entry(str(number), "m" * 130 * KIB) for number in range(2)], "BatchRequestTooLong"),
    ],
    ids=["none", "repeated", "eleven", "bad id", "260 KB"],
)
def test_sns_keeps_to_the_limits_of_a_batch(
    request: pytest.FixtureRequest, aws: Messaging, entries: list[Any], expected: str
) -> None:
    """FAULTS row 12."""
    if expected in {"EmptyBatchRequest", "InvalidBatchEntryId", "BatchRequestTooLong"}:
        skip_moto(request, "checks neither emptiness, nor ids, nor the length of a batch")
    queue = aws.subscribe("everything", None)

    with pytest.raises(ClientError) as caught:
        publish(aws, *entries)

    assert code(caught) == expected
    assert type(caught.value).__name__ == f"{expected}Exception"
    assert receive(aws, queue) == []


def test_an_empty_attribute_refuses_the_whole_batch(request: pytest.FixtureRequest, aws: Messaging) -> None:
    """So that whoever sends must find out which one it was."""
    skip_moto(request, "takes an empty attribute in a batch")
    queue = aws.subscribe("everything", None)

    with pytest.raises(ClientError) as caught:
        publish(aws, entry("1", "one", type="UserRegistered"), entry("2", "two", type=""))

    assert code(caught) == "ParameterValueInvalid"
    assert receive(aws, queue) == []


def test_an_empty_message_is_the_senders_fault(request: pytest.FixtureRequest, aws: Messaging) -> None:
    """FAULTS row 11."""
    skip_moto(request, "takes it")

    answer = publish(aws, entry("good"), entry("bad", ""))

    assert [taken["Id"] for taken in answer["Successful"]] == ["good"]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("bad", "InvalidParameter", True)


def test_one_message_holds_256_kb(aws: Messaging) -> None:
    queue = aws.subscribe("everything", None)

    aws.sns.publish(TopicArn=aws.topic, Message="m" * 256 * KIB)
    with pytest.raises(aws.sns.exceptions.InvalidParameterException):
        aws.sns.publish(TopicArn=aws.topic, Message="m" * (256 * KIB + 1))

    assert len(receive(aws, queue)) == 1


def test_a_topic_that_is_not_there_is_told(aws: Messaging) -> None:
    with pytest.raises(aws.sns.exceptions.NotFoundException) as caught:
        aws.sns.publish_batch(TopicArn=f"{aws.topic}x", PublishBatchRequestEntries=[entry("a")])

    assert (code(caught), caught.value.response["ResponseMetadata"]["HTTPStatusCode"]) == ("NotFound", 404)


@pytest.mark.parametrize("policy", [{"type": [{"prefix": "User"}]}, {"type": [7]}, {"type": "UserRegistered"}])
def test_a_filter_policy_that_nobody_here_writes_is_refused_by_name(policy: Any) -> None:
    aws = FakeAws()
    with pytest.raises(NotImplementedError, match="type"):
        aws.cloud.subscribe(aws.topic, aws.queue, policy)


def test_a_message_that_a_queue_refuses_goes_to_the_subscriptions_dead_letters_or_nowhere() -> None:
    aws = FakeAws()
    aws.sns.publish(TopicArn=aws.topic, Message="\ufffe")

    assert aws.cloud.queue_depth("probe") == 0
    assert aws.cloud.topic(aws.topic).undelivered == ["\ufffe"]


# SES


@dataclass(frozen=True)
class Mail:
    """A client that may send from ``SENDER``, and the (recipient, subject) of what was accepted."""

    client: "SESV2Client"
    verify: Callable[[str], object]
    sent: Callable[[], list[tuple[str, str]]]


def mail_in_memory() -> Mail:
    aws = FakeAws()
    aws.cloud.create_email_identity(SENDER)
    aws.cloud.create_configuration_set("notifications")
    return Mail(
        aws.sesv2,
        aws.cloud.create_email_identity,
        lambda: [(email.recipients[0], email.subject) for email in aws.cloud.outbox],
    )


def mail_on_moto() -> Mail:
    from moto.backends import get_backend

    client: SESV2Client = boto3.client("sesv2")
    client.create_email_identity(EmailIdentity=SENDER)
    client.create_configuration_set(ConfigurationSetName="notifications")
    backend = get_backend("ses")["123456789012"]["eu-west-1"]
    return Mail(
        client,
        lambda identity: client.create_email_identity(EmailIdentity=identity),
        lambda: [(message.destinations["ToAddresses"][0], message.subject) for message in backend.sent_messages],
    )


@pytest.fixture(params=[mail_in_memory, mail_on_moto], ids=["in_memory", "on_moto"])
def mail(request: pytest.FixtureRequest) -> Iterator[Mail]:
    build: Callable[[], Mail] = request.param
    with mock_aws():
        yield build()


def send(mail: Mail, sender: str = SENDER, recipient: str = "ada@example.org", **request: Any) -> Any:
    return mail.client.send_email(
        FromEmailAddress=sender,
        Destination={"ToAddresses": [recipient]},
        Content={"Simple": {"Subject": {"Data": "Welcome"}, "Body": {"Text": {"Data": "Hello"}}}},
        **request,
    )


def test_an_email_is_accepted_under_an_id_of_its_own(mail: Mail) -> None:
    identifiers = {send(mail, ConfigurationSetName="notifications")["MessageId"] for _ in range(2)}

    assert len(identifiers) == 2
    assert mail.sent() == [("ada@example.org", "Welcome")] * 2


def test_a_sender_that_is_not_verified_is_rejected(mail: Mail) -> None:
    with pytest.raises(mail.client.exceptions.MessageRejected):
        send(mail, sender="somebody@example.net")

    assert mail.sent() == []


def test_a_verified_domain_speaks_for_its_addresses(mail: Mail) -> None:
    mail.verify("example.net")

    send(mail, sender="somebody@example.net")

    assert len(mail.sent()) == 1


def test_an_unknown_configuration_set_is_refused(request: pytest.FixtureRequest, mail: Mail) -> None:
    skip_moto(request, "takes any name")

    with pytest.raises(mail.client.exceptions.NotFoundException):
        send(mail, ConfigurationSetName="nowhere")

    assert mail.sent() == []


def test_an_address_without_a_domain_is_refused(request: pytest.FixtureRequest, mail: Mail) -> None:
    skip_moto(request, "answers the code of SES v1")

    with pytest.raises(mail.client.exceptions.BadRequestException):
        send(mail, recipient="ada")
