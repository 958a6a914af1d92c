"""The files of saved queries and views: what their headers say, and what they refuse."""

from pathlib import Path

import pytest

from operations.archive import saved_sql
from operations.archive.saved_sql import Chart, Parameter, SavedSqlError

HEADER = "-- title: T\n-- about: A.\n-- cost: c\n"


def query(folder: Path, text: str, name: str = "q") -> saved_sql.SavedQuery:
    (folder / "queries").mkdir(exist_ok=True)
    (folder / "queries" / f"{name}.sql").write_text(text, encoding="utf-8")
    return saved_sql.queries(folder)[name]


def test_a_query_has_a_title_parameters_and_a_chart(tmp_path: Path) -> None:
    found = query(
        tmp_path,
        f"{HEADER}-- param who text = O'Neill: whom\n-- chart: line day plays game\n\nSELECT 1 WHERE name = :who\n",
    )

    assert (found.title, found.about, found.cost) == ("T", "A.", "c")
    assert found.parameters == (Parameter("who", "text", "O'Neill", "whom"),)
    assert found.chart == Chart("line", "day", "plays", "game")
    assert found.sql() == "SELECT 1 WHERE name = 'O''Neill'\n"


@pytest.mark.parametrize(
    ("kind", "value", "literal"),
    [
        ("text", "a' OR '1'='1", "'a'' OR ''1''=''1'"),
        ("text", "", "''"),
        ("number", "-7", "-7"),
        ("day", "2026-03-01", "'2026-03-01'"),
        ("moment", "2026-03-01T12:00:00+02:00", "'2026-03-01T10:00:00.000Z'"),
        ("moment", "2026-03-01T12:00:00.123456Z", "'2026-03-01T12:00:00.123Z'"),
        ("moment", "2026-03-01", "'2026-03-01T00:00:00.000Z'"),
    ],
)
def test_a_value_becomes_a_literal(kind: saved_sql.Kind, value: str, literal: str) -> None:
    assert Parameter("p", kind, "", "").literal(value) == literal


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "seven"),
        ("number", "1; DROP TABLE t"),
        ("number", "9" * 5000),
        ("day", "2026-02-30"),
        ("day", "yesterday"),
        ("moment", "x"),
        ("moment", "9999-12-31T23:59:59-01:00"),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: saved_sql.Kind, value: str) -> None:
    with pytest.raises(SavedSqlError, match=f"p={value} is no {kind}"):
        Parameter("p", kind, "", "").literal(value)


def test_a_value_for_no_parameter_is_refused(tmp_path: Path) -> None:
    found = query(tmp_path, f"{HEADER}-- param who text = x: whom\n\nSELECT :who\n")

    with pytest.raises(SavedSqlError, match="q has no parameter whom; it has: who"):
        found.sql({"whom": "y"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- title: T\n-- about: A\n\nSELECT 1\n", "no line cost"),
        (f"{HEADER}-- colour: red\n\nSELECT 1\n", "'colour: red' is not understood"),
        (f"{HEADER}\nSELECT :who\n", "who is a parameter"),
        (f"{HEADER}-- param who text = x: whom\n\nSELECT 1\n", "who is a parameter"),
        (f"{HEADER}-- param who name = x: whom\n\nSELECT :who\n", "not understood"),
    ],
)
def test_a_header_that_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SavedSqlError, match=f"q.sql: .*{message}"):
        query(tmp_path, text)


def test_views_come_after_those_they_read(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    for name, source in (("a", "b"), ("b", "c"), ("c", "events_raw")):
        text = f"-- title: T\n-- about: A\n-- column x string: X\n\nSELECT x FROM {source}\n"
        (tmp_path / "views" / f"{name}.sql").write_text(text, encoding="utf-8")

    assert list(saved_sql.views(tmp_path)) == ["c", "b", "a"]

    (tmp_path / "views" / "c.sql").write_text("-- title: T\n-- about: A\n\nSELECT x FROM a\n", encoding="utf-8")
    with pytest.raises(SavedSqlError, match="circle: a, b, c"):
        saved_sql.views(tmp_path)
