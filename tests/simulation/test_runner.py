"""Many seeds over several processes: what happens to a process is told, and nothing waits for ever."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn
from unittest.mock import patch

import pytest

from devstack.errors import DevstackError
from devstack.simulator.config import Config
from devstack.simulator.findings import Harm
from devstack.simulator.runner import RunError, Verdict, run_set
from devstack.simulator.simulation import Result
from headwater.change_stream.batch import BatchOutcome

CONFIGS = [Config.of(seed, 60, 0.05) for seed in (1, 2, 3)]


def dying() -> NoReturn:
    os._exit(1)


def failing() -> NoReturn:
    raise LookupError("no such thing")


@contextmanager
def without_batch_answers() -> Iterator[None]:
    with patch.object(BatchOutcome, "stream_response", lambda _: {"batchItemFailures": []}):
        yield


def test_processes_are_replaced_and_every_run_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.simulator.runner._RUNS_PER_PROCESS", 2)
    counted: list[int] = []
    finished: list[int] = []

    verdict = run_set(
        CONFIGS, jobs=2, report=counted.append, finished=lambda result: finished.append(result.config.seed)
    )

    assert [result.config.seed for result in verdict.results] == sorted(finished) == [1, 2, 3]
    assert sum(counted) == 5 * 60
    assert verdict.failing == []


def test_a_process_that_dies_ends_the_set_by_name() -> None:
    with pytest.raises(RunError, match="seed 1 ended in the middle"):
        run_set(CONFIGS[:1], jobs=1, within=f"{__name__}:dying")


def test_an_error_in_a_run_comes_back_with_its_traceback() -> None:
    with pytest.raises(RunError, match=r"(?s)seed 1 stopped:.*LookupError: no such thing"):
        run_set(CONFIGS[:1], jobs=1, within=f"{__name__}:failing")


def test_a_guard_taken_away_in_the_processes_is_noticed() -> None:
    verdict = run_set([Config.of(1, 500, 0.1)], jobs=1, within=f"{__name__}:without_batch_answers")

    assert not verdict.holds
    assert verdict.total(Harm.LOST) > 0


@pytest.mark.parametrize("name", ["nowhere:x", "tests.simulation.test_runner:nothing", "nocolon", ""])
def test_a_context_that_does_not_exist_is_refused_by_name(name: str) -> None:
    with pytest.raises(DevstackError, match="names no context manager"):
        run_set(CONFIGS, within=name)


def test_a_consumer_for_which_healthy_events_wait_fails_the_set() -> None:
    fast, slow = Counter({10: 980, 700: 9}), Counter({10: 980, 700: 20})
    verdict = Verdict([Result(CONFIGS[0], lags={"fan_out": fast, "badges": slow})])

    assert verdict.late == {"badges": 70.0}
    assert not verdict.holds
