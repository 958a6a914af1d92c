"""Whether order is kept on the way: what the streams and the rows show, watched while it happens."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import orjson

from devstack.event_source_mapping import StreamRecord
from devstack.simulator.cloud import ShardLog
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.lag import LagWatch
from devstack.simulator.places import Place, place_of_item, version_on_kinesis


class OrderWatch:
    """Compares what Kinesis shows of each aggregate with what the table's stream told, and watches rows move.

    The table's stream may show an aggregate's versions 3, 1, 2. From there on their order is kept: whatever is refused
    and sent again, Kinesis holds them all in that order, with repetitions in between. A row's versions only rise.
    """

    def __init__(self, lag: LagWatch, *, fan_out_in_order: bool) -> None:
        self._lag = lag
        #: Lanes of a DynamoDB mapping go by item, and every event is an item: several lanes mix an aggregate's events.
        self._fan_out_in_order = fan_out_in_order
        self._findings: list[Finding] = []
        self._told: dict[str, dict[int | Decimal, int]] = {}
        #: By aggregate, the versions that Kinesis has shown in whatever order.
        self.seen: dict[str, set[int]] = {}
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
            aggregate_id, version = place_of_item(record.body["dynamodb"]["Keys"])
            told = self._told.setdefault(aggregate_id, {})
            told.setdefault(version, len(told))
            if record.body["eventName"] == "INSERT":
                event_id = record.body["dynamodb"]["NewImage"].get("event_id", {}).get("S", "")
                self._lag.appended((aggregate_id, version), event_id, record.arrived_at)
        self._read[log.name, shard_id] = max(start, up_to)

    def kinesis_written(self, log: ShardLog) -> None:
        """Looks at what the stream has got since the last time."""
        for shard in log.shards:
            start = self._read.get((log.name, shard.id), 0)
            if start < shard.end:
                self._read[log.name, shard.id] = shard.end
                self._compare(shard.read(start, shard.end - start))

    def rows_written(self, params: Mapping[str, Any]) -> None:
        """A transaction took effect: see `row_written`."""
        for write in params["TransactItems"]:
            if "Put" in write:
                self.row_written(write["Put"])

    def publishing(self, params: Mapping[str, Any]) -> None:
        """Records are sent to Kinesis."""
        places = ((entry["PartitionKey"], version_on_kinesis(entry["Data"])) for entry in params["Records"])
        self._lag.publishing((key, version) for key, version in places if version is not None)

    def row_written(self, params: Mapping[str, Any]) -> None:
        """A PutItem took effect: if it is a row's, its versions must not fall."""
        applied = params["Item"].get("applied")
        if applied is None:
            return
        self._lag.row_written(params["Item"])
        pk = params["Item"]["pk"]["S"]
        versions = {type_: int(value["N"]) for type_, value in applied["M"].items()}
        for type_, version in self._applied.get(pk, {}).items():
            if versions.get(type_, 0) < version:
                found = f"{pk} went from version {version} of its {type_} back to {versions.get(type_, 0)}"
                self._findings.append(Finding(Harm.ORDER, f"{type_}#{pk.partition('#')[2]}", found))
        self._applied[pk] = versions

    def findings(self, parked: Collection[Place], odd: Collection[str] = ()) -> Iterator[Finding]:
        """What was out of order; ``parked`` are events that never reached Kinesis. Of the ``odd`` nothing is said."""
        yield from self._findings
        if not self._fan_out_in_order:
            return
        waiting = {aggregate_id for aggregate_id, _ in parked}
        for aggregate_id, told in self._told.items():
            shown = self._shown.get(aggregate_id, 0)
            if shown < len(told) and aggregate_id not in waiting and aggregate_id not in odd:
                version = next(version for version, place in told.items() if place == shown)
                found = f"Kinesis does not show version {version} in the order in which the table's stream did"
                yield Finding(Harm.ORDER, aggregate_id, found)

    def _compare(self, records: Iterable[StreamRecord]) -> None:
        for each in records:
            record = each.body["kinesis"]
            aggregate_id = record["partitionKey"]
            data = base64.b64decode(record["data"])
            version = version_on_kinesis(data)
            if version is None:
                # A foreign record.
                continue
            if aggregate_id not in self._told:
                aggregate_id = _subject(data) or aggregate_id
            self.seen.setdefault(aggregate_id, set()).add(version)
            self._lag.published((aggregate_id, version), each.arrived_at)
            shown = self._shown.get(aggregate_id, 0)
            if self._told.get(aggregate_id, {}).get(version) == shown:
                self._shown[aggregate_id] = shown + 1


def _subject(data: bytes) -> str:
    """The aggregate that an event names, whatever key it was routed by."""
    try:
        return str(orjson.loads(data)["subject"])
    except (KeyError, TypeError, ValueError):
        return ""
