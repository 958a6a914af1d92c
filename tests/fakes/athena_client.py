"""Athena's client, as its API reference documents it."""

from collections.abc import Iterator
from typing import Any


class AthenaThatAnswers:
    """Tells each of the states once, then the answer's pages; keeps what was asked."""

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
