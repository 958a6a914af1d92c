"""Change streams and Kinesis streams: shards by hash of the partition key, which split."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from devstack.event_source_mapping import StreamRecord
from headwater.change_stream.source_kinds import StreamKind

_KEY_SPACE: Final = 1 << 128


class Shard:
    """One shard's records in order. Hash keys from ``first_hash`` to ``last_hash``, both included, belong to it.

    ``first_index`` is the index of the oldest record that is kept; indexes count from the shard's beginning.
    """

    __slots__ = ("closed", "first_hash", "first_index", "id", "last_hash", "parent", "records")

    def __init__(self, identifier: str, parent: str | None, first_hash: int, last_hash: int) -> None:
        self.id = identifier
        self.parent = parent
        self.closed = False
        self.first_hash = first_hash
        self.last_hash = last_hash
        self.records: list[StreamRecord] = []
        self.first_index = 0

    @property
    def end(self) -> int:
        """The index that the next record gets."""
        return self.first_index + len(self.records)

    def read(self, start: int, limit: int) -> list[StreamRecord]:
        """At most ``limit`` records from index ``start`` on.

        Raises
        ------
        LookupError
            Records from ``start`` on were trimmed.
        """
        offset = start - self.first_index
        if offset < 0:
            raise LookupError(f"{self.id} begins at {self.first_index}; {start} is trimmed")
        return self.records[offset : offset + limit]

    def index_of(self, position: str, sequence_number: str | None = None) -> int:
        """Where an iterator of that ShardIteratorType begins; below ``first_index`` for a record that is trimmed.

        Raises
        ------
        ValueError
            The position asks for a sequence number and there is none, or the shard never had such a record.
        """
        match position:
            case "TRIM_HORIZON":
                return self.first_index
            case "LATEST":
                return self.end
            case "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER" if sequence_number is not None:
                wanted = int(sequence_number)
                found = bisect_left(self.records, wanted, key=lambda record: int(record.sequence_number))
                if found < len(self.records) and self.records[found].sequence_number == sequence_number:
                    return self.first_index + found + (position == "AFTER_SEQUENCE_NUMBER")
                if found == 0 and self.first_index:
                    return self.first_index - 1
                raise ValueError(f"Invalid SequenceNumber: {self.id} has no record {sequence_number}")
        raise ValueError(f"Invalid ShardIteratorType: {position} without a sequence number")

    def forget(self, before: float) -> None:
        """Forgets the records that arrived before a moment (epoch seconds)."""
        if self.records and self.records[0].arrived_at < before:
            self.trim(self.first_index + bisect_left(self.records, before, key=lambda record: record.arrived_at))

    def trim(self, up_to: int) -> None:
        """Forgets the records before index ``up_to``."""
        count = min(up_to - self.first_index, len(self.records))
        if count > 0:
            del self.records[:count]
            self.first_index += count


class ShardLog:
    """All shards of one stream, closed ones included, parents before children."""

    def __init__(self, name: str, arn: str, kind: StreamKind, shards: int, clock: Callable[[], float]) -> None:
        self.name = name
        self.arn = arn
        self.kind = kind
        self.shards: list[Shard] = []
        self._clock = clock
        self._numbers = 0
        bounds = [_KEY_SPACE * index // shards for index in range(shards + 1)]
        for first, end in pairwise(bounds):
            self._add(None, first, end - 1)
        self._route()

    def append(self, partition_key: str, lane_key: str, body: dict[str, Any], sequence_number: str, size: int) -> None:
        """Adds a record to the shard of its partition key. ``size`` is about the bytes of the body's JSON."""
        self.shard_of(partition_key).records.append(StreamRecord(sequence_number, lane_key, self._clock(), size, body))

    def next_number(self) -> int:
        """Counts the stream's records, so that sequence numbers rise in a shard and from parent to child."""
        self._numbers += 1
        return self._numbers

    def shard_of(self, partition_key: str) -> Shard:
        """The open shard that takes records of this key."""
        if len(self._open) == 1:
            return self._open[0]
        return self.shard_of_hash(hash_key(partition_key))

    def shard_of_hash(self, hashed: int) -> Shard:
        """The open shard whose range holds this hash key."""
        return self._open[bisect_right(self._starts, hashed) - 1]

    def shard(self, shard_id: str) -> Shard:
        """The shard of that id.

        Raises
        ------
        KeyError
            There is none.
        """
        for shard in self.shards:
            if shard.id == shard_id:
                return shard
        raise KeyError(f"{self.name} has no shard {shard_id}")

    def split(self, shard_id: str) -> tuple[Shard, Shard]:
        """Closes an open shard; its two children take a half of its key range each."""
        parent = self.shard(shard_id)
        if parent.closed:
            raise ValueError(f"{shard_id} of {self.name} is closed: split one of its children")
        if parent.first_hash == parent.last_hash:
            raise ValueError(f"{shard_id} of {self.name} holds a single hash key")
        parent.closed = True
        middle = (parent.first_hash + parent.last_hash) // 2 + 1
        children = (
            self._add(parent.id, parent.first_hash, middle - 1),
            self._add(parent.id, middle, parent.last_hash),
        )
        self._route()
        return children

    def _add(self, parent: str | None, first_hash: int, last_hash: int) -> Shard:
        number = len(self.shards)
        identifier = f"shardId-{number:012d}"
        if self.kind == "dynamodb":
            identifier = f"shardId-{int(self._clock() * 1000):020d}-{number:08x}"
        shard = Shard(identifier, parent, first_hash, last_hash)
        self.shards.append(shard)
        return shard

    def _route(self) -> None:
        self._open = sorted((shard for shard in self.shards if not shard.closed), key=lambda shard: shard.first_hash)
        self._starts = [shard.first_hash for shard in self._open]


def hash_key(partition_key: str) -> int:
    """The 128-bit number that Kinesis routes by (PutRecord, Kinesis API reference)."""
    return int.from_bytes(hashlib.md5(partition_key.encode(), usedforsecurity=False).digest())
