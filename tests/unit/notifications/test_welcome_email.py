"""The welcome e-mail, with a mailer in memory."""

from typing import Any

import pytest

from arcade.app import WELCOME_EMAIL
from headwater.change_stream.batch import BatchOutcome
from headwater.domain.events import MalformedEventError, RecordedEvent, UserDeleted, UserRegistered
from headwater.effects.consumer import OnUnconfirmed, QueueConsumer, UnexpectedEventError
from headwater.notifications.mailer import DeliveryUnknownError, NotSentError, UndeliverableAddressError
from headwater.notifications.welcome_email import WelcomeEmail
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.ledger import InMemoryEffectLedger
from tests.fakes.mailer import InMemoryMailer
from tests.fakes.queue_messages import queue_message


def registered(name: str = "Ada", email: str = "ada@example.org") -> RecordedEvent:
    return recorded("user#0199-a", 1, UserRegistered(name=name, email=email))


def consumer(mailer: InMemoryMailer, ledger: InMemoryEffectLedger | None = None) -> QueueConsumer:
    return QueueConsumer(
        WELCOME_EMAIL.name,
        WELCOME_EMAIL.handles,
        WelcomeEmail(mailer).prepare,
        types=EVENT_TYPES,
        claims=InMemoryClaimStore(),
        ledger=ledger or InMemoryEffectLedger(),
        incidents=RecordedIncidents(),
        on_unconfirmed=OnUnconfirmed.HOLD,
    )


def test_a_new_user_gets_one_e_mail_in_text_and_html() -> None:
    mailer, event = InMemoryMailer(), registered("Ada Lovelace")

    outcome = consumer(mailer).consume([queue_message(event, "m-1"), queue_message(event, "m-2")])

    (email,) = mailer.sent
    assert outcome == BatchOutcome(2)
    assert email.recipient == "ada@example.org"
    assert email.subject == "Welcome to Headwater"
    assert email.text.startswith("Hello Ada Lovelace,\n")
    assert "<h1" in email.html
    assert "Hello Ada Lovelace," in email.html
    assert "$" not in email.text + email.html


@pytest.mark.parametrize("fault", [NotSentError("429"), DeliveryUnknownError("no answer")])
def test_a_throttled_e_mail_is_sent_by_the_retry_and_a_doubtful_one_is_not(fault: Any) -> None:
    mailer, ledger, event = InMemoryMailer([fault]), InMemoryEffectLedger(), registered()

    first = consumer(mailer, ledger).consume([queue_message(event, "m-1")])
    again = consumer(mailer, ledger).consume([queue_message(event, "m-1")])

    assert [failure.error for failure in first.failures] == [fault]
    assert len(mailer.sent) == 1
    assert len(again.failures) == (0 if isinstance(fault, NotSentError) else 1)


def test_row_27_html_in_a_name_is_escaped() -> None:
    """FAULTS row 27."""
    mailer = InMemoryMailer()
    name = """<img src=x onerror="alert('1')"> & $name ${name} $$"""

    consumer(mailer).consume([queue_message(registered(name), "m-1")])

    (email,) = mailer.sent
    assert "<img" not in email.html
    assert "&lt;img src=x onerror=&quot;alert(&#x27;1&#x27;)&quot;&gt; &amp; $name ${name} $$" in email.html
    assert f"Hello {name}," in email.text


@pytest.mark.parametrize("separator", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x00", "\x1b"])
def test_row_27_a_line_break_in_a_name_stays_within_its_line_and_out_of_every_header(separator: str) -> None:
    """FAULTS row 27."""
    mailer = InMemoryMailer()

    consumer(mailer).consume([queue_message(registered(f"Ada{separator}Bcc: eve@example.org"), "m-1")])

    (email,) = mailer.sent
    assert "Ada" not in email.subject
    assert separator not in email.text.splitlines()[0]
    assert email.text.splitlines()[0].startswith("Hello Ada")
    assert email.text.splitlines()[0].endswith("Bcc: eve@example.org,")


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\n",
        "\nada@example.org",
        "ada%0d%0abcc:eve@example.org",
        "ada@example.org%0a",
        "ada@example.org,eve@example.org",
        "ada@example.org;eve@example.org",
        "Ada <ada@example.org>",
        '"ada eve"@example.org',
        "ada@exämple.org",
        "ada@example",
        "ada@-example.org",
        "ada@@example.org",
        ".ada@example.org",
        "@example.org",
        "ada",
        "",
        "a" * 65 + "@example.org",
        "ada@" + "a." * 126 + "org",
    ],
)
def test_row_27_an_address_that_is_not_one_plain_address_never_reaches_the_mailer(address: str) -> None:
    """FAULTS row 27. Nothing is claimed, and the error does not quote the address: it goes to the log."""
    mailer, ledger = InMemoryMailer(), InMemoryEffectLedger()

    outcome = consumer(mailer, ledger).consume([queue_message(registered(email=address), "m-1")])

    ((error),) = [failure.error for failure in outcome.failures]
    assert isinstance(error, UndeliverableAddressError)
    assert not address or address not in str(error)
    assert mailer.sent == []
    assert ledger.entries == {}


@pytest.mark.parametrize("address", ["ada+test@example.org", "a.b-c_d@mail.example.co.uk", "o'hara@example.org"])
def test_ordinary_addresses_are_deliverable(address: str) -> None:
    mailer = InMemoryMailer()

    consumer(mailer).consume([queue_message(registered(email=address), "m-1")])

    assert [email.recipient for email in mailer.sent] == [address]


def test_another_event_or_a_malformed_one_prepares_nothing() -> None:
    welcome = WelcomeEmail(InMemoryMailer())

    with pytest.raises(UnexpectedEventError, match="UserDeleted"):
        welcome.prepare(recorded("user#0199-a", 2, UserDeleted()))
    for data in ({"name": "Ada"}, {"name": 5, "email": "ada@example.org"}, {"name": "Ada", "email": None}):
        event = RecordedEvent(
            aggregate_id="user#0199-a",
            version=1,
            event_id="e-1",
            type="UserRegistered",
            schema_version=1,
            occurred_at="2026-03-01T12:00:00.000Z",
            data=data,
        )
        with pytest.raises(MalformedEventError, match="e-1"):
            welcome.prepare(event)
