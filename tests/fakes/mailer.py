"""A mailer in memory."""

from collections.abc import Sequence

from headwater.notifications.mailer import DeliveryUnknownError, Email, NotSentError


class InMemoryMailer:
    """Implements `headwater.notifications.mailer.Mailer`; ``faults`` are raised in turn, one a call.

    `NotSentError` sends nothing; `DeliveryUnknownError` sends and loses the answer. None sends as usual.
    """

    def __init__(self, faults: Sequence[NotSentError | DeliveryUnknownError | None] = ()) -> None:
        self.sent: list[Email] = []
        self.faults = list(faults)

    def send(self, email: Email) -> str:
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, NotSentError):
            raise fault
        self.sent.append(email)
        if fault:
            raise fault
        return f"message-{len(self.sent)}"
