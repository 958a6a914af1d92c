"""A seed names one history: all that a failure needs to come again."""

from dataclasses import replace

from devstack.simulator.config import Config
from devstack.simulator.graph import Blueprint
from devstack.simulator.runner import run_set
from devstack.simulator.simulation import simulate


def test_the_same_seed_takes_the_same_course(blueprint: Blueprint) -> None:
    config = Config.of(5, 300, 0.1)

    first, second = simulate(config, blueprint), simulate(config, blueprint)

    assert first.trace_hash == second.trace_hash
    assert (first.faults, first.harms, first.virtual, first.steps) == (
        second.faults,
        second.harms,
        second.virtual,
        second.steps,
    )


def test_another_seed_takes_another_course(blueprint: Blueprint) -> None:
    hashes = {simulate(Config.of(seed, 50, 0.1), blueprint).trace_hash for seed in range(1, 5)}

    assert len(hashes) == 4


def test_a_trace_that_is_kept_changes_nothing(blueprint: Blueprint) -> None:
    bare = simulate(Config.of(3, 200, 0.1), blueprint)

    kept = simulate(Config.of(3, 200, 0.1, keep_trace=True), blueprint)

    assert kept.trace_hash == bare.trace_hash
    assert len(kept.trace) > 200
    assert bare.trace == []


def test_processes_with_hash_seeds_of_their_own_agree() -> None:
    """Each worker is a fresh interpreter, whose sets and dictionaries hash text in another way."""
    verdict = run_set([Config.of(seed, 100, 0.1) for seed in (1, 2)], jobs=2)

    assert verdict.diverging == []


def test_a_shorter_run_is_the_beginning_of_a_longer_one(blueprint: Blueprint) -> None:
    """So that bisecting the number of events finds the failure again."""
    config = Config.of(4, 200, 0.1, keep_trace=True)

    longer, shorter = simulate(config, blueprint), simulate(replace(config, events=100), blueprint)

    same = next(i for i, (a, b) in enumerate(zip(shorter.trace, longer.trace, strict=False)) if a != b)
    acknowledged = sum(line.rstrip().endswith("ok") and " command-" in line for line in shorter.trace[:same])
    assert acknowledged >= 90
