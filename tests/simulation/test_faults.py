"""Rows of docs/faults.md, each alone and often: what the whole system makes of one kind of fault."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from devstack.simulator.config import Config
from devstack.simulator.evidence import Evidence
from devstack.simulator.faults import PROMISED
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.invariants import archive_is_the_log, order_is_kept
from devstack.simulator.lag import percentile, together
from devstack.simulator.simulation import Result, simulate, verdict
from devstack.simulator.tracking_invariants import given_up_by_the_pipe
from devstack.simulator.world import World, opened
from headwater import bootstrap
from headwater.applications.parking import CONSUMER
from headwater.change_stream.records import Operation
from headwater.dead_letters.parked import decode
from headwater.dead_letters.redrive import StillFailingError


def only(*kinds: str) -> frozenset[str]:
    """All fault kinds but these, to leave out."""
    return PROMISED - frozenset(kinds)


def holds(result: Result) -> bool:
    assert [str(violation) for violation in result.violations] == []
    assert result.drained is not None
    return True


def met(result: Result, *kinds: str) -> bool:
    assert {kind for kind in kinds if result.faults[kind]} == set(kinds)
    return True


def run(blueprint: Blueprint, config: Config, happening: Callable[[World], object] = lambda _: None) -> Result:
    """A run in which something happens that is no matter of chance."""
    with opened(config, blueprint) as world:
        happening(world)
        return verdict(world, world.run())


@pytest.mark.parametrize("seed", range(3))
def test_a_crash_after_the_effect_and_before_the_acknowledgement_leaves_it_once(
    blueprint: Blueprint, seed: int
) -> None:
    """FAULTS row 3. So do lost answers, which to the caller are the same."""
    config = Config.of(seed, 300, 0.3, off=only("crash", "lost_answer"))

    result = simulate(config, blueprint)

    assert holds(result)
    assert met(result, "crash", "lost_answer")


@pytest.mark.parametrize("seed", range(3))
def test_whole_batches_come_again_and_with_other_bounds(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 4."""
    config = Config.of(seed, 300, 0.4, off=only("duplicate_delivery", "batch_bounds", "mapping_restart"))

    result = simulate(config, blueprint)

    assert holds(result)
    assert met(result, "duplicate_delivery", "batch_bounds", "mapping_restart")


@pytest.mark.parametrize("seed", range(3))
def test_versions_arrive_out_of_order(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 5: gaps are healed from the event store."""
    result = simulate(Config.of(seed, 300, 0.5, off=only("reorder", "batch_bounds")), blueprint)

    assert holds(result)
    assert met(result, "reorder")


@pytest.mark.parametrize("seed", [0, 2, 3])
@pytest.mark.slow
def test_ten_lanes_split_shards_and_restarts_converge(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 6: with ten lanes, an aggregate's events overtake each other even on their way to Kinesis."""
    config = Config.of(
        seed,
        1_000,
        0.2,
        poisons=0,
        off=only("shard_split", "mapping_restart", "reorder", "slow_consumer"),
        overrides={"*": {"parallelization_factor": 10}},
    )

    result = simulate(config, blueprint)

    assert holds(result)
    assert met(result, "shard_split", "mapping_restart", "reorder")


@pytest.mark.parametrize("seed", range(3))
def test_what_is_refused_inside_an_answer_is_sent_again(blueprint: Blueprint, seed: int) -> None:
    """FAULTS rows 8, 9 and 11: PutRecords and PublishBatch that fail for some entries, or for all."""
    result = simulate(Config.of(seed, 300, 0.5, off=only("partial_failure")), blueprint)

    assert holds(result)
    assert met(result, "partial_failure")


def test_kinesis_has_taken_the_events_and_sns_is_down(blueprint: Blueprint) -> None:
    """FAULTS row 14: for five minutes. Each registration is mailed once all the same, each play counted once."""

    def sns_is_down(world: World) -> None:
        world.faults.break_service("sns", world.engine.now + 300)

    result = run(blueprint, Config.of(1, 500, 0.0), sns_is_down)

    assert holds(result)
    assert result.failures["fan_out: SendError"] > 0
    assert result.drained is not None
    assert result.drained > 200


@pytest.mark.parametrize("service", ["kinesis", "dynamodb"])
def test_throttling_for_minutes_is_waited_out(blueprint: Blueprint, service: str) -> None:
    """FAULTS row 15: the backlog grows while it lasts, and drains after."""
    config = replace(Config.of(2, 500, 0.0), rate=4.0)

    def throttled(world: World) -> None:
        begin = world.engine.now + 30
        world.engine.at(begin, lambda: world.faults.break_service(service, begin + 60))

    result, calm = run(blueprint, config, throttled), run(blueprint, config)

    assert holds(result)
    assert max(count for _, count in result.backlog) > max(count for _, count in calm.backlog)
    assert result.backlog[-1][1] == 0


def test_s3_answers_503_for_minutes(blueprint: Blueprint) -> None:
    """FAULTS row 16: and everything is in the archive afterwards, each record once."""

    def s3_is_down(world: World) -> None:
        world.faults.break_service("s3", world.engine.now + 180)

    result = run(blueprint, Config.of(3, 500, 0.0), s3_is_down)

    assert holds(result)
    assert result.failures["ArchiverFunction: ClientError"] > 0


def test_what_expires_or_is_changed_by_hand_is_archived_and_not_fanned_out(blueprint: Blueprint) -> None:
    """FAULTS row 19: an expiry is no incident, a removal by hand is one; neither reaches Kinesis."""
    with opened(Config.of(4, 300, 0.0), blueprint) as world:
        world.run()
        shown = world.order.shown
        removed = next(item for item in world.cloud.items("EventsTable") if "badge#" in item["aggregate_id"]["S"])
        # When its 90 days are over, an activity has long left the stream; its expiry is a new record.
        world.engine.spend(91 * 86400)
        expired = world.cloud.expire("EventsTable")
        world.cloud.dynamodb.delete_item(
            TableName="EventsTable", Key={name: removed[name] for name in ("aggregate_id", "version")}
        )
        world.stir()
        while not world.drained:
            world.engine.step()
        evidence, failures = Evidence(world), world.functions.log.reasons

    operations = Counter(record.operation for record in evidence.archive())
    assert expired > 0
    assert operations[Operation.EXPIRE] == expired
    assert operations[Operation.REMOVE] == 1
    assert failures["fan_out: IllegalChanges"] == 1
    assert world.order.shown == shown
    assert list(archive_is_the_log(evidence)) == []
    assert list(order_is_kept(evidence)) == []


def test_an_item_that_is_no_event_stops_only_its_aggregate(blueprint: Blueprint) -> None:
    """FAULTS row 1: it is parked at once, and its shard's next records are not kept waiting."""

    def no_event(world: World) -> None:
        def write() -> None:
            assert world.poison(data="no json")

        world.engine.after(5, write)

    assert holds(run(blueprint, Config.of(1, 500, 0.0), no_event))


@pytest.mark.parametrize("seed", range(4))
def test_a_poison_record_waits_where_it_is_seen_and_its_neighbours_flow(blueprint: Blueprint, seed: int) -> None:
    """FAULTS rows 1 and 20: no event of another aggregate is given up, and none is missing anywhere."""
    with opened(Config.of(seed, 400, 0.0, poisons=1), blueprint) as world:
        result = verdict(world, world.run())
        judged = Evidence(world).parked("FanOutFunction")

    assert holds(result)
    assert result.poisons == 1
    assert len(judged) == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_process_stops_in_the_middle_of_anything(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 40: functions crash, mappings restart from their checkpoint, and old invocations go on late."""
    config = Config.of(seed, 400, 0.3, off=only("crash", "mapping_restart", "slow_consumer", "overtaking"))

    result = simulate(config, blueprint)

    assert holds(result)
    assert met(result, "crash", "mapping_restart")


@pytest.mark.parametrize("faults", [0.01, 0.1, 0.2])
def test_it_holds_at_other_rates(blueprint: Blueprint, faults: float) -> None:
    changes: dict[str, Any] = {"poisons": 1}

    assert holds(simulate(Config.of(11, 500, faults, **changes), blueprint))


# The Pipe, and the account domain


def parked_by_the_pipe(world: World) -> list[str]:
    """The conditions of what was parked after all retries."""
    return list(given_up_by_the_pipe(Evidence(world)).values())


@pytest.mark.parametrize("seed", range(3))
def test_an_enrichment_that_answers_fewer_is_tried_again_until_all_are_told(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 35: the target refuses a batch that is not whole, and nothing is lost."""
    cut = 0

    def shorten(world: World) -> None:
        handlers = world.functions._handlers
        enrich = handlers["ApplicationEnrichmentFunction"]

        def fewer(event: Any, context: Any) -> Any:
            nonlocal cut
            elements = enrich(event, context)
            if len(elements) > 1 and world.engine.chance.random() < 0.5:
                cut += 1
                return elements[: world.engine.chance.randrange(1, len(elements))]
            return elements

        handlers["ApplicationEnrichmentFunction"] = fewer

    # Many at once, so that batches have more than one.
    result = run(blueprint, Config.of(seed, 600, 0.1, poisons=0, rate=200.0), shorten)

    assert holds(result)
    assert cut
    assert result.failures["ApplicationTargetFunction: IncompleteBatchError"]


def test_an_enrichment_that_fails_for_good_is_dead_lettered_with_the_pipes_condition(blueprint: Blueprint) -> None:
    """FAULTS row 35: in a Pipe's shape, on the queue of all failed batches; the reason is in the function's log."""

    def break_it(world: World) -> None:
        def fail(_event: Any, _context: Any) -> Any:
            raise RuntimeError("the table is gone")

        world.functions._handlers["ApplicationEnrichmentFunction"] = fail

    overrides = {"ApplicationStatusPipe": {"maximum_retry_attempts": 2}}
    with opened(Config.of(1, 300, 0.0, overrides=overrides), blueprint) as world:
        break_it(world)
        result = verdict(world, world.run())
        letters = parked_by_the_pipe(world)

    assert set(letters) == {"RetryAttemptsExhausted"}
    assert result.harms[Harm.PARKED] > 0
    assert result.harms[Harm.LOST] == 0
    assert result.failures["ApplicationEnrichmentFunction: RuntimeError"]


@pytest.mark.parametrize("seed", range(3))
def test_the_account_domains_queue_refuses_for_minutes_and_everything_arrives(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 36: by age and not by attempts, an outage of the other account uses nothing up."""
    with opened(Config.of(seed, 300, 0.05), blueprint) as world:
        world.faults.break_service("sqs", world.engine.now + 600)
        drained = world.run()
        result = verdict(world, drained)
        letters = parked_by_the_pipe(world)

    assert holds(result)
    assert result.failures["application_target: SendError"]
    assert letters == []


def test_the_account_domains_queue_refuses_for_hours_and_a_redrive_succeeds_later(blueprint: Blueprint) -> None:
    """FAULTS row 36: what was given up waits whole, and applies once when it comes again."""
    overrides = {"ApplicationStatusPipe": {"maximum_record_age": 60}}
    with opened(Config.of(1, 300, 0.0, overrides=overrides), blueprint) as world:
        inbox = world.cloud.sqs.queues.pop(bootstrap.settings().application_inbox_queue)
        world.run()
        given_up = parked_by_the_pipe(world)
        assert verdict(world, 0.0).harms[Harm.PARKED] > 0

        # The queue is back, and an operator redrives.
        world.cloud.sqs.queues[inbox.url] = inbox
        messages = world.cloud.queue("ParkedRecordsQueue").messages
        for name, message in list(messages.items()):
            parked = decode(message.body, world.claims)
            if parked.mapping != CONSUMER:
                # Among what was given up are actions that cannot be told at all: their messages stay.
                with suppress(StillFailingError):
                    bootstrap.redrive().run(parked.consumer, parked.raw)
                    del messages[name]
        world.stir()
        for _ in range(10_000):
            if world.drained:
                break
            world.engine.step()
        result = verdict(world, 0.0)

    assert set(given_up) == {"RecordAgeExceeded"}
    # What else stops an aggregate is a poison record, and here there was none.
    assert {violation.invariant for violation in result.violations} == {"parked_is_poisoned"}
    assert result.harms[Harm.PARKED] == len(world.applicants.untellable)


# Refusals for good, reads of a moment ago, and time


def test_what_a_destination_refuses_for_good_waits_alone(blueprint: Blueprint) -> None:
    """FAULTS rows 1 and 26: an entry, a row or an address, each with its neighbours around it."""
    kinds = "refused_entry", "refused_row", "refused_email"

    results = [simulate(Config.of(seed, 800, 0.3, off=only(*kinds), poisons=0), blueprint) for seed in range(4)]

    assert all(map(holds, results))
    assert {kind for result in results for kind in result.faults} == set(kinds)
    harms = sum((result.harms for result in results), Counter[Harm]())
    assert harms[Harm.PARKED] > 0
    assert harms[Harm.REFUSED] > 0
    assert max(result.waited for result in results) < 60


@pytest.mark.parametrize("seed", range(3))
def test_what_cannot_be_parked_is_not_acknowledged(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 1: with the queue of parked records down for as long as events come."""
    config = Config.of(seed, 500, 0.3, off=only("refused_row", "refused_entry"), poisons=0)

    def no_queue(world: World) -> None:
        world.faults.break_service("sqs", world.engine.now + 300)

    result = run(blueprint, config, no_queue)

    assert holds(result)
    assert result.harms[Harm.PARKED] > 0


def test_what_nobody_foresaw_is_set_aside_and_redriven_by_itself(blueprint: Blueprint) -> None:
    """FAULTS row 1: after the repair nothing is left, and nobody did anything; neighbours waited half a minute."""
    results = [simulate(Config.of(seed, 500, 0.4, off=only("bug"), poisons=0), blueprint) for seed in range(4)]

    assert all(map(holds, results))
    assert sum(result.faults["bug"] for result in results) > 0
    lags = together(result.lags for result in results)
    assert max(percentile(counts, 0.99) for counts in lags.values()) < 60
    assert {harm for result in results for harm, count in result.harms.items() if count} <= {Harm.PARKED}


@pytest.mark.parametrize("seed", range(3))
def test_who_reads_what_was_there_a_moment_ago_is_answered(blueprint: Blueprint, seed: int) -> None:
    result = simulate(Config.of(seed, 400, 0.2, off=only("stale_read", "interleaving")), blueprint)

    assert holds(result)
    assert met(result, "stale_read")


@pytest.mark.parametrize("seed", range(3))
def test_events_expire_while_they_are_on_their_way_and_their_place_is_taken_anew(
    blueprint: Blueprint, seed: int
) -> None:
    """FAULTS row 19."""
    with opened(Config.of(seed, 400, 0.3, off=only("expiry", "batch_bounds", "slow_consumer")), blueprint) as world:
        result = verdict(world, world.run())
        reborn = world.expiry.reborn

    assert holds(result)
    assert met(result, "expiry")
    assert reborn


@pytest.mark.parametrize("seed", range(3))
def test_days_are_compacted_while_they_are_written(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 4: two at once, stopped in the middle, and late objects after them."""
    with opened(Config.of(seed, 600, 0.1, off=only("compaction", "crash", "interleaving")), blueprint) as world:
        for second in (3, 10, 15):
            world.engine.after(second, lambda: world.compacting.compact(world.faults))
            world.engine.after(second + 0.1, lambda: world.compacting.compact(world.faults))
        result = verdict(world, world.run())

    assert holds(result)
    assert world.compacting.runs >= 6
