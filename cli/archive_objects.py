"""The archive's objects as a reader finds them: listed by key, told from what is foreign, checked by the line."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from cli import athena_sql
from cli.tables import Format, Table
from headwater.archive import curated, reader
from headwater.archive.objects import ObjectNotFoundError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from mypy_boto3_s3 import S3Client


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
#: JSON's types of the columns, by Hive's.
_PYTHON = {"string": str, "bigint": int, "int": int}
#: Where whole numbers end.
_LIMITS = {"bigint": 1 << 63, "int": 1 << 31}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """``tag`` changes with the content; ``size`` is in bytes."""

    key: str
    tag: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Skipped:
    """An object that is not the archive's, cannot be read, or is missing; ``reason`` says which."""

    key: str
    reason: str


class Objects(Protocol):
    """Where an archive lies."""

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        """Everything whose key begins so."""
        ...

    def read(self, key: str) -> bytes:
        """The object's bytes.

        Raises
        ------
        ObjectNotFoundError
            There is none (any more): compaction may take away what was listed.
        """
        ...


class BucketObjects:
    """An archive in S3, whatever the client's endpoint."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield StoredObject(entry["Key"], entry["ETag"], entry["Size"], entry["LastModified"])

    def read(self, key: str) -> bytes:
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey as error:
            raise ObjectNotFoundError(f"s3://{self._bucket}/{key} is gone") from error


class FolderObjects:
    """A downloaded archive: a folder laid out as the bucket (``aws s3 sync s3://BUCKET FOLDER``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        for path in sorted((self._folder / prefix).rglob("*")):
            if path.is_file():
                found = path.stat()
                yield StoredObject(
                    path.relative_to(self._folder).as_posix(),
                    f"{found.st_mtime_ns}-{found.st_size}",
                    found.st_size,
                    datetime.fromtimestamp(found.st_mtime, UTC),
                )

    def read(self, key: str) -> bytes:
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError as error:
            raise ObjectNotFoundError(f"{self._folder / key} is gone") from error


def sorted_out(objects: Iterable[StoredObject], key: re.Pattern[str]) -> tuple[list[StoredObject], list[Skipped]]:
    """The archive's own objects, and the foreign ones among them."""
    own, foreign = [], []
    for each in objects:
        if key.fullmatch(each.key) and _real_day(day(each.key) or "2026-01-01"):
            own.append(each)
        # A folder that a console made is nobody's data.
        elif not (each.key.endswith("/") and each.size == 0):
            foreign.append(Skipped(each.key, "its name is none that the archive gives"))
    return own, foreign


def checked(body: bytes, table: Table) -> list[dict[str, Any]] | str:
    """The lines of an object of JSON lines; or why it cannot be read.

    One line that is not JSON, or a text where a number belongs, and Athena's SerDe fails the whole query; so the object
    counts as a whole.
    """
    demanded = "stream_event_id" if table.format is Format.RAW else "dt"
    limits = {name: _LIMITS[kind] for name, kind in table.columns.items() if kind in _LIMITS}
    kinds = {name: _PYTHON[kind] for name, kind in table.columns.items() if kind in _PYTHON}
    try:
        lines = list(reader.lines(body) if table.format is Format.RAW else _plain(body))
    except ValueError as error:
        return str(error)
    for number, line in enumerate(lines, start=1):
        if type(line.get(demanded)) is not str:
            return f"line {number} has no {demanded}"
        for name, value in line.items():
            if value is not None and type(value) is not kinds.get(name, type(value)):
                return f"line {number}: {name} is no {'number' if kinds[name] is int else 'text'}"
            if name in limits and type(value) is int and not -limits[name] <= value < limits[name]:
                return f"line {number}: {name} is too large a number"
        if table.format is Format.RAW and not _real_moment(line.get("captured_at")):
            return f"line {number}: captured_at is no moment"
        if table.format is Format.BOUNDARY and not _real_day(line["dt"]):
            return f"line {number}: dt is no day"
    return lines


def checked_parquet(engine: "DuckDBPyConnection", path: Path, key: str, table: Table) -> int | str:
    """The rows of a compacted day's object; or why it cannot be read.

    Reads it through, as what is damaged within would fail a query that says nothing of the object.
    """
    import duckdb

    try:
        relation = engine.read_parquet(str(path), hive_partitioning=False)
        there = dict(zip(relation.columns, map(str, relation.types), strict=True))
        for name, kind in table.columns.items():
            # Objects from before a column was added lack it.
            if there.get(name, athena_sql.duckdb_type(kind)) != athena_sql.duckdb_type(kind):
                return f"its column {name} is of type {there[name].lower()}"
        if missing := [name for name in ("stream_event_id", "dt") if name not in there]:
            return f"it has no column {missing[0]}"
        others, rows, *_ = relation.aggregate(
            f"count(*) FILTER (dt IS DISTINCT FROM '{day(key)}'), count(*), bit_xor(hash(COLUMNS(*)))"
        ).fetchall()[0]
    except duckdb.Error as error:
        return f"it is no Parquet that can be read: {str(error).splitlines()[0].replace(str(path), key)}"
    return f"{others} of its {rows} rows are of other days" if others else int(rows)


def missing(table: Table, lists: Iterable[Mapping[str, Any]], rows: Mapping[str, int]) -> list[Skipped]:
    """What the lines of the published list have of a curated table, and ``rows`` (by key) has not."""
    found = []
    held: Counter[str] = Counter()
    for key, count in rows.items():
        if key.startswith(table.prefix):
            held[day(key) or ""] += count
    for line in lists:
        if line.get("source") == table.name:
            source, dt, expected = table.name, line["dt"], line.get("records") or 0
            objects = line.get("objects")
            listed = [str(key) for key in objects] if isinstance(objects, list) else [curated.key(source, dt)]
            if gone := [key for key in listed if key not in rows]:
                about = f"it is missing; the list of compacted days has {expected} change(s) of {dt}"
                found += [Skipped(key, about) for key in gone]
            elif held[dt] < expected:
                about = f"the list of compacted days has {expected} change(s) of {dt}, its objects hold {held[dt]}"
                found.append(Skipped(curated.key(source, dt), about))
    return found


def _plain(body: bytes) -> Iterator[dict[str, Any]]:
    for line in filter(None, body.split(b"\n")):
        columns = orjson.loads(line)
        if not isinstance(columns, dict):
            raise ValueError("a line is not a JSON object")
        yield columns


def _real_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _real_moment(text: str | None) -> bool:
    """Whether it is one, with its zone; what could not be read when it was archived has none."""
    try:
        return text is None or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def day(key: str) -> str | None:
    """The day that an object's name states."""
    found = _DAY.search(key)
    return found[0] if found else None


def described(skipped: Sequence[Skipped], shown: int = 20) -> list[str]:
    """A line for each skipped object, and one that counts them."""
    if not skipped:
        return []
    lines = [f"skipped {each.key}: {each.reason}" for each in skipped[:shown]]
    if len(skipped) > shown:
        lines.append(f"… and {len(skipped) - shown} more")
    plural = "objects were" if len(skipped) > 1 else "object was"
    return [*lines, f"{len(skipped)} {plural} skipped: corrupt, missing, or not the archive's"]
