"""Writes batches of stream records to the archive: one object per batch and UTC day, none ever replaced.

An object is named by its first record alone, so that a batch delivered again meets its own object, whatever it ends
with this time.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched
from typing import Any

from backports import zstd

from headwater.archive import curated, envelope, reader
from headwater.archive.envelope import Line
from headwater.archive.objects import ObjectExistsError, ObjectStore
from headwater.change_stream.batch import BatchOutcome
from headwater.clock import timestamp, utc_now
from headwater.incidents import Incidents

#: DynamoDB's sequence numbers have up to 40 digits (StreamRecord, API reference); padded, names sort as numbers do.
_SEQUENCE_DIGITS = 40
_SUFFIX = ".jsonl.zst"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


#: Few enough that their columns lie in the processor's cache until they are text: 5,000 at once take a third longer.
_LINES_AT_ONCE = 32

type Record = Mapping[str, Any]


@dataclass(slots=True)
class _Part:
    """A batch's records of one day, with their text; ``first``: the first one's event id and sequence number."""

    first: tuple[str, str]
    records: list[Record] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, records: Sequence[Record], lines: Sequence[Line]) -> None:
        self.records += records
        self.texts.append(envelope.text(lines))
        self.errors += [error for _, _, error in lines if error is not None]

    def without(self, stored: Set[object]) -> tuple["_Part", str]:
        """What is not stored, and its last sequence number."""
        lines = [(record, line) for record in self.records if _identity(line := envelope.line(record))[0] not in stored]
        missing = _Part(self.first)
        if lines:
            missing.add([record for record, _ in lines], [line for _, line in lines])
        return missing, _identity(lines[-1][1])[1] if lines else ""


class Archiver:
    """Archives the changes of one source, the logical name of a table (``events``).

    ``level`` is Zstandard's. Lines are short texts between random ids, where the lowest level finds as much: on 5,000
    events of all types, level 1 gave 79 bytes a record, 3 gave 88 for 1.5 times the CPU, 9 gave 81 for ten times (gzip
    6: 97 for ten times). Nothing that a record holds makes a batch fail; only the object store's errors do.
    """

    def __init__(
        self,
        objects: ObjectStore,
        incidents: Incidents,
        *,
        source: str = "events",
        level: int = 1,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._objects = objects
        self._incidents = incidents
        self.source = source
        # With its checksum a frame tells of itself whether it is as it was written: four bytes an object.
        self._options: Mapping[int, int] = {
            zstd.CompressionParameter.compression_level: level,
            zstd.CompressionParameter.checksum_flag: 1,
        }
        self._now = now

    def archive(self, records: Sequence[Record]) -> BatchOutcome:
        """Archives a batch.

        Raises
        ------
        Exception
            Whatever the object store raises. The whole batch is to be delivered again: what was written already is
            recognised, and part of a batch would carry another name.
        """
        for day, part in self._by_day(records).items():
            event_id, sequence_number = part.first
            name = f"{sequence_number.zfill(_SEQUENCE_DIGITS)}-{_UNSAFE.sub('_', event_id)}"
            self._write(curated.raw_prefix(self.source, day) + name, part)
        return BatchOutcome(len(records))

    def _by_day(self, records: Sequence[Record]) -> dict[str, _Part]:
        parts: dict[str, _Part] = {}
        current = ""
        for some in batched(records, _LINES_AT_ONCE, strict=False):
            lines = [envelope.line(record) for record in some]
            # A record that states no time was captured at about the time of its neighbours.
            days = [current := day or current or self._first_day(records) for _, day, _ in lines]
            if days.count(days[0]) == len(days):
                _part(parts, days[0], lines[0]).add(some, lines)
            else:
                for record, day, line in zip(some, days, lines, strict=True):
                    _part(parts, day, line).add((record,), (line,))
        return parts

    def _first_day(self, records: Sequence[Record]) -> str:
        known = (day for _, day, _ in map(envelope.line, records) if day is not None)
        return next(known, None) or timestamp(self._now()).partition("T")[0]

    def _write(self, name: str, part: _Part) -> None:
        while part.records:
            key = name + _SUFFIX
            try:
                self._objects.put_new(key, zstd.compress(b"".join(part.texts), options=self._options))
            except ObjectExistsError:
                stored = _stored_ids(self._objects.get(key))
                part, last = part.without(stored)
                name = f"{name}-{last}"
            else:
                self._report_unreadable(key, part.errors)
                return

    def _report_unreadable(self, key: str, errors: Sequence[str]) -> None:
        if errors:
            self._incidents.report(
                "UnreadableRecords",
                "records could not be read; they are archived as they came, in raw_record",
                object=key,
                records=str(len(errors)),
                first_error=errors[0],
            )


def _part(parts: dict[str, _Part], day: str, line: Line) -> _Part:
    """The day's part; a new one begins with the line."""
    if day not in parts:
        parts[day] = _Part(_identity(line))
    return parts[day]


def _identity(line: Line) -> tuple[str, str]:
    """Stream event id and sequence number."""
    columns = line[0]
    return columns["stream_event_id"], columns.get("sequence_number", "0")


def _stored_ids(body: bytes) -> set[object]:
    """Stream event ids of the object that has the name which a batch wanted; none if the archiver did not write it."""
    try:
        return {columns["stream_event_id"] for columns in reader.lines(body)}
    except reader.UnreadableObjectError:
        return set()
