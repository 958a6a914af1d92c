"""Change notices, default resources and clean-up: each function with its fixture, against moto."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from headwater import bootstrap
from headwater.accounts.preferences import DEFAULTS
from headwater.domain.events import UserEmailChanged, UserProfileChanged, UserRegistered
from tests.fakes.events import appended, recorded
from tests.fakes.queue_messages import queue_message
from tests.integration.stream_functions import USER, fixture, handler, stack

__all__ = ["stack"]

ID = f"user#{USER}"
DONE: dict[str, Any] = {"batchItemFailures": []}
ADA = UserRegistered(name="Ada", email="ada@example.org")


def verify_sender() -> None:
    bootstrap.ses().create_email_identity(EmailIdentity=bootstrap.settings().sender_address)


def recipients() -> list[str]:
    sent: list[Any] = list(ses_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].sent_messages)
    return [address for email in sent for address in email.destinations["ToAddresses"]]


def run_out_of_quota() -> None:
    def refuse(**_: Any) -> None:
        answer: Any = {
            "Error": {"Code": "TooManyRequestsException", "Message": "Daily message quota exceeded."},
            "ResponseMetadata": {"HTTPStatusCode": 429},
        }
        raise ClientError(answer, "SendEmail")

    bootstrap.ses().meta.events.register("before-call.sesv2.SendEmail", refuse)


@pytest.mark.usefixtures("stack")
def test_a_change_of_address_is_told_to_both_addresses_once() -> None:
    invoke = handler("change_notice")
    verify_sender()

    answers = [invoke(fixture("ChangeNoticeFunction")) for _ in range(3)]

    assert answers == [DONE] * 3
    assert recipients() == ["ada@example.org", "ada.lovelace@example.org"]


@pytest.mark.usefixtures("stack")
def test_a_change_of_profile_is_told_to_the_address_of_today() -> None:
    invoke = handler("change_notice")
    verify_sender()
    moved = UserEmailChanged(old_email="ada@example.org", new_email="ada@example.com")
    events = appended(bootstrap.event_store(), ID, ADA, UserProfileChanged(name="Ada L."), moved)

    assert invoke({"Records": [queue_message(events[1], "m-1")]}) == DONE
    assert recipients() == ["ada@example.com"]


@pytest.mark.usefixtures("stack")
def test_a_user_gets_preferences_and_a_deleted_one_keeps_neither_them_nor_credentials() -> None:
    appended(bootstrap.event_store(), ID, ADA)
    table = bootstrap.settings().credentials_table
    for item in ({"pk": f"credentials#{USER}"}, {"pk": "email#ada@example.org", "user_id": USER}):
        marshalled = {name: {"S": text} for name, text in item.items()}
        bootstrap.dynamodb().put_item(TableName=table, Item=marshalled)

    assert handler("default_resources")(fixture("DefaultResourcesFunction")) == DONE
    assert bootstrap.preferences().read(USER) == DEFAULTS

    cleanup = handler("account_cleanup")
    assert [cleanup(fixture("AccountCleanupFunction")) for _ in range(2)] == [DONE] * 2
    assert bootstrap.dynamodb().scan(TableName=table)["Items"] == []
    assert bootstrap.dynamodb().scan(TableName="preferences")["Items"] == [{"pk": {"S": ID}}]


@pytest.mark.usefixtures("stack")
def test_row_26_without_its_daily_quota_a_message_is_hidden_for_hours_instead_of_minutes() -> None:
    """FAULTS row 26."""
    invoke = handler("welcome_email")
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="welcome-email", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="whatever")
    (received,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    message = queue_message(recorded(ID, 1, ADA), "m-1") | {"receiptHandle": received["ReceiptHandle"]}

    run_out_of_quota()
    asked: list[dict[str, Any]] = []
    bootstrap.sqs().meta.events.register(
        "provide-client-params.sqs.ChangeMessageVisibility", lambda params, **_: asked.append(params)
    )

    assert invoke({"Records": [message]}) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    assert asked == [{"QueueUrl": queue, "ReceiptHandle": received["ReceiptHandle"], "VisibilityTimeout": 3 * 3600}]


@pytest.mark.usefixtures("stack")
def test_a_queue_that_cannot_be_told_leaves_the_message_to_its_own_timeout() -> None:
    invoke = handler("welcome_email")

    run_out_of_quota()

    answer = invoke({"Records": [queue_message(recorded(ID, 1, ADA), "m-1")]})

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
