"""From a failing run to the shortest one."""

import json
from dataclasses import replace

from devstack.simulator.config import Config
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.shrink import entry, from_entry, shrink, story
from devstack.simulator.simulation import Result, Violation

CONFIG = Config.of(7, 1_000, 0.05)
FINDING = Finding(Harm.LOST, "player#abc", "version 3 waits nowhere")


def failing_from(events: int, *, needs: str) -> list[Config]:
    ran: list[Config] = []

    def run(config: Config) -> Result:
        ran.append(config)
        fails = config.events >= events and needs not in config.off
        return Result(config, violations=[Violation("something", FINDING)] if fails else [])

    shortest = shrink(CONFIG, run)

    assert shortest.violations
    assert shortest.config.keep_trace
    return [shortest.config, *ran]


def test_events_are_bisected_and_fault_kinds_that_do_not_matter_left_out() -> None:
    shortest, *ran = failing_from(137, needs="crash")

    assert 137 <= shortest.events <= 140
    assert "crash" not in shortest.off
    assert "reorder" in shortest.off
    assert len(ran) < 40


def test_a_run_comes_back_from_its_entry_as_it_was() -> None:
    config = replace(
        CONFIG, off=frozenset({"crash", "reorder"}), poisons=(10, 20), overrides={"*": {"parallelization_factor": 10}}
    )

    assert from_entry({**json.loads(entry(config)), "why": "a reason"}) == config


def test_a_story_is_what_concerns_the_aggregate_and_what_went_wrong_meanwhile() -> None:
    trace = [
        "1.000 command-1 play ok\n",
        "2.000   Badges.Stream shard-1 gets player#abc@1 player#xyz@1 player#abc@2\n",
        "2.100 fault throttle\n",
        "2.000 Badges.Stream 0001 17 3 0.100 ok\n",
        "3.000 fault crash\n",
        "3.000   Badges.Stream shard-1 gets player#xyz@2\n",
    ]

    told = story(Result(CONFIG, trace=trace), FINDING)

    assert told == [
        "2.000   Badges.Stream shard-1 gets player#abc@1 player#abc@2",
        "2.100 fault throttle",
        "2.000 Badges.Stream 0001 17 3 0.100 ok",
    ]
