"""What a batch handler reports of its batches."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.functions.entry import batch_handler
from headwater.functions.pipe import enrichment_handler
from tests.fakes.publishers import client_error


def reported(outcome: BatchOutcome, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    handler = batch_handler("badges", "kinesis", lambda _: outcome)
    handler({"Records": [{}] * outcome.received}, SimpleNamespace(aws_request_id="1"))
    (metrics,) = (orjson.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line)
    return {name: value for name, value in metrics.items() if name.startswith("Records")}


def test_what_is_parked_is_counted_as_that_and_as_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = BatchOutcome(7, [Failure("1", OSError("no route"))], parked=2)

    assert reported(outcome, capsys) == {"RecordsSucceeded": [4.0], "RecordsFailed": [1.0], "RecordsParked": [2.0]}


def test_aggregates_that_stand_still_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    handler = batch_handler("badges", "kinesis", lambda _: BatchOutcome(1, parked=1, stopped=["player#ada"]))
    handler({"Records": [{}]}, SimpleNamespace(aws_request_id="1"))

    (line,) = (vars(record) for record in caplog.records)
    assert (line["message"], line["function"], line["aggregates"]) == (
        "aggregates stand still",
        "badges",
        "player#ada",
    )


def test_a_batch_without_parked_records_says_nothing_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(BatchOutcome(3), capsys) == {"RecordsSucceeded": [3.0], "RecordsFailed": [0.0]}


DENIED = client_error("AccessDeniedException", "PutItem")


def incidents(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    lines = [vars(record) for record in caplog.records if hasattr(record, "incident")]
    return [(line["incident"], line["function"], line["records"]) for line in lines]


def test_an_outage_is_reported_once_a_batch(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """FAULTS row 44."""
    failures = [Failure(str(number), error) for number, error in enumerate([OSError("no route"), DENIED, DENIED])]

    batch_handler("badges", "kinesis", lambda _: BatchOutcome(4, failures))(
        {"Records": [{}] * 4}, SimpleNamespace(aws_request_id="1")
    )

    assert incidents(caplog) == [("Outages", "badges", "2")]
    (counted,) = [orjson.loads(line) for line in capsys.readouterr().out.splitlines() if '"Outages":[1.0]' in line]
    (group,) = counted["_aws"]["CloudWatchMetrics"]
    # For the whole stack; which function it was, the line says.
    assert (group["Dimensions"], counted["function"]) == ([["service"]], "badges")


def test_an_outage_that_fails_a_whole_batch_is_reported_too(caplog: pytest.LogCaptureFixture) -> None:
    def denied(_: Any) -> Any:
        raise DENIED

    with pytest.raises(type(DENIED)):
        batch_handler("badges", "kinesis", denied)({"Records": [{}]}, SimpleNamespace(aws_request_id="1"))
    with pytest.raises(type(DENIED)):
        enrichment_handler("application_enrichment", denied)([{}], SimpleNamespace(aws_request_id="1"))

    assert incidents(caplog) == [("Outages", "badges", "1"), ("Outages", "application_enrichment", "1")]


def test_a_bad_moment_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    failures = [Failure("1", client_error("ThrottlingException", "PutItem")), Failure("2", KeyError("x"))]

    batch_handler("badges", "kinesis", lambda _: BatchOutcome(2, failures))(
        {"Records": [{}] * 2}, SimpleNamespace(aws_request_id="1")
    )

    assert incidents(caplog) == []
