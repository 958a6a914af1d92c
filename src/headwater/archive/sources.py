"""One archiver for several tables' streams: each batch goes to its table's source."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.archive.archiver import Archiver
from headwater.change_stream.batch import BatchOutcome


class ArchiverOfSources:
    """Archives a batch by its table's `Archiver`. A batch is of one stream, since a mapping reads one.

    What says of no known table that it comes from there is archived by ``otherwise``: nothing is left out.
    """

    def __init__(self, by_table: Mapping[str, Archiver], otherwise: Archiver) -> None:
        self._by_table = by_table
        self._otherwise = otherwise

    def archive(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """As `Archiver.archive`."""
        return self._archiver(records).archive(records)

    def source_of(self, records: Sequence[Mapping[str, Any]]) -> str:
        """What the archive calls the table that a batch comes from."""
        return self._archiver(records).source

    def _archiver(self, records: Sequence[Mapping[str, Any]]) -> Archiver:
        return self._by_table.get(_table(records[0]) if records else "", self._otherwise)


def _table(record: object) -> str:
    """Of arn:aws:dynamodb:<region>:<account>:table/<name>/stream/<label>; empty where there is none."""
    arn = record.get("eventSourceARN") if isinstance(record, Mapping) else None
    return arn.partition(":table/")[2].partition("/")[0] if isinstance(arn, str) else ""
