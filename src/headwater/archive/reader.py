"""Reading the archive back: objects to lines, lines to stream records; and which objects are damaged.

An object counts as a whole or not at all. It is whole if it is complete Zstandard frames and nothing else, and each of
its lines is one that the archiver writes, as far as Athena's tables need it: whatever is less would fail a query there,
or be dropped without a word by a reader that is less strict (DuckDB takes an incomplete frame for an empty one).
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import orjson
from backports import zstd

from headwater.archive import curated
from headwater.archive.envelope import change_record
from headwater.change_stream.records import ChangeRecord

#: What is unpacked at once: a small object may unpack to a very large one.
_PIECE_BYTES: Final = 1024 * 1024
#: Where whole numbers end, by Hive's types.
_LIMITS: Final = {"bigint": 1 << 63, "int": 1 << 31}
#: JSON's types of the columns, by Hive's.
_PYTHON: Final = {"string": str, "bigint": int, "int": int}
_KINDS: Final = {name: _PYTHON[kind] for name, kind in curated.LINE.items()}
_NUMBERS: Final = [(name, _LIMITS[kind]) for name, kind in curated.LINE.items() if kind in _LIMITS]


class UnreadableObjectError(ValueError):
    """An object is damaged: incomplete, no Zstandard, or a line in it is none of the archive's."""


def lines(body: bytes) -> Iterator[dict[str, Any]]:
    """The columns of each line of an object's bytes, in stream order; a column that is null may be absent.

    Raises
    ------
    UnreadableObjectError
        The object is damaged. Lines given before are then to be forgotten.
    """
    return checked((body,))


def whole(body: bytes) -> list[dict[str, Any]]:
    """All lines of an object.

    Raises
    ------
    UnreadableObjectError
        The object is damaged.
    """
    return list(lines(body))


def count(chunks: Iterable[bytes]) -> int:
    """The lines of an object that comes in pieces, of which few are in memory at a time.

    Raises
    ------
    UnreadableObjectError
        The object is damaged.
    """
    return sum(1 for _ in checked(chunks))


def checked(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """As `lines`, of an object that comes in pieces."""
    number = 0
    for number, line in enumerate(filter(None, _split(_unpacked(chunks))), start=1):
        yield _columns(line, number)
    if not number:
        raise UnreadableObjectError("the object holds no line; the archiver writes none without")


def change_records(body: bytes) -> Iterator[ChangeRecord]:
    """The stream records that an object holds, with their images as they were.

    Raises
    ------
    UnreadableObjectError
        The object is damaged.
    UnreadableRecordError
        A line holds a record that could not be read when it was archived. To go on past it, take `lines` and give
        each to `headwater.archive.envelope.change_record`.
    """
    return map(change_record, lines(body))


def _unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The text of frames that follow each other, each complete."""
    frame = zstd.ZstdDecompressor()
    try:
        for chunk in chunks:
            data = chunk
            while data or not (frame.needs_input or frame.eof):
                if frame.eof:
                    frame = zstd.ZstdDecompressor()
                if piece := frame.decompress(data, _PIECE_BYTES):
                    yield piece
                data = frame.unused_data if frame.eof else b""
    except zstd.ZstdError as error:
        raise UnreadableObjectError(f"the object is not Zstandard, or damaged: {error}") from error
    if not frame.eof:
        raise UnreadableObjectError("the object is incomplete: its last Zstandard frame has no end")


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text; by the newline alone, as U+2028 and its like are text within a line."""
    rest = b""
    for piece in pieces:
        first, *others = piece.split(b"\n")
        rest += first
        if others:
            yield rest
            *between, rest = others
            yield from between
        if len(rest) > curated.LINE_BYTES:
            raise UnreadableObjectError(f"a line is longer than {curated.LINE_BYTES} bytes")
    yield rest


def _columns(line: bytes, number: int) -> dict[str, Any]:
    try:
        columns = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnreadableObjectError(f"line {number} is not JSON: {error}") from error
    if not isinstance(columns, dict):
        raise UnreadableObjectError(f"line {number} is not a JSON object")
    # Lines come in few shapes: what is true of a shape is looked up.
    if wrong := _misfit(tuple(columns), tuple(map(type, columns.values()))):
        raise UnreadableObjectError(f"line {number}{wrong}")
    for name, limit in _NUMBERS:
        value = columns.get(name)
        if value is not None and not -limit <= value < limit:
            raise UnreadableObjectError(f"line {number}: {name} is too large a number")
    moment = columns.get("captured_at")
    if moment is not None and not _is_moment(moment):
        raise UnreadableObjectError(f"line {number}: captured_at is no moment")
    return columns


@lru_cache(maxsize=1024)
def _misfit(names: tuple[str, ...], kinds: tuple[type, ...]) -> str:
    """What is wrong with a line of such columns; empty if nothing is."""
    there = dict(zip(names, kinds, strict=True))
    if there.get("stream_event_id") is not str:
        return " has no stream_event_id"
    for name, kind in there.items():
        expected = _KINDS.get(name, kind)
        if kind not in (expected, type(None)):
            return f": {name} is no {'number' if expected is int else 'text'}"
    return ""


@lru_cache(maxsize=8192)
def _is_moment(text: str) -> bool:
    """Whether it is one, with its zone; what could not be read when it was archived has none."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
