"""The archive's objects as a reader finds them: listed by key, told from what is foreign, checked by the line."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from cli.tables import Format, Table
from headwater.archive import reader

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
#: JSON's types of the columns, by Hive's.
_PYTHON = {"string": str, "bigint": int, "int": int}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """``tag`` changes with the content; ``size`` is in bytes."""

    key: str
    tag: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Skipped:
    """An object that is not the archive's, or cannot be read; ``reason`` says which."""

    key: str
    reason: str


class Objects(Protocol):
    """Where an archive lies."""

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        """Everything whose key begins so."""
        ...

    def read(self, key: str) -> bytes: ...


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
        return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()


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
        return (self._folder / key).read_bytes()


def sorted_out(objects: Iterable[StoredObject], key: re.Pattern[str]) -> tuple[list[StoredObject], list[Skipped]]:
    """The archive's own objects, and the foreign ones among them."""
    own, foreign = [], []
    for each in objects:
        if key.fullmatch(each.key):
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
    return lines


def _plain(body: bytes) -> Iterator[dict[str, Any]]:
    for line in filter(None, body.split(b"\n")):
        columns = orjson.loads(line)
        if not isinstance(columns, dict):
            raise ValueError("a line is not a JSON object")
        yield columns


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
    return [*lines, f"{len(skipped)} {plural} skipped: corrupt, or not the archive's"]
