"""A person with an account: values, state, decisions.

Passwords are no part of it: they never enter an event (see accounts/passwords.py).
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from headwater.domain.constraints import parsed
from headwater.domain.events import (
    DomainEvent,
    Email,
    Name,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
    Uuid,
)
from headwater.domain.fields import InvalidFieldError, single_line, text


class UserError(Exception):
    """A decision about a user that cannot be taken."""


class UserNotFoundError(UserError):
    """No user has the id."""

    def __init__(self) -> None:
        super().__init__("no user has this id")


class UserDeletedError(UserError):
    """The user was deleted; nothing more can happen to the account."""

    def __init__(self) -> None:
        super().__init__("the user was deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What decisions about a user depend on."""

    name: str
    email: str
    deleted: bool = False


def evolve(user: User | None, event: DomainEvent) -> User:
    """The user after one more event.

    Raises
    ------
    ValueError
        The event cannot follow: a history that starts without a registration, or another aggregate's event.
    """
    match user, event:
        case None, UserRegistered(name=name, email=email):
            return User(name=name, email=email)
        case User(), UserEmailChanged(new_email=email):
            return replace(user, email=email)
        case User(), UserProfileChanged(name=name):
            return replace(user, name=name)
        case User(), UserDeleted():
            return replace(user, deleted=True)
    raise ValueError(f"{type(event).__name__} cannot follow: a user's history starts with one UserRegistered")


def fold(events: Iterable[DomainEvent]) -> User | None:
    """The user that a whole history makes; None if there is none."""
    user = None
    for event in events:
        user = evolve(user, event)
    return user


def existing(user: User | None) -> User:
    """The user, if there is one to act on.

    Raises
    ------
    UserNotFoundError, UserDeletedError
    """
    if user is None:
        raise UserNotFoundError
    if user.deleted:
        raise UserDeletedError
    return user


def register(name: str, email: str) -> UserRegistered:
    return UserRegistered(name=name, email=email)


def change_email(user: User | None, email: str) -> UserEmailChanged | None:
    """None if the user has that address already."""
    current = existing(user).email
    return None if email == current else UserEmailChanged(old_email=current, new_email=email)


def change_profile(user: User | None, name: str) -> UserProfileChanged | None:
    """None if the user has that name already."""
    return None if name == existing(user).name else UserProfileChanged(name=name)


def delete(user: User | None) -> UserDeleted:
    existing(user)
    return UserDeleted()


def parse_name(value: object, field: str = "name") -> str:
    """A display name, trimmed and in Unicode's composed form (NFC)."""
    # Before it is trimmed: a line break at its end is more than space.
    if problem := single_line(text(field, value)):
        raise InvalidFieldError(field, problem)
    name: str = parsed(field, unicodedata.normalize("NFC", str(value).strip()), Name)
    return name


def parse_email(value: object, field: str = "email") -> str:
    """A bare address such as ``ada@example.org``, its domain in lower case."""
    local_part, _, domain = parsed(field, value, Email).partition("@")
    return f"{local_part}@{domain.lower()}"


def email_key(email: str) -> str:
    """The form under which an address is unique: all in lower case.

    RFC 5321 lets a host tell ``Ada@`` from ``ada@``; none that matters does, and two accounts on one mailbox would
    be worse. Mail still goes to the address as it was given.
    """
    return email.lower()


def parse_user_id(value: object, field: str = "user_id") -> str:
    """A user's id: a UUID in its canonical lower-case form."""
    user_id: str = parsed(field, value, Uuid)
    return user_id
