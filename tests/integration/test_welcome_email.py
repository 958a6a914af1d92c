"""The welcome e-mail function with its fixture, against SES, DynamoDB and S3 (moto)."""

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from headwater import bootstrap
from headwater.change_stream import cloud_events
from headwater.domain.events import UserRegistered
from tests.fakes.events import recorded
from tests.fakes.kinesis_records import outgoing
from tests.fakes.queue_messages import queue_message
from tests.integration.stream_functions import Invoke, fixture, handler, stack

__all__ = ["stack"]

MESSAGE_ID = "059f36b4-87a3-44ab-83d2-661975830a7d"
EFFECT = "effect#welcome_email#019930c2-7000-7000-8000-000000000001"


@pytest.fixture
def invoke(stack: None) -> Invoke:
    return handler("welcome_email")


@pytest.fixture
def verified(invoke: Invoke) -> Invoke:
    bootstrap.ses().create_email_identity(EmailIdentity=bootstrap.settings().sender_address)
    return invoke


def sent() -> list[Any]:
    return list(ses_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].sent_messages)


def ledger() -> dict[str, str]:
    items = bootstrap.dynamodb().scan(TableName="ledger")["Items"]
    return {item["pk"]["S"]: item["state"]["S"] for item in items}


def test_the_fixtures_user_gets_one_e_mail_however_often_the_message_comes(verified: Invoke) -> None:
    """FAULTS row 4, for a queue."""
    answers = [verified(fixture("WelcomeEmailFunction")) for _ in range(3)]

    (email,) = sent()
    assert answers == [{"batchItemFailures": []}] * 3
    assert email.source == "headwater@example.org"
    assert email.destinations["ToAddresses"] == ["ada@example.org"]
    assert email.subject == "Welcome to Headwater"
    assert ledger() == {EFFECT: "confirmed"}


def test_what_ses_is_asked_for_is_text_and_html_under_the_configuration_set(verified: Invoke) -> None:
    requests: list[dict[str, Any]] = []
    bootstrap.ses().meta.events.register(
        "provide-client-params.sesv2.SendEmail", lambda params, **_: requests.append(params)
    )

    verified(fixture("WelcomeEmailFunction"))

    (request,) = requests
    body = request["Content"]["Simple"]["Body"]
    assert request["ConfigurationSetName"] == "headwater"
    assert body["Text"]["Data"].startswith("Hello Ada Lovelace,")
    assert "Hello Ada Lovelace,</h1>" in body["Html"]["Data"]
    assert {part["Charset"] for part in body.values()} == {"UTF-8"}


def test_row_26_a_refused_e_mail_is_sent_by_the_redelivery(invoke: Invoke) -> None:
    """FAULTS row 26. SES refuses a sender that nobody has verified yet."""
    first = invoke(fixture("WelcomeEmailFunction"))
    assert (first, ledger()) == ({"batchItemFailures": [{"itemIdentifier": MESSAGE_ID}]}, {})

    bootstrap.ses().create_email_identity(EmailIdentity=bootstrap.settings().sender_address)
    second = invoke(fixture("WelcomeEmailFunction"))

    assert second == {"batchItemFailures": []}
    assert len(sent()) == 1


def test_row_26_a_timeout_after_ses_accepted_is_neither_retried_by_the_sdk_nor_by_the_redelivery(
    verified: Invoke,
) -> None:
    """FAULTS row 26. The claim stays; what becomes of it is the consumer's policy, tested in tests/unit."""
    calls: list[str] = []

    def lose_the_answer(request: Any, **_: Any) -> None:
        calls.append(request.url)
        raise ReadTimeoutError(endpoint_url=request.url)

    bootstrap.ses().meta.events.register("before-send.sesv2.SendEmail", lose_the_answer)

    answers = [verified(fixture("WelcomeEmailFunction")) for _ in range(2)]

    assert answers == [{"batchItemFailures": [{"itemIdentifier": MESSAGE_ID}]}] * 2
    assert len(calls) == 1
    assert ledger() == {EFFECT: "claimed"}


def test_row_13_a_claim_check_is_followed(verified: Invoke) -> None:
    """FAULTS row 13, the consumer's half."""
    event = recorded("user#0199-b", 1, UserRegistered(name="Grace", email="grace@example.org"))
    whole = outgoing(event)
    light = cloud_events.without_data(whole, bootstrap.claim_store().put(event.event_id, whole.body))

    answer = verified({"Records": [queue_message(light, "m-1")]})

    assert answer == {"batchItemFailures": []}
    assert [email.destinations["ToAddresses"] for email in sent()] == [["grace@example.org"]]


def test_row_27_a_poisoned_address_fails_its_message_alone_and_is_not_logged(
    verified: Invoke, caplog: pytest.LogCaptureFixture
) -> None:
    """FAULTS rows 1 and 27."""
    bad = recorded("user#0199-b", 1, UserRegistered(name="Eve", email="eve@example.org\r\nBcc: all@example.org"))
    good = recorded("user#0199-c", 1, UserRegistered(name="Ada", email="ada@example.org"))

    answer = verified({"Records": [queue_message(bad, "bad"), queue_message(good, "good")]})

    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert [email.destinations["ToAddresses"] for email in sent()] == [["ada@example.org"]]
    (line,) = [vars(record) for record in caplog.records if record.message == "record failed"]
    assert line["error"] == "UndeliverableAddressError"
    assert "eve@" not in str(line)
