"""Queries on Athena: started in the workgroup, awaited, read page by page."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from cli.athena import Athena, AthenaError
from cli.athena_sql import TranslationError

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient


class AthenaThatAnswers:
    """Athena's client, in the shapes that its API reference documents; each state is told once."""

    def __init__(self, states: list[dict[str, Any]], pages: list[dict[str, Any]]) -> None:
        self.states = states
        self.pages = pages
        self.started: list[dict[str, Any]] = []
        self.stopped: list[str] = []

    def start_query_execution(self, **request: Any) -> dict[str, str]:
        self.started.append(request)
        return {"QueryExecutionId": "q-1"}

    def get_query_execution(self, **request: str) -> dict[str, Any]:
        return {"QueryExecution": {**request, **self.states.pop(0)}}

    def stop_query_execution(self, **request: str) -> None:
        self.stopped.append(request["QueryExecutionId"])

    def get_paginator(self, operation: str) -> "AthenaThatAnswers":
        assert operation == "get_query_results"
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        yield from ({"ResultSet": page} for page in self.pages)


def state(name: str, **more: Any) -> dict[str, Any]:
    return {"Status": {"State": name, **more}}


def page(columns: dict[str, str], *rows: tuple[str | None, ...]) -> dict[str, Any]:
    return {
        "ResultSetMetadata": {"ColumnInfo": [{"Name": name, "Type": kind} for name, kind in columns.items()]},
        "Rows": [{"Data": [{} if cell is None else {"VarCharValue": cell} for cell in row]} for row in rows],
    }


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
    assert answer.rows[0] == ("2026-03-01", 7, 0.5, Decimal("1.5"), True, "")
    assert answer.rows[1][:2] == ("2026-03-02", None)
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
