"""Everything that happens in one run: a cloud from the templates, a workload, deliveries and faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final

from devstack.event_source_mapping import StreamRecord
from devstack.simulator.applicants import Applicants
from devstack.simulator.bugs import REPAIRED_AFTER, Bugs
from devstack.simulator.cloud import Cloud
from devstack.simulator.compacting import Compacting
from devstack.simulator.config import Config
from devstack.simulator.delivery import (
    POLL_SECONDS,
    QUEUE_POLL_SECONDS,
    RETENTION_SECONDS,
    GivenUp,
    QueueDriver,
    StreamDriver,
    reorder,
    trim,
)
from devstack.simulator.engine import Engine
from devstack.simulator.expiry import Expiry
from devstack.simulator.faults import LARGEST_SKEW, FaultPlan
from devstack.simulator.fibers import Own
from devstack.simulator.functions import Functions, hosted
from devstack.simulator.graph import Blueprint
from devstack.simulator.lag import LagWatch
from devstack.simulator.leases import LeaseWatch
from devstack.simulator.newer_code import NewerCode
from devstack.simulator.odd import OddRecords
from devstack.simulator.operator import HOLD_SECONDS, Operator
from devstack.simulator.order import OrderWatch
from devstack.simulator.outages import Outages
from devstack.simulator.places import key_of
from devstack.simulator.readers import Readers
from devstack.simulator.workload import GAMES, Workload
from devstack.standing_in import standing_in
from devstack.template import EventSourceMapping
from headwater import bootstrap
from headwater.change_stream import dynamodb, kinesis
from headwater.clock import timestamp
from headwater.domain.events import DomainEvent, PlayCompleted, UserProfileChanged

#: Faults go on for so long after the last event, so that they meet the end of every stream too.
_GRACE_SECONDS: Final = 30.0
#: Within so much virtual time after the faults the backlog must be gone. What is set aside is tried again for days.
_DRAIN_SECONDS: Final = 2 * 3600.0
_POISONED_DRAIN_SECONDS: Final = 14 * 24 * 3600.0
_SAMPLES: Final = 400
_SHARDS_AT_MOST: Final = 12
#: What a poison record is: of a type, and with data, that no consumer knows. The fan-out parks both.
_POISONS: Final = (("SomethingUnheardOf", "{}"), ("PlayCompleted", '{"game":"chess"}'))
#: Rounds of redriving during the faults, this many seconds apart; and how many there are before it is given up.
_REDRIVE_SECONDS: Final = 10.0
_REDRIVE_ROUNDS: Final = 20
#: What the ledger of effects says of those that happened.
_CONFIRMED: Final = {"S": "confirmed"}
#: Produced events between two decisions about a split.
_SPLIT_EVERY: Final = 200


class World:
    """Everything that happens in one run. Use it within `hosted` (see `opened`)."""

    def __init__(
        self,
        blueprint: Blueprint,
        config: Config,
        engine: Engine,
        faults: FaultPlan,
        cloud: Cloud,
        *,
        newer_code: NewerCode | None = None,
        bugs: Bugs | None = None,
    ) -> None:
        self.blueprint = blueprint
        self.bugs = bugs or Bugs(lambda *_: False, lambda: False)
        self.newer_code = newer_code or NewerCode()
        self.config = config
        self.engine = engine
        self.faults = faults
        self.cloud = cloud
        self.given_up: list[GivenUp] = []
        self.poisoned: set[str] = set()
        self.poisons = 0
        self.finished: list[StreamDriver] = []
        #: Outages look at it too: it is changed, never replaced.
        self.streams: list[StreamDriver] = []
        self.queues: list[QueueDriver] = []
        self.backlog_samples: list[tuple[float, int]] = []
        self.claims = bootstrap.claim_store()
        self.waited = 0.0
        self.mappings = [self._overridden(mapping) for mapping in blueprint.hosted.mappings]
        self.table_stream = bootstrap.settings().events_table
        table_mappings = [mapping for mapping in self.mappings if f"table/{self.table_stream}/" in mapping.source_arn]
        self.lag = LagWatch(engine.clock, self.suffers)
        self.workload = Workload(
            self, bootstrap.accounts(), written=self.written, ended=self.production_ended, is_odd=self.is_odd
        )
        self.operator = Operator(self, blueprint.queues(), self.claims, self.lag)
        self.applicants = Applicants(self)
        self.odd = OddRecords(self, self.workload.users)
        self.outages = Outages(self, self.streams)
        self.expiry = Expiry(self)
        self.compacting = Compacting(self)
        self.readers = Readers(self, self.workload.users, self.applicants.accounts, is_spoilt=self._is_spoilt)
        faults.refusals.tables = {bootstrap.settings().read_models_table}
        faults.refusals.targets = {bootstrap.settings().events_topic, bootstrap.settings().application_inbox_queue}
        self.leases = LeaseWatch(engine.clock, 2 * LARGEST_SKEW)
        self.order = OrderWatch(
            self.lag, fan_out_in_order=all(mapping.parallelization_factor == 1 for mapping in table_mappings)
        )
        self.last_event_at = engine.now
        self._polling = False
        self._queue_poll_at = float("inf")
        self._queues_polled_at = 0.0
        self._sample_every = 1.0
        self._polls = 0
        self._next_split = _SPLIT_EVERY
        self._poison_at = list(config.poisons)
        self._poison_decided = 0
        engine.own += [Own(self.newer_code, "_consuming", False), Own(self.lag, "attempt", None)]
        faults.watch("dynamodb", "PutItem", self.order.row_written)
        faults.watch("dynamodb", "TransactWriteItems", self.order.rows_written)
        faults.watch("dynamodb", "PutItem", self._ledger_written)
        faults.watch("dynamodb", "DeleteItem", lambda params: self.leases.deleted(params["Key"]))
        faults.watch("kinesis", "PutRecords", self.order.publishing)

    def deliver(self, functions: Functions) -> None:
        """Starts all mappings."""
        self.functions = functions
        functions.log.watch = self.leases.unconfirmed
        functions.offer(self.cloud)
        for mapping in self.mappings:
            if mapping.kind == "sqs":
                self.queues.append(QueueDriver(self, mapping))
                continue
            log = self.cloud.log(mapping.source_arn.split("/")[1])
            self.streams += [StreamDriver(self, mapping, log, shard) for shard in log.shards if shard.parent is None]

    # What the parts tell

    def stir(self) -> None:
        if not self._polling:
            self._polling = True
            self.engine.after(self.engine.chance.uniform(*POLL_SECONDS), self._poll)

    def written(self) -> None:
        """A command ended."""
        if self.faults.decides("reorder") and self._reorder():
            self.faults.count("reorder")
        self.applicants.go_on()
        self.readers.go_on()
        self.expiry.go_on()
        produced = self.workload.produced
        if produced >= self._next_split:
            self._next_split += _SPLIT_EVERY
            if self.faults.decides("shard_split", 2) and self.split():
                self.faults.count("shard_split")
            self.outages.go_on()
            self.compacting.go_on()
        due = self._poison_at and produced >= self._poison_at[0]
        if due and self.poison(*self.engine.chance.choice(_POISONS)):
            self._poison_at.pop(0)
        if self.config.odd:
            self.odd.go_on(produced)
        while self.config.poison and self._poison_decided < produced:
            self._poison_decided += 1
            if not self.newer_code.repaired and self.engine.chance.random() < self.config.poison:
                self.append_newer_event()
        self.stir()

    def was_read(self, driver: StreamDriver) -> None:
        if driver.log.name == self.table_stream:
            self.order.table_read(driver.log, driver.shard.id, driver.cursor)
        elif driver.log.kind == "kinesis":
            self.order.kinesis_written(driver.log)

    def _ledger_written(self, params: Mapping[str, Any]) -> None:
        if "state" in params["Item"]:
            self.leases.written(params["Item"])
        if params["Item"].get("state") == _CONFIRMED:
            self.lag.effect_confirmed(params["Item"])

    def was_settled(self, driver: StreamDriver, records: Sequence[StreamRecord]) -> None:
        with self.lag.during(driver):
            self.lag.settled(self.functions.consumer(driver.mapping.function), records)
        aggregate_id = dynamodb.aggregate_id if driver.log.kind == "dynamodb" else kinesis.partition_key
        for record in records:
            waited = self.engine.now - record.arrived_at
            if waited > self.waited and not self.suffers(aggregate_id(record.body)):
                self.waited = waited

    def production_ended(self) -> None:
        self.last_event_at = self.engine.now
        self.engine.after(_GRACE_SECONDS, self.faults.stop)
        self.engine.after(REPAIRED_AFTER, self._repair_bugs)
        if self.config.poison and self.config.seed % 2:
            # While the last events, and the faults, are still on their way; the other seeds wait until all has failed.
            self._repair()

    # What happens to the world

    def split(self) -> bool:
        """Splits a shard of a stream; reads go on in its children once it is read to its end. False if none may."""
        chance = self.engine.chance
        stream = self.cloud.log(chance.choice(sorted({driver.log.name for driver in self.streams})))
        open_shards = [shard for shard in stream.shards if not shard.closed]
        if len(open_shards) >= _SHARDS_AT_MOST:
            return False
        stream.split(chance.choice(open_shards).id)
        return True

    def _reorder(self) -> bool:
        """Shuffles what nobody has read yet of the busiest shard; False if there is nothing to shuffle."""
        log = self.cloud.log(self.table_stream)
        written = [shard for shard in log.shards if not shard.closed and shard.records]
        if not written:
            return False
        shard = max(written, key=lambda shard: shard.records[-1].arrived_at)
        # Not by the drivers: one that restarted would read again what it has read in another order.
        return reorder(shard, self.order.read_up_to(log, shard.id), self.engine.chance)

    def _overridden(self, mapping: EventSourceMapping) -> EventSourceMapping:
        return replace(mapping, **self.config.overrides.get("*", {}), **self.config.overrides.get(mapping.title, {}))

    def poison(self, type_: str = "PlayCompleted", data: str = "{}") -> bool:
        """Puts an item that no code understands into an aggregate, past the event store. False if nobody is there."""
        chance = self.engine.chance
        users = [user for user in self.workload.users if user.active]
        if not users:
            return False
        user = chance.choice(users)
        user.poisoned = True
        aggregate_id = f"{chance.choice(('user', 'player'))}#{user.user_id}"
        self._put_poison(aggregate_id, {"type": {"S": type_}, "schema_version": {"N": "1"}, "data": {"S": data}})
        return True

    def append_newer_event(self) -> bool:
        """Appends an event that the consumers cannot read yet; its user goes on. False if nobody is there."""
        chance = self.engine.chance
        users = [user for user in self.workload.users if user.active]
        if not users:
            return False
        user = chance.choice(users)
        payload: DomainEvent
        if chance.random() < 0.8:
            now = timestamp(self.engine.utc_now())
            payload = PlayCompleted(game=chance.choice(GAMES), score=chance.randrange(10_000), played_at=now)
        else:
            payload = UserProfileChanged(name=f"User {user.number} the newer")
        self._put_poison(
            f"{payload.aggregate_type}#{user.user_id}", NewerCode.attributes(payload, encoded=chance.random() < 0.3)
        )
        return True

    def _put_poison(self, aggregate_id: str, attributes: Mapping[str, Any]) -> None:
        """Puts an item past the event store, as the aggregate's next version."""
        engine = self.engine
        with self.faults.suspended():
            with self.newer_code.as_consumer(False):
                version = bootstrap.event_store().head(aggregate_id) + 1
            item = {
                "aggregate_id": {"S": aggregate_id},
                "version": {"N": str(version)},
                "event_id": {"S": engine.uuid7()},
                "occurred_at": {"S": timestamp(engine.utc_now())},
                "aggregate_type": {"S": aggregate_id.partition("#")[0]},
                "metadata": {"S": "{}"},
                **attributes,
            }
            self.cloud.dynamodb.put_item(TableName=self.table_stream, Item=item)
        self.poisoned.add(aggregate_id)
        self.poisons += 1
        engine.note(f"poison {aggregate_id}@{version} {attributes['type']['S']}")
        self.stir()

    def _repair_bugs(self) -> None:
        self.bugs.repaired = True
        self.engine.note("bugs are repaired")

    def _repair(self) -> None:
        """The consumers learn to read what is newer, as by a deployment; what is parked is redriven at once."""
        self.newer_code.repaired = True
        self.engine.note("repaired")
        for number in range(2):
            self.engine.after(number * _REDRIVE_SECONDS, self.operator.redrive)

    # Time

    def run(self, progress: Callable[[int], None] = lambda _: None) -> float | None:
        """Runs to the end; gives the virtual seconds from the last event to an empty backlog, None if it never was.

        With curable poison there are two more things to come: the repair, at the end of the last events or once all of
        them have come as far as they can, and the redrive of what waits, under faults at first.
        """
        engine = self.engine
        self.faults.start()
        self.workload.start()
        engine.after(0.0, self._sample)
        reported = 0
        while not self.workload.done or self.faults.active:
            if not engine.step():
                break
            if self.workload.produced - reported >= 500:
                progress(self.workload.produced - reported)
                reported = self.workload.produced
        progress(self.workload.produced - reported)
        self._drain()
        if self.drained and (self.config.poison or self.outages.functions):
            self._redrive_the_rest()
        return max(0.0, engine.now - self.last_event_at) if self.drained else None

    def _drain(self) -> None:
        """Runs until nothing is left to deliver, or for as long as that may take."""
        engine = self.engine
        suffering = self.poisoned or self.config.odd or self.faults.refusals.aggregates or self.bugs.aggregates
        limit = max(engine.now, self.outages.end) + (_POISONED_DRAIN_SECONDS if suffering else _DRAIN_SECONDS)
        while engine.now < limit and not self.drained and engine.step():
            pass
        self._take_sample()

    def _redrive_the_rest(self) -> None:
        engine, faults = self.engine, self.faults
        if self.config.poison and not self.newer_code.repaired:
            faults.start()
            self._repair()
            engine.after(3 * _REDRIVE_SECONDS, faults.stop)
            while faults.active:
                engine.step()
            self._drain()
        # What no repair has cured stays: a round more than it takes shows that no other letter is left.
        redriven = -1
        while self.drained and self.operator.waits and self.operator.rounds < _REDRIVE_ROUNDS:
            if redriven == self.operator.redriven.total() and not self.config.poison:
                break
            redriven = self.operator.redriven.total()
            # What a command held that was stopped is to be seen again.
            shown = engine.now + HOLD_SECONDS
            while engine.now < shown:
                engine.step()
            self.operator.redrive()
            self._drain()

    @property
    def drained(self) -> bool:
        """Whether nothing is left to deliver."""
        return (
            self.workload.settled
            and not self.odd.pending
            and not self.expiry.pending
            and not any(driver.backlog for driver in self.streams)
            and not self._queued()
        )

    def is_odd(self, user_id: str) -> bool:
        """Whether one of a user's aggregates is odd."""
        return self.odd.holds(user_id)

    def _is_spoilt(self, user_id: str) -> bool:
        """Whether one of a user's aggregates is odd, or holds poison."""
        return self.is_odd(user_id) or any(key_of(aggregate_id) == user_id for aggregate_id in self.poisoned)

    def is_down(self, mapping: EventSourceMapping) -> bool:
        """Whether a mapping's function is not invoked now."""
        return self.outages.down(mapping)

    def suffers(self, aggregate_id: str) -> bool:
        """Whether an aggregate holds, or is named by, something that is no sound event of ours, or is refused."""
        return (
            aggregate_id in self.poisoned
            or aggregate_id in self.odd.done.aggregates
            or aggregate_id in self.faults.refusals.aggregates
            or aggregate_id in self.bugs.aggregates
        )

    @property
    def backlog(self) -> int:
        """Records past the checkpoints of all mappings, and messages of their queues."""
        return sum(driver.backlog for driver in self.streams) + self._queued()

    def _queued(self) -> int:
        return sum(len(driver.queue) for driver in self.queues)

    def _poll(self) -> None:
        self._polling = False
        self._polls += 1
        if self.outages.functions:
            self.forget()
        for driver in list(self.streams):
            if not driver.poll():
                self._follow(driver)
        if self._polls % 50 == 0:
            # What was given up is read once more, by whoever resolves its pointer.
            read_again = {given_up.stream_arn for given_up in self.given_up}
            for name in {driver.log.name for driver in self.streams if driver.log.arn not in read_again}:
                drivers = [*self.streams, *self.finished]
                trim(self.cloud.log(name), [driver for driver in drivers if driver.log.name == name])
        self._plan_queues()
        if any(driver.shard.end > driver.cursor and driver.machine.room for driver in self.streams):
            self.stir()

    def _plan_queues(self) -> None:
        """Polls when a message becomes visible, at most once a second."""
        # A mapping that is switched off receives nothing.
        driven = [driver for driver in self.queues if not self.is_down(driver.mapping)]
        times = [time for driver in driven if (time := driver.queue.next_visible_at) is not None]
        if not times:
            return
        when = max(min(times), self._queues_polled_at + QUEUE_POLL_SECONDS, self.engine.now)
        if when < self._queue_poll_at:
            self._queue_poll_at = when
            self.engine.at(when, partial(self._poll_queues, when))

    def forget(self) -> None:
        """The streams forget what is past their retention."""
        for log in {driver.log.name: driver.log for driver in self.streams}.values():
            for shard in log.shards:
                shard.forget(self.engine.now - RETENTION_SECONDS[log.kind])

    def _poll_queues(self, planned: float) -> None:
        if planned != self._queue_poll_at:
            return
        self._queue_poll_at = float("inf")
        self._queues_polled_at = self.engine.now
        if self.outages.functions:
            self.forget()
        for driver in self.queues:
            if not self.is_down(driver.mapping):
                driver.poll()
        self._plan_queues()

    def _follow(self, driver: StreamDriver) -> None:
        """A closed shard is delivered to its end: its mapping goes on with the children."""
        if driver not in self.streams:
            # A function that was invoked by this poll let time pass, and a later poll came first.
            return
        self.streams.remove(driver)
        self.finished.append(driver)
        for shard in driver.log.shards:
            if shard.parent == driver.shard.id:
                child = StreamDriver(self, driver.mapping, driver.log, shard)
                child.goes_on_after(driver)
                self.streams.append(child)
        self.stir()

    def _sample(self) -> None:
        self._take_sample()
        if len(self.backlog_samples) >= _SAMPLES:
            # Half as many, twice as far apart: memory and picture stay the same however long it takes.
            self.backlog_samples = self.backlog_samples[::2]
            self._sample_every *= 2
        self.engine.after(self._sample_every, self._sample)

    def _take_sample(self) -> None:
        self.backlog_samples.append((self.engine.elapsed, self.backlog))


@contextmanager
def opened(config: Config, blueprint: Blueprint) -> Iterator[World]:
    """A world that is ready to run: its cloud is built, its functions are started."""
    engine = Engine(config.seed, keep_trace=config.keep_trace)
    faults = FaultPlan(engine, config.faults, config.off)
    cloud = Cloud(engine.clock, faults, engine.chance, attempts=bootstrap.SDK_ATTEMPTS)
    blueprint.build(cloud, config.shards)
    newer_code = NewerCode()
    bugs = Bugs(faults.happens, lambda: newer_code.consuming)
    newest = newer_code.encoding() if config.poison else nullcontext()
    jitter = random.Random(engine.chance.getrandbits(64))  # noqa: S311
    reads = newer_code.types if config.poison else None
    with hosted(blueprint.hosted, cloud, engine, reads) as log, newest, bugs.installed():
        world = World(blueprint, config, engine, faults, cloud, newer_code=newer_code, bugs=bugs)
        functions = Functions(blueprint.hosted, engine, faults, log, newer_code)
        # Their jitter too: other threads of the process may draw from Python's own.
        with standing_in("logger", log), standing_in("random", jitter):
            world.deliver(functions)
            yield world
