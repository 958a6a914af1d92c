"""Records that AWS accepts and nobody here wrote: which there are, and that what becomes of each is judged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from devstack.simulator.config import Config
from devstack.simulator.evidence import Evidence
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.odd import payload_schema
from devstack.simulator.simulation import simulate, verdict
from devstack.simulator.world import World, opened
from tests.fakes.events import EVENT_TYPES
from tests.simulation.test_invariants_can_fail import found

SHARE = 0.1


@contextmanager
def world_at_rest(blueprint: Blueprint, *kinds: str) -> Iterator[World]:
    """A world into which only these kinds of odd records came, and that has run to its end."""
    with opened(Config.of(1, 150, 0.0, odd=SHARE, odd_only=kinds), blueprint) as world:
        assert world.run() is not None
        assert set(world.odd.met) == set(kinds)
        yield world


def test_each_field_of_each_event_and_each_attribute_of_its_item_has_kinds(blueprint: Blueprint) -> None:
    """They come from the classes' schemas and from the sample events, so that a new field needs nothing here."""
    with opened(Config.of(1, 10, 0.0, odd=SHARE), blueprint) as world:
        kinds = world.odd.kinds

    def what_is_tried_with(field: str) -> set[str]:
        return {kind.removeprefix(f"event: {field}: ") for kind in kinds if kind.startswith(f"event: {field}: ")}

    for type_ in EVENT_TYPES:
        for field in payload_schema(type_):
            assert {"dropped", "a boolean instead"} <= what_is_tried_with(f"{type_}.{field}")
    assert {"7.0", "NaN", "2^63", "past its maximum"} <= what_is_tried_with("PlayCompleted.score")
    assert {"no moment", "a moment without a zone"} <= what_is_tried_with("PlayCompleted.played_at")
    assert {"half a surrogate pair", "U+FFFF in it", "empty"} <= what_is_tried_with("UserRegistered.name")
    assert {"0", "-1", "2^63", "10^37", "38 digits", "1.5"} <= what_is_tried_with("version")
    assert {"dropped", "of type N", "empty"} <= what_is_tried_with("event_id") & what_is_tried_with("type")
    assert {"cut short", "NaN", "deep"} <= what_is_tried_with("data") & what_is_tried_with("metadata")


def test_every_stream_every_queue_and_the_bucket_has_kinds(blueprint: Blueprint) -> None:
    with opened(Config.of(1, 10, 0.0, odd=SHARE), blueprint) as world:
        first_of_each = {kind.partition(":")[0]: kind for kind in world.odd.kinds}

    with opened(Config.of(2, 500, 0.0, odd=0.4, odd_only=tuple(first_of_each.values())), blueprint) as world:
        world.run()
        odd, queues = world.odd.done, {driver.name for driver in world.queues}

    assert odd.events
    assert odd.records
    assert odd.rows
    assert odd.changes
    assert odd.foreign | odd.damaged.keys()
    assert odd.messages.keys() == queues


def test_seeds_that_follow_each_other_meet_other_kinds(blueprint: Blueprint) -> None:
    first, second = (simulate(Config.of(seed, 200, 0.0, odd=SHARE), blueprint).odd for seed in (1, 2))

    assert first.total() >= 10
    assert len(first.keys() & second.keys()) < len(first) / 2


def test_odd_records_are_the_same_for_the_same_seed(blueprint: Blueprint) -> None:
    config = Config.of(3, 200, 0.1, odd=SHARE)

    first, second = simulate(config, blueprint), simulate(config, blueprint)

    assert (first.trace_hash, first.odd) == (second.trace_hash, second.odd)


def test_what_aws_refuses_is_told_and_comes_in_nowhere(blueprint: Blueprint) -> None:
    refused = "event: version: of type S", "EventsStream: a partition key of 257 characters"

    with world_at_rest(blueprint, *refused) as world:
        assert world.odd.refused == set(refused)
        assert not world.odd.done.events
        assert not world.odd.done.records


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("faults", [0.0, 0.05])
def test_each_odd_record_is_accounted_for_and_nobody_else_is_harmed(
    blueprint: Blueprint, seed: int, faults: float
) -> None:
    result = simulate(Config.of(seed, 400, faults, odd=SHARE), blueprint)

    assert [str(violation) for violation in result.violations] == []
    assert result.drained is not None
    assert result.odd.total() >= 20


def test_an_award_whose_id_is_too_long_for_kinesis_is_parked_and_no_neighbours_fault(blueprint: Blueprint) -> None:
    with world_at_rest(blueprint, "event: aggregate_id: 256 characters") as world:
        result = verdict(world, 0.0)
        awards = [place[0] for place in Evidence(world).images if place[0].startswith("badge#") and len(place[0]) > 256]

    assert awards
    assert [str(violation) for violation in result.violations] == []


def test_a_message_nested_too_deep_to_be_written_again_is_judged_like_the_others(blueprint: Blueprint) -> None:
    kinds = "message of an event: data: deep", "event: UserRegistered.email: against its pattern"
    with world_at_rest(blueprint, *kinds) as world:
        assert [str(violation) for violation in verdict(world, 0.0).violations] == []


# The invariants can fail


def forget_letters(world: World) -> None:
    world.cloud.queue("ParkedRecordsQueue").messages.clear()


def forget_dead_letters(world: World) -> None:
    for queue in world.cloud.sqs.queues.values():
        if queue.name.endswith("DeadLetterQueue"):
            queue.messages.clear()


def forget_unresolved_pointers(world: World) -> None:
    world.cloud.queue("UnresolvedPointersQueue").messages.clear()
    world.functions.log.reported.clear()


def forget_the_archive(world: World) -> None:
    world.cloud.bucket("ArchiveBucket").objects.clear()


def forget_incidents(world: World) -> None:
    world.functions.log.reasons.clear()


@pytest.mark.parametrize(
    ("kind", "forget", "invariant"),
    [
        ("event: PlayCompleted.game: dropped", forget_letters, "odd_events_are_accounted_for"),
        ("event: data: no JSON", forget_letters, "odd_events_are_accounted_for"),
        ("event removed by hand: the last", forget_the_archive, "changes_by_hand_are_told"),
        ("event removed by hand: the last", forget_incidents, "changes_by_hand_are_told"),
        ("EventsStream: no JSON", forget_letters, "foreign_records_are_accounted_for"),
        ("message of an event: no JSON", forget_dead_letters, "foreign_messages_are_accounted_for"),
        ("FailedBatchesQueue: no JSON", forget_unresolved_pointers, "foreign_messages_are_accounted_for"),
        ("ApplicationsTable: status: of type N", forget_letters, "odd_rows_are_accounted_for"),
    ],
)
def test_an_odd_record_of_which_nothing_is_left(
    blueprint: Blueprint, kind: str, forget: Callable[[World], None], invariant: str
) -> None:
    with world_at_rest(blueprint, kind) as world:
        assert invariant not in {name for name, _ in found(verdict(world, 0.0))}
        forget(world)

        assert (invariant, Harm.LOST) in found(verdict(world, 0.0))
