"""One run from its seed to its verdict."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from devstack.simulator.config import Config
from devstack.simulator.evidence import Evidence
from devstack.simulator.faults import FaultKind
from devstack.simulator.features import FEATURES, Feature, judged
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.lag import Lags
from devstack.simulator.world import World, opened

#: A context that a run is put into: what removes a guard, for instance.
type Within = Callable[[], AbstractContextManager[object]]
type Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Violation:
    """A finding that breaks the run, and the invariant that it breaks."""

    invariant: str
    finding: Finding

    def __str__(self) -> str:
        return f"{self.invariant}: {self.finding}"


@dataclass(slots=True)
class Result:
    """What a run came to. Times in seconds; ``backlog`` holds (virtual time, records) samples.

    ``redriven`` counts the messages of dead letters that were redriven. ``odd`` counts the kinds of odd records that
    were met, of all that there are in ``odd_kinds``; ``odd_refused`` are those that AWS did not take. ``waited`` is the
    longest that a record of an aggregate without poison was on its stream before a mapping's checkpoint passed it;
    ``lags`` are from an event's append to each consumer (see `devstack.simulator.lag`).
    """

    config: Config
    events: int = 0
    faults: Counter[FaultKind] = field(default_factory=Counter)
    harms: Counter[Harm] = field(default_factory=Counter)
    poisons: int = 0
    redriven: int = 0
    odd: Counter[str] = field(default_factory=Counter)
    odd_kinds: frozenset[str] = frozenset()
    odd_refused: frozenset[str] = frozenset()
    waited: float = 0.0
    emails: int = 0
    drained: float | None = None
    virtual: float = 0.0
    wall: float = 0.0
    steps: int = 0
    invocations: int = 0
    trace_hash: str = ""
    violations: list[Violation] = field(default_factory=list)
    backlog: list[tuple[float, int]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    lags: Lags = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)


def simulate(
    config: Config,
    blueprint: Blueprint | None = None,
    *,
    features: Sequence[Feature] = FEATURES,
    within: Within = nullcontext,
    progress: Progress = lambda _: None,
) -> Result:
    """Runs one seed and judges it."""
    began = time.perf_counter()
    blueprint = blueprint or Blueprint.load()
    judged(blueprint.hosted, features)
    # Dictionaries by the million and hardly a cycle: the collector would only look at them again and again.
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        with within(), opened(config, blueprint) as world:
            drained = world.run(progress)
            result = verdict(world, drained, features)
    finally:
        gc.set_threshold(*thresholds)
    result.wall = time.perf_counter() - began
    return result


def verdict(world: World, drained: float | None, features: Sequence[Feature] = FEATURES) -> Result:
    """Judges a world that has run."""
    result = Result(
        world.config,
        faults=world.faults.counts,
        drained=drained,
        poisons=world.poisons,
        redriven=world.operator.redriven.total(),
        odd=world.odd.met,
        odd_kinds=frozenset(world.odd.kinds),
        odd_refused=frozenset(world.odd.refused),
        waited=world.waited,
        emails=len(world.cloud.outbox),
        virtual=world.engine.elapsed,
        steps=world.engine.steps,
        invocations=world.functions.invocations,
        trace_hash=world.engine.trace_hash,
        backlog=world.backlog_samples,
        failures=world.functions.log.reasons,
        lags=world.lag.lags,
        trace=world.engine.trace,
    )
    world.faults.stop()
    for driver in world.streams:
        world.was_read(driver)
    if drained is None:
        finding = Finding(
            Harm.WRONG, "", f"{world.backlog} records are left {world.engine.now - world.last_event_at:.0f} s on"
        )
        result.violations.append(Violation("backlog_reaches_zero", finding))
    evidence = Evidence(world)
    result.events = sum(map(len, evidence.log.values()))
    findings: list[tuple[str, Finding]] = []
    for feature in features:
        for invariant in feature.invariants:
            findings += [(invariant.__name__, finding) for finding in invariant(evidence)]
    for name, finding in findings:
        result.harms[finding.harm] += 1
        if finding.harm.breaks:
            result.violations.append(Violation(name, finding))
    return result
