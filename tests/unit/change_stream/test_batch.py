"""What a batch handler answers."""

import pytest

from headwater.change_stream.batch import BatchOutcome, Failure, records_of

ERROR = RuntimeError("no")


def test_without_failures_the_whole_batch_is_done() -> None:
    assert BatchOutcome(3).stream_response() == {"batchItemFailures": []}
    assert BatchOutcome(3).queue_response() == {"batchItemFailures": []}


def test_a_stream_is_read_again_from_the_lowest_failure_by_number_not_by_text() -> None:
    outcome = BatchOutcome(3, [Failure("1000", ERROR), Failure("999", ERROR), Failure("10000", ERROR)])

    assert outcome.stream_response() == {"batchItemFailures": [{"itemIdentifier": "999"}]}


def test_a_queue_gets_each_failed_message_back() -> None:
    outcome = BatchOutcome(3, [Failure("b", ERROR), Failure("a", ERROR)])

    assert outcome.queue_response() == {"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "a"}]}


@pytest.mark.parametrize("event", [{}, {"Records": None}, {"Records": {}}])
def test_an_event_without_records_names_what_should_have_invoked(event: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="event source mapping"):
        records_of(event)
