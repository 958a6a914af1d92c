"""Objects that lie in an archive's bucket and are not as the archiver writes them: others' names, and damage."""

import gzip
from collections.abc import Callable
from typing import Final

from backports import zstd

DAY: Final = "2026-03-01"
_FOLDER: Final = f"raw/source=events/dt={DAY}/"

#: Keys below a day's raw objects that the archive never gives.
FOREIGN: Final = (
    _FOLDER,
    _FOLDER + "notes.txt",
    _FOLDER + "Ünïcode 日本.jsonl.zst",
    _FOLDER + "with space.jsonl.zst",
    _FOLDER + "line\nbreak.jsonl.zst",
    _FOLDER + "\x1b[31mred.jsonl.zst",
    _FOLDER + ".hidden.jsonl.zst",
    _FOLDER + "_SUCCESS",
    _FOLDER + "_temporary.jsonl.zst",
    _FOLDER + "0001-a.jsonl.zst.tmp",
    _FOLDER + "0001-a.jsonl.gz",
    _FOLDER + "0001-a.JSONL.ZST",
    _FOLDER + "sub/",
    _FOLDER + "sub/0001-a.jsonl.zst",
    _FOLDER + "..%2F0001-a.jsonl.zst",
    _FOLDER + "\u0660\u0661-arabic-digits.jsonl.zst",
    "raw/source=events/",
    "raw/source=events/0001-a.jsonl.zst",
    "raw/source=events/dt=2026-02-30/0001-a.jsonl.zst",
    "raw/source=events/dt=2026-3-1/0001-a.jsonl.zst",
    "raw/source=events/dt=2026-03-01 /0001-a.jsonl.zst",
    "raw/source=events/DT=2026-03-01/0001-a.jsonl.zst",
)

#: Ours by name, and what happened to its bytes.
DAMAGE: Final[dict[str, Callable[[bytes], bytes]]] = {
    "nothing in it": lambda _: b"",
    "cut within the magic number": lambda body: body[:3],
    "cut behind the magic number": lambda body: body[:4],
    "cut within the header": lambda body: body[:5],
    "cut behind the header": lambda body: body[:8],
    "cut in the middle of the frame": lambda body: body[: len(body) // 2],
    "cut before the checksum": lambda body: body[:-4],
    "one byte short": lambda body: body[:-1],
    "two frames, the second cut": lambda body: body + body[:-7],
    "one byte too many": lambda body: body + b"\0",
    "text behind it": lambda body: body + b"the end\n",
    "a bit flipped in the magic number": lambda body: _flipped(body, 2),
    "a bit flipped in the middle": lambda body: _flipped(body, len(body) // 2),
    "a bit flipped in the checksum": lambda body: _flipped(body, len(body) - 1),
    "plain text": zstd.decompress,
    "gzip": lambda body: gzip.compress(zstd.decompress(body), mtime=0),
    "somebody's text, packed": lambda _: zstd.compress(b"remember the milk\n"),
    "a frame of no line": lambda _: zstd.compress(b""),
    "a line that is no JSON": lambda body: zstd.compress(zstd.decompress(body) + b"{\n"),
    "a line cut short": lambda body: zstd.compress(zstd.decompress(body)[:-20]),
    "a line that is a list": lambda body: zstd.compress(b"[1]\n" + zstd.decompress(body)),
    "a line without an id": lambda body: zstd.compress(b'{"operation":"INSERT"}\n' + zstd.decompress(body)),
    "two lines in one": lambda body: zstd.compress(zstd.decompress(body).replace(b"\n", b"", 1)),
    "a text where a number belongs": lambda _: zstd.compress(b'{"stream_event_id":"x","version":"7"}\n'),
    "bytes that are no UTF-8": lambda _: zstd.compress(b'{"stream_event_id":"\xff"}\n'),
}


def _flipped(body: bytes, position: int) -> bytes:
    return body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
