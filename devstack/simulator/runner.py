"""Many seeds, over the machine's processors."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, cast

from devstack.errors import DevstackError
from devstack.simulator.config import Config
from devstack.simulator.faults import FaultKind
from devstack.simulator.features import FEATURES, Feature
from devstack.simulator.findings import Harm
from devstack.simulator.graph import Blueprint
from devstack.simulator.lag import MOST_SECONDS, Lags, percentile, together
from devstack.simulator.simulation import Result, Within, simulate

#: A fresh process now and then gives back what the interpreter keeps: memory stays flat however many seeds there are.
_RUNS_PER_PROCESS: Final = 25
#: Determinism is checked on runs of at most this size.
_REPEATED_EVENTS: Final = 1_000

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
        return not (self.failing or self.not_injected or self.diverging or self.late)

    def total(self, harm: Harm) -> int:
        return sum(result.harms[harm] for result in self.results)

    @property
    def late(self) -> dict[str, float]:
        """Consumers for which of a hundred healthy events more than one took longer than it may.

        With the seconds in which ninety-nine were done.
        """
        seconds = {consumer: percentile(counts, 0.99) for consumer, counts in self.lags.items()}
        return {consumer: lag for consumer, lag in seconds.items() if lag >= MOST_SECONDS}

    @property
    def lags(self) -> Lags:
        """Of all runs' healthy events, by consumer."""
        return together(result.lags for result in self.results)

    @property
    def odd(self) -> Counter[str]:
        """How often each kind of odd record was met, of all that there are."""
        met: Counter[str] = Counter()
        for result in self.results:
            met.update(dict.fromkeys(result.odd_kinds, 0))
            met.update(result.odd)
        return met

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
    first = configs[0]
    repeated = Config.of(
        first.seed, min(first.events, _REPEATED_EVENTS), first.faults, poison=first.poison, odd=first.odd
    )
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


class RunError(DevstackError):
    """A run stopped in the middle: the simulator itself failed, or its process was ended."""


@dataclass(slots=True)
class _Worker:
    """A process that runs one configuration after the other, and the parent's end of the pipe to it."""

    process: BaseProcess
    pipe: Connection
    config: Config
    runs: int = 1


def _run(configs: Sequence[Config], jobs: int, within: str | None, report: Report) -> Iterator[tuple[Config, Result]]:
    """Results as they come. Processes are spawned: none inherits the state, nor the hash seed, of another."""
    left = deque(configs)
    workers: dict[Connection, _Worker] = {}
    try:
        while left or workers:
            while left and len(workers) < jobs:
                worker = _spawned(left.popleft(), within)
                workers[worker.pipe] = worker
            for pipe in cast("list[Connection]", wait(list(workers))):
                worker = workers[pipe]
                try:
                    message = pipe.recv()
                except EOFError:
                    raise RunError(f"the process of seed {worker.config.seed} ended in the middle of its run") from None
                match message:
                    case int():
                        report(message)
                        continue
                    case Result():
                        yield worker.config, message
                    case _:
                        raise RunError(f"the run of seed {worker.config.seed} stopped:\n{message}")
                if left and worker.runs < _RUNS_PER_PROCESS:
                    worker.config, worker.runs = left.popleft(), worker.runs + 1
                    pipe.send(worker.config)
                else:
                    pipe.close()
                    worker.process.join()
                    del workers[pipe]
    finally:
        for worker in workers.values():
            worker.process.terminate()
            worker.process.join()


def _spawned(config: Config, within: str | None) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, within), name=f"seed {config.seed}", daemon=True)
    process.start()
    theirs.close()
    ours.send(config)
    return _Worker(process, ours, config)


def _work(pipe: Connection, within: str | None) -> None:
    """A worker: a configuration in; numbers of events, then the result or a traceback out; until the pipe closes."""
    context, blueprint = resolve(within) or nullcontext, Blueprint.load()
    while True:
        try:
            config = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(simulate(config, blueprint, progress=pipe.send, within=context))
        except Exception:  # noqa: BLE001  # told to the parent, which stops everything
            pipe.send(traceback.format_exc())
