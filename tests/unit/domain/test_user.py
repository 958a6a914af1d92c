"""Users: what a name and an address may be, what follows what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.domain import user
from headwater.domain.events import (
    DomainEvent,
    PlayCompleted,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.domain.fields import InvalidFieldError
from headwater.domain.user import User, UserDeletedError, UserNotFoundError

ADA = User(name="Ada", email="ada@example.org")
GONE = User(name="Ada", email="ada@example.org", deleted=True)


def test_a_history_folds_into_the_user() -> None:
    history: list[DomainEvent] = [
        UserRegistered(name="Ada", email="ada@example.org"),
        UserEmailChanged(old_email="ada@example.org", new_email="ada@example.com"),
        UserProfileChanged(name="Ada Lovelace"),
    ]

    assert user.fold(history) == User(name="Ada Lovelace", email="ada@example.com")
    assert user.fold([*history, UserDeleted()]) == User(name="Ada Lovelace", email="ada@example.com", deleted=True)
    assert user.fold([]) is None


@pytest.mark.parametrize(
    "history",
    [
        [UserDeleted()],
        [UserRegistered(name="Ada", email="ada@example.org")] * 2,
        [PlayCompleted(game="chess", score=1, played_at="2026-03-01T12:00:00.000Z")],
    ],
)
def test_an_impossible_history_is_refused(history: list[DomainEvent]) -> None:
    with pytest.raises(ValueError, match="starts with one UserRegistered"):
        user.fold(history)


def test_a_change_states_what_was_and_what_is() -> None:
    assert user.change_email(ADA, "ada@example.com") == UserEmailChanged(
        old_email="ada@example.org", new_email="ada@example.com"
    )
    assert user.change_profile(ADA, "Ada Lovelace") == UserProfileChanged(name="Ada Lovelace")
    assert user.delete(ADA) == UserDeleted()


def test_a_change_to_what_is_already_so_is_no_event() -> None:
    assert user.change_email(ADA, "ada@example.org") is None
    assert user.change_profile(ADA, "Ada") is None


@pytest.mark.parametrize(("state", "error"), [(None, UserNotFoundError), (GONE, UserDeletedError)])
def test_nothing_happens_to_a_user_who_is_not_there(state: User | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        user.change_email(state, "new@example.org")
    with pytest.raises(error):
        user.change_profile(state, "New")
    with pytest.raises(error):
        user.delete(state)


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("  Ada Lovelace ", "Ada Lovelace"),
        ("x" * 100, "x" * 100),
        ("Zoe\u0308", "Zo\u00eb"),
        ('<b>Ada</b> & "Co"', '<b>Ada</b> & "Co"'),
        ("👩‍🚀", "👩‍🚀"),
    ],
)
def test_a_name_is_trimmed_and_composed_and_otherwise_left(given_name: str, name: str) -> None:
    assert user.parse_name(given_name) == name


@pytest.mark.parametrize(
    "value",
    ["", "   ", "x" * 101, None, 7, True, ["Ada"], float("nan"), "a\x00b", "a\x7fb", "a\u2028b", "a\u202eb", "a\ud800"],
)
def test_other_names_are_refused(value: object) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        user.parse_name(value)
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    "value",
    [
        "\u200b",
        "\u200b \u2060\ufeff",
        "\u00ad",
        "\u3164",
        "\u115f\u1160",
        "\uffa0",
        "\u2800",
        "\u034f\ufe0f",
        "\u0301",
        "\u200d",
        "\ue000",
        "\U000e0061",
        "\U000e0fff",
        "\U0001d159",
        "\u061cAda",
        "Ada\u2067",
    ],
)
def test_a_name_has_something_to_see_and_turns_no_text_around(value: str) -> None:
    with pytest.raises(InvalidFieldError, match=r"^name: must "):
        user.parse_name(value)


@pytest.mark.parametrize(
    "value",
    [
        "李",
        "é",
        "\u0646\u0648\u0631\u200c\u0627",
        "क्\u200dष",
        "❤️",
        "🏴\U000e0067\U000e0062\U000e007f",
        "7",
        "?",
        "Ω",
        "\U0001fae9",
    ],
)
def test_whatever_can_be_seen_is_a_name(value: str) -> None:
    """The last is an emoji that is newer than this Python's Unicode."""
    assert user.parse_name(value) == value


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\x85", "\u2028", "%0a", "%0D", "%0d%0A"])
@pytest.mark.parametrize(
    "template", ["ada{}@example.org", "ada@example.org{}", "{}ada@example.org", "ada@ex{}ample.org"]
)
def test_no_line_break_gets_into_an_address_or_a_name_plain_or_encoded(template: str, line_break: str) -> None:
    """FAULTS row 27."""
    text = template.format(line_break)

    with pytest.raises(InvalidFieldError, match=r"^email: "):
        user.parse_email(text)
    with pytest.raises(InvalidFieldError, match=r"^name: "):
        user.parse_name(text)


@pytest.mark.parametrize(
    ("address", "email"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Ada.Lovelace+news@EXAMPLE.Org", "Ada.Lovelace+news@example.org"),
        ("o'neil@sub.example.co.uk", "o'neil@sub.example.co.uk"),
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        (f"{'x' * 64}@example.org", f"{'x' * 64}@example.org"),
        (f"a@{'x' * 63}.{'y' * 63}.{'z' * 63}.{'w' * 56}.org", f"a@{'x' * 63}.{'y' * 63}.{'z' * 63}.{'w' * 56}.org"),
    ],
)
def test_an_address_keeps_its_local_part_and_lowers_its_domain(address: str, email: str) -> None:
    assert user.parse_email(address) == email


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        float("inf"),
        {"address": "ada@example.org"},
        "",
        "ada",
        "ada@",
        "@example.org",
        "ada@@example.org",
        "ada@localhost",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "Ada <ada@example.org>",
        "ada@example.org, eve@example.org",
        "ada@example.org ",
        '"ada lovelace"@example.org',
        ".ada@example.org",
        "ada..l@example.org",
        "ada@-example.org",
        "ada@example..org",
        "ada%eve@example.org",
        "ada\\@example.org",
        "ada<script>@example.org",
        "\u0430da@example.org",
        "ada@b\u00fccher.example",
        "ada\uff20example.org",
        f"{'x' * 65}@example.org",
        f"a@{'x' * 63}.{'y' * 63}.{'z' * 63}.{'w' * 57}.org",
    ],
)
def test_what_is_no_bare_address_is_refused(value: object) -> None:
    """FAULTS row 27: neither HTML nor a second address gets in."""
    with pytest.raises(InvalidFieldError, match=r"^email: "):
        user.parse_email(value)


@given(st.text(max_size=80))
def test_whatever_passes_as_an_address_cannot_break_out_of_a_header_or_a_page(text: str) -> None:
    """FAULTS row 27."""
    try:
        email = user.parse_email(text)
    except InvalidFieldError:
        return
    assert email.isascii()
    assert email.count("@") == 1
    assert not set(email) & set('\r\n\t <>"(),:;\\%')


def test_an_address_is_unique_whatever_its_case() -> None:
    assert user.email_key("Ada@example.org") == user.email_key("aDA@example.org")


@pytest.mark.parametrize("value", [None, "", "1", "0199aa00-0000-7000-8000-00000000000", "user#1", "../x", 7])
def test_a_user_id_is_a_uuid(value: object) -> None:
    with pytest.raises(InvalidFieldError, match="user_id: must be a UUID"):
        user.parse_user_id(value)
    assert user.parse_user_id("01990000-0000-7000-8000-000000000001") == "01990000-0000-7000-8000-000000000001"
