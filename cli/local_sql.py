"""Athena's SQL over the archive on this machine: the raw objects in DuckDB, queries translated from Trino's dialect.

For asking the archive without Athena: the local stack, a downloaded archive, a test of a saved query. What cannot be
translated, or what DuckDB refuses, is an error; it is never a different answer, with two exceptions: numbers that
``json_extract_scalar`` takes out are written as DuckDB writes them (``1.50`` becomes ``1.5``), and text after a
malformed JSON value makes the whole value NULL.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RAW = "raw/"
#: Only keys that the archiver writes become files: a key is somebody's text, and a path here.
_OBJECT_KEY = re.compile(r"raw/source=[a-z_]+/dt=\d{4}-\d{2}-\d{2}/[A-Za-z0-9_-]+\.jsonl\.zst")
_DOWNLOADS = 8

#: Trino gives NULL for text that is not JSON and for what is no scalar; DuckDB raises, and gives the object's text.
_MACROS = """
CREATE MACRO trino_json_extract_scalar(document, path) AS
  CASE WHEN json_valid(document) AND json_type(document, path) NOT IN ('OBJECT', 'ARRAY') THEN document ->> path END;
CREATE MACRO trino_json_extract(document, path) AS
  CASE WHEN json_valid(document) THEN document -> path END;
"""


class LocalSqlError(Exception):
    """A query that cannot be answered here; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gives: names of columns, and rows in their order. Moments are naive and in UTC."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]


class LocalSql:
    """The archive of one bucket as one table, for as long as the context lasts.

    ``columns`` and ``partitions`` are the Glue table's, name → Hive type. Objects are downloaded by the given client,
    whatever its endpoint, to a temporary folder; each query fetches those that are new and forgets those that are gone.
    """

    def __init__(
        self,
        client: "S3Client",
        bucket: str,
        columns: Mapping[str, str],
        *,
        partitions: Mapping[str, str] | None = None,
        table: str = "events_raw",
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._partitions = partitions or {"source": "string", "dt": "string"}
        self._columns = {name: kind for name, kind in columns.items() if name not in self._partitions}
        self._table = table

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="headwater-sql-")
        self._root = Path(self._folder.name)
        self._files: dict[str, tuple[str, Path]] = {}
        # Late, because it is by far the largest import of the operator's command.
        import duckdb

        self._refusals = duckdb.Error
        self._duckdb = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self._duckdb.execute(_MACROS)
        self._duckdb.execute("SET TimeZone = 'UTC'")
        # A query reads the archive and nothing else of this machine.
        self._duckdb.execute(f"SET allowed_directories = [{_literal(str(self._root))}]")
        self._duckdb.execute("SET enable_external_access = false")
        self._duckdb.execute("SET lock_configuration = true")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._duckdb.close()
        self._folder.cleanup()

    def query(self, sql: str) -> Answer:
        """Answers one SELECT in Athena's (Trino's) SQL.

        Raises
        ------
        LocalSqlError
            It is not one query, cannot be translated, or DuckDB refuses it.
        """
        statement = self._translated(sql)
        self._fetch()
        try:
            self._duckdb.execute(self._view())
            relation = self._duckdb.sql(statement)
            # Moments with a zone would need pytz to come back as Python values; the session's zone is UTC.
            plain = relation.project(
                ", ".join(
                    f"CAST(#{place} AS TIMESTAMP)" if str(kind) == "TIMESTAMP WITH TIME ZONE" else f"#{place}"
                    for place, kind in enumerate(relation.types, start=1)
                )
            )
            return Answer(tuple(relation.columns), plain.fetchall())
        except self._refusals as error:
            raise LocalSqlError(f"DuckDB refuses the query: {error}") from error

    def _translated(self, sql: str) -> str:
        try:
            statements = sqlglot.parse(sql, read="trino")
            if len(statements) != 1 or not isinstance(statements[0], exp.Query):
                raise LocalSqlError("expected one SELECT (or WITH … SELECT): nothing can be written here")
            # From the leaves up, so that what one translation holds is translated already.
            for node in reversed(list(statements[0].walk())):
                if (translation := self._as_duckdb(node)) is not node:
                    node.replace(translation)
            return statements[0].sql("duckdb", unsupported_level=ErrorLevel.RAISE)
        except SqlglotError as error:
            raise LocalSqlError(f"the query cannot be translated from Athena's SQL: {error}") from error

    def _as_duckdb(self, node: exp.Expr) -> exp.Expr:
        match node:
            case exp.Table() if node.name.lower() == self._table:
                # Athena's database has no counterpart here.
                node.set("db", None)
                node.set("catalog", None)
                return node
            case exp.JSONExtractScalar():
                return exp.func("trino_json_extract_scalar", node.this, node.expression)
            case exp.JSONExtract():
                return exp.func("trino_json_extract", node.this, node.expression)
            case exp.DateDiff():
                # Trino counts whole units; DuckDB's date_diff counts the boundaries between.
                unit = exp.Literal.string(node.text("unit").lower() or "day")
                return exp.func("date_sub", unit, node.expression, node.this, dialect="duckdb")
            case exp.ApproxQuantile():
                # Trino gives a value that is there; DuckDB's approximation interpolates.
                return exp.func("quantile_disc", node.this, node.args["quantile"])
            case _:
                return node

    def _fetch(self) -> None:
        listed = dict(self._listed())
        for key in self._files.keys() - listed.keys():
            self._files.pop(key)[1].unlink()
        changed = [key for key, etag in listed.items() if key not in self._files or self._files[key][0] != etag]
        with ThreadPoolExecutor(_DOWNLOADS) as downloads:
            for key, path in zip(changed, downloads.map(self._download, changed), strict=True):
                self._files[key] = (listed[key], path)

    def _listed(self) -> Iterator[tuple[str, str]]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=_RAW):
            for entry in page.get("Contents", []):
                if _OBJECT_KEY.fullmatch(entry["Key"]):
                    yield entry["Key"], entry["ETag"]

    def _download(self, key: str) -> Path:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        return path

    def _view(self) -> str:
        types = {name: _duckdb_type(kind) for name, kind in (self._columns | dict(self._partitions)).items()}
        if self._files:
            data = _struct({name: types[name] for name in self._columns})
            hive = _struct({name: types[name] for name in self._partitions})
            objects = (
                f"read_json({_literal(f'{self._root}/{_RAW}*/*/*.jsonl.zst')}, format = 'newline_delimited', "
                f"compression = 'zstd', columns = {data}, "
                f"hive_partitioning = true, hive_types_autocast = false, hive_types = {hive})"
            )
            selected = ", ".join(map(_identifier, types))
            # The table's own names and types, quoted; DuckDB binds no parameters in a view.
            source = f"SELECT {selected} FROM {objects}"  # noqa: S608
        else:
            empty = ", ".join(f"CAST(NULL AS {kind}) AS {_identifier(name)}" for name, kind in types.items())
            source = f"SELECT {empty} WHERE false"
        return f"CREATE OR REPLACE VIEW {_identifier(self._table)} AS {source}"


def _duckdb_type(hive: str) -> str:
    try:
        return exp.DataType.build(hive, dialect="hive").sql("duckdb")
    except SqlglotError as error:
        raise LocalSqlError(f"the table has a column of the Hive type {hive!r}, which is unknown here") from error


def _struct(items: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_literal(name)}: {_literal(kind)}" for name, kind in items.items()) + "}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
