"""An outage of all consumers behind SNS, and the redrive after it: everything happens, and happens once."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from devstack.demo.traffic import Api, Request
from devstack.mappings.drivers import QUEUE_WAIT_SECONDS
from devstack.stack import LocalStack
from tests.integration.devstack.processes import eventually

CONSUMERS = ("WelcomeEmail", "ChangeNotice", "DefaultResources", "AccountCleanup")
QUIET_SECONDS = 60


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[LocalStack]:
    with LocalStack(folder) as stack:
        yield stack


def live(stack: LocalStack) -> None:
    """Three users: one stays as registered, one moves and has another name, one leaves."""
    api = Api(stack.url)
    ids = []
    for name in ("ada", "grace", "mary"):
        registration = {"name": name, "email": f"{name}@example.org", "password": "correct horse battery"}
        ids.append(api.send(Request("POST", "/register", registration))["user_id"])
    api.send(Request("PUT", "/users/{user_id}/email", {"email": "grace@example.com"}), ids[1])
    api.send(Request("PUT", "/users/{user_id}/profile", {"name": "Grace H."}), ids[1])
    api.send(Request("DELETE", "/users/{user_id}"), ids[2])


def counts(stack: LocalStack) -> dict[str, Any]:
    """What the consumers have done: e-mails by recipient and subject, preferences, and effects by state."""
    dynamodb = stack.client("dynamodb")

    def items(output: str) -> list[Any]:
        return list(dynamodb.scan(TableName=stack.outputs[output])["Items"])

    effects = [item for item in items("LedgerTableName") if item["pk"]["S"].startswith("effect#")]
    return {
        "e-mails": Counter((mail.to[0], mail.subject) for mail in stack.sent_mails()),
        "preferences": Counter("preferences" in item for item in items("PreferencesTableName")),
        "effects": Counter((item["pk"]["S"].split("#")[1], item["state"]["S"]) for item in effects),
    }


def redrive(stack: LocalStack) -> list[tuple[str, str]]:
    """Moves every message of the dead-letter queues back, as SQS's StartMessageMoveTask does.

    Gives each consumer and body.
    """
    sqs, moved = stack.client("sqs"), []
    for consumer in CONSUMERS:
        source, target = (stack.outputs[f"{consumer}{kind}Url"] for kind in ("DeadLetterQueue", "Queue"))
        while found := sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
                sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
                moved.append((consumer, message["Body"]))
    stack.wait_until_quiet(QUIET_SECONDS)
    return moved


def test_a_redrive_after_an_outage_does_everything_once_and_a_second_one_nothing(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS rows 3, 4 and 15, for the queues: the ledger's table answers nobody, until it does again."""
    # Given queues that give a message up sooner than the template's, so that the outage lasts seconds
    sqs, patient = stack.client("sqs"), {}
    for consumer in CONSUMERS:
        url = stack.outputs[f"{consumer}QueueUrl"]
        names = ["VisibilityTimeout", "RedrivePolicy"]
        patient[url] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        policy = json.dumps(json.loads(patient[url]["RedrivePolicy"]) | {"maxReceiveCount": 1})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1", "RedrivePolicy": policy})
    # A receive that is under way keeps the timeout that it began with.
    time.sleep(QUEUE_WAIT_SECONDS + 1)

    # When all of them fail until each message is in its dead-letter queue
    def unreachable(*_: Any, **__: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://dynamodb.invalid")

    with monkeypatch.context() as outage:
        # By its name: the stack has imported the functions' code afresh.
        outage.setattr("headwater.effects.dynamodb.DynamoDbEffectLedger.claim", unreachable)
        live(stack)
        eventually(lambda: _depths(stack) == [3, 2, 3, 1], seconds=240)
        stack.wait_until_quiet(QUIET_SECONDS)
    nothing = counts(stack)
    # A consumer that is slow, as on a busy machine, must not be taken for one that failed.
    for url, attributes in patient.items():
        sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    time.sleep(QUEUE_WAIT_SECONDS + 1)
    messages = redrive(stack)

    # Then nothing had happened, and now everything has, once
    assert nothing == {"e-mails": Counter(), "preferences": Counter(), "effects": Counter()}
    after = counts(stack)
    welcome, moved, renamed = "Welcome to Headwater", "Your e-mail address was changed", "Your profile was changed"
    assert after["e-mails"] == Counter(
        {
            ("ada@example.org", welcome): 1,
            ("grace@example.org", welcome): 1,
            ("mary@example.org", welcome): 1,
            ("grace@example.org", moved): 1,
            ("grace@example.com", moved): 1,
            ("grace@example.com", renamed): 1,
        }
    )
    assert after["preferences"] == {True: 2, False: 1}
    assert after["effects"] == {
        ("welcome_email", "confirmed"): 3,
        ("change_notice", "confirmed"): 3,
        ("default_resources", "confirmed"): 3,
        ("account_cleanup", "confirmed"): 2,
    }

    # And the same messages once more change nothing
    for consumer, body in messages:
        sqs.send_message(QueueUrl=stack.outputs[f"{consumer}DeadLetterQueueUrl"], MessageBody=body)
    assert len(redrive(stack)) == len(messages) == 9
    assert counts(stack) == after


def _depths(stack: LocalStack) -> list[int]:
    sqs = stack.client("sqs")
    depths = []
    for consumer in CONSUMERS:
        url = stack.outputs[f"{consumer}DeadLetterQueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        depths.append(int(attributes["Attributes"]["ApproximateNumberOfMessages"]))
    return depths
