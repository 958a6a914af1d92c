"""The e-mails that tell a person of a change to their account, in case it was not them.

A new address is told to both: the old one can still object, and the new one learns whose account it belongs to now.
"""

from functools import partial

from headwater.domain import user
from headwater.domain.events import RecordedEvent, UserEmailChanged, UserProfileChanged
from headwater.effects.consumer import UnexpectedEventError
from headwater.effects.effect import Action, Actions
from headwater.event_store.store import EventStore, folded
from headwater.notifications.mailer import Email, Mailer
from headwater.notifications.templating import EmailTemplate

#: Names of the effects of a change of address. The ledger keeps them: a renamed one would be sent again by a replay.
OLD_ADDRESS, NEW_ADDRESS = "old_address", "new_address"
#: Nothing that a user wrote goes into a header.
ADDRESS_CHANGED, PROFILE_CHANGED = "Your e-mail address was changed", "Your profile was changed"


class ChangeNotice:
    """Prepares the notices of `UserEmailChanged` and `UserProfileChanged`."""

    def __init__(self, mailer: Mailer, events: EventStore) -> None:
        self._mailer = mailer
        self._events = events
        self._address_lost = EmailTemplate.load("address_lost")
        self._address_gained = EmailTemplate.load("address_gained")
        self._profile_changed = EmailTemplate.load("profile_changed")

    def prepare(self, event: RecordedEvent) -> Actions:
        """The sending of the e-mails, not yet done: two for a new address, one for a new profile.

        A profile's notice goes to the address that the user has now; a user who was deleted since gets none.

        Raises
        ------
        UnknownEventError, MalformedEventError
            Not a change that this code can read.
        UndeliverableAddressError
            An address is not one plain address; neither e-mail is sent.
        """
        match event.payload:
            case UserEmailChanged(old_email=old, new_email=new):
                return {
                    OLD_ADDRESS: self._email(old, ADDRESS_CHANGED, self._address_lost.render(address=_masked(new))),
                    NEW_ADDRESS: self._email(new, ADDRESS_CHANGED, self._address_gained.render(address=_masked(old))),
                }
            case UserProfileChanged(name=name):
                state = folded(
                    self._events.load(event.aggregate_id), lambda events: user.fold(past.payload for past in events)
                )
                if state is None or state.deleted:
                    return {}
                return {"": self._email(state.email, PROFILE_CHANGED, self._profile_changed.render(name=name))}
        raise UnexpectedEventError(f"event {event.event_id} is a {event.type}, not a change of a user")

    def _email(self, recipient: str, subject: str, rendered: tuple[str, str]) -> Action:
        text, html = rendered
        return partial(self._mailer.send, Email(recipient=recipient, subject=subject, text=text, html=html))


def _masked(address: str) -> str:
    """Enough of an address to be known again by who has it: one mailbox's owner need not be the other's."""
    local_part, _, domain = address.partition("@")
    return f"{local_part[:1]}…@{domain}"
