"""Athena's SQL over an archive on this machine: its objects in DuckDB, under the names that Athena has for them.

For asking the archive without Athena: the local stack's, a downloaded one, a test of a saved query. What may answer
differently is refused by name: see `cli.athena_sql`.
"""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cli import archive_objects, athena_sql, saved_sql
from cli.archive_objects import Objects, Skipped, StoredObject
from cli.athena_sql import TranslationError
from cli.tables import TABLES, Format, Table
from headwater.archive.objects import ObjectNotFoundError

_DOWNLOADS = 8
#: Tries to read an archive that is compacted meanwhile; each reads again only what is new.
_LOOKS = 5
_LIST = TABLES["curated_days"]


class LocalSqlError(Exception):
    """A query that cannot be answered here; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gives: names of columns, and rows in their order. Moments are naive and in UTC."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]


class LocalSql:
    """An archive as Athena's tables and views, for as long as the context lasts.

    A query reads the objects of the tables that it names, directly or through views, into a temporary folder: those
    that are new since the last one, and forgets those that are gone. Objects that are foreign or cannot be read are
    left out, and are in `skipped`; so are those that the list of compacted days has and that are missing.

    ``since`` (YYYY-MM-DD) leaves out the objects of earlier days.
    """

    def __init__(self, objects: Objects, since: str = "") -> None:
        self._objects = objects
        self._since = since
        self._views = saved_sql.views()
        self._relations = {name: table.athena_types for name, table in TABLES.items()} | {
            name: {column.name: athena_sql.athena_type(column.type) for column in view.columns}
            for name, view in self._views.items()
        }

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="headwater-sql-")
        self._root = Path(self._folder.name)
        self._tags: dict[str, str] = {}
        self._found: dict[str, list[StoredObject]] = {}
        self._rows: dict[str, int] = {}
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._skipped: dict[str, dict[str, Skipped]] = {}
        # Late, because it is by far the largest import of the operator's command.
        import duckdb

        self._refusals = duckdb.Error
        self._duckdb = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self._duckdb.execute("SET TimeZone = 'UTC'")
        self._duckdb.execute(athena_sql.MACROS)
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

    @property
    def skipped(self) -> list[Skipped]:
        """Objects that the queries so far have left out, by key."""
        return [each for prefix in sorted(self._skipped) for each in self._skipped_under(prefix)]

    def read(self, table: Table) -> tuple[list[StoredObject], list[Skipped]]:
        """Reads a table's objects: those that its name makes it one of, and what is wrong with some.

        Raises
        ------
        LocalSqlError
            They change all the time.
        """
        self._fetch([table])
        return self._found[table.name], self._skipped_under(table.prefix)

    def query(self, sql: str) -> Answer:
        """Answers one SELECT in Athena's (Trino's) SQL.

        Raises
        ------
        LocalSqlError
            It is not one query, cannot be translated, DuckDB refuses it, or the archive changes all the time.
        """
        try:
            statement = athena_sql.to_duckdb(sql, self._relations)
            read = self._read_by(sql)
            self._fetch([TABLES[name] for name in sorted(read & TABLES.keys())])
        except TranslationError as error:
            raise LocalSqlError(str(error)) from error
        try:
            for name in sorted(read & TABLES.keys()):
                self._create_view(name, self._over_files(TABLES[name]))
            for name, view in self._views.items():
                if name in read:
                    self._create_view(name, athena_sql.to_duckdb(view.sql, self._relations))
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

    def _read_by(self, sql: str) -> set[str]:
        """Tables and views that a query reads, those behind its views included."""
        found: set[str] = set()
        waiting = athena_sql.tables(athena_sql.select(sql))
        while waiting:
            name = waiting.pop()
            found.add(name)
            if name in self._views:
                waiting |= athena_sql.tables(athena_sql.select(self._views[name].sql)) - found
        return found

    def _skipped_under(self, prefix: str) -> list[Skipped]:
        return [each for _, each in sorted(self._skipped.get(prefix, {}).items())]

    def _fetch(self, tables: Sequence[Table]) -> None:
        """Reads the tables as of one moment, though a compaction may be replacing objects."""
        curated = [table for table in tables if table.format is Format.CURATED]
        # The list comes first: whatever is compacted later is still there as raw.
        ordered = [_LIST, *(table for table in tables if table is not _LIST)] if curated else tables
        for _ in range(_LOOKS):
            before = self._published()
            try:
                for table in ordered:
                    self._fetch_table(table)
            except ObjectNotFoundError:
                continue
            missing = {table.prefix: self._missing(table) for table in curated}
            # A day leaves the list before its objects go: what is missing while the list stays as it is, is lost.
            if not any(missing.values()) or self._published() == before:
                break
        else:
            raise LocalSqlError(
                f"the archive changed all {_LOOKS} times that it was read: ask again when its compaction has ended"
            )
        for prefix, skipped in missing.items():
            self._skipped[prefix] |= {each.key: each for each in skipped}

    def _published(self) -> dict[str, str]:
        return {each.key: each.tag for each in self._objects.listed(_LIST.prefix)}

    def _missing(self, table: Table) -> list[Skipped]:
        lines = (line for lines in self._lists.values() for line in lines if line["dt"] >= self._since)
        known = self._skipped[table.prefix]
        return [each for each in archive_objects.missing(table, lines, self._rows) if each.key not in known]

    def _fetch_table(self, table: Table) -> None:
        found, foreign = archive_objects.sorted_out(self._objects.listed(table.prefix), table.format.key)
        own = [each for each in found if (archive_objects.day(each.key) or self._since) >= self._since]
        self._found[table.name] = own
        self._skipped[table.prefix] = {each.key: each for each in foreign}
        listed = {each.key: each.tag for each in own}
        for key in [key for key in self._tags if key.startswith(table.prefix) and key not in listed]:
            self._forget(key)
        changed = [key for key, tag in listed.items() if self._tags.get(key) != tag]
        with ThreadPoolExecutor(_DOWNLOADS) as downloads:
            # A batch at a time, or an archive that is read faster than checked would fill the memory.
            for keys in batched(changed, _DOWNLOADS, strict=False):
                for key, body in zip(keys, downloads.map(self._objects.read, keys), strict=True):
                    self._keep(table, key, listed[key], body)

    def _keep(self, table: Table, key: str, tag: str, body: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        read: int | str | list[dict[str, Any]]
        if table.format is Format.CURATED:
            read = archive_objects.checked_parquet(self._duckdb, path, key, table)
        else:
            read = archive_objects.checked(body, table)
        if isinstance(read, str):
            # Read again by the next query: it is named each time, and few there are.
            self._forget(key)
            self._skipped[table.prefix][key] = Skipped(key, read)
            return
        self._tags[key] = tag
        if isinstance(read, int):
            self._rows[key] = read
        elif table is _LIST:
            self._lists[key] = read

    def _forget(self, key: str) -> None:
        for known in (self._tags, self._rows, self._lists):
            known.pop(key, None)
        (self._root / key).unlink(missing_ok=True)

    def _over_files(self, table: Table) -> str:
        files = sorted(key for key in self._tags if key.startswith(table.prefix))
        types = {name: athena_sql.duckdb_type(kind) for name, kind in table.all_columns.items()}
        nulls = ", ".join(f"CAST(NULL AS {kind}) AS {_identifier(name)}" for name, kind in types.items())
        empty = f"SELECT {nulls} WHERE false"
        if not files:
            return empty
        data = {name: types[name] for name in table.columns}
        hive = {name: types[name] for name in table.partitions}
        where = _literal(f"{self._root}/{table.prefix}**")
        partitions = (
            f"hive_partitioning = true, hive_types_autocast = false, hive_types = {_struct(hive)}" if hive else ""
        )
        match table.format:
            case Format.RAW | Format.BOUNDARY:
                packed = "zstd" if table.format is Format.RAW else "none"
                options = f"format = 'newline_delimited', compression = {_literal(packed)}, columns = {_struct(data)}"
                objects = f"read_json({where}, {', '.join(filter(None, [options, partitions]))})"
            case Format.CURATED:
                # Objects from before a column was added lack it: NULL there, as on Athena. That may be all of them.
                days = f"read_parquet({where}, union_by_name = true, {partitions})"
                objects = f"(SELECT * FROM {days} UNION ALL BY NAME {empty})"  # noqa: S608
        # The table's own names and types, quoted; DuckDB binds no parameters in a view.
        return f"SELECT {', '.join(map(_identifier, types))} FROM {objects}"  # noqa: S608

    def _create_view(self, name: str, sql: str) -> None:
        self._duckdb.execute(f"CREATE OR REPLACE VIEW {_identifier(name)} AS {sql}")


def _struct(items: dict[str, str]) -> str:
    return "{" + ", ".join(f"{_literal(name)}: {_literal(kind)}" for name, kind in items.items()) + "}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
