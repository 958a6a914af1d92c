"""Whether order is kept on the way: what the streams and the rows show, watched while it happens."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from devstack.simulator.cloud import ShardLog
from devstack.simulator.findings import Finding, Harm

_SEQUENCE: Final = b'"sequence":"'
_DIGITS: Final = 20


class OrderWatch:
    """Compares what Kinesis shows of each aggregate with what the table's stream told, and watches rows move.

    The table's stream may show an aggregate's versions 3, 1, 2. From there on their order is kept: whatever is refused
    and sent again, Kinesis holds them all in that order, with repetitions in between. A row's versions only rise.
    """

    def __init__(self, *, fan_out_in_order: bool) -> None:
        #: Lanes of a DynamoDB mapping go by item, and every event is an item: several lanes mix an aggregate's events.
        self._fan_out_in_order = fan_out_in_order
        self._findings: list[Finding] = []
        self._told: dict[str, dict[int, int]] = {}
        self._shown: dict[str, int] = {}
        self._read: dict[tuple[str, str], int] = {}
        self._applied: dict[str, dict[str, int]] = {}

    @property
    def shown(self) -> int:
        """Events that Kinesis has shown in order."""
        return sum(self._shown.values())

    def read_up_to(self, log: ShardLog, shard_id: str) -> int:
        """The index in a shard up to which anybody has ever read it."""
        return self._read.get((log.name, shard_id), 0)

    def table_read(self, log: ShardLog, shard_id: str, up_to: int) -> None:
        """The table's stream was read in this shard up to an index; what is before it changes no more."""
        shard = log.shard(shard_id)
        start = self.read_up_to(log, shard_id)
        for record in shard.read(start, up_to - start):
            keys = record.body["dynamodb"]["Keys"]
            told = self._told.setdefault(keys["aggregate_id"]["S"], {})
            told.setdefault(int(keys["version"]["N"]), len(told))
        self._read[log.name, shard_id] = max(start, up_to)

    def kinesis_written(self, log: ShardLog) -> None:
        """Looks at what the stream has got since the last time."""
        for shard in log.shards:
            start = self._read.get((log.name, shard.id), 0)
            if start < shard.end:
                self._read[log.name, shard.id] = shard.end
                self._compare(record.body for record in shard.read(start, shard.end - start))

    def row_written(self, params: Mapping[str, Any]) -> None:
        """A PutItem took effect: if it is a row's, its versions must not fall."""
        applied = params["Item"].get("applied")
        if applied is None:
            return
        pk = params["Item"]["pk"]["S"]
        versions = {type_: int(value["N"]) for type_, value in applied["M"].items()}
        for type_, version in self._applied.get(pk, {}).items():
            if versions.get(type_, 0) < version:
                found = f"{pk} went from version {version} of its {type_} back to {versions.get(type_, 0)}"
                self._findings.append(Finding(Harm.ORDER, f"{type_}#{pk.partition('#')[2]}", found))
        self._applied[pk] = versions

    def findings(self, parked: Collection[tuple[str, int]]) -> Iterator[Finding]:
        """What was out of order; ``parked`` are events that never reached Kinesis."""
        yield from self._findings
        if not self._fan_out_in_order:
            return
        waiting = {aggregate_id for aggregate_id, _ in parked}
        for aggregate_id, told in self._told.items():
            shown = self._shown.get(aggregate_id, 0)
            if shown < len(told) and aggregate_id not in waiting:
                version = next(version for version, place in told.items() if place == shown)
                found = f"Kinesis does not show version {version} in the order in which the table's stream did"
                yield Finding(Harm.ORDER, aggregate_id, found)

    def _compare(self, bodies: Iterable[Any]) -> None:
        for body in bodies:
            record = body["kinesis"]
            aggregate_id = record["partitionKey"]
            data = base64.b64decode(record["data"])
            start = data.index(_SEQUENCE) + len(_SEQUENCE)
            version = int(data[start : start + _DIGITS])
            shown = self._shown.get(aggregate_id, 0)
            if self._told.get(aggregate_id, {}).get(version) == shown:
                self._shown[aggregate_id] = shown + 1
