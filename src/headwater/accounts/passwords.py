"""Passwords: their limits, and their argon2id hashes. The text itself exists for one request, in memory alone."""

import unicodedata
from typing import Protocol

import argon2

from headwater.domain.fields import InvalidFieldError, text

#: NIST SP 800-63B: at least 8 characters, no rule about which; the upper end bounds what a request can make us hash.
MINIMUM_CHARACTERS, MAXIMUM_CHARACTERS = 8, 128


class Password:
    """A password that does not show itself, wherever an object that holds it is printed or logged."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        # NIST SP 800-63B: two keyboards that send the same letters in different forms must open the same account.
        self._text = unicodedata.normalize("NFKC", text)

    def __repr__(self) -> str:
        return "Password('********')"

    def __len__(self) -> int:
        return len(self._text)

    def reveal(self) -> str:
        """The text, for hashing only."""
        return self._text


def parse_password(value: object, field: str = "password") -> Password:
    """A password of 8 to 128 characters, whichever they are."""
    password = Password(text(field, value))
    if not MINIMUM_CHARACTERS <= len(password) <= MAXIMUM_CHARACTERS:
        raise InvalidFieldError(field, f"must have {MINIMUM_CHARACTERS} to {MAXIMUM_CHARACTERS} characters")
    return password


class PasswordHasher(Protocol):
    def hash(self, password: Password) -> str:
        """A salted hash; two of one password differ."""
        ...

    def verify(self, password_hash: str, password: Password) -> bool:
        """Whether the hash was made from the password."""
        ...


class Argon2Passwords:
    """Implements `PasswordHasher` with argon2id.

    The defaults are OWASP's (Password Storage Cheat Sheet): 19 MiB, two passes, one lane, since a function below
    1,769 MB has less than one core. Each hash names its own parameters, so that raising them breaks none.
    """

    def __init__(self, *, passes: int = 2, memory_kib: int = 19 * 1024, lanes: int = 1) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)

    def hash(self, password: Password) -> str:
        return self._hasher.hash(password.reveal())

    def verify(self, password_hash: str, password: Password) -> bool:
        try:
            return self._hasher.verify(password_hash, password.reveal())
        except argon2.exceptions.VerifyMismatchError:
            return False
