"""What each function really calls, recorded in runs under faults."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from arcade.app import APP
from devstack.simulator.compacting import Compacting
from devstack.simulator.config import Config
from devstack.simulator.faults import FaultPlan
from devstack.simulator.functions import FUNCTION_PREFIX, Ended, Functions
from devstack.simulator.graph import Blueprint
from devstack.simulator.simulation import simulate
from devstack.simulator.world import World, opened
from headwater.applications.parking import CONSUMER as APPLICATION_STATUS
from headwater.archive.lookup import STREAM_REMEMBERS
from headwater.change_stream.source_kinds import StreamKind
from headwater.dead_letters.parked import encode
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.pointers import from_lambda, from_pipe
from tests.infrastructure.iam import Call, calls_of

#: The workload plays the API's part: its commands run as HttpApiFunction.
API = "HttpApiFunction"
_STREAMS: tuple[tuple[str, StreamKind, str], ...] = (
    ("EventsTable", "dynamodb", "FanOutFunction"),
    ("EventsStream", "kinesis", "BadgesFunction"),
    ("ApplicationsTable", "dynamodb", "ApplicationStatusPipe"),
)


#: Who sets aside, and what records of.
_ASIDE: dict[str, tuple[str, StreamKind]] = {
    "fan_out": ("EventsTable", "dynamodb"),
    **dict.fromkeys((*APP.projections, "bi_export"), ("EventsStream", "kinesis")),
    APPLICATION_STATUS: ("ApplicationsTable", "dynamodb"),
}


@cache
def recorded() -> frozenset[Call]:
    """Everything that was called in some runs under faults: one seed may meet no gap in a function."""
    seen: set[Call] = set()
    running = [API]
    before, invoke, compact = FaultPlan.before, Functions.invoke, Compacting.compact

    def noted_before(self: FaultPlan, service: str, operation: str, params: Mapping[str, Any]) -> None:
        # Queues are polled and emptied by Lambda's service, and it is Lambda that reports failures to them.
        # A failed batch is tried again long after the faults; outside of functions, there it is we who look on.
        if running[-1] != API or (self.active and service != "sqs"):
            seen.update(map(_by_logical_id, calls_of(running[-1], service, operation, params)))
        before(self, service, operation, params)

    def noted_invoke(self: Functions, logical_id: str, *args: Any, **kwargs: Any) -> Ended:
        running.append(logical_id)
        try:
            return invoke(self, logical_id, *args, **kwargs)
        finally:
            running.pop()

    def noted_compact(self: Compacting, faults: Any = None) -> None:
        running.append("CompactionFunction")
        try:
            compact(self, faults)
        finally:
            running.pop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultPlan, "before", noted_before)
        patch.setattr(Compacting, "compact", noted_compact)
        patch.setattr(Functions, "invoke", noted_invoke)
        # Without overtaking, in which a command runs in the midst of a function's call: it would pass for its own.
        for seed in (3, 4, 5):
            simulate(Config.of(seed, 1_000, 0.2, off=frozenset({"overtaking", "interleaving"})), Blueprint.load())
        with opened(Config.of(6, 200, 0.0), Blueprint.load()) as world:
            world.run()
            _set_aside(world)
            _fail_batches(world)
    return frozenset(seen)


def _by_logical_id(call: Call) -> Call:
    """A function goes by its name where it is invoked; the template tells names and logical ids apart."""
    if call.action != "lambda:InvokeFunction":
        return call
    return replace(call, resource=call.resource.removeprefix(FUNCTION_PREFIX))


def _fail_batches(world: World) -> None:
    """Lets a batch of each stream fail, which no run is sure to bring: read from its shard, then from the archive."""
    messages: dict[str, Any] = {}
    for trimmed in (False, True):
        if trimmed:
            # From then on the archive is sure to be whole.
            world.engine.spend((STREAM_REMEMBERS + timedelta(minutes=10)).total_seconds())
        for name, kind, function in _STREAMS:
            log = world.cloud.log(name)
            shard = max(log.shards, key=lambda shard: shard.end)
            if not trimmed:
                records = shard.records[:3]
                pointer = (from_pipe if function.endswith("Pipe") else from_lambda)(
                    kind,
                    records[0].sequence_number,
                    records[-1].sequence_number,
                    function,
                    records=len(records),
                    shard_id=shard.id,
                    stream_arn=log.arn,
                    arrived=(records[0].arrived_at, records[-1].arrived_at),
                )
                messages[name] = {
                    "messageId": name,
                    "body": json.dumps(pointer),
                    "attributes": {"ApproximateReceiveCount": "1"},
                }
            else:
                shard.trim(shard.end)
            answer = world.functions.invoke("DeadLettersFunction", {"Records": [messages[name]]}).result.response
            assert answer == {"batchItemFailures": []}, name


def _set_aside(world: World) -> None:
    """Lets each consumer set aside some of its records, which no run is sure to bring; too large for one message."""
    for consumer, (name, kind) in _ASIDE.items():
        log = world.cloud.log(name)
        records = [dict(record.body) for shard in log.shards for record in shard.records[:20]]
        if consumer == APPLICATION_STATUS:
            # The Pipe's filter lets actions through and no applications.
            records = [raw for raw in records if raw["dynamodb"]["Keys"]["sk"]["S"].startswith("#ACTION#")]
        lot = InMemoryParkingLot()
        parking(consumer=consumer, kind=kind, aside=lot).set_aside("player#1", [], records, KeyError("x"))
        body = json.dumps({"dataref": world.claims.put(consumer, encode(lot.parked[0]))})
        message = {"messageId": consumer, "body": body, "attributes": {"ApproximateReceiveCount": "1"}}
        answer = world.functions.invoke("RedriveFunction", {"Records": [message]}).result.response
        assert answer == {"batchItemFailures": []}, consumer
