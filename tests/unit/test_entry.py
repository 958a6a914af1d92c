"""What a batch handler reports of its batches."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.functions.entry import batch_handler


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
        ["player#ada"],
    )


def test_a_batch_without_parked_records_says_nothing_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(BatchOutcome(3), capsys) == {"RecordsSucceeded": [3.0], "RecordsFailed": [0.0]}
