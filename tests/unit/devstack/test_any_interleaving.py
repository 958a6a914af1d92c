"""Whatever comes between, in any order: the mapping machines settle everything once, and in order (FAULTS row 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from devstack.event_source_mapping import (
    Checkpoint,
    DeleteMessages,
    Invoke,
    InvokeResult,
    QueueMachine,
    QueueMappingSettings,
    QueueMessage,
    SendToDestination,
    StreamMappingSettings,
    StreamRecord,
    StreamShardMachine,
    WaitUntil,
)

NOON = 1_700_000_000.0
STEPS_TO_DRAIN = 20_000
OUTCOMES = ("ok", "error", "throttled", "partial", "unknown identifier")


def wanted(body: str) -> bool:
    return body.startswith("wanted")


def result(outcome: str, identifiers: Sequence[str], choices: Sequence[int]) -> InvokeResult:
    """An answer of that kind; a partial one names the records at ``choices`` (modulo their number)."""
    match outcome:
        case "ok":
            return InvokeResult({"batchItemFailures": []})
        case "error":
            return InvokeResult(error="Unhandled", request_id="failed")
        case "throttled":
            return InvokeResult(throttled=True)
        case "partial":
            named = [{"itemIdentifier": identifiers[choice % len(identifiers)]} for choice in choices]
            return InvokeResult({"batchItemFailures": named})
        case _:
            return InvokeResult({"batchItemFailures": [{"itemIdentifier": "nowhere"}]})


class StreamShard(RuleBasedStateMachine):
    """One shard of records, a machine that delivers it, and a model that says how each record ended."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.shard: list[StreamRecord] = []
        self.read = 0
        self.ended: dict[int, str] = {}
        self.open: dict[int, list[int]] = {}
        self.checkpoint = -1
        self.tries: Counter[int] = Counter()

    @initialize(
        batch_size=st.sampled_from([1, 3, 5, 8]),
        lanes=st.sampled_from([1, 1, 3]),
        retries=st.sampled_from([-1, 0, 1, 3]),
        age=st.sampled_from([-1, 60]),
        window=st.sampled_from([0, 5]),
        payload=st.sampled_from([14 + 2 * 101, 6 * 1024 * 1024, 6 * 1024 * 1024]),
        bisect=st.booleans(),
        reports=st.booleans(),
        filters=st.booleans(),
    )
    def map_the_shard(
        self,
        batch_size: int,
        lanes: int,
        retries: int,
        age: int,
        window: int,
        payload: int,
        bisect: bool,
        reports: bool,
        filters: bool,
    ) -> None:
        self.settings = StreamMappingSettings(
            batch_size=batch_size,
            parallelization_factor=lanes,
            maximum_retry_attempts=retries,
            maximum_record_age=age,
            batching_window=window,
            payload_limit=payload,
            bisect_on_function_error=bisect,
            report_batch_item_failures=reports,
            retention=3600,
            accepts=wanted if filters else None,
        )
        self.machine = StreamShardMachine(self.settings)

    # ---- what may happen

    @rule(records=st.lists(st.tuples(st.sampled_from("aab"), st.booleans()), min_size=1, max_size=12))
    def write(self, records: list[tuple[str, bool]]) -> None:
        for key, is_wanted in records:
            number = len(self.shard)
            body = f"{'wanted' if is_wanted else 'noise'} {number}"
            self.shard.append(StreamRecord(f"{number:04d}", key, self.now, 100, body))

    @precondition(lambda self: self.read < len(self.shard) and self.machine.room > 0)
    @rule(count=st.integers(1, 8))
    def receive(self, count: int) -> None:
        page = self.shard[self.read : self.read + min(count, self.machine.room)]
        if self.settings.accepts is not None:
            for number, record in enumerate(page, self.read):
                if not wanted(record.body):
                    self.ended[number] = "filtered"
        self.read += len(page)
        self._did(self.machine.receive(page, self.now))

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, 9),
        outcome=st.sampled_from(OUTCOMES),
        choices=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    )
    def complete(self, which: int, outcome: str, choices: list[int]) -> None:
        batch_id = sorted(self.open)[which % len(self.open)]
        self._answer(batch_id, outcome, choices)

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 31.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._did(self.machine.tick(self.now))

    @precondition(lambda self: self.machine.next_time is not None)
    @rule()
    def wait_for_what_is_due(self) -> None:
        self._wait_until_due()

    # ---- what must hold

    @invariant()
    def the_checkpoint_is_just_before_the_first_record_that_is_not_settled(self) -> None:
        first = next((number for number in range(self.read) if number not in self.ended), self.read)
        assert self.checkpoint == first - 1

    @invariant()
    def the_machine_counts_what_the_model_counts(self) -> None:
        if not hasattr(self, "machine"):
            return
        assert self.machine.settled == self.checkpoint + 1
        assert self.machine.pending == self.read - self.checkpoint - 1
        assert self.machine.in_flight == len(self.open)

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self._drain()

    # ---- carrying out

    def _drain(self) -> None:
        """Retries that are bounded end by themselves; without bounds, the records' age ends them or success does."""
        gives_up = self.settings.maximum_retry_attempts >= 0 or self.settings.maximum_record_age >= 0
        for _ in range(STEPS_TO_DRAIN):
            if self.open:
                self._answer(min(self.open), "error" if gives_up else "ok", [0])
            elif self.read < len(self.shard) and self.machine.room:
                self.receive(8)
            elif self.machine.idle:
                break
            else:
                self._wait_until_due()
        assert self.machine.idle
        assert self.read == len(self.shard)
        assert sorted(self.ended) == list(range(len(self.shard)))
        self.the_checkpoint_is_just_before_the_first_record_that_is_not_settled()

    def _wait_until_due(self) -> None:
        due = self.machine.next_time
        assert due is not None, "what is pending is in flight or due at some time"
        self.now = max(self.now, due)
        self._did(self.machine.tick(self.now))

    def _answer(self, batch_id: int, outcome: str, choices: Sequence[int]) -> None:
        batch = self.open.pop(batch_id)
        answer = result(outcome, [f"{number:04d}" for number in batch], choices)
        if outcome != "throttled":
            self._tried(batch)
        for number in batch[: self._succeeded(outcome, len(batch), choices)]:
            self._end(number, "delivered")
        self._did(self.machine.complete(batch_id, answer, self.now))

    def _tried(self, batch: Sequence[int]) -> None:
        self.tries.update(batch)
        if self.settings.maximum_retry_attempts >= 0:
            # A split spends no retry, and there are fewer of them than records in a batch.
            bound = 1 + self.settings.maximum_retry_attempts + self.settings.batch_size
            assert all(self.tries[number] <= bound for number in batch)

    def _succeeded(self, outcome: str, size: int, choices: Sequence[int]) -> int:
        """Records from the batch's front that AWS checkpoints past."""
        if outcome in {"error", "throttled"}:
            return 0
        if outcome == "ok" or not self.settings.report_batch_item_failures:
            return size
        return min(choice % size for choice in choices) if outcome == "partial" else 0

    def _end(self, number: int, how: str) -> None:
        assert number not in self.ended, f"record {number} was {self.ended.get(number)}, and now is {how}"
        self.ended[number] = how

    def _did(self, actions: Sequence[object]) -> None:
        for action in actions:
            match action:
                case Invoke():
                    self._invoked(action.batch_id, [int(one.sequence_number) for one in action.records])
                case SendToDestination():
                    for record in action.records:
                        self._end(int(record.sequence_number), "given up")
                case Checkpoint():
                    reached = int(action.sequence_number)
                    assert reached > self.checkpoint
                    assert all(number in self.ended for number in range(reached + 1))
                    self.checkpoint = reached
                case WaitUntil():
                    assert action.time == self.machine.next_time

    def _invoked(self, batch_id: int, batch: list[int]) -> None:
        under_way = {number for numbers in self.open.values() for number in numbers}
        assert batch == sorted(batch)
        assert 1 <= len(batch) <= self.settings.batch_size
        assert not under_way & set(batch)
        assert not self.ended.keys() & set(batch)
        for number in batch:
            key = self.shard[number].lane_key
            before = [one for one in range(number) if self.shard[one].lane_key == key and one not in self.ended]
            assert set(before) <= set(batch), "an earlier record of the key is neither settled nor in this batch"
        assert len(self.open) < self.settings.parallelization_factor
        self.open[batch_id] = batch


class Queue(RuleBasedStateMachine):
    """A standard queue whose messages come back until they are deleted, and a machine that delivers it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.sent = 0
        self.visible: list[int] = []
        self.open: dict[int, list[int]] = {}
        self.gathered: list[int] = []
        self.deleted: dict[int, str] = {}

    @initialize(
        batch_size=st.integers(1, 4),
        window=st.sampled_from([0, 5]),
        concurrency=st.integers(2, 3),
        payload=st.sampled_from([14 + 2 * 101, 6 * 1024 * 1024]),
        reports=st.booleans(),
        filters=st.booleans(),
    )
    def map_the_queue(
        self, batch_size: int, window: int, concurrency: int, payload: int, reports: bool, filters: bool
    ) -> None:
        self.settings = QueueMappingSettings(
            batch_size=batch_size,
            batching_window=window,
            maximum_concurrency=concurrency,
            payload_limit=payload,
            report_batch_item_failures=reports,
            accepts=wanted if filters else None,
        )
        self.machine = QueueMachine(self.settings)

    @rule(messages=st.lists(st.booleans(), min_size=1, max_size=6))
    def send(self, messages: list[bool]) -> None:
        for is_wanted in messages:
            # Odd ones are wanted, so that the number alone tells.
            self.sent += 2 if self.sent % 2 == (1 if is_wanted else 0) else 1
            self.visible.append(self.sent)

    @precondition(lambda self: self.visible and self.machine.room > 0)
    @rule(count=st.integers(1, 10))
    def receive(self, count: int) -> None:
        taken = self.visible[: min(count, self.machine.room)]
        del self.visible[: len(taken)]
        kept = [number for number in taken if self.settings.accepts is None or number % 2]
        self.gathered += kept
        messages = [self._message(number) for number in taken]
        self._did(self.machine.receive(messages, self.now), {number: "filtered" for number in taken if number % 2 == 0})

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, 9),
        outcome=st.sampled_from(OUTCOMES),
        choices=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    )
    def complete(self, which: int, outcome: str, choices: list[int]) -> None:
        self._answer(sorted(self.open)[which % len(self.open)], outcome, choices)

    @rule(seconds=st.sampled_from([0.1, 2.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._did(self.machine.tick(self.now), {})

    @invariant()
    def nothing_is_lost_on_the_way(self) -> None:
        if not hasattr(self, "machine"):
            return
        under_way = [number for batch in self.open.values() for number in batch]
        assert self.machine.pending == len(under_way) + len(self.gathered)
        assert self.machine.in_flight == len(self.open) <= self.settings.maximum_concurrency

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        for _ in range(STEPS_TO_DRAIN):
            if self.open:
                self._answer(min(self.open), "ok", [0])
            elif self.visible and self.machine.room:
                self.receive(10)
            elif self.machine.idle:
                break
            else:
                self.now = max(self.now, self.machine.next_time or self.now)
                self._did(self.machine.tick(self.now), {})
        assert self.machine.idle
        assert not self.visible

    def _message(self, number: int) -> QueueMessage:
        body = f"{'wanted' if number % 2 else 'noise'} {number}"
        return QueueMessage(f"m{number}", f"r{number} {self.now}", 100, body)

    def _answer(self, batch_id: int, outcome: str, choices: Sequence[int]) -> None:
        batch = self.open.pop(batch_id)
        answer = result(outcome, [f"m{number}" for number in batch], choices)
        failed = set(batch)
        if outcome == "ok" or (
            outcome in {"partial", "unknown identifier"} and not self.settings.report_batch_item_failures
        ):
            failed = set()
        elif outcome == "partial":
            failed = {batch[choice % len(batch)] for choice in choices}
        self._did(
            self.machine.complete(batch_id, answer, self.now),
            {number: "delivered" for number in batch if number not in failed},
        )
        # Their visibility timeout ends.
        self.visible += [number for number in batch if number in failed]

    def _did(self, actions: Sequence[object], expected: dict[int, str]) -> None:
        found: dict[int, str] = {}
        for action in actions:
            match action:
                case Invoke():
                    batch = [int(one.message_id[1:]) for one in action.records]
                    assert 1 <= len(batch) <= self.settings.batch_size
                    assert batch == self.gathered[: len(batch)]
                    del self.gathered[: len(batch)]
                    self.open[action.batch_id] = batch
                case DeleteMessages():
                    found |= {int(one.message_id[1:]): "deleted" for one in action.messages}
                case WaitUntil():
                    assert action.time == self.machine.next_time
        dropped = self.settings.accepts is not None
        due = {number for number, how in expected.items() if how == "delivered" or dropped}
        assert found.keys() == due
        assert not self.deleted.keys() & due
        self.deleted |= {number: expected[number] for number in due}


def _tests_of(machine: Any, examples: int, steps: int) -> Any:
    case = machine.TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=steps)
    return case


TestStreamShard = _tests_of(StreamShard, 150, 40)
TestQueue = _tests_of(Queue, 100, 30)
