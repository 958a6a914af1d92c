"""Reading the archive back: objects to lines, lines to stream records. Used by replay, and by what heals."""

from collections.abc import Iterator
from typing import Any

import orjson
from backports import zstd

from headwater.archive.envelope import change_record
from headwater.change_stream.records import ChangeRecord


class UnreadableObjectError(ValueError):
    """An object's bytes are not Zstandard, or a line in it is not a JSON object."""


def lines(body: bytes) -> Iterator[dict[str, Any]]:
    """The columns of each line of an object's bytes, in stream order; a column that is null may be absent.

    Raises
    ------
    UnreadableObjectError
        The object is none that the archiver wrote.
    """
    try:
        text = zstd.decompress(body)
    except zstd.ZstdError as error:
        raise UnreadableObjectError(f"the object is not Zstandard: {error}") from error
    # By the newline alone: U+2028 and its like are text within a line.
    for number, line in enumerate(text.split(b"\n"), start=1):
        if line:
            yield _columns(line, number)


def change_records(body: bytes) -> Iterator[ChangeRecord]:
    """The stream records that an object holds, with their images as they were.

    Raises
    ------
    UnreadableObjectError
        The object is none that the archiver wrote.
    UnreadableRecordError
        A line holds a record that could not be read when it was archived. To go on past it, take `lines` and give
        each to `headwater.archive.envelope.change_record`.
    """
    return map(change_record, lines(body))


def _columns(line: bytes, number: int) -> dict[str, Any]:
    try:
        columns = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnreadableObjectError(f"line {number} is not JSON: {error}") from error
    if not isinstance(columns, dict):
        raise UnreadableObjectError(f"line {number} is not a JSON object")
    return columns
