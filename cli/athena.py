"""Queries on Athena itself: started in the stack's workgroup, awaited, read page by page."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from operations.archive import athena_sql
from operations.archive.local_sql import Answer
from operations.errors import QueryError

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

#: Seconds between two looks at a query: short ones are soon seen, long ones cost few calls.
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 5.0


def _moment(text: str) -> datetime | str:
    """Without a zone, as local answers have it; the text where Python has no such value."""
    if len(text.partition(".")[2]) > 6:
        return text
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _instant(text: str) -> datetime | str:
    """In UTC and naive, as local answers have it."""
    local, _, name = text.rpartition(" ")
    moment = _moment(local)
    if isinstance(moment, str):
        return text
    try:
        zone = datetime.strptime(name, "%z").tzinfo if name[0] in "+-" else ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return text
    try:
        return moment.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return text


def _date(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


_VALUES: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("float", "real", "double"), float),
    "decimal": Decimal,
    "boolean": lambda text: text == "true",
    "date": _date,
    "timestamp": _moment,
    "timestamp with time zone": _instant,
}


class AthenaError(QueryError):
    """Athena did not answer; the message says why, in its words."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a query read, in bytes; Athena bills those, at least 10 MB a query, 5 US dollars a TB in most Regions."""

    bytes_scanned: int
    milliseconds: int


class Athena:
    """Athena in one workgroup and database."""

    def __init__(
        self, client: "AthenaClient", workgroup: str, database: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._workgroup = workgroup
        self._database = database
        self._sleep = sleep

    def query(self, sql: str) -> tuple[Answer, Bill]:
        """Answers one SELECT.

        Raises
        ------
        TranslationError
            It is not one SELECT, so that it might write.
        AthenaError
            Athena refused, stopped or failed it.
        """
        athena_sql.select(sql)
        execution = self._client.start_query_execution(
            QueryString=sql,
            WorkGroup=self._workgroup,
            QueryExecutionContext={"Database": self._database},
        )["QueryExecutionId"]
        try:
            bill = self._finished(execution)
        except KeyboardInterrupt:
            # What nobody waits for should not be paid for.
            self._client.stop_query_execution(QueryExecutionId=execution)
            raise
        return self._answer(execution), bill

    def _finished(self, execution: str) -> Bill:
        wait = _FIRST_WAIT
        while True:
            found = self._client.get_query_execution(QueryExecutionId=execution)["QueryExecution"]
            match found["Status"]["State"]:
                case "SUCCEEDED":
                    told = found.get("Statistics", {})
                    return Bill(told.get("DataScannedInBytes", 0), told.get("TotalExecutionTimeInMillis", 0))
                case "FAILED" | "CANCELLED" as state:
                    reason = found["Status"].get("StateChangeReason", "it gives no reason")
                    raise AthenaError(f"Athena says {state}: {reason}")
                case _:
                    self._sleep(wait)
                    wait = min(2 * wait, _LONGEST_WAIT)

    def _answer(self, execution: str) -> Answer:
        columns: list[tuple[str, str]] = []
        rows: list[tuple[Any, ...]] = []
        for number, page in enumerate(self._pages(execution)):
            columns = [(each["Name"], each["Type"]) for each in page["ResultSetMetadata"]["ColumnInfo"]]
            # The first page begins with the names of the columns.
            for row in page["Rows"][1 if number == 0 else 0 :]:
                cells = [cell.get("VarCharValue") for cell in row["Data"]]
                rows.append(tuple(_value(cell, kind) for cell, (_, kind) in zip(cells, columns, strict=True)))
        return Answer(tuple(name for name, _ in columns), rows)

    def _pages(self, execution: str) -> Iterator[Any]:
        for page in self._client.get_paginator("get_query_results").paginate(QueryExecutionId=execution):
            yield page["ResultSet"]


def _value(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    # Without its digits: decimal(3,1), timestamp(3) with time zone.
    return _VALUES.get(re.sub(r"\(.*?\)", "", kind.lower()), str)(text)
