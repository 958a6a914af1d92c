"""The archive's objects on this machine: listed, read, and checked before a query sees them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from headwater.archive import curated, inventory
from headwater.archive.inventory import Damaged, Foreign, shown_key
from headwater.archive.objects import ObjectNotFoundError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from mypy_boto3_s3 import S3Client

    from operations.archive.tables import Table


@dataclass(frozen=True, slots=True)
class StoredObject:
    """``tag`` changes with the content; ``size`` is in bytes."""

    key: str
    tag: str
    size: int
    modified: datetime


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


def checked_list(body: bytes) -> list[dict[str, Any]]:
    """The lines of an object of the published list.

    Raises
    ------
    ValueError
        It cannot be read; Athena's SerDe then fails the whole query, so that the object counts as a whole.
    """
    lines = list(map(orjson.loads, filter(None, body.split(b"\n"))))
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, dict):
            raise ValueError(f"line {number} is not a JSON object")
        if type(line.get("dt")) is not str or not inventory.is_day(line["dt"]):
            raise ValueError(f"line {number}: dt is no day")
        for name, kind in {"source": str, "records": int, "published_at": str, "raw_objects": int}.items():
            if type(line.get(name)) not in (kind, type(None)):
                raise ValueError(f"line {number}: {name} is no {'number' if kind is int else 'text'}")
    return lines


def checked_parquet(engine: "DuckDBPyConnection", path: Path, key: str, table: "Table") -> int:
    """The rows of a compacted day's object.

    Reads it through, as what is damaged within would fail a query that says nothing of the object.

    Raises
    ------
    ValueError
        It cannot be read, or holds something else.
    """
    import duckdb

    from operations.archive import athena_sql

    try:
        relation = engine.read_parquet(str(path), hive_partitioning=False)
        there = dict(zip(relation.columns, map(str, relation.types), strict=True))
        for name, kind in table.columns.items():
            # Objects from before a column was added lack it.
            if there.get(name, athena_sql.duckdb_type(kind)) != athena_sql.duckdb_type(kind):
                raise ValueError(f"its column {name} is of type {there[name].lower()}")
        if missing := [name for name in ("stream_event_id", "dt") if name not in there]:
            raise ValueError(f"it has no column {missing[0]}")
        another_day = f"dt IS DISTINCT FROM '{table.format.names.day(key)}'"
        others, rows, *_ = relation.aggregate(
            f"count(*) FILTER ({another_day}), count(*), bit_xor(hash(COLUMNS(*)))"
        ).fetchall()[0]
    except duckdb.Error as error:
        about = str(error).splitlines()[0].replace(str(path), key)
        raise ValueError(f"it is no Parquet that can be read: {about}") from error
    if others:
        raise ValueError(f"{others} of its {rows} rows are of other days")
    return int(rows)


def missing(table: "Table", lists: Iterable[Mapping[str, Any]], rows: Mapping[str, int]) -> list[Damaged]:
    """What the lines of the published list have of a curated table, and ``rows`` (by key) has not."""
    found = []
    held: Counter[str] = Counter()
    for key, count in rows.items():
        if key.startswith(table.prefix):
            held[table.format.names.day(key)] += count
    for line in lists:
        if line.get("source") == table.name:
            dt, expected = line["dt"], line.get("records") or 0
            if gone := [key for key in listed(line) if key not in rows]:
                about = f"it is missing; the list of compacted days has {expected} change(s) of {dt}"
                found += [Damaged(key, about) for key in gone]
            elif held[dt] < expected:
                about = f"the list of compacted days has {expected} change(s) of {dt}, its objects hold {held[dt]}"
                found.append(Damaged(curated.key(table.name, dt), about))
    return found


def listed(line: Mapping[str, Any]) -> list[str]:
    """The keys of the objects that a line of the published list names."""
    objects = line.get("objects")
    return [str(key) for key in objects] if isinstance(objects, list) else [curated.key(line["source"], line["dt"])]


def digests(lists: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 by key, of the compacted objects for which the published list has it."""
    return {
        key: str(digest)
        for line in lists
        if isinstance(line.get("digests"), list)
        for key, digest in zip(listed(line), line["digests"], strict=False)
    }


def described(foreign: Sequence[Foreign], damaged: Sequence[Damaged], shown: int = 20) -> list[str]:
    """A line for each object that is damaged or foreign, and one that counts each kind."""
    lines = []
    for what, objects, told in (
        ("foreign", foreign, "passed over: they are not the archive's"),
        ("damaged", damaged, "damaged: incomplete, unreadable or missing"),
    ):
        lines += [f"{what} {shown_key(each.key)}: {each.reason}" for each in objects[:shown]]
        if len(objects) > shown:
            lines.append(f"… and {len(objects) - shown} more")
        if objects:
            lines.append(f"{len(objects)} object(s) {told}")
    return lines
