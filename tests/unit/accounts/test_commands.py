"""Commands from JSON: every problem is told at once, by the field's name."""

from datetime import UTC, datetime
from typing import Any

import pytest

from headwater.accounts.commands import ChangeEmail, ChangeProfile, RecordActivity, RecordPlay, RegisterUser
from headwater.domain.fields import InvalidFieldsError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REGISTRATION: dict[str, Any] = {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}


def problems(error: InvalidFieldsError) -> dict[str, str]:
    return {item.field: item.problem for item in error.errors}


def test_a_command_holds_parsed_values() -> None:
    command = RegisterUser.parse(REGISTRATION | {"name": " Ada ", "email": "ada@EXAMPLE.org"})

    assert (command.name, command.email) == ("Ada", "ada@example.org")
    assert ChangeEmail.parse({"email": "ada@example.com"}).email == "ada@example.com"
    assert ChangeProfile.parse({"name": "Ada L."}).name == "Ada L."


def test_optional_fields_may_be_left_out_or_null() -> None:
    assert RecordPlay.parse({"game": "chess", "score": 7}, NOW).played_at is None
    assert RecordPlay.parse({"game": "chess", "score": 7, "played_at": None}, NOW).played_at is None
    assert RecordActivity.parse({"kind": "ClickOnLogo", "details": None}) == RecordActivity(
        kind="ClickOnLogo", user_id=None, details={}
    )


def test_all_problems_are_told_at_once() -> None:
    """FAULTS row 18."""
    with pytest.raises(InvalidFieldsError) as caught:
        RegisterUser.parse({"name": "", "email": "ada@example.org\r\nBcc: x", "nickname": "A"})

    assert problems(caught.value) == {
        "name": "must have 1 to 100 characters",
        "email": "must hold no control characters or line breaks",
        "password": "is missing",
        "nickname": "is unknown here; the fields are: name, email, password",
    }


def test_an_unknown_fields_name_is_cut_and_cleaned() -> None:
    with pytest.raises(InvalidFieldsError) as caught:
        ChangeProfile.parse({"name": "Ada", "x\r\n" + "y" * 500: 1})

    (field,) = problems(caught.value)
    assert field == "x??" + "y" * 61


def test_a_command_does_not_show_its_password() -> None:
    """FAULTS row 30."""
    assert "correct horse" not in repr(RegisterUser.parse(REGISTRATION))
