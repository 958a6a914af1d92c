"""Passwords: limits, hashes, and that they do not show themselves."""

import pytest

from headwater.accounts.passwords import Argon2Passwords, Password, parse_password
from headwater.domain.fields import InvalidFieldError
from tests.fakes.accounts import quick_passwords

CANARY = "canary-7f3a-correct-horse"


@pytest.mark.parametrize("value", ["x" * 8, "x" * 128, "with spaces and ünïcode 🔑", "\t\x00control"])
def test_any_eight_to_128_characters_are_a_password(value: str) -> None:
    passwords = quick_passwords()
    hashed = passwords.hash(parse_password(value))

    assert passwords.verify(hashed, parse_password(value))
    assert not passwords.verify(hashed, parse_password("!" + value[1:]))


@pytest.mark.parametrize("value", ["", "x" * 7, "x" * 129, None, 12345678, ["x"] * 8, float("nan"), "NaN\ud800xxxxxx"])
def test_other_values_are_refused_without_being_repeated(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^password: must ") as caught:
        parse_password(value)
    assert "xxx" not in str(caught.value)


def test_one_text_in_two_unicode_forms_is_one_password() -> None:
    passwords = quick_passwords()

    assert passwords.verify(passwords.hash(Password("re\u0301sume\u0301-2026")), Password("r\u00e9sum\u00e9-2026"))


def test_two_hashes_of_one_password_differ() -> None:
    passwords = quick_passwords()

    assert passwords.hash(Password(CANARY)) != passwords.hash(Password(CANARY))


def test_the_shipped_parameters_are_owasps() -> None:
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in Argon2Passwords().hash(Password(CANARY))


def test_a_password_does_not_show_itself() -> None:
    """FAULTS row 30."""
    password = Password(CANARY)

    assert CANARY not in f"{password} {password!r} {[password]}"
