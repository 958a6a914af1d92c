"""Many seeds, over the machine's processors."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from devstack.errors import DevstackError
from devstack.simulator.faults import FaultKind
from devstack.simulator.features import FEATURES, Feature
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.world import Config, Result, Within, simulate

#: A fresh process now and then gives back what the interpreter keeps: memory stays flat however many seeds there are.
_RUNS_PER_PROCESS: Final = 25
#: Determinism is checked on runs of at most this size.
_REPEATED_EVENTS: Final = 1_000
_POLL_SECONDS: Final = 0.2

type Report = Callable[[int], None]


@dataclass(slots=True)
class Verdict:
    """What all runs of a set came to.

    ``not_injected`` are fault kinds that a feature promises and that no run of the set met: such a set proves nothing
    about them. ``diverging`` are seeds whose second run took another course.
    """

    results: list[Result] = field(default_factory=list)
    not_injected: list[FaultKind] = field(default_factory=list)
    diverging: list[int] = field(default_factory=list)

    @property
    def failing(self) -> list[Result]:
        return [result for result in self.results if result.violations]

    @property
    def holds(self) -> bool:
        return not (self.failing or self.not_injected or self.diverging)

    def total(self, harm: Harm) -> int:
        return sum(result.harms[harm] for result in self.results)

    @property
    def faults(self) -> Counter[FaultKind]:
        return sum((result.faults for result in self.results), Counter())


def resolve(within: str | None) -> Within | None:
    """The context manager that ``package.module:name`` names; a mutation, for instance.

    Raises
    ------
    DevstackError
        There is none.
    """
    if within is None:
        return None
    module, _, name = within.partition(":")
    try:
        found: Within = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DevstackError(f"{within!r} names no context manager (package.module:name): {error}") from error
    return found


def run_set(
    configs: Sequence[Config],
    *,
    jobs: int | None = None,
    within: str | None = None,
    features: Sequence[Feature] = FEATURES,
    report: Report = lambda _: None,
    finished: Callable[[Result], None] = lambda _: None,
) -> Verdict:
    """Runs all configurations, and the first one's beginning twice more, and judges them as a set."""
    resolve(within)
    repeated = Config.of(configs[0].seed, min(configs[0].events, _REPEATED_EVENTS), configs[0].faults)
    verdict = Verdict()
    hashes = []
    for config, result in _run([*configs, repeated, repeated], jobs or os.cpu_count() or 1, within, report):
        if config is repeated:
            hashes.append(result.trace_hash)
            continue
        verdict.results.append(result)
        finished(result)
    verdict.results.sort(key=lambda result: result.config.seed)
    if len(set(hashes)) > 1:
        verdict.diverging.append(repeated.seed)
    if any(config.faults for config in configs):
        promised = frozenset[FaultKind]().union(*(feature.faults for feature in features))
        left_out = configs[0].off
        verdict.not_injected = sorted(kind for kind in promised - left_out if not verdict.faults[kind])
    return verdict


def _run(configs: Sequence[Config], jobs: int, within: str | None, report: Report) -> Iterable[tuple[Config, Result]]:
    """Results as they come. Processes are spawned: none inherits the state, nor the hash seed, of another."""
    context = multiprocessing.get_context("spawn")
    progress: Any = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        min(jobs, len(configs)),
        mp_context=context,
        initializer=_start,
        initargs=(progress, within),
        max_tasks_per_child=_RUNS_PER_PROCESS,
    )
    try:
        waiting: dict[Future[Result], Config] = {pool.submit(_simulate, config): config for config in configs}
        while waiting:
            done, _ = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            while not progress.empty():
                report(progress.get())
            for future in done:
                yield waiting.pop(future), future.result()
        pool.shutdown()
    except BaseException:
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


_progress: Any = None
_within: Within | None = None
_blueprint: Blueprint | None = None


def _start(progress: Any, within: str | None) -> None:
    global _progress, _within, _blueprint  # a worker process's own state
    _progress, _within, _blueprint = progress, resolve(within), Blueprint.load()


def _simulate(config: Config) -> Result:
    try:
        return simulate(config, _blueprint, progress=_progress.put, within=_within or nullcontext)
    except Exception as error:
        error.add_note(f"in the run of seed {config.seed}: {config}")
        raise
