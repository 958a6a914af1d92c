"""A hundred short histories under faults, and every one that ever failed."""

import json
from pathlib import Path
from typing import Any

import pytest

from devstack.simulator.config import Config
from devstack.simulator.faults import REFUSAL_KINDS
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.lag import percentile
from devstack.simulator.runner import run_set
from devstack.simulator.shrink import from_entry
from devstack.simulator.simulation import simulate

REGRESSIONS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "regressions.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_seeds_lose_nothing_double_nothing_and_keep_order() -> None:
    """Under every fault kind that the simulator promises, amid foreign records of every kind.

    The same seed takes the same course twice.
    """
    verdict = run_set([Config.of(seed, 1_000, 0.05, odd=0.02) for seed in range(1, 101)])

    assert [(result.config.seed, str(result.violations[0])) for result in verdict.failing] == []
    assert verdict.not_injected == []
    assert verdict.diverging == []
    assert {harm: verdict.total(harm) for harm in Harm if harm.breaks} == dict.fromkeys(
        (harm for harm in Harm if harm.breaks), 0
    )
    assert all(result.drained is not None for result in verdict.results)
    assert verdict.late == {}
    # What only now and then has a sample to be made from may be missing.
    assert sum(map(bool, verdict.odd.values())) > 0.95 * len(verdict.odd)
    assert sum(result.poisons for result in verdict.results) == 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_waits_for_odd_records() -> None:
    """Without any fault: each healthy event takes as long as if it were alone."""
    verdict = run_set([Config.of(seed, 1_000, 0.0, odd=0.05) for seed in range(1, 21)])

    assert [(result.config.seed, str(result.violations[0])) for result in verdict.failing] == []
    assert verdict.late == {}
    assert max(percentile(counts, 1.0) for counts in verdict.lags.values()) < 60


def test_ten_seeds_hold_in_this_very_process(blueprint: Blueprint) -> None:
    """What is changed in this process, as `make mutate` does, is not changed in the workers of the test above."""
    results = [simulate(Config.of(seed, 1_000, 0.05), blueprint) for seed in range(1, 11)]

    assert [str(violation) for result in results for violation in result.violations] == []


@pytest.mark.parametrize("entry", REGRESSIONS, ids=lambda entry: f"seed {entry['seed']}")
def test_what_failed_once_holds_now(entry: dict[str, Any], blueprint: Blueprint) -> None:
    result = simulate(from_entry(entry), blueprint)

    assert [str(violation) for violation in result.violations] == [], entry["why"]


@pytest.mark.parametrize(("policy", "harm"), [("repeat", Harm.REPEATED), ("hold", Harm.HELD)])
def test_an_e_mail_that_nobody_knows_of_is_sent_again_or_held_as_its_policy_says(policy: str, harm: Harm) -> None:
    """FAULTS row 3 for e-mails: the one point at which one may come twice, and only if that is wanted."""
    blueprint = Blueprint.load(parameters={"OnUnconfirmedEmail": policy})
    # Refused e-mails and forgotten pointers are reported too, whatever the policy.
    off = frozenset((*REFUSAL_KINDS, "retention_passed"))

    results = [simulate(Config.of(seed, 1_000, 0.05, off=off), blueprint) for seed in (1, 2, 3)]

    assert [str(violation) for result in results for violation in result.violations] == []
    met = {found for result in results for found, count in result.harms.items() if count}
    # Applications that cannot be told wait parked whatever the e-mails' policy.
    assert met - {Harm.PARKED} == {harm}
