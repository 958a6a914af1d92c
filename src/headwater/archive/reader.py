"""Reading the archive back: objects to lines, lines to stream records; and which objects are damaged.

An object counts as a whole or not at all. It is whole if it is complete Zstandard frames and nothing else, and each of
its lines is one that the archiver writes, as far as Athena's tables need it: whatever is less would fail a query there,
or be dropped without a word by a reader that is less strict (DuckDB takes an incomplete frame for an empty one).
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import orjson
from backports import zstd

from headwater.archive import curated
from headwater.archive.envelope import change_record
from headwater.change_stream.records import ChangeRecord

#: What is unpacked at once: a small object may unpack to a very large one.
_PIECE_BYTES: Final = 1024 * 1024
#: What Athena's tables take for a column, by Hive's types.
_KINDS: Final[dict[str, Any]] = {
    "string": str,
    "bigint": Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)],
    "int": Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)],
}
#: With its zone; what could not be read when it was archived has none.
_MOMENT: Final = Annotated[datetime, msgspec.Meta(tz=True)]
#: Decodes a line only to see whether it fits, at half of what its dictionary costs; a column of tomorrow fits.
_FITTING: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "Line",
        [
            ("stream_event_id", str),
            *(
                (name, (_MOMENT if name == "captured_at" else _KINDS[kind]) | None, None)
                for name, kind in curated.LINE.items()
                if name != "stream_event_id"
            ),
        ],
        gc=False,
    )
)


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
    return sum(1 for _ in _fitting(chunks))


def checked(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """As `lines`, of an object that comes in pieces."""
    for number, line in _fitting(chunks):
        try:
            columns: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UnreadableObjectError(f"line {number} is not JSON: {error}") from error
        yield columns


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


def _fitting(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, each as Athena's tables need it."""
    number = 0
    for number, line in enumerate(filter(None, _split(_unpacked(chunks))), start=1):
        try:
            _FITTING.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableObjectError(f"line {number} is none of the archive's: {error}") from error
        yield number, line
    if not number:
        raise UnreadableObjectError("the object holds no line; the archiver writes none without")


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
