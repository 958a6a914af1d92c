"""What a client may ask for, typed. Each ``parse`` takes a decoded JSON object and reports every problem at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Self

from headwater.accounts.passwords import Password, parse_password
from headwater.domain.activity import parse_details, parse_kind
from headwater.domain.fields import InvalidFieldError, InvalidFieldsError, UnknownFieldError
from headwater.domain.player import parse_game, parse_played_at, parse_score
from headwater.domain.user import parse_email, parse_name, parse_user_id

type Body = Mapping[str, Any]
type Parsers = Mapping[str, Callable[[object], Any]]


def parse_fields(body: Body, required: Parsers, optional: Parsers | None = None) -> dict[str, Any]:
    """Each field through its parser; an optional field that is absent or null is left out.

    Raises
    ------
    InvalidFieldsError
        Names each field that is missing, unknown or of an unacceptable value.
    """
    optional = optional or {}
    values, errors = {}, []
    for field, parse in {**required, **optional}.items():
        if field in optional and body.get(field) is None:
            continue
        if field not in body:
            errors.append(InvalidFieldError(field, "is missing"))
            continue
        try:
            values[field] = parse(body[field])
        except InvalidFieldError as error:
            errors.append(error)
    known = ", ".join([*required, *optional])
    errors += [
        UnknownFieldError(_shown(field), f"is unknown here; the fields are: {known}")
        for field in body
        if field not in required and field not in optional
    ]
    if errors:
        raise InvalidFieldsError(errors)
    return values


def _shown(field: str) -> str:
    # The name is the sender's own text: enough of it to be found, in plain characters.
    return "".join(char if char.isprintable() else "?" for char in field[:64])


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterUser:
    name: str
    email: str
    password: Password

    @classmethod
    def parse(cls, body: Body) -> Self:
        return cls(**parse_fields(body, {"name": parse_name, "email": parse_email, "password": parse_password}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEmail:
    email: str

    @classmethod
    def parse(cls, body: Body) -> Self:
        return cls(**parse_fields(body, {"email": parse_email}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeProfile:
    name: str

    @classmethod
    def parse(cls, body: Body) -> Self:
        return cls(**parse_fields(body, {"name": parse_name}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPlay:
    """``played_at`` None: just now."""

    game: str
    score: int
    played_at: datetime | None = None

    @classmethod
    def parse(cls, body: Body, now: datetime) -> Self:
        return cls(
            **parse_fields(
                body,
                {"game": parse_game, "score": parse_score},
                {"played_at": partial(parse_played_at, now=now)},
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordActivity:
    """``user_id`` None: a visitor who is not known."""

    kind: str
    user_id: str | None
    details: Mapping[str, str]

    @classmethod
    def parse(cls, body: Body) -> Self:
        values = parse_fields(body, {"kind": parse_kind}, {"user_id": parse_user_id, "details": parse_details})
        return cls(**({"user_id": None, "details": {}} | values))
