"""What goes wrong, how often, and the count of it."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from devstack.simulator.engine import Engine
from devstack.simulator.faults import CALL_KINDS, PROMISED, FaultPlan, SimulatedCrash

LOST: tuple[type[BaseException], ...] = (ClientError, ReadTimeoutError, SimulatedCrash)


def plan(rate: float, *, only: set[str] | None = None, seed: int = 1) -> FaultPlan:
    faults = FaultPlan(Engine(seed), rate, PROMISED - only if only is not None else frozenset())
    faults.in_function = True
    faults.start()
    return faults


def call(faults: FaultPlan, params: dict[str, Any] | None = None) -> tuple[bool, BaseException | None]:
    """Whether the call took effect, and what its caller saw."""
    params = {} if params is None else params
    try:
        faults.before("dynamodb", "PutItem", params)
    except LOST as error:
        return False, error
    try:
        faults.after("dynamodb", "PutItem", params)
    except LOST as error:
        return True, error
    return True, None


def test_one_call_in_twenty_fails_at_five_percent() -> None:
    faults = plan(0.05)

    for _ in range(20_000):
        call(faults)

    assert 800 < sum(faults.counts[kind] for kind in CALL_KINDS) < 1300


def test_nothing_fails_before_the_start_nor_after_the_stop() -> None:
    faults = FaultPlan(Engine(1), 1.0)
    assert call(faults) == (True, None)
    faults.start()
    faults.stop()

    assert call(faults) == (True, None)
    assert not faults.happens("reorder")
    assert faults.refuse("kinesis", "PutRecords", 5) == frozenset()
    assert not faults.counts


@pytest.mark.parametrize(
    ("kind", "effects", "error"),
    [
        ("throttle", {False}, ClientError),
        ("timeout", {False}, ReadTimeoutError),
        ("lost_answer", {True}, ReadTimeoutError),
        ("crash", {True, False}, SimulatedCrash),
    ],
)
def test_each_kind_is_what_it_says(kind: str, effects: set[bool], error: type[BaseException]) -> None:
    faults = plan(1.0, only={kind})

    seen = [(effect, failure) for effect, failure in (call(faults) for _ in range(300)) if failure is not None]

    assert {effect for effect, _ in seen} == effects
    assert {type(failure) for _, failure in seen if isinstance(failure, error)}
    assert set(faults.counts) == {kind}


def test_some_calls_fail_until_the_sdk_gives_up_and_some_once() -> None:
    faults, outcomes = plan(0.5, only={"throttle"}), set()

    for _ in range(200):
        params: dict[str, Any] = {}
        if call(faults, params)[1] is not None:
            outcomes.add(all(call(faults, params)[1] is not None for _ in range(8)))

    assert outcomes == {True, False}


def test_nothing_crashes_outside_a_function() -> None:
    faults = plan(1.0, only={"crash"})
    faults.in_function = False

    assert all(call(faults) == (True, None) for _ in range(50))


def test_part_of_a_batch_is_refused_and_never_nothing_of_it() -> None:
    faults = plan(1.0, only={"partial_failure"})

    refused = [faults.refuse("kinesis", "PutRecords", 5) for _ in range(100)]

    assert {len(entries) for entries in refused} == {1, 2, 3, 4, 5}
    assert frozenset().union(*refused) == set(range(5))


def test_a_broken_service_fails_every_call_until_its_time_and_no_other_does() -> None:
    faults = plan(0.0)
    faults.break_service("sns", faults.engine.now + 60)

    with pytest.raises(ClientError):
        faults.before("sns", "PublishBatch", {})
    assert call(faults) == (True, None)
    faults.engine.spend(60)
    faults.before("sns", "PublishBatch", {})


def test_a_watcher_sees_only_what_took_effect() -> None:
    faults = plan(1.0, only={"throttle", "lost_answer"})
    seen: list[Mapping[str, Any]] = []
    faults.watch("dynamodb", "PutItem", seen.append)

    effects = [call(faults, {"number": number})[0] for number in range(50)]

    assert [entry["number"] for entry in seen] == [number for number, effect in enumerate(effects) if effect]


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no fault 'meteor'"):
        FaultPlan(Engine(1), 0.1, frozenset({"meteor"}))


def test_what_is_to_befall_a_call_outlives_the_calls_of_the_function_that_it_invokes() -> None:
    """Or no answer of an invocation would ever be lost."""
    faults = plan(1.0, only={"lost_answer"})
    while faults._pending is None:
        faults.before("lambda", "Invoke", {})

    with faults.nested(), faults.suspended():
        assert call(faults) == (True, None)

    with pytest.raises(ReadTimeoutError):
        faults.after("lambda", "Invoke", {})
