"""The notices of changes, with a mailer in memory."""

import pytest

from arcade.app import CHANGE_NOTICE
from headwater.change_stream.batch import BatchOutcome
from headwater.domain.events import (
    DomainEvent,
    MalformedEventError,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.effects.consumer import OnUnconfirmed, QueueConsumer, UnexpectedEventError
from headwater.notifications.change_notice import ChangeNotice
from headwater.notifications.mailer import Email, NotSentError, UndeliverableAddressError
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import EVENT_TYPES, appended, read, recorded
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.ledger import InMemoryEffectLedger
from tests.fakes.mailer import InMemoryMailer
from tests.fakes.queue_messages import queue_message

USER = "user#0199-a"
MOVED = UserEmailChanged(old_email="ada@example.org", new_email="ada.lovelace@example.com")


class Bench:
    """A consumer over one user's history."""

    def __init__(self, *history: DomainEvent) -> None:
        self.mailer = InMemoryMailer()
        self.ledger = InMemoryEffectLedger()
        self.store = InMemoryEventStore()
        self.events = appended(self.store, USER, *history)
        self._consumer = QueueConsumer(
            CHANGE_NOTICE.name,
            CHANGE_NOTICE.handles,
            ChangeNotice(self.mailer, self.store).prepare,
            types=EVENT_TYPES,
            claims=InMemoryClaimStore(),
            ledger=self.ledger,
            incidents=RecordedIncidents(),
            on_unconfirmed=OnUnconfirmed.HOLD,
        )

    def deliver(self, event: RecordedEvent) -> BatchOutcome:
        return self._consumer.consume([queue_message(event, "m-1")])

    def sent(self) -> dict[str, Email]:
        assert len({email.recipient for email in self.mailer.sent}) == len(self.mailer.sent)
        return {email.recipient: email for email in self.mailer.sent}


def registered() -> UserRegistered:
    return UserRegistered(name="Ada", email="ada@example.org")


def test_a_new_address_is_told_to_both_and_each_learns_little_of_the_other() -> None:
    bench = Bench(registered(), MOVED)

    outcomes = [bench.deliver(bench.events[1]) for _ in range(2)]

    old, new = bench.sent()["ada@example.org"], bench.sent()["ada.lovelace@example.com"]
    assert outcomes == [BatchOutcome(1)] * 2
    assert old.subject == new.subject == "Your e-mail address was changed"
    for text in (old.text, old.html):
        assert "a…@example.com" in text
        assert "ada.lovelace@example.com" not in text
    for text in (new.text, new.html):
        assert "a…@example.org" in text
        assert "ada@example.org" not in text


def test_what_failed_is_sent_by_the_redelivery_and_what_was_sent_is_not() -> None:
    bench = Bench(registered(), MOVED)
    bench.mailer.faults = [None, NotSentError("429")]

    first = bench.deliver(bench.events[1])
    assert [type(failure.error) for failure in first.failures] == [NotSentError]
    assert list(bench.sent()) == ["ada@example.org"]

    assert bench.deliver(bench.events[1]) == BatchOutcome(1)
    assert list(bench.sent()) == ["ada@example.org", "ada.lovelace@example.com"]


def test_a_new_profile_is_told_to_the_address_that_the_user_has_now() -> None:
    bench = Bench(registered(), UserProfileChanged(name="<b>Ada</b> L."), MOVED)

    bench.deliver(bench.events[1])

    (email,) = bench.mailer.sent
    assert email.recipient == MOVED.new_email
    assert email.text.startswith("Hello <b>Ada</b> L.,\n")
    assert "Hello &lt;b&gt;Ada&lt;/b&gt; L.," in email.html


def test_a_user_who_is_gone_is_told_of_no_new_profile() -> None:
    bench = Bench(registered(), UserProfileChanged(name="Ada L."), UserDeleted())

    assert bench.deliver(bench.events[1]) == BatchOutcome(1)
    assert bench.mailer.sent == []


def test_row_27_an_address_that_is_not_one_plain_address_sends_and_claims_nothing() -> None:
    """FAULTS row 27."""
    bench = Bench(registered())
    event = recorded(USER, 2, UserEmailChanged(old_email="ada@example.org", new_email="eve@x.org\r\nBcc: a@x.org"))

    (failure,) = bench.deliver(event).failures

    assert isinstance(failure.error, UndeliverableAddressError)
    assert bench.mailer.sent == []
    assert bench.ledger.entries == {}


def test_another_event_or_a_malformed_one_prepares_nothing() -> None:
    notice = ChangeNotice(InMemoryMailer(), InMemoryEventStore())

    with pytest.raises(UnexpectedEventError, match="UserDeleted"):
        notice.prepare(recorded(USER, 2, UserDeleted()))
    for payload in (UserEmailChanged(old_email="a@x.org", new_email=5), UserProfileChanged(name=None)):  # type: ignore[arg-type]
        with pytest.raises(MalformedEventError, match="expected `str`"):
            notice.prepare(read(recorded(USER, 2, payload)))
