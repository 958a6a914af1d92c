"""The e-mail that greets a new user."""

from functools import partial

from headwater.domain.events import RecordedEvent, UserRegistered
from headwater.effects.consumer import UnexpectedEventError
from headwater.effects.effect import Actions
from headwater.notifications.mailer import Email, Mailer
from headwater.notifications.templating import EmailTemplate

#: Nothing that a user wrote goes into a header.
SUBJECT = "Welcome to Headwater"


class WelcomeEmail:
    """Prepares the welcome e-mail of a `UserRegistered`."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._template = EmailTemplate.load("welcome_email")

    def prepare(self, event: RecordedEvent) -> Actions:
        """The sending of the e-mail, not yet done.

        Raises
        ------
        UnknownEventError, MalformedEventError
            Not a `UserRegistered` that this code can read.
        UndeliverableAddressError
            The user's address is not one plain address.
        """
        user = event.payload
        if not isinstance(user, UserRegistered):
            raise UnexpectedEventError(f"event {event.event_id} is a {event.type}, not a UserRegistered")
        text, html = self._template.render(name=user.name)
        return {"": partial(self._mailer.send, Email(recipient=user.email, subject=SUBJECT, text=text, html=html))}
