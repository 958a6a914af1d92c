"""Sending one e-mail through SES."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from headwater.domain.constraints import parsed
from headwater.domain.events import Email as Address
from headwater.domain.fields import InvalidFieldError
from headwater.effects.consumer import EffectNotPerformedError, EffectRefusedError
from headwater.failures import FailureKind, PermanentError, TransientError, kind_of, name_of

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

#: The daily quota is over the last 24 hours, so that every hour frees some of it ("Service quotas in Amazon SES").
#: Waiting so long, a queue's ten receives last for 27 hours.
QUOTA_RETRY_AFTER = timedelta(hours=3)


class UndeliverableAddressError(PermanentError):
    """An address that no mail can be sent to, or that is more than one address."""


class NotSentError(EffectNotPerformedError):
    """SES did not accept the e-mail; nothing was sent."""


class RefusedByProviderError(EffectRefusedError):
    """SES does not take e-mails to this address, today or later."""


class DeliveryUnknownError(TransientError):
    """SES may or may not have accepted the e-mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """One e-mail to one person, in text and HTML.

    Raises
    ------
    UndeliverableAddressError
        ``recipient`` is not one plain address. The message does not quote it: it goes to logs.
    ValueError
        ``subject`` has a line break or another control character.
    """

    recipient: str
    subject: str
    text: str
    html: str

    def __post_init__(self) -> None:
        try:
            parsed("recipient", self.recipient, Address)
        except InvalidFieldError:
            raise UndeliverableAddressError("the recipient is not one plain e-mail address; nothing was sent") from None
        if not self.subject.isprintable():
            raise ValueError("the subject has a line break or another control character; nothing was sent")


class Mailer(Protocol):
    """Sends e-mails."""

    def send(self, email: Email) -> str:
        """Sends one e-mail; gives the provider's message id.

        Raises
        ------
        NotSentError
            It was certainly not accepted, and may be later: throttled, quota used up, sender not verified, no
            connection.
        RefusedByProviderError
            It was not accepted because of its recipient.
        DeliveryUnknownError
            No answer, or an error on the provider's side: it may have been accepted.
        """
        ...


class SesMailer:
    """Implements `Mailer` by SES v2. Its client must not retry: a second try after a lost answer is a second mail."""

    def __init__(self, client: "SESV2Client", sender: str, configuration_set: str) -> None:
        self._client = client
        self._sender = sender
        self._configuration_set = configuration_set

    def send(self, email: Email) -> str:
        try:
            answer = self._client.send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": [email.recipient]},
                Content={
                    "Simple": {
                        "Subject": {"Data": email.subject, "Charset": "UTF-8"},
                        "Body": {
                            "Text": {"Data": email.text, "Charset": "UTF-8"},
                            "Html": {"Data": email.html, "Charset": "UTF-8"},
                        },
                    }
                },
                ConfigurationSetName=self._configuration_set,
            )
        except ClientError as error:
            raise self._meaning(error) from None
        except BotoCoreError as error:
            kind = kind_of(error)
            # What is not for the moment never left this process: no credentials, or a request that boto3 refuses.
            if kind is not FailureKind.TRANSIENT or isinstance(error, (ConnectTimeoutError, EndpointConnectionError)):
                raise NotSentError(f"not sent to SES: {name_of(error)}", kind=kind) from None
            raise DeliveryUnknownError(f"no answer from SES: {name_of(error)}") from None
        return answer["MessageId"]

    def _meaning(self, error: ClientError) -> Exception:
        """What SES's answer says of the e-mail (SendEmail in the SES API v2 reference, "Errors")."""
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        kind, message = kind_of(error), error.response["Error"].get("Message", "").lower()
        # Only the code: SES quotes addresses in its messages.
        reason = f"SES answered {status} {name_of(error)}"
        if not 400 <= status < 500:
            return DeliveryUnknownError(reason)
        if "quota" in message:
            return NotSentError(f"{reason}: the daily quota is used up", QUOTA_RETRY_AFTER)
        # All of a request but its recipient is the same for everybody. A rejection names the identities that are not
        # verified: the sender is ours to verify, and a recipient is among them only in SES's sandbox.
        if kind is FailureKind.REFUSED:
            if self._sender.lower() not in message:
                return RefusedByProviderError(f"{reason}: the recipient is refused")
            kind = FailureKind.OUTAGE
        return NotSentError(reason, kind=kind)
