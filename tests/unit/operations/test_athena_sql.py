"""Athena's SQL in DuckDB: the same answer, or a refusal that names what it is about."""

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from operations.archive.athena_sql import MACROS, TranslationError, athena_type, duckdb_type, select, tables, to_duckdb
from tests.fakes import duckdb_engine
from tests.fakes.calls import calls_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RELATIONS = {
    "t": {
        "text": "varchar",
        "number": "bigint",
        "ratio": "double",
        "day": "date",
        "moment": "timestamp",
        "yes": "boolean",
    }
}


@pytest.fixture(scope="module")
def engine() -> Iterator["DuckDBPyConnection"]:
    with duckdb_engine.engine() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(MACROS)
        engine.execute(
            "CREATE TABLE t (text VARCHAR, number BIGINT, ratio DOUBLE, day DATE, moment TIMESTAMP, yes BOOL)"
        )
        engine.execute(
            "INSERT INTO t VALUES ('a#b', 7, 2.5, '2026-01-31', '2026-01-31 23:30:00', true), "
            "(NULL, NULL, NULL, NULL, NULL, NULL)"
        )
        yield engine


def answer(engine: "DuckDBPyConnection", expression: str, where: str = "number = 7") -> Any:
    ((value,),) = engine.execute(to_duckdb(f"SELECT {expression} FROM t WHERE {where}", RELATIONS)).fetchall()
    return value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # Each of these DuckDB answers differently when asked as it is.
        ("number / 2", 3),
        ("-number / 2", -3),
        ("number / 2e0", 3.5),
        ("ratio / 0 > 1e9", True),
        ("CAST(ratio AS bigint)", 3),
        ("CAST(2.5 AS bigint)", 3),
        ("CAST(-ratio AS integer)", -3),
        ("greatest(number, NULL)", None),
        ("least(3, number, 5)", 3),
        ("concat(text, NULL)", None),
        ("substr(text, 0, 2)", ""),
        ("substr(text, -9)", ""),
        ("substr(text, 2, 0)", ""),
        ("substr(text, -1)", "b"),
        ("split_part(text, '#', 2)", "b"),
        ("split_part(text, '#', 3)", None),
        ("date_diff('day', TIMESTAMP '2026-01-01 23:00:00', TIMESTAMP '2026-01-02 01:00:00')", 0),
        ("date_diff('hour', TIMESTAMP '2026-01-01 23:00:00', TIMESTAMP '2026-01-02 01:00:00')", 2),
        ("date_diff('week', day, DATE '2026-02-14')", 2),
        ("date_add('month', 1, day)", datetime.date(2026, 2, 28)),
        ("day - INTERVAL '1' DAY", datetime.date(2026, 1, 30)),
        ("date_trunc('month', day)", datetime.date(2026, 1, 1)),
        ("day_of_week(day)", 6),
        ("approx_percentile(number, 0.5)", 7),
        ("json_extract_scalar('not json', '$.a')", None),
        ("json_extract_scalar('{\"a\":[1]}', '$.a')", None),
        ("TRY_CAST('12.7' AS bigint)", None),
        ("TRY(CAST('x' AS bigint))", None),
        ("TRY(from_iso8601_timestamp('yesterday')) IS NULL", True),
        ("TRY_CAST('2026-01-01T00:00:00Z' AS timestamp)", None),
        ("TRY_CAST('yes' AS boolean)", None),
        ("TRY_CAST('2026-02-30' AS date)", None),
        ("TRY_CAST('' AS double)", None),
        # And these as Athena does.
        ("number % 4", 3),
        ("1.5 * number", Decimal("10.5")),
        ("round(ratio * 1.1e0, 1)", 2.8),
        ("length('héé')", 3),
        ("text || 'c'", "a#bc"),
        ("CAST(day AS varchar)", "2026-01-31"),
        ("CAST('2026-02-01' AS date)", datetime.date(2026, 2, 1)),
        ("date(from_iso8601_timestamp('2026-03-01T23:30:00-01:00') AT TIME ZONE 'UTC')", datetime.date(2026, 3, 2)),
        ("date(TRY(from_iso8601_timestamp('2026-03-01T23:30:00+00:00')))", datetime.date(2026, 3, 1)),
        (
            "CAST(from_iso8601_timestamp('2026-03-01T12:00:00+02:00') AT TIME ZONE 'UTC' AS timestamp)",
            datetime.datetime(2026, 3, 1, 10),  # noqa: DTZ001
        ),
        ("to_unixtime(from_unixtime(1000000000))", 1e9),
        ("date_format(moment, '%Y-%m-%d %H:%i')", "2026-01-31 23:30"),
        ("extract(hour FROM moment)", 23),
        ("year(day) + month(day)", 2027),
        ("if(yes, 'y', 'n')", "y"),
        ("coalesce(NULL, number)", 7),
        ("count_if(number > 1)", 1),
        ("approx_distinct(text)", 1),
        ("strpos(text, '#')", 2),
        ("upper('é')", "É"),
        ("starts_with(text, 'a')", True),
        ("json_extract_scalar('{\"a\":1.50}', '$.a')", "1.50"),
        ('json_extract_scalar(\'{"b":{"a":1.50,"c":"\\"a\\": 1.5"}}\', \'$.b.a\')', "1.50"),
        ("json_extract_scalar('{\"a\":1e999}', '$.a')", "1e999"),
        ("json_extract_scalar('{\"a\":7,\"b\":NaN}', '$.a')", None),
        ("json_extract_scalar('{\"a\":-Infinity}', '$.a')", None),
        ('json_extract_scalar(\'{"a":7,"b":"NaN \\"inf"}\', \'$.a\')', "7"),
        ("regexp_extract(text, '[a-z]#')", "a#"),
        ("regexp_extract(text, 'no')", None),
        ("regexp_extract(concat(text, '\n'), '\\A[^0-9]+\\z')", "a#b\n"),
        ("regexp_like(concat(text, '\n'), '#[^.$]')", True),
        ("regexp_like(text, '^a.b$')", True),
        ("regexp_like(text, '^[a-z](#|\\.){1,2}(?:b|c)+?$')", True),
        ("CAST(NULL AS varchar)", None),
        ("CAST('2026-02-01 10:00:00.123' AS timestamp)", datetime.datetime(2026, 2, 1, 10, 0, 0, 123000)),  # noqa: DTZ001
        ("TIMESTAMP '2026-02-01 10:00:00.123456'", datetime.datetime(2026, 2, 1, 10, 0, 0, 123456)),  # noqa: DTZ001
    ],
)
def test_an_expression_answers_as_on_athena(engine: "DuckDBPyConnection", expression: str, value: object) -> None:
    assert answer(engine, expression) == value


def test_the_value_at_the_highest_may_be_null(engine: "DuckDBPyConnection") -> None:
    assert answer(engine, "max_by(text, coalesce(number, 9))", "true") is None


def test_a_series_of_days_is_of_dates(engine: "DuckDBPyConnection") -> None:
    sql = "SELECT d FROM UNNEST(sequence(DATE '2026-02-28', DATE '2026-03-01')) AS s (d)"

    assert engine.execute(to_duckdb(sql, RELATIONS)).fetchall() == [
        (datetime.date(2026, 2, 28),),
        (datetime.date(2026, 3, 1),),
    ]


@pytest.mark.parametrize(
    ("sequence", "values"),
    [
        ("1, 3", [1, 2, 3]),
        ("3, 1", [3, 2, 1]),
        ("1, 6, 2", [1, 3, 5]),
        ("6, 1, -2", [6, 4, 2]),
        ("2, 2, -1", [2]),
        ("DATE '2026-03-01', DATE '2026-02-27'", ["2026-03-01", "2026-02-28", "2026-02-27"]),
        ("DATE '2026-03-01', DATE '2026-03-06', INTERVAL '3' DAY", ["2026-03-01", "2026-03-04"]),
    ],
)
def test_a_sequence_leads_to_its_end(engine: "DuckDBPyConnection", sequence: str, values: list[Any]) -> None:
    rows = engine.execute(to_duckdb(f"SELECT x FROM UNNEST(sequence({sequence})) AS s (x)", RELATIONS)).fetchall()

    assert [value if isinstance(value, int) else value.isoformat() for (value,) in rows] == values


@pytest.mark.parametrize("sequence", ["1, 3, -1", "3, 1, 1", "1, 3, 0"])
def test_a_sequence_that_leads_elsewhere_is_an_error(engine: "DuckDBPyConnection", sequence: str) -> None:
    with pytest.raises(duckdb_engine.refusal(), match="does not lead from the start to the end"):
        engine.execute(to_duckdb(f"SELECT x FROM UNNEST(sequence({sequence})) AS s (x)", RELATIONS)).fetchall()


def test_columns_without_a_name_have_athenas(engine: "DuckDBPyConnection") -> None:
    relation = engine.sql(to_duckdb("SELECT count(*), number AS n, max(text) FROM t GROUP BY number", RELATIONS))

    assert relation.columns == ["_col0", "n", "_col2"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('json_extract_scalar(\'{"a":1.50,"b":{"a":1.5}}\', \'$.a\')', "number at"),
        ("CAST('12.7' AS bigint)", "12.7 is no whole number"),
        ("CAST('2026-01-01T00:00:00Z' AS timestamp)", "is no timestamp"),
        ("from_iso8601_timestamp('2026-01-01 00:00:00')", "no ISO 8601"),
        # There it is the day before, as its own zone has it.
        ("date(from_iso8601_timestamp('2026-03-01T23:30:00-01:00'))", "keeps its zone on Athena"),
        ("date(TRY(from_iso8601_timestamp('2026-03-01T23:30:00-01:00')))", "keeps its zone on Athena"),
        ("upper('Straße')", "ß stays"),
        # Trino's parsers are lenient: these may be values there.
        ("TRY_CAST('2024-1-5' AS date)", "2024-1-5 may be a date on Athena"),
        ("TRY_CAST(' 2024-01-05' AS date)", "may be a date on Athena"),
        ("TRY_CAST('NaN' AS double)", "NaN may be a number on Athena"),
        ("TRY_CAST('1d' AS double)", "1d may be a number on Athena"),
        ("TRY_CAST('٣' AS bigint)", "٣ may be a whole number on Athena"),
        ("TRY_CAST(' true' AS boolean)", "may be a boolean on Athena"),
        ("TRY_CAST('2026-1-1 1:02' AS timestamp)", "may be a timestamp on Athena"),
        ("TRY(from_iso8601_timestamp('2024-06'))", "2024-06 may be a moment on Athena"),
        ("TRY(from_iso8601_timestamp('2024-06-01T12:00:00+0200')) AT TIME ZONE 'UTC'", "may be a moment on Athena"),
        # DuckDB takes these for the next day, and for a zone.
        ("CAST('2026-01-01 24:00:00' AS timestamp)", "is no timestamp"),
        ("from_iso8601_timestamp('2026-01-01T00:00:00+25:00') AT TIME ZONE 'UTC'", "may be a moment|no ISO 8601"),
        # Athena rounds to milliseconds.
        ("CAST('2026-01-01 01:02:03.123456' AS timestamp)", "is no timestamp"),
        ("TRY_CAST('2026-01-01 01:02:03.123456' AS timestamp)", "may be a timestamp"),
        ("CAST('2026-01-01 01:02:03.123456' AS timestamp(3))", "is no timestamp"),
        # '$' matches before a line's end there.
        ("regexp_like(concat(text, '\n'), 'b$')", "line ends"),
        ("number / 0", "zero"),
    ],
)
def test_a_value_that_would_answer_differently_is_an_error(
    engine: "DuckDBPyConnection", expression: str, message: str
) -> None:
    with pytest.raises(duckdb_engine.refusal(), match=message):
        answer(engine, f"{expression} IS NULL")


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT url_extract_host(text) FROM t", "function url_extract_host"),
        ("SELECT date_diff('month', day, day) FROM t", "date_diff by month"),
        ("SELECT year(text) FROM t", "year of .*text"),
        ("SELECT 1.0 * number / 3 FROM t", "division of decimals"),
        ("SELECT avg(1.5) FROM t", "avg of 1.5"),
        ("SELECT CAST(ratio AS varchar) FROM t", "CAST of .*ratio"),
        ("SELECT text || number FROM t", r"\|\| with .*number"),
        ("SELECT text + 1 FROM t", "arithmetic with .*text"),
        ("SELECT trim(text) FROM t", "function trim"),
        ("SELECT reverse(text) FROM t", "function reverse"),
        (r"SELECT regexp_like(text, '^\w+$') FROM t", r"\\w\+\$' \(plain ones are: \[0-9\] for"),
        (r"SELECT regexp_like(text, '[\d]') FROM t", "regexp_like with the pattern"),
        (r"SELECT regexp_extract(text, '\w') FROM t", "regexp_extract with the pattern"),
        ("SELECT regexp_extract(text, '(a)(b)', 1) FROM t", "regexp_extract with group"),
        ("SELECT regexp_like(text, '(?i)a') FROM t", "regexp_like with the pattern"),
        ("SELECT regexp_like(text, '[[:alpha:]]') FROM t", "regexp_like with the pattern"),
        ("SELECT regexp_like(text, '[a-z&&[^b]]') FROM t", "regexp_like with the pattern"),
        ("SELECT regexp_like(text, 'a++') FROM t", "regexp_like with the pattern"),
        ("SELECT regexp_like(text, text) FROM t", "regexp_like with the pattern"),
        (
            "SELECT sequence(day, day, INTERVAL '1' MONTH) FROM t",
            "sequence of dates by other than INTERVAL '…' DAY .INTERVAL '1' MONTH",
        ),
        ("SELECT from_unixtime(ratio) FROM t", "from_unixtime of .*ratio"),
        ("SELECT CAST('2026-01-01 00:00:00 UTC' AS timestamp with time zone)", "CAST of .* to timestamp with"),
        ("SELECT trino_text('date', text) FROM t", "function trino_text"),
        ("SELECT arg_max_null(text, number) FROM t", "function arg_max_null"),
        ("SELECT CAST(day AS timestamp(0)) FROM t", r"CAST to timestamp\(0\)"),
        ("SELECT CAST(text AS varchar(3)) FROM t", r"CAST to varchar\(3\)"),
        ("SELECT CAST(number AS decimal(5, 2)) FROM t", "CAST to decimal"),
        ("SELECT DISTINCT ON (text) text, number FROM t", "distinct"),
        ("SELECT text FROM t GROUP BY ALL", "group"),
        ("SELECT lag(number) IGNORE NULLS OVER (ORDER BY day) FROM t", "IgnoreNulls"),
        ("SELECT moment AT TIME ZONE 'Europe/Berlin' FROM t", "AT TIME ZONE"),
        ("SELECT date_format(moment, '%W') FROM t", "date_format"),
        ("SELECT TRY(1 / number) FROM t", "TRY of"),
        ("SELECT CAST(text AS json) FROM t", "CAST to json"),
        ("SELECT * FROM t TABLESAMPLE BERNOULLI (50)", "TableSample"),
        ("SELECT * FROM t WHERE text ILIKE 'a%'", "ILike"),
        ("SELECT * FROM read_csv('/etc/hostname')", "table function read_csv"),
        ("SELECT array_agg(number)[1] FROM t", "Bracket"),
        ("SELECT count(DISTINCT (text, number)), random() FROM t", "rand"),
        ("SELECT * FROM t WHERE day >= '2026-01-01'", "compares no .*day .*'2026-01-01'"),
        ("SELECT * FROM t WHERE text > 5", "compares no .*text"),
        ("SELECT * FROM t WHERE number IN ('1', '2')", "compares no .*number"),
        ("SELECT colour FROM t", "colour"),
        ("SELECT text AS x FROM t WHERE x = 'a'", "x"),
        ("SELECT * FROM elsewhere", "no table elsewhere; there are: t"),
        ("SELEC 1", "not Athena's SQL|one SELECT"),
        ("SELECT (1", "not Athena's SQL"),
    ],
)
def test_what_is_not_known_to_answer_the_same_is_refused_by_name(sql: str, named: str) -> None:
    with pytest.raises(TranslationError, match=f"(?i){named}"):
        to_duckdb(sql, RELATIONS)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT (1 FROM t", "Expecting ), at line 1, column 14, near FROM"),
        ("SELECT *\nFROM t WHERE", "something is missing, at line 2, column 12, near WHERE"),
        ("SELECT date_diff('day', 1) FROM t", "something is missing, at line 1, column 26, near )"),
    ],
)
def test_what_is_no_sql_is_told_in_words_with_its_place(sql: str, said: str) -> None:
    with pytest.raises(TranslationError) as refused:
        select(sql)

    assert str(refused.value) == f"the query is not Athena's SQL: {said}"


@pytest.mark.parametrize("sql", ["SELECT \x1b[31m FROM t", "SELECT 'abc\x1b[31m", "SELECT \x1b[4mx FROM t WHERE ("])
def test_a_refusal_has_nothing_that_a_terminal_would_act_upon(sql: str) -> None:
    with pytest.raises(TranslationError) as refused:
        to_duckdb(sql, RELATIONS)

    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE t",
        "INSERT INTO t SELECT * FROM t",
        "WITH x AS (SELECT 1 AS a) INSERT INTO t SELECT a FROM x",
        "DELETE FROM t",
        "UPDATE t SET number = 1",
        "MERGE INTO t USING t AS s ON t.number = s.number WHEN MATCHED THEN DELETE",
        "CREATE TABLE u AS SELECT 1",
        "CREATE OR REPLACE VIEW u AS SELECT 1",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMNS (x string)",
        "UNLOAD (SELECT 1) TO 's3://bucket/' WITH (format = 'PARQUET')",
        "MSCK REPAIR TABLE t",
        "EXPLAIN ANALYZE INSERT INTO t SELECT 1",
        "PREPARE p FROM SELECT 1",
        "EXECUTE p",
        "SELECT 1 INTO u",
        "SHOW TABLES",
        "SET x = 1",
    ],
)
def test_what_writes_or_is_no_query_is_refused(sql: str) -> None:
    with pytest.raises(TranslationError, match=r"read, nothing is written|not Athena's SQL"):
        select(sql)


def test_a_query_reads_tables_and_not_its_own_names() -> None:
    query = select(
        "WITH t AS (SELECT * FROM Events_All) SELECT * FROM t JOIN db.plays p ON true, (SELECT 1 FROM badges)"
    )

    assert tables(query) == {"events_all", "plays", "badges"}


@pytest.mark.parametrize(
    ("hive", "athena", "duck"),
    [
        ("string", "varchar", "VARCHAR"),
        ("bigint", "bigint", "BIGINT"),
        ("int", "integer", "INTEGER"),
        ("timestamp", "timestamp", "TIMESTAMP"),
    ],
)
def test_types_have_a_name_in_each_engine(hive: str, athena: str, duck: str) -> None:
    assert (athena_type(hive), duckdb_type(hive)) == (athena, duck)


def test_a_type_that_is_unknown_is_an_error() -> None:
    with pytest.raises(TranslationError, match="uniontype"):
        duckdb_type("uniontype<int,")


def test_a_query_that_is_nested_too_deeply_is_told() -> None:
    with pytest.raises(TranslationError, match="nested too deeply: take it apart with WITH"):
        to_duckdb(f"SELECT {'(' * 2_000}1{')' * 2_000}", {})


def test_the_work_of_a_translation_grows_with_the_query_and_not_with_its_square() -> None:
    def work(conditions: int) -> int:
        where = " OR ".join(f"number = {n}" for n in range(conditions))
        return calls_of(lambda: to_duckdb(f"SELECT text FROM t WHERE {where}", RELATIONS))

    work(1)  # What is imported late is imported now.
    # 2.0 times; as long as every part of a query was written out by itself, 4 times.
    assert work(200) / work(100) < 2.5
