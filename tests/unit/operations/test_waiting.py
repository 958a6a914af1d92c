"""Rows of the table for what cannot be read: shown, with why, whatever it is."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operations.dead_letters import waiting
from operations.dead_letters.inventory import dead_letter_queues
from operations.dead_letters.queues import Message
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.pointers import from_lambda

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(body: Any, **attributes: str) -> Message:
    text = body if isinstance(body, str) else json.dumps(body)
    return Message("0b1c2d3e-ffff", text, "handle", AT, AT + timedelta(days=14), 3, attributes)


def test_a_parked_message_of_another_shape_is_a_row_that_says_so() -> None:
    letter = waiting.of_parked(message("hello"), InMemoryClaimStore())

    assert (letter.handle, letter.reason, letter.raw) == ("0b1c2d3e-ffff", "unknown shape", "hello")
    assert letter.expires_at == AT + timedelta(days=14)


PARKED: dict[str, Any] = {
    "consumer": "badges",
    "mapping": "m",
    "source_arn": "a",
    "aggregate_id": "player#ada",
    "versions": [1],
    "reason": "r",
    "error": None,
    "attempts": None,
    "failed_at": "2026-03-01T12:00:00.000Z",
    "parked_at": "2026-03-01T12:00:00.000Z",
    "parsed": [None],
    "raw": [{}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"failed_at": "yesterday"},
        {"failed_at": "2026-03-01T12:00:00"},
        {"failed_at": "0001-01-01T00:00:00+14:00"},
        {"failed_at": None},
        {"raw": None},
        {"versions": ["one"]},
        {"versions": None},
        {"parsed": {}},
        {"error": 5},
        {"attempts": "many"},
        {"aggregate_id": None},
        {"dataref": 5},
    ],
)
def test_a_parked_message_with_a_field_of_another_type_is_a_row_that_says_so(change: dict[str, Any]) -> None:
    assert waiting.of_parked(message(PARKED), InMemoryClaimStore()).consumer == "badges"

    letter = waiting.of_parked(message(PARKED | change), InMemoryClaimStore())

    assert letter.reason == "unknown shape"
    (name,) = change
    assert f"its '{name}' is not" in str(letter.error)


def test_a_parked_message_whose_claim_is_gone_is_a_row_that_says_so() -> None:
    letter = waiting.of_parked(message({"dataref": "memory://claims/gone"}), InMemoryClaimStore())

    assert letter.reason == "unknown shape"
    assert "is not a claim" in str(letter.error)


def test_row_25_an_unknown_pointer_shows_the_reason_that_it_was_kept_for() -> None:
    """FAULTS row 25."""
    assert waiting.of_pointer(message("hello", reason="not JSON: because")).error == "not JSON: because"
    # One that the redrive policy moved has no reason with it.
    assert "not JSON" in str(waiting.of_pointer(message("hello")).error)


def test_row_22_an_unresolved_pointer_is_shown_with_its_consumer_and_as_many_records_as_it_names() -> None:
    """FAULTS row 22."""
    letter = waiting.of_pointer(message(from_lambda("kinesis", "1", "9", records=7)))

    assert (letter.consumer, letter.reason, letter.records) == ("badges", "records not found", 7)


@pytest.mark.parametrize(
    "body",
    [
        "hello",
        "[]",
        "{}",
        '{"subject": "user#1", "sequence": "one"}',
        '{"subject": "user#1", "sequence": 1e400}',
        json.dumps({"subject": "user#1", "sequence": "9" * 5000}),
        json.dumps({"subject": "user#1", "sequence": "9" * 20}),
    ],
)
def test_a_dead_letter_that_is_no_event_is_a_row_that_says_so(body: str) -> None:
    letter = waiting.of_event(message(body), "WelcomeEmailDeadLetterQueue", "welcome_email")

    assert (letter.consumer, letter.reason, letter.raw) == ("welcome_email", "unknown shape", body)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"{}",
        json.dumps(from_lambda("dynamodb", "1", "2", "ArchiverFunction")).encode(),
        json.dumps({**from_lambda("dynamodb", "1", "2", "ArchiverFunction"), "payload": {"Records": 5}}).encode(),
        json.dumps({**from_lambda("dynamodb", "1", "2", "ArchiverFunction"), "payload": []}).encode(),
    ],
)
def test_an_object_that_is_no_batch_is_a_row_that_says_so(body: bytes) -> None:
    letter = waiting.of_object("aws/lambda/x", body)

    assert (letter.consumer, letter.reason, letter.expires_at) == ("archiver", "unknown shape", None)


@pytest.mark.parametrize("payload", [{"Records": [1, 2]}, '{"Records": [1, 2]}'], ids=["object", "text"])
def test_an_archivers_batch_is_read_whether_its_payload_is_text_or_not(payload: Any) -> None:
    body = json.dumps({**from_lambda("dynamodb", "1", "2", "ArchiverFunction"), "payload": payload}).encode()

    letter = waiting.of_object("aws/lambda/x", body)

    assert (letter.consumer, letter.records, letter.raw) == ("archiver", 2, [1, 2])


def test_dead_letter_queues_go_back_to_the_queue_that_they_are_of() -> None:
    outputs = {
        "WelcomeEmailQueueUrl": "mail",
        "WelcomeEmailDeadLetterQueueUrl": "dead",
        "WelcomeEmailSubscriptionDeadLetterQueueUrl": "undelivered",
        "ParkedRecordsQueueUrl": "parked",
    }

    assert dead_letter_queues(outputs) == {
        "WelcomeEmailDeadLetterQueue": ("dead", "mail"),
        "WelcomeEmailSubscriptionDeadLetterQueue": ("undelivered", "mail"),
    }
