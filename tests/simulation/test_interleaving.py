"""Two actions whose calls alternate, and what belongs to each of them."""

import pytest

from devstack.simulator.config import Config
from devstack.simulator.engine import Engine
from devstack.simulator.fibers import Fiber, Own
from devstack.simulator.graph import Blueprint
from devstack.simulator.simulation import simulate
from tests.simulation.test_faults import holds, met, only


class Workplace:
    """Where two write down what they do; ``mine`` is whatever the running one keeps there."""

    def __init__(self) -> None:
        self.mine = "the starter's"
        self.done: list[str] = []


def test_calls_alternate_and_each_keeps_its_own() -> None:
    place = Workplace()
    turns: list[Fiber] = []

    def other() -> None:
        for number in (1, 2):
            place.done.append(f"B{number} {place.mine}")
            place.mine = f"B's {number}"
            turns[0].turn()

    turns.append(Fiber(other, [Own(place, "mine", "fresh")]))
    for number in (1, 2, 3):
        place.done.append(f"A{number} {place.mine}")
        turns[0].turn()
    turns[0].join()

    assert place.done == ["A1 the starter's", "B1 fresh", "A2 the starter's", "B2 B's 1", "A3 the starter's"]


def test_what_the_other_one_raises_is_raised_where_it_is_waited_for() -> None:
    def other() -> None:
        raise LookupError("gone")

    fiber = Fiber(other, [])

    with pytest.raises(LookupError, match="gone"):
        fiber.join()


def test_an_action_that_is_not_due_is_not_begun() -> None:
    engine = Engine(1)
    engine.after(1, lambda: None)

    assert not engine.interleave()
    engine.spend(2)
    assert engine.interleave()


def test_an_action_is_at_its_end_before_the_next_one_begins() -> None:
    engine = Engine(1)
    done: list[str] = []

    def first() -> None:
        engine.spend(5)
        assert engine.interleave()
        done.append("first")

    engine.after(0, first)
    engine.after(1, lambda: done.append(f"second at {engine.elapsed}"))
    engine.after(7, lambda: done.append("third"))
    while engine.step():
        pass

    assert done == ["first", "second at 1.0", "third"]


@pytest.mark.parametrize("seed", range(4))
def test_writers_whose_calls_alternate_converge(blueprint: Blueprint, seed: int) -> None:
    """FAULTS rows 28 and 33: A1 B1 A2 B2, in all of their calls."""
    config = Config.of(seed, 400, 0.4, shards=8, off=only("interleaving", "duplicate_delivery"))

    result = simulate(config, blueprint)

    assert holds(result)
    assert met(result, "interleaving")


@pytest.mark.parametrize("seed", range(3))
def test_clocks_that_differ_change_nothing(blueprint: Blueprint, seed: int) -> None:
    result = simulate(Config.of(seed, 400, 0.3, off=only("clock_skew", "crash", "lost_answer")), blueprint)

    assert holds(result)
    assert met(result, "clock_skew")
