"""Query: SQL over the archive, with its schema, the saved queries, a table and a chart."""

import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli import chart
from cli.chart import ChartError
from cli.console import redaction
from cli.console.desk import Answered
from cli.console.pages.shared import RefusedError, desk, served, shown
from operations.archive import saved_sql
from operations.archive.local_sql import Answer
from operations.archive.objects import described
from operations.archive.saved_sql import SavedQuery
from operations.archive.tables import TABLES
from operations.errors import QueryError

_SHOWN: Final = 500
#: Characters of a cell, and of a name in the chart.
_CELL: Final = 1_000
_NAME: Final = 40
_DRAWN: Final = int | float | Decimal | date


def query(request: Request) -> Response:
    """What to ask: SQL, or a saved query with its parameters."""
    name = request.query_params.get("name", "")
    queries = saved_sql.queries()
    if name and name not in queries:
        raise RefusedError(f"there is no saved query {name!r}: the list beside shows those that there are", 404)
    saved = queries.get(name)
    given = _given(request, saved)
    return shown(
        request,
        "query.html",
        queries=queries,
        saved=saved,
        given=given,
        sql=request.query_params.get("sql", ""),
        relations=_relations(),
        title="Query",
    )


async def ask(request: Request) -> Response:
    """The answer: a part of the page. By POST, since on a deployed stack Athena bills it."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    return await served(lambda request: _answer(request, form))(request)


def _answer(request: Request, form: dict[str, str]) -> Response:
    saved = saved_sql.queries().get(form.get("name", ""))
    try:
        if saved is not None:
            values = {each.name: form.get(each.name, "") for each in saved.parameters}
            sql = saved.asked({name: value for name, value in values.items() if value})
        else:
            sql = form.get("sql", "").strip()
            if not sql:
                raise RefusedError("write a SELECT, or choose a saved query")
        answered = desk(request).query(sql)
    except QueryError as error:
        raise RefusedError(str(error)) from error
    answer = answered.answer
    hidden = [redaction.hides(name) for name in answer.columns]
    rows = [
        [redaction.HIDDEN if hide and cell is not None else _cell(cell) for hide, cell in zip(hidden, row, strict=True)]
        for row in answer.rows[:_SHOWN]
    ]
    return shown(
        request,
        "answer.html",
        answer=answer,
        rows=rows,
        numeric=answer.numeric,
        bill=answered.bill,
        notes=list(described(answered.foreign, answered.damaged)),
        incomplete=answered.incomplete,
        sql=sql,
        chart=_chart(answered, saved),
    )


def _given(request: Request, saved: SavedQuery | None) -> dict[str, str]:
    """A parameter's value as the address says it, or its default; none where a person has to say it."""
    if saved is None:
        return {}
    return {
        each.name: request.query_params.get(each.name, "" if each.required else each.default)
        for each in saved.parameters
    }


def _cell(value: Any, longest: int = _CELL) -> str | None:
    if value is None:
        return None
    return redaction.text(value if isinstance(value, str) else str(redaction.value(value)), longest)


def _chart(answered: Answered, saved: SavedQuery | None) -> str | None:
    """The answer as a picture, an SVG as a data URI; None where there is nothing to draw."""
    answer = answered.answer
    if not answer.rows or any(map(redaction.hides, answer.columns)):
        return None
    # A picture shows no more than the table does, and long names leave it no room.
    drawable = [tuple(each if isinstance(each, _DRAWN) else _cell(each, _NAME) for each in row) for row in answer.rows]
    answer = Answer(answer.columns, drawable)
    try:
        drawn = saved.chart if saved is not None and saved.chart is not None else chart.guessed(answer)
        if drawn.kind == "bar" and len(answer.rows) > _SHOWN:
            # Bars as thin as that say nothing, and each takes a millisecond of all pages' time.
            return None
        with tempfile.TemporaryDirectory(prefix="headwater-chart-") as folder:
            path = Path(folder) / "chart.svg"
            chart.draw(answer, drawn, saved.title if saved is not None else "", path)
            return path.read_text(encoding="utf-8")
    except (ChartError, ArithmeticError, ValueError, TypeError):
        return None


def _relations() -> dict[str, dict[str, str]]:
    """Views and tables with their columns, views first: they are what people ask."""
    found = {name: {each.name: each.type for each in view.columns} for name, view in saved_sql.views().items()}
    return found | {name: dict(table.all_columns) for name, table in TABLES.items()}


ROUTES: Final = [Route("/query", served(query)), Route("/query", ask, methods=["POST"])]
