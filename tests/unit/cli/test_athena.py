"""Queries on Athena: started in the workgroup, awaited, read page by page."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest

from cli.athena import Athena, AthenaError
from operations.archive.athena_sql import TranslationError
from tests.fakes.athena_client import AthenaThatAnswers, page, state

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient


COLUMNS = {"day": "date", "n": "bigint", "share": "double", "d": "decimal(3,1)", "yes": "boolean", "text": "varchar"}
DONE = {**state("SUCCEEDED"), "Statistics": {"DataScannedInBytes": 12_000_000, "TotalExecutionTimeInMillis": 1500}}


def athena(client: AthenaThatAnswers, waits: list[float]) -> Athena:
    return Athena(cast("AthenaClient", client), "stack-analytics", "headwater", sleep=waits.append)


def test_an_answer_comes_in_pages_with_its_types() -> None:
    client = AthenaThatAnswers(
        [state("QUEUED"), state("RUNNING"), DONE],
        [
            page(COLUMNS, tuple(COLUMNS), ("2026-03-01", "7", "0.5", "1.5", "true", "")),
            page(COLUMNS, ("2026-03-02", None, "NaN", None, "false", None)),
        ],
    )
    waits: list[float] = []

    answer, bill = athena(client, waits).query("SELECT * FROM plays")

    assert answer.columns == tuple(COLUMNS)
    assert answer.rows[0] == (date(2026, 3, 1), 7, 0.5, Decimal("1.5"), True, "")
    assert answer.rows[1][:2] == (date(2026, 3, 2), None)
    assert answer.rows[1][3:] == (None, False, None)
    assert (bill.bytes_scanned, bill.milliseconds) == (12_000_000, 1500)
    assert waits == [0.5, 1.0]
    assert client.started == [
        {
            "QueryString": "SELECT * FROM plays",
            "WorkGroup": "stack-analytics",
            "QueryExecutionContext": {"Database": "headwater"},
        }
    ]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("date", "2026-03-01", date(2026, 3, 1)),
        ("date", "+12026-03-01", "+12026-03-01"),
        ("timestamp", "2026-03-01 12:00:00.250", datetime(2026, 3, 1, 12, 0, 0, 250_000)),  # noqa: DTZ001
        ("timestamp(9)", "2026-03-01 12:00:00.123456789", "2026-03-01 12:00:00.123456789"),
        ("timestamp with time zone", "2026-03-01 12:00:00.000 UTC", datetime(2026, 3, 1, 12)),  # noqa: DTZ001
        ("timestamp(3) with time zone", "2026-03-01 12:00:00.000 +02:00", datetime(2026, 3, 1, 10)),  # noqa: DTZ001
        ("timestamp with time zone", "2026-07-01 12:00:00.000 Europe/Berlin", datetime(2026, 7, 1, 10)),  # noqa: DTZ001
        ("timestamp with time zone", "9999-12-31 23:59:59.000 -01:00", "9999-12-31 23:59:59.000 -01:00"),
        ("array(bigint)", "[1, 2]", "[1, 2]"),
    ],
)
def test_days_and_moments_are_those_of_local_answers(kind: str, text: str, value: object) -> None:
    client = AthenaThatAnswers([DONE], [page({"x": kind}, ("x",), (text,))])

    answer, _ = athena(client, []).query("SELECT x FROM plays")

    assert answer.rows == [(value,)]


def test_a_query_that_fails_says_why() -> None:
    client = AthenaThatAnswers([state("FAILED", StateChangeReason="HIVE_BAD_DATA: raw/x is not JSON")], [])

    with pytest.raises(AthenaError, match="FAILED: HIVE_BAD_DATA: raw/x is not JSON"):
        athena(client, []).query("SELECT 1")


def test_what_writes_never_reaches_athena() -> None:
    client = AthenaThatAnswers([], [])

    with pytest.raises(TranslationError, match="nothing is written"):
        athena(client, []).query("INSERT INTO events_raw SELECT 1")
    assert client.started == []


def test_a_query_that_nobody_waits_for_is_stopped() -> None:
    client = AthenaThatAnswers([state("RUNNING")], [])

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Athena(cast("AthenaClient", client), "w", "d", sleep=interrupted).query("SELECT 1")
    assert client.stopped == ["q-1"]
