"""Outages beyond a mapping's patience, and beyond its stream's memory: given up, pointed to, parked, redriven."""

import pytest

from devstack.simulator.config import Config
from devstack.simulator.faults import PROMISED
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.simulation import Result, verdict
from devstack.simulator.world import opened

#: Without the refusals, of which some may wait for good.
CALM = PROMISED - {"throttle", "timeout", "lost_answer", "crash", "batch_bounds", "duplicate_delivery"}
CONSUMERS = [
    "FanOutFunction.EventsTableStream",
    "PlayerProfilesFunction.EventsStream",
    "BadgesFunction.EventsStream",
    "BiExportFunction.EventsStream",
    "ApplicationStatusPipe",
]


def run(blueprint: Blueprint, title: str, faults: float = 0.0, *, forgotten: bool = False) -> tuple[Result, int, int]:
    """A run in which a mapping's function is down from its fifth second on; what was given up, and was redriven."""
    with opened(Config.of(1, 400, faults, off=CALM, poisons=0), blueprint) as world:
        world.engine.after(5, lambda: world.outages.begin(title, forgotten=forgotten))
        result = verdict(world, world.run())
        return result, len(world.given_up), world.operator.redriven.total()


@pytest.mark.parametrize("title", CONSUMERS)
def test_what_is_given_up_by_its_age_is_pointed_to_parked_and_redriven(blueprint: Blueprint, title: str) -> None:
    """FAULTS row 15: and afterwards everything is where it belongs."""
    result, given_up, redriven = run(blueprint, title)

    assert [str(violation) for violation in result.violations] == []
    assert given_up
    assert redriven
    assert result.harms[Harm.HELD] == 0


@pytest.mark.parametrize("title", CONSUMERS)
def test_what_the_stream_has_forgotten_comes_from_the_archive(blueprint: Blueprint, title: str) -> None:
    """FAULTS row 22."""
    result, given_up, redriven = run(blueprint, title, forgotten=True)

    assert [str(violation) for violation in result.violations] == []
    assert given_up
    assert redriven
    assert result.virtual > 24 * 3600


def test_an_outage_of_hours_under_other_faults(blueprint: Blueprint) -> None:
    result, given_up, redriven = run(blueprint, "LeaderboardFunction.EventsStream", 0.1)

    assert [str(violation) for violation in result.violations] == []
    assert given_up
    assert redriven


def test_letters_that_a_redrive_leaves_are_told(blueprint: Blueprint) -> None:
    """The invariant can fail."""
    with opened(Config.of(1, 300, 0.0), blueprint) as world:
        world.engine.after(5, lambda: world.outages.begin("BadgesFunction.EventsStream"))
        world._redrive_the_rest = lambda: None  # type: ignore[method-assign]
        result = verdict(world, world.run())

    found = {(violation.invariant, violation.finding.harm) for violation in result.violations}
    assert ("nothing_waits_after_the_repair", Harm.WRONG) in found
