"""The history of an application comes out the same, in whichever order and however often its changes come."""

from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.domain.fields import InvalidFieldError
from headwater.domain.tracking import (
    SCHEMA_VERSION,
    STEP_OF,
    StatusChange,
    TrackedApplication,
    UnknownStatusError,
    to_milliseconds,
    track,
)
from tests.fakes.schemas import validator

CHANGE = StatusChange(
    action_id="x1",
    application_id="a1",
    account_id="account",
    kind="licence",
    title=None,
    status="Received",
    note=None,
    occurred_at="2026-03-01T12:00:00.000Z",
)
LIFE = (
    CHANGE,
    replace(CHANGE, action_id="x2", status="Preparing", occurred_at="2026-03-01T12:00:01.000Z"),
    replace(CHANGE, action_id="x3", status="Approved", note="yes", occurred_at="2026-03-02T00:00:00.000Z"),
)


def folded(changes: Any) -> TrackedApplication:
    application: TrackedApplication | None = None
    for change in changes:
        application = track(application, change)
    assert application is not None
    return application


@given(st.permutations(LIFE * 2))
def test_any_order_and_any_repetition_make_the_same_history(changes: list[StatusChange]) -> None:
    application = folded(changes)

    assert [step.action_id for step in application.history] == ["x1", "x2", "x3"]
    assert (application.status, application.since) == ("Approved", "2026-03-02T00:00:00.000Z")
    assert application.applied_at == "2026-03-01T12:00:00.000Z"


@given(st.permutations([replace(change, occurred_at=CHANGE.occurred_at) for change in LIFE]))
def test_of_one_millisecond_the_processs_order_decides(changes: list[StatusChange]) -> None:
    assert [step.status for step in folded(changes).history] == ["Received", "Preparing", "Approved"]


def test_a_change_that_is_known_changes_nothing() -> None:
    application = folded(LIFE)

    assert track(application, LIFE[1]) is application


def values(**changes: Any) -> dict[str, Any]:
    return {**asdict(CHANGE), **changes}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action_id": ""}, "action_id"),
        ({"application_id": "a#b"}, "application_id"),
        ({"account_id": None}, "account_id"),
        ({"kind": "A licence"}, "kind"),
        ({"title": 7}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"status": "received"}, "status"),
        ({"status": 1}, "status"),
        ({"note": "x" * 2001}, "note"),
        ({"note": "\ud800"}, "note"),
        ({"occurred_at": "2026-03-01T12:00:00+01:00"}, "occurred_at"),
    ],
)
def test_a_value_that_cannot_be_is_named_here_and_refused_by_the_schema(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        StatusChange.parse(values(**change))

    assert caught.value.field == field
    if change != {"note": "\ud800"}:  # JSON Schema counts characters and knows no surrogates
        assert not validator("ApplicationStatus", 1).is_valid({"schema_version": SCHEMA_VERSION, **values(**change)})


def test_a_missing_field_is_named_and_title_and_note_may_be_missing() -> None:
    without = {name: value for name, value in values().items() if name not in {"title", "note"}}

    assert StatusChange.parse(without) == CHANGE
    with pytest.raises(InvalidFieldError, match="kind: is missing"):
        StatusChange.parse({name: value for name, value in values().items() if name != "kind"})


def test_an_unknown_status_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownStatusError):
        StatusChange.parse(values(status="Lost"))


@pytest.mark.parametrize("status", STEP_OF)
def test_every_status_passes_the_schema(status: str) -> None:
    validator("ApplicationStatus", 1).validate(
        {"schema_version": SCHEMA_VERSION, **asdict(StatusChange.parse(values(status=status)))}
    )


def test_the_schema_has_exactly_the_fields_of_a_change() -> None:
    schema: Any = validator("ApplicationStatus", 1).schema

    assert schema["properties"].keys() == {"schema_version", *values()}
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["properties"]["status"]["enum"] == list(STEP_OF)
    assert {name for name, field in schema["properties"].items() if field.get("x-personal")} == {"title", "note"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000Z"),
        ("2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00.500Z"),
        ("2026-03-01T12:00:00.123Z", "2026-03-01T12:00:00.123Z"),
        ("2026-03-01T12:00:00.123456Z", "2026-03-01T12:00:00.123Z"),
        ("yesterday", "yesterday"),
        (None, None),
    ],
)
def test_a_time_has_milliseconds_however_it_was_written(written: object, read: object) -> None:
    """Step Functions writes no fraction that is zero: one action in a thousand would be parked."""
    assert to_milliseconds(written) == read
