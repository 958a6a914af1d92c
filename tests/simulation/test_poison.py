"""Poison that is parked, repaired and redriven: afterwards everything is as if it had never failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from devstack.simulator.config import Config
from devstack.simulator.faults import REFUSAL_KINDS
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.operator import PARKED
from devstack.simulator.simulation import simulate, verdict
from devstack.simulator.world import World, opened
from headwater.change_stream import cloud_events
from headwater.change_stream.batch import BatchOutcome
from headwater.dead_letters.triage import Triage
from headwater.domain.events import RecordedEvent
from headwater.event_store import codec
from headwater.fan_out.fan_out import FanOut
from tests.simulation.test_invariants_can_fail import found

SHARE = 0.02
#: The next read of a stream comes within a second; an invocation takes less.
POLL_SECONDS = 2.0


@contextmanager
def before_the_repair(blueprint: Blueprint, seed: int = 2) -> Iterator[World]:
    """An even seed in which all has failed that can fail, and nobody has repaired anything."""
    with opened(Config.of(seed, 500, 0.0, poison=SHARE), blueprint) as world:
        world._redrive_the_rest = lambda: None  # type: ignore[method-assign]
        assert world.run() is not None
        yield world


@pytest.mark.parametrize("seed", range(1, 9))
def test_after_the_repair_and_a_redrive_all_is_applied_once_and_in_order(blueprint: Blueprint, seed: int) -> None:
    """FAULTS rows 1, 2 and 20, under all faults; odd seeds redrive while events still arrive."""
    # What a destination refuses for good is no poison that a repair cures.
    result = simulate(Config.of(seed, 1_000, 0.05, poison=SHARE, off=frozenset(REFUSAL_KINDS)), blueprint)

    assert [str(violation) for violation in result.violations] == []
    assert result.drained is not None
    assert result.poisons >= 5
    # Where the repair comes early, what has not arrived by then need not wait at all.
    assert result.redriven >= (5 if seed % 2 else result.poisons)
    # What a stream has forgotten waits as a pointer until a person knows that nothing foreign was among it.
    forgotten = {Harm.HELD} if result.faults["retention_passed"] else set()
    assert {harm for harm, count in result.harms.items() if count} <= {Harm.REPEATED} | forgotten


@pytest.mark.parametrize("seed", range(1, 5))
def test_neighbours_wait_no_longer_than_without_poison(blueprint: Blueprint, seed: int) -> None:
    """FAULTS row 1: of the same shards, other aggregates."""
    poisoned, plain = (simulate(Config.of(seed, 1_000, 0.0, poison=share), blueprint) for share in (SHARE, 0.0))

    assert poisoned.redriven > 0
    assert poisoned.waited < plain.waited + POLL_SECONDS


def test_a_redrive_before_the_repair_takes_nothing_off(blueprint: Blueprint) -> None:
    with before_the_repair(blueprint) as world:
        waiting = sorted(message.id for message in world.cloud.queue(PARKED).messages.values())
        assert waiting

        world.operator.redrive()

        assert sorted(message.id for message in world.cloud.queue(PARKED).messages.values()) == waiting
        assert world.operator.records == {}


def test_the_same_seed_takes_the_same_course(blueprint: Blueprint) -> None:
    config = Config.of(3, 300, 0.1, poison=SHARE)

    assert simulate(config, blueprint).trace_hash == simulate(config, blueprint).trace_hash


def test_decoders_are_as_they_were_after_a_run(blueprint: Blueprint) -> None:
    before = RecordedEvent.payload, cloud_events.encode, codec.decode

    simulate(Config.of(1, 50, 0.0, poison=SHARE), blueprint)

    assert (RecordedEvent.payload, cloud_events.encode, codec.decode) == before


def test_a_message_that_the_redrive_left(blueprint: Blueprint) -> None:
    """The invariant can fail."""
    with before_the_repair(blueprint) as world:
        world.newer_code.repaired = True

        assert ("nothing_waits_after_the_repair", Harm.WRONG) in found(verdict(world, 0.0))


def test_a_redrive_that_takes_off_what_it_did_not_apply(blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken off and not applied is lost, whatever the queue says."""

    def nothing(_: Any, records: Any) -> BatchOutcome:
        return BatchOutcome(len(records))

    # The fan-out's alone: it reads each event completely, so that no other consumer meets poison.
    monkeypatch.setattr(FanOut, "redrive", nothing)

    result = simulate(Config.of(2, 500, 0.0, poison=SHARE), blueprint)

    assert Harm.LOST in {harm for _, harm in found(result)}


def test_poison_that_is_given_back_instead_of_parked(blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retried with its neighbours, as it was before handlers parked it: they wait, and both measures tell."""
    monkeypatch.setattr(Triage, "_park", lambda *_: 0)

    result = simulate(Config.of(2, 500, 0.0, poison=SHARE), blueprint)

    assert ("poison_holds_up_nobody", Harm.WRONG) in found(result)
    assert result.waited > 60


def test_a_parked_neighbour(blueprint: Blueprint) -> None:
    with before_the_repair(blueprint) as world:
        innocent = next(iter(world.poisoned))
        world.poisoned.remove(innocent)

        assert ("parked_is_poisoned", Harm.WRONG) in found(verdict(world, 0.0))
