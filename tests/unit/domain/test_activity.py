"""Activities: one event each, with an end."""

from datetime import UTC, datetime

import pytest

from headwater.domain import activity
from headwater.domain.activity import Activity
from headwater.domain.events import ActivityRecorded, DomainEvent, UserDeleted
from headwater.domain.fields import InvalidFieldError

CLICK = ActivityRecorded(kind="ClickOnLogo", user_id=None, details={"page": "/"})


def test_an_activity_is_its_one_event() -> None:
    assert activity.record("ClickOnLogo", None, {"page": "/"}) == CLICK
    assert activity.fold([CLICK]) == Activity(kind="ClickOnLogo", user_id=None, details={"page": "/"})
    assert activity.fold([]) is None


@pytest.mark.parametrize("history", [[CLICK, CLICK], [UserDeleted()]])
def test_nothing_follows_it(history: list[DomainEvent]) -> None:
    with pytest.raises(ValueError, match="has one event"):
        activity.fold(history)


def test_it_expires_after_ninety_days() -> None:
    assert activity.expires_at(datetime(2026, 3, 1, tzinfo=UTC)) == datetime(2026, 5, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("value", ["", "clickOnLogo", "Click On", "X" * 65, None, 7, "Click\n"])
def test_a_kind_is_a_name(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^kind: "):
        activity.parse_kind(value)
    assert activity.parse_kind("ClickOnLogo") == "ClickOnLogo"


def test_details_are_texts_by_name() -> None:
    assert activity.parse_details({"page": "/", "from_ad": "x" * 1000}) == {"page": "/", "from_ad": "x" * 1000}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("text", "details"),
        ({f"n{number}": "" for number in range(21)}, "details"),
        ({"page 1": ""}, "details"),
        ({"page": 7}, "details.page"),
        ({"page": None}, "details.page"),
        ({"page": float("nan")}, "details.page"),
        ({"page": {"nested": "x"}}, "details.page"),
        ({"page": "a\nb"}, "details.page"),
        ({"page": "x" * 1001}, "details.page"),
    ],
)
def test_other_details_are_refused_by_name(value: object, field: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        activity.parse_details(value)
    assert caught.value.field == field
