"""SES: e-mails end in an outbox.

Source: SendEmail in the SES API v2 reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from operations.running import REGION

RECIPIENTS: Final = 50


@dataclass(frozen=True, slots=True)
class SentEmail:
    """One e-mail that SES accepted; ``sent_at`` is in epoch seconds."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str
    configuration_set: str | None
    sent_at: float


class SesV2(Client):
    """The client, and what it has sent."""

    service = "sesv2"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.attempts = 1
        self.identities: set[str] = set()
        self.configuration_sets: set[str] = set()
        self.outbox: list[SentEmail] = []

    @operation("SendEmail", ("Content", "FromEmailAddress", "Destination"), ("ConfigurationSetName",))
    def send_email(self, params: Parameters) -> Answer:
        recipients = tuple(params["Destination"].get("ToAddresses", ()))
        sender, configuration_set = params["FromEmailAddress"], params.get("ConfigurationSetName")
        simple = params["Content"].get("Simple")
        if params["Destination"].keys() - {"ToAddresses"} or simple is None:
            raise NotImplementedError("SendEmail has ToAddresses and Simple content here")
        if not recipients:
            raise self.error("SendEmail", "BadRequestException", "Destination must contain at least one recipient")
        if len(recipients) > RECIPIENTS:
            raise self.error("SendEmail", "BadRequestException", f"Recipient count exceeds {RECIPIENTS}.")
        if not all("@" in address for address in recipients):
            raise self.error("SendEmail", "BadRequestException", "Missing final '@domain'")
        if configuration_set is not None and configuration_set not in self.configuration_sets:
            raise self.error(
                "SendEmail", "NotFoundException", f"Configuration set <{configuration_set}> does not exist.", status=404
            )
        if not self.identities & {sender, sender.partition("@")[2]}:
            raise self.error(
                "SendEmail",
                "MessageRejected",
                "Email address is not verified. The following identities failed the check in region "
                f"{REGION.upper()}: {sender}",
            )
        if self.surroundings.faults.condemn(self.service, "SendEmail", sender, recipients):
            raise self.error("SendEmail", "MessageRejected", "The address is on the suppression list.")
        body: Mapping[str, Mapping[str, Any]] = simple["Body"]
        email = SentEmail(
            self.surroundings.new_id(),
            sender,
            recipients,
            simple["Subject"]["Data"],
            body.get("Text", {}).get("Data", ""),
            body.get("Html", {}).get("Data", ""),
            configuration_set,
            self.surroundings.clock(),
        )
        self.outbox.append(email)
        return {"MessageId": email.message_id}
