"""Curated rows: the columns of the archive's compacted days, and how they are made from raw lines.

One definition for the compaction, for Athena's tables and for the SQL of this machine.
"""

from types import MappingProxyType
from typing import Final

#: Whose changes are archived: the logical names of the tables.
SOURCES: Final = ("events", "applications")
#: Columns of an archived line (`headwater.archive.envelope`): Hive's types.
LINE: Final = MappingProxyType(
    {
        "stream_event_id": "string",
        "sequence_number": "string",
        "captured_at": "string",
        "operation": "string",
        "aggregate_id": "string",
        "version": "bigint",
        "event_id": "string",
        "type": "string",
        "schema_version": "int",
        "occurred_at": "string",
        "aggregate_type": "string",
        "payload": "string",
        "metadata": "string",
        "expires_at": "bigint",
        "keys": "string",
        "old_image": "string",
        "new_image": "string",
        "parse_error": "string",
        "raw_record": "string",
    }
)
#: Hot fields, out of the payload: whoever reads them reads no payloads.
HOT: Final = MappingProxyType({"user_id": "string", "game": "string", "score": "bigint", "badge": "string"})
#: Columns of a compacted row; ``dt`` is the UTC day of ``captured_at``.
ROW: Final = MappingProxyType({**LINE, "dt": "string", **HOT})

#: What filters choose row groups by.
_ORDER: Final = ("type", "aggregate_id", "version", "sequence_number")
#: The longest line that is read: two images of a 400 KB item, marshalled and escaped. DuckDB takes twice that a thread.
LINE_BYTES: Final = 8 * 1024 * 1024
#: A number that a hot field of type bigint takes, as patterns of both engines.
WHOLE_NUMBER: Final = r"\A[+-]?[0-9]+\z"
_DUCKDB: Final = {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER"}


def key(source: str, dt: str, number: int | None = None) -> str:
    """Where a compacted day lies; those of a day of several objects are numbered from 1."""
    return f"{day_prefix(source, dt)}{'' if number is None else f'-{number}'}.parquet"


def day_prefix(source: str, dt: str) -> str:
    """What the keys of a compacted day's objects begin with."""
    return f"{prefix(source)}month={dt[:7]}/{dt}"


def prefix(source: str) -> str:
    """Where a source's compacted days lie."""
    return f"curated/source={source}/"


def runs_prefix(source: str, dt: str) -> str:
    """Where what is being done about a day lies; no table reads there."""
    return f"compaction-runs/source={source}/dt={dt}/"


def run_prefix(source: str, dt: str, run: str) -> str:
    """Where Athena writes a day before it is checked."""
    return f"{runs_prefix(source, dt)}{run}/"


def raw_prefix(source: str, dt: str = "") -> str:
    """Where a day's raw objects lie; without a day, those of all days."""
    return f"raw/source={source}/" + (f"dt={dt}/" if dt else "")


def lines_sql() -> str:
    """DuckDB's SELECT of raw lines; its parameter is the list of files."""
    columns = ", ".join(f"'{name}': '{_DUCKDB[kind]}'" for name, kind in LINE.items())
    options = f"format = 'newline_delimited', compression = 'zstd', maximum_object_size = {LINE_BYTES}"
    return f"SELECT * FROM read_json(?, {options}, columns = {{{columns}}})"  # noqa: S608  # names of our own


def rows_sql(lines: str, dt: str) -> str:
    """DuckDB's SELECT of a day's curated rows from a table of its lines: each change once, in order."""
    hot = ", ".join(f"{_hot(name, kind)} AS {name}" for name, kind in HOT.items())
    once = "row_number() OVER (PARTITION BY stream_event_id ORDER BY captured_at) = 1"
    order = ", ".join(_ORDER)
    return f"SELECT {', '.join(LINE)}, '{dt}' AS dt, {hot} FROM {lines} QUALIFY {once} ORDER BY {order}"  # noqa: S608


def unload_sql(source: str, dt: str, location: str) -> str:
    """Athena's UNLOAD of the rows that `rows_sql` has, from the raw table, into an empty ``location`` (s3://…/).

    It sorts; where it writes several objects, each has its own part of the order.
    """
    return f"UNLOAD ({athena_rows_sql(source, dt)}) TO '{location}' WITH (format = 'PARQUET', compression = 'ZSTD')"


def athena_rows_sql(source: str, dt: str) -> str:
    """Athena's SELECT of a day's curated rows."""
    hot = ", ".join(f"{_athena_hot(name, kind)} AS {name}" for name, kind in HOT.items())
    once = "row_number() OVER (PARTITION BY stream_event_id ORDER BY captured_at) AS copy"
    lines = f"SELECT *, {once} FROM {source}_raw WHERE source = '{source}' AND dt = '{dt}'"  # noqa: S608
    columns, order = ", ".join(LINE), ", ".join(_ORDER)
    return f"SELECT {columns}, dt, {hot} FROM ({lines}) AS lines WHERE copy = 1 ORDER BY {order}"  # noqa: S608


def count_sql(source: str, dt: str) -> str:
    """Athena's SELECT of `headwater.archive.compaction.Counts`: one row of lines, changes, placed."""
    raw = f"FROM {source}_raw WHERE source = '{source}' AND dt = '{dt}'"
    placed = f"FROM {source} WHERE source = '{source}' AND month = '{dt[:7]}' AND dt = '{dt}'"
    return (
        f"SELECT (SELECT count(*) {raw}) AS lines, "
        f"(SELECT count(DISTINCT stream_event_id) {raw}) AS changes, "
        f"(SELECT count(*) {placed}) AS placed"
    )


def _athena_hot(name: str, kind: str) -> str:
    text = f"json_extract_scalar(payload, '$.{name}')"
    # Left to itself, Athena reads other alphabets' digits too.
    return text if kind == "string" else f"TRY_CAST(regexp_extract({text}, '{WHOLE_NUMBER}') AS {kind})"


def _hot(name: str, kind: str) -> str:
    """A field as Athena's json_extract_scalar and TRY_CAST have it: NULL where there is no such plain value."""
    plain = f"json_valid(payload) AND json_type(payload, '$.{name}') NOT IN ('OBJECT', 'ARRAY')"
    text = f"CASE WHEN {plain} THEN json_extract_string(payload, '$.{name}') END"
    if kind == "string":
        return text
    return f"CASE WHEN regexp_matches({text}, '{WHOLE_NUMBER}') THEN TRY_CAST({text} AS {_DUCKDB[kind]}) END"
