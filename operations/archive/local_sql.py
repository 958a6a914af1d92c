"""Athena's SQL over an archive on this machine: its objects in DuckDB, under the names that Athena has for them.

For asking the archive without Athena: the local stack's, a downloaded one, a test of a saved query. What may answer
differently is refused by name: see `operations.archive.athena_sql`.
"""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import batched
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from headwater.archive import reader
from headwater.archive.inventory import Damaged, Foreign, Names, sorted_out
from headwater.archive.objects import ObjectNotFoundError
from operations.archive import athena_sql, saved_sql
from operations.archive.athena_sql import TranslationError
from operations.archive.objects import Objects, StoredObject, checked_list, checked_parquet, digests
from operations.archive.objects import missing as missing_objects
from operations.archive.tables import TABLES, Format, Table
from operations.errors import QueryError

_DOWNLOADS = 8
#: Tries to read an archive that is compacted meanwhile; each reads again only what is new.
_LOOKS = 5
#: Seconds between two looks at whether a query is still wanted.
_LOOK_SECONDS = 0.1
_LIST = TABLES["curated_days"]


class LocalSqlError(QueryError):
    """A query that cannot be answered here; the message says why."""


class GivenUpError(LocalSqlError):
    """A query that was stopped, since it was not wanted any more."""


class TooManyRowsError(LocalSqlError):
    """A query whose answer has more rows than may be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gives: names of columns, and rows in their order. Moments are naive and in UTC."""

    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]

    @property
    def numeric(self) -> list[bool]:
        """Of each column, whether it holds numbers and nothing else; truth values are none."""
        kinds = [{type(row[place]) for row in self.rows} - {type(None)} for place in range(len(self.columns))]
        return [bool(found) and found <= {int, float, Decimal} for found in kinds]


class LocalSql:
    """An archive as Athena's tables and views, for as long as the context lasts.

    A query reads the objects of the tables that it names, directly or through views, into a temporary folder: those
    that are new since the last one, and forgets those that are gone. `foreign` objects are passed over, `damaged` ones
    left out; so are those that the list of compacted days has and that are missing. A compacted day of which an object
    is damaged is read from raw, as if it were not in the list, if raw has it.

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
        self._hashes: dict[str, str] = {}
        self._foreign: dict[str, list[Foreign]] = {}
        self._damaged: dict[str, dict[str, Damaged]] = {}
        #: Compacted days, by source, that are read from raw.
        self._withdrawn: dict[str, set[str]] = {}
        self._incomplete = False
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
    def foreign(self) -> list[Foreign]:
        """Objects of others that the queries so far have met, by key."""
        return [each for prefix in sorted(self._foreign) for each in self._foreign[prefix]]

    @property
    def damaged(self) -> list[Damaged]:
        """Objects of the archive that the queries so far have left out, by key."""
        return [each for prefix in sorted(self._damaged) for _, each in sorted(self._damaged[prefix].items())]

    @property
    def incomplete(self) -> bool:
        """Whether an answer so far may lack rows because of damage."""
        return self._incomplete

    def read(self, table: Table) -> tuple[list[StoredObject], list[Foreign], list[Damaged]]:
        """Reads a table's objects: those that are its by name, the foreign ones, and the damaged ones of its own.

        Raises
        ------
        LocalSqlError
            They change all the time.
        """
        self._fetch([table], {table.name})
        damaged = [each for _, each in sorted(self._damaged[table.prefix].items())]
        return self._found[table.name], self._foreign[table.prefix], damaged

    def query(self, sql: str, *, gives_up: Callable[[], bool] = lambda: False, most_rows: int | None = None) -> Answer:
        """Answers one SELECT in Athena's (Trino's) SQL.

        ``gives_up`` is asked often while DuckDB answers: at its first yes the query is stopped.

        Raises
        ------
        GivenUpError
            ``gives_up`` said so.
        TooManyRowsError
            It has more than ``most_rows`` rows.
        LocalSqlError
            It is not one query, cannot be translated, DuckDB refuses it, or the archive changes all the time.
        """
        try:
            statement = athena_sql.to_duckdb(sql, self._relations)
            read = self._read_by(sql)
            named = athena_sql.tables(athena_sql.select(sql))
            self._fetch([TABLES[name] for name in sorted(read & TABLES.keys())], named)
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
            with self._interrupted_when(gives_up):
                # One more than may be: rows beyond are not even computed.
                rows = (plain if most_rows is None else plain.limit(most_rows + 1)).fetchall()
        except self._refusals as error:
            if gives_up():
                raise GivenUpError("the query was given up") from error
            raise LocalSqlError(f"DuckDB refuses the query: {error}") from error
        if most_rows is not None and len(rows) > most_rows:
            raise TooManyRowsError(f"the answer has more than {most_rows:,} rows")
        return Answer(tuple(relation.columns), rows)

    @contextmanager
    def _interrupted_when(self, gives_up: Callable[[], bool]) -> Iterator[None]:
        """Within it, DuckDB stops what it does as soon as ``gives_up`` says so."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_LOOK_SECONDS):
                # Again and again: what had not begun yet did not hear it.
                if gives_up():
                    self._duckdb.interrupt()

        watcher = threading.Thread(target=watch, name="query watcher", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

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

    def _fetch(self, tables: Sequence[Table], named: Set[str]) -> None:
        """Reads the tables as of one moment, though a compaction may be replacing objects.

        ``named`` are those that the query names itself, and does not read through views.
        """
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
        for prefix, damaged in missing.items():
            self._damaged[prefix] |= {each.key: each for each in damaged}
        for table in curated:
            self._withdraw(table, _raw_of(table) if _raw_of(table) in tables else None)
        for table in tables:
            if table.format is Format.RAW:
                # What a view leaves to the compacted days, it does not miss in raw.
                compacted = next((each for each in curated if _raw_of(each) is table), None)
                spared = set() if compacted is None or table.name in named else self._standing(compacted)
                days = {table.format.names.day(key) for key in self._damaged[table.prefix]}
                self._incomplete |= not days <= spared
            elif table is _LIST:
                self._incomplete |= bool(self._damaged[table.prefix])

    def _withdraw(self, table: Table, raw: Table | None) -> None:
        """Finds the published days that damage keeps from being read as compacted, and takes them from raw instead."""
        self._withdrawn[table.name] = set()
        published = self._days(table)
        damaged = self._damaged[table.prefix]
        day = table.format.names.day
        for dt in sorted({day(key) for key in damaged} & published.keys()):
            objects = (
                [] if raw is None else [each.key for each in self._found[raw.name] if Names.RAW.day(each.key) == dt]
            )
            whole = [key for key in objects if key in self._tags]
            if len(whole) < max(len(objects), published[dt].get("raw_objects") or 1):
                self._incomplete = True
                told = "and raw has not all of the day"
            else:
                told = "the day is answered from raw, and `headwater archive compact` mends it"
            if whole:
                self._withdrawn[table.name].add(dt)
            if raw is not None:
                damaged |= {
                    key: Damaged(key, f"{each.reason}; {told}") for key, each in damaged.items() if day(key) == dt
                }

    def _days(self, table: Table) -> dict[str, dict[str, Any]]:
        """What the published list has of a curated table, by day."""
        return {line["dt"]: line for line in self._lines() if line.get("source") == table.name}

    def _standing(self, table: Table) -> Set[str]:
        """The days that are read as compacted."""
        return self._days(table).keys() - self._withdrawn[table.name]

    def _lines(self) -> list[dict[str, Any]]:
        """The published list, as far as it is asked for."""
        return [line for lines in self._lists.values() for line in lines if line["dt"] >= self._since]

    def _published(self) -> dict[str, str]:
        return {each.key: each.tag for each in self._objects.listed(_LIST.prefix)}

    def _missing(self, table: Table) -> list[Damaged]:
        known = self._damaged[table.prefix]
        lines = self._lines()
        others = [
            Damaged(key, "it is not the object that was published")
            for key, digest in digests(lines).items()
            if self._hashes.get(key, digest) != digest and key.startswith(table.prefix)
        ]
        found = [*missing_objects(table, lines, self._rows), *others]
        return [each for each in found if each.key not in known]

    def _fetch_table(self, table: Table) -> None:
        stock = sorted_out(self._objects.listed(table.prefix), table.format.names)
        # A list is of no day.
        own = [each for each in stock.own if (table.format.names.day(each.key) or self._since) >= self._since]
        self._found[table.name] = own
        self._foreign[table.prefix] = stock.foreign
        self._damaged[table.prefix] = {}
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
        try:
            match table.format:
                case Format.RAW:
                    reader.count((body,))
                case Format.BOUNDARY:
                    self._lists[key] = checked_list(body)
                case Format.CURATED:
                    self._rows[key] = checked_parquet(self._duckdb, path, key, table)
                    self._hashes[key] = hashlib.sha256(body).hexdigest()
        except ValueError as error:
            # Read again by the next query: it is named each time, and few there are.
            self._forget(key)
            self._damaged[table.prefix][key] = Damaged(key, str(error))
            return
        self._tags[key] = tag

    def _forget(self, key: str) -> None:
        for known in (self._tags, self._rows, self._lists, self._hashes):
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
        return f"SELECT {', '.join(map(_identifier, types))} FROM {objects}{self._without(table)}"  # noqa: S608

    def _without(self, table: Table) -> str:
        """Leaves out the days that are read from raw."""
        match table.format:
            case Format.CURATED if days := self._withdrawn.get(table.name):
                return f" WHERE dt NOT IN ({', '.join(map(_literal, sorted(days)))})"
            case Format.BOUNDARY if pairs := [(name, dt) for name, days in self._withdrawn.items() for dt in days]:
                listed = ", ".join(f"({_literal(name)}, {_literal(dt)})" for name, dt in sorted(pairs))
                return f" WHERE (source, dt) NOT IN ({listed})"
            case _:
                return ""

    def _create_view(self, name: str, sql: str) -> None:
        self._duckdb.execute(f"CREATE OR REPLACE VIEW {_identifier(name)} AS {sql}")


def _raw_of(table: Table) -> Table:
    """Of a curated table, the one that it is made of."""
    return TABLES[f"{table.name}_raw"]


def _struct(items: dict[str, str]) -> str:
    return "{" + ", ".join(f"{_literal(name)}: {_literal(kind)}" for name, kind in items.items()) + "}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
