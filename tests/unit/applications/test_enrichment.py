"""One element for each record, whatever the record is."""

from typing import Any

import pytest

from headwater.applications import enrichment
from headwater.applications.elements import Element
from headwater.applications.enrichment import Enrichment
from headwater.failures import FailureKind
from headwater.functions.pipe import enrichment_handler
from tests.fakes.applications import ACCOUNT, InMemoryApplications, action, application, record
from tests.fakes.schemas import validator


def test_an_action_gets_its_applications_account_in_a_message_of_the_schema() -> None:
    applications = InMemoryApplications(application())

    (element,) = Enrichment(applications).enrich([record(action(note="welcome"))])

    assert element.status == {
        "schema_version": 1,
        "action_id": "x1",
        "application_id": "a1",
        "account_id": ACCOUNT,
        "kind": "licence",
        "title": "Fishing",
        "status": "Received",
        "note": "welcome",
        "occurred_at": "2026-03-01T12:00:00.000Z",
    }
    validator("ApplicationStatus", 1).validate(element.status)


def test_a_batch_is_one_read_that_asks_for_each_application_once() -> None:
    applications = InMemoryApplications(application("a1"), application("a2"))
    actions = [action(f"x{number}", f"a{1 + number % 2}") for number in range(100)]

    elements = Enrichment(applications).enrich([record(each, n) for n, each in enumerate(actions)])

    assert [sorted(ids) for ids in applications.reads] == [["a1", "a2"]]
    assert [element.position for element in elements] == list(range(100))
    assert {element.of for element in elements} == {100}


@pytest.mark.parametrize(
    ("bad", "error", "reason"),
    [
        (record(action("x2", "nobody")), "ApplicationMissingError", "no application nobody"),
        (record(action("x2", status="Lost")), "UnknownStatusError", "status: must be one of Received, Preparing"),
        (record(action("x2", occurred_at="yesterday")), "InvalidFieldError", "occurred_at: must be ISO 8601"),
        (record(action("x2", application_id="a1", note=7)), "InvalidFieldError", "note: must be text"),
        (record(action("x2") | {"action_id": None}), "InvalidFieldError", "action_id: must be text"),
        (record(action("x2"), name="REMOVE"), "InvalidFieldError", "application_id: must be text"),
        ({"eventID": "event-9"}, "MalformedRecordError", "no object 'dynamodb'"),
        ("garbage", "MalformedRecordError", "JSON object is expected"),
    ],
)
def test_what_cannot_be_told_is_marked_with_its_reason_and_the_others_go_on(bad: Any, error: str, reason: str) -> None:
    """An action without its application, an unknown status, a record of another shape."""
    good = record(action())

    first, second, third = Enrichment(InMemoryApplications(application())).enrich([good, bad, good])

    assert first.status is not None
    assert third.status is not None
    assert second.status is None
    assert second.error == error
    assert reason in str(second.reason)
    assert second.record == bad


def test_row_35_an_enrichment_that_would_answer_fewer_fails_instead() -> None:
    """FAULTS row 35: a Pipe would pass fewer on, and drop the rest without a word."""
    one = Element(event_id="event-1", position=0, of=2, status={})
    handler = enrichment_handler("application_enrichment", lambda _: [one])

    with pytest.raises(ValueError, match="zip"):
        handler([record(action()), record(action("x2"))], _context())


def test_an_invocation_that_is_no_pipes_is_refused_with_what_to_do() -> None:
    handler = enrichment_handler("application_enrichment", lambda _: [])

    with pytest.raises(TypeError, match="invoke this function through its Pipe"):
        handler({"Records": []}, _context())


def test_a_read_that_fails_fails_the_batch_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def unreadable(_: object) -> list[Element]:
        raise ConnectionError("the table is not there: alice@example.org")

    with pytest.raises(ConnectionError):
        enrichment_handler("application_enrichment", unreadable)([record(action())], _context())

    (line,) = [vars(each) for each in caplog.records]
    assert line["error"] == "ConnectionError"
    assert "alice" not in str(line)


def _context() -> Any:
    return type("Context", (), {"aws_request_id": "request-1"})()


def test_a_record_comes_with_its_status_unless_it_is_long() -> None:
    """So that what the queue refuses can be parked, and a batch of long ones still fits into an answer."""
    short, long = record(action()), record(action("x2", note="x" * 200, extra="x" * 20_000))

    elements = Enrichment(InMemoryApplications(application())).enrich([short, long])

    assert [element.record for element in elements] == [short, None]
    assert all(element.status for element in elements)


def test_what_nobody_foresaw_of_one_record_is_in_its_element(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS row 42: and its neighbours have their status."""
    change = enrichment._change

    def failing(read: Any, found: Any) -> Any:
        if read["action_id"] == "x2":
            raise ZeroDivisionError("nobody foresaw it")
        return change(read, found)

    monkeypatch.setattr(enrichment, "_change", failing)

    elements = Enrichment(InMemoryApplications(application())).enrich([record(action()), record(action("x2"))])

    assert [element.status is None for element in elements] == [False, True]
    assert (elements[1].error, elements[1].kind) == ("ZeroDivisionError", FailureKind.UNFORESEEN)
