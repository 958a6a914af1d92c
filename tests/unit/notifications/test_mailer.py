"""What SES's answers mean: certainly not sent, or unknown."""

from datetime import timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
)

from headwater.notifications.mailer import DeliveryUnknownError, Email, NotSentError, RefusedByProviderError, SesMailer
from tests.fakes.publishers import client_error

EMAIL = Email(recipient="ada@example.org", subject="Welcome", text="Hello", html="<p>Hello</p>")
ENDPOINT = "https://email.eu-west-1.amazonaws.com"


def failing(error: Exception) -> SesMailer:
    class Ses:
        def send_email(self, **_: Any) -> None:
            raise error

    return SesMailer(cast("Any", Ses()), "hello@headwater.example", "headwater")


@pytest.mark.parametrize(
    "error",
    [
        client_error("TooManyRequestsException", "SendEmail", 429),
        client_error("LimitExceededException", "SendEmail"),
        client_error("MailFromDomainNotVerifiedException", "SendEmail"),
        client_error("AccessDeniedException", "SendEmail", 403),
        ConnectTimeoutError(endpoint_url=ENDPOINT),
        EndpointConnectionError(endpoint_url=ENDPOINT),
        ParamValidationError(report="Invalid type for ada@example.org"),
    ],
)
def test_row_26_a_refusal_and_a_connection_never_made_leave_no_doubt(error: Exception) -> None:
    """FAULTS row 26: throttled, quota used up, rejected."""
    with pytest.raises(NotSentError) as caught:
        failing(error).send(EMAIL)

    assert "ada@example.org" not in str(caught.value)


def rejection(code: str, message: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "SendEmail")


NOT_VERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1: "


@pytest.mark.parametrize(
    "error",
    [
        rejection("BadRequestException", "Domain contains illegal character"),
        rejection("MessageRejected", f"{NOT_VERIFIED}ada@example.org"),
        rejection("MessageRejected", "Address is on the suppression list for your account"),
    ],
)
def test_row_26_a_recipient_that_ses_refuses_is_refused_for_good(error: ClientError) -> None:
    """FAULTS row 26: a rejected or suppressed address."""
    with pytest.raises(RefusedByProviderError) as caught:
        failing(error).send(EMAIL)

    assert "ada@example.org" not in str(caught.value)


def test_row_26_a_sender_that_is_not_verified_is_ours_to_verify_and_the_e_mail_is_sent_then() -> None:
    with pytest.raises(NotSentError) as caught:
        failing(rejection("MessageRejected", f"{NOT_VERIFIED}Hello@headwater.example, ada@example.org")).send(EMAIL)

    assert caught.value.retry_after is None


@pytest.mark.parametrize("code", ["TooManyRequestsException", "LimitExceededException", "Throttling"])
def test_row_26_without_its_daily_quota_an_e_mail_waits_for_hours(code: str) -> None:
    """FAULTS row 26. Ten receives, three hours apart, outlast the 24 hours that the quota is counted over."""
    with pytest.raises(NotSentError, match="quota") as caught:
        failing(rejection(code, "Daily message quota exceeded.", 429)).send(EMAIL)

    assert caught.value.retry_after == timedelta(hours=3)


@pytest.mark.parametrize(
    "error",
    [
        client_error("InternalFailure", "SendEmail", 500),
        client_error("ServiceUnavailable", "SendEmail", 503),
        ReadTimeoutError(endpoint_url=ENDPOINT),
        ConnectionClosedError(endpoint_url=ENDPOINT),
    ],
)
def test_row_26_an_answer_that_was_lost_leaves_it_unknown(error: Exception) -> None:
    """FAULTS row 26: a timeout after SES accepted."""
    with pytest.raises(DeliveryUnknownError):
        failing(error).send(EMAIL)


@pytest.mark.parametrize("character", ["\r", "\n", "\x00", "\x85", "\u2028"])
def test_row_27_a_subject_of_more_than_one_line_is_no_e_mail(character: str) -> None:
    """FAULTS row 27."""
    with pytest.raises(ValueError, match="subject"):
        Email(recipient="ada@example.org", subject=f"Hi{character}Bcc: eve@example.org", text="", html="")
