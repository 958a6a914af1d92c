"""The mapping machines, rule by rule. Each test names the statement of the AWS Lambda Developer Guide that it holds."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

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
    failure_message,
    failure_object_key,
    readable_shards,
)

NOON = 1_700_000_000.0
OK = InvokeResult({"batchItemFailures": []}, request_id="ok")
ERROR = InvokeResult(error="Unhandled", request_id="failed")


def record(number: int, *, key: str = "k", size: int = 100, arrived_at: float = NOON) -> StreamRecord:
    return StreamRecord(f"{number:04d}", key, arrived_at, size, f"body {number}")


def records(first: int, last: int, **fields: Any) -> list[StreamRecord]:
    return [record(number, **fields) for number in range(first, last + 1)]


def failing_at(*numbers: int | str | None) -> InvokeResult:
    identifiers = [f"{number:04d}" if isinstance(number, int) else number for number in numbers]
    return InvokeResult({"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]})


def numbers(batch: Sequence[StreamRecord]) -> list[int]:
    return [int(one.sequence_number) for one in batch]


class Run:
    """A machine, the clock, and everything it has asked for."""

    def __init__(self, start: float = NOON, **settings: Any) -> None:
        self.machine = StreamShardMachine(StreamMappingSettings(**{"first_backoff": 1.0, **settings}))
        self.now = start
        self.invoked: list[list[int]] = []
        self.open: dict[int, list[int]] = {}
        self.sent: list[SendToDestination] = []
        self.checkpoints: list[int] = []

    def _did(self, actions: Sequence[object]) -> None:
        for action in actions:
            match action:
                case Invoke():
                    self.invoked.append(numbers(action.records))
                    self.open[action.batch_id] = numbers(action.records)
                case SendToDestination():
                    self.sent.append(action)
                case Checkpoint():
                    self.checkpoints.append(int(action.sequence_number))
                case WaitUntil():
                    assert action.time >= self.now

    def receive(self, batch: Sequence[StreamRecord]) -> None:
        self._did(self.machine.receive(batch, self.now))

    def answer(self, result: InvokeResult, batch: list[int] | None = None) -> None:
        batch_id = next(number for number, held in self.open.items() if batch is None or held == batch)
        del self.open[batch_id]
        self._did(self.machine.complete(batch_id, result, self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._did(self.machine.tick(self.now))

    def wait_for_retry(self) -> None:
        due = self.machine.next_time
        assert due is not None
        self.wait(max(0.0, due - self.now))

    def answer_all(self, answer_for: Callable[[list[int]], InvokeResult], steps: int = 1000) -> None:
        """Answer invocations until the machine is idle."""
        for _ in range(steps):
            if self.open:
                batch = next(iter(self.open.values()))
                self.answer(answer_for(batch), batch)
            elif self.machine.idle:
                return
            else:
                self.wait_for_retry()
        raise AssertionError("the machine never became idle")


# ---- Batching: "until it has gathered a full batch, until the batching window expires, or until the batch reaches the
# ---- payload limit of 6 MB"


def test_without_a_window_the_function_is_invoked_as_soon_as_records_are_available() -> None:
    run = Run(batch_size=100)
    run.receive(records(1, 3))
    assert run.invoked == [[1, 2, 3]]


def test_a_batch_holds_at_most_batch_size_records() -> None:
    run = Run(batch_size=2)
    run.receive(records(1, 5))
    run.answer_all(lambda _: OK)
    assert run.invoked == [[1, 2], [3, 4], [5]]


def test_records_are_gathered_until_the_window_expires() -> None:
    run = Run(batch_size=100, batching_window=10)
    run.receive(records(1, 1))
    run.wait(9.9)
    run.receive(records(2, 2))
    assert run.invoked == []
    run.wait(0.1)
    assert run.invoked == [[1, 2]]


def test_a_full_batch_does_not_wait_for_the_window() -> None:
    run = Run(batch_size=2, batching_window=10)
    run.receive(records(1, 2))
    assert run.invoked == [[1, 2]]


def test_the_window_of_what_a_full_batch_left_over_begins_with_that_batch() -> None:
    run = Run(batch_size=2, batching_window=10)
    run.receive(records(1, 3))
    run.wait(4)
    run.answer(OK)
    assert run.invoked == [[1, 2]]
    run.wait(6)
    assert run.invoked == [[1, 2], [3]]


def test_the_window_begins_with_the_first_record_that_waits() -> None:
    run = Run(batch_size=2, batching_window=10)
    run.receive(records(1, 1))
    run.wait(4)
    run.receive(records(2, 3))
    run.answer(OK)
    run.wait(9.9)
    assert run.invoked == [[1, 2]], "record 3 has waited since the batch before it went"
    run.wait(0.1)
    assert run.invoked == [[1, 2], [3]]


def test_the_commas_between_records_count_towards_the_payload() -> None:
    run = Run(batch_size=1000, payload_limit=14 + 200 * 101)
    run.receive(records(1, 203))
    assert len(run.invoked[0]) == 200


def test_a_batch_that_went_leaves_the_payload_of_the_next_one_empty() -> None:
    run = Run(batch_size=100, batching_window=10, payload_limit=14 + 2 * 101)
    run.receive(records(1, 2))
    run.answer(OK)
    run.receive(records(3, 3))
    assert run.invoked == [[1, 2]], "the third waits for its window"


def test_a_batch_is_closed_by_the_payload_limit_before_the_window_or_the_size() -> None:
    # given room for two records of 100 bytes, their comma and the envelope
    run = Run(batch_size=100, batching_window=10, payload_limit=14 + 2 * 101)
    run.receive(records(1, 2))
    assert run.invoked == [[1, 2]]
    run.receive([record(3), record(4, size=150)])
    run.answer_all(lambda _: OK)
    assert run.invoked == [[1, 2], [3], [4]]


def test_a_record_above_the_limit_is_still_delivered_alone() -> None:
    run = Run(payload_limit=1000)
    run.receive([record(1), record(2, size=5000), record(3)])
    run.answer_all(lambda _: OK)
    assert run.invoked == [[1], [2], [3]]


def test_a_shard_has_one_batch_in_flight() -> None:
    run = Run(batch_size=1)
    run.receive(records(1, 2))
    run.wait(100)
    assert run.invoked == [[1]]


def test_the_machine_says_when_to_come_back() -> None:
    machine = StreamShardMachine(StreamMappingSettings(batching_window=10))
    assert machine.receive(records(1, 1), NOON) == [WaitUntil(NOON + 10)]
    assert machine.receive(records(2, 2), NOON + 1) == [], "the same time is announced once"


def test_reading_stops_while_two_batches_wait() -> None:
    machine = StreamShardMachine(StreamMappingSettings(batch_size=10))
    assert machine.room == 20
    machine.receive(records(1, 20), NOON)
    assert machine.room == 0


# ---- Retries: "Lambda retries the batch until processing succeeds or the data expires"


def test_an_error_retries_the_whole_batch_after_a_backoff_that_grows() -> None:
    run = Run(first_backoff=1, longest_backoff=4)
    run.receive(records(1, 2))
    waits = []
    for _ in range(4):
        run.answer(ERROR)
        assert not run.open
        waits.append((run.machine.next_time or 0) - run.now)
        run.wait_for_retry()
    assert waits == [1, 2, 4, 4]
    assert run.invoked == [[1, 2]] * 5


def test_later_records_wait_for_a_batch_that_is_retried() -> None:
    run = Run(batch_size=1)
    run.receive(records(1, 2))
    run.answer(ERROR)
    assert run.invoked == [[1]]
    run.answer_all(lambda _: OK)
    assert run.invoked == [[1], [1], [2]]


def test_records_that_arrive_meanwhile_do_not_join_a_retry() -> None:
    run = Run()
    run.receive(records(1, 2))
    run.receive(records(3, 3))
    run.answer(ERROR)
    run.answer_all(lambda _: OK)
    assert run.invoked == [[1, 2], [1, 2], [3]]


def test_a_retry_does_not_wait_for_the_batching_window() -> None:
    run = Run(batching_window=100)
    run.receive(records(1, 1))
    run.wait(100)
    run.answer(ERROR)
    run.wait(1)
    assert run.invoked == [[1], [1]]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_maximum_retry_attempts_discards_the_batch_and_goes_on(retries: int) -> None:
    run = Run(batch_size=2, maximum_retry_attempts=retries)
    run.receive(records(1, 3))
    run.answer_all(lambda batch: ERROR if 1 in batch else OK)
    assert run.invoked == [[1, 2]] * (1 + retries) + [[3]]
    assert [(numbers(sent.records), sent.condition, sent.invoke_count) for sent in run.sent] == [
        ([1, 2], "RetryAttemptsExhausted", 1 + retries)
    ]
    assert run.checkpoints == [2, 3]


def test_an_invocation_that_could_not_be_made_spends_no_retry() -> None:
    """ "If a mapping is unable to invoke the function due to throttling, it retries until the records expire"."""
    run = Run(maximum_retry_attempts=0)
    run.receive(records(1, 1))
    for _ in range(5):
        run.answer(InvokeResult(throttled=True))
        run.wait_for_retry()
    run.answer(ERROR)
    assert [sent.invoke_count for sent in run.sent] == [1], "nor does it count as an invocation"
    assert run.checkpoints == [1]


def test_throttles_leave_the_retries_for_errors() -> None:
    run = Run(maximum_retry_attempts=1)
    run.receive(records(1, 1))
    for result in (InvokeResult(throttled=True), InvokeResult(throttled=True), ERROR):
        run.answer(result)
        run.wait_for_retry()
    run.answer(OK)
    assert run.sent == []


def test_the_backoff_starts_again_after_a_batch_was_given_up() -> None:
    run = Run(batch_size=1, maximum_retry_attempts=3, first_backoff=1, longest_backoff=60)
    run.receive(records(1, 2))
    for _ in range(3):
        run.answer(ERROR)
        run.wait_for_retry()
    run.answer(ERROR)
    assert run.invoked[-1] == [2], "the next batch goes at once"
    run.answer(ERROR)
    assert run.machine.next_time == run.now + 1


# ---- Record age: "Discard records older than the specified age"; -1 is infinite: "retried until the record expires"


def test_a_failing_batch_is_given_up_when_its_records_reach_the_maximum_age() -> None:
    run = Run(maximum_record_age=60)
    run.receive(records(1, 2))
    run.answer(ERROR)
    run.wait(60)
    run.answer(ERROR)
    run.wait(2)
    assert [(numbers(sent.records), sent.condition, sent.invoke_count) for sent in run.sent] == [
        ([1, 2], "RecordAgeExceeded", 2)
    ]
    assert run.checkpoints == [2]


def test_only_the_records_that_are_too_old_are_discarded() -> None:
    run = Run(maximum_record_age=60)
    run.receive([record(1, arrived_at=NOON - 30), record(2)])
    run.answer(ERROR)
    run.wait(31)
    assert [numbers(sent.records) for sent in run.sent] == [[1]]
    assert run.invoked == [[1, 2], [2]]


def test_records_that_are_too_old_when_read_are_never_delivered() -> None:
    run = Run(maximum_record_age=60)
    run.receive([record(1, arrived_at=NOON - 61), record(2)])
    assert run.invoked == [[2]]
    assert [(numbers(sent.records), sent.invoke_count) for sent in run.sent] == [([1], 0)]


@pytest.mark.parametrize("maximum_record_age", [-1, 604_800])
def test_no_retry_outlives_the_stream_retention(maximum_record_age: int) -> None:
    run = Run(maximum_record_age=maximum_record_age, retention=3600, longest_backoff=600)
    run.receive(records(1, 1))
    run.answer_all(lambda _: ERROR)
    assert NOON + 3600 < run.now <= NOON + 3600 + 600
    assert [sent.condition for sent in run.sent] == ["RecordAgeExceeded"]


# ---- Bisect: "splits a failed batch in two and retries; splitting batches doesn't consume the retry quota"


def test_bisect_isolates_a_poison_record_and_loses_no_neighbour() -> None:
    """FAULTS row 1."""
    run = Run(bisect_on_function_error=True, maximum_retry_attempts=2)
    run.receive(records(1, 8))
    run.answer_all(lambda batch: ERROR if 5 in batch else OK)
    assert [numbers(sent.records) for sent in run.sent] == [[5]]
    succeeded = [number for batch in run.invoked if 5 not in batch for number in batch]
    assert succeeded == [1, 2, 3, 4, 6, 7, 8], "each once, and in order"


def test_bisect_spends_no_retry() -> None:
    run = Run(bisect_on_function_error=True, maximum_retry_attempts=1)
    run.receive(records(1, 4))
    run.answer_all(lambda batch: ERROR if 1 in batch else OK)
    assert run.invoked == [[1, 2, 3, 4], [1, 2], [1], [1], [2], [3, 4]]


def test_the_count_of_invocations_includes_those_before_the_splits() -> None:
    run = Run(bisect_on_function_error=True, maximum_retry_attempts=0)
    run.receive(records(1, 4))
    run.answer_all(lambda batch: ERROR if 1 in batch else OK)
    assert [(numbers(sent.records), sent.invoke_count) for sent in run.sent] == [([1], 3)]


def test_an_error_bisects_whether_or_not_partial_answers_are_reported() -> None:
    """ "The batch is bisected regardless of your ReportBatchItemFailures setting"."""
    run = Run(bisect_on_function_error=True, report_batch_item_failures=True)
    run.receive(records(1, 4))
    run.answer(ERROR)
    run.wait_for_retry()
    assert run.invoked[-1] == [1, 2]


def test_a_partial_answer_bisects_at_the_returned_sequence_number() -> None:
    run = Run(bisect_on_function_error=True, report_batch_item_failures=True, maximum_retry_attempts=0)
    run.receive(records(1, 4))
    run.answer(failing_at(3))
    run.wait_for_retry()
    assert run.invoked[-1] == [3, 4]
    assert run.sent == [], "the split spent no retry"


def test_a_partial_answer_that_names_the_first_record_halves_the_batch() -> None:
    run = Run(bisect_on_function_error=True, report_batch_item_failures=True, maximum_retry_attempts=1)
    run.receive(records(1, 4))
    run.answer_all(lambda batch: failing_at(1) if 1 in batch else OK)
    assert run.invoked == [[1, 2, 3, 4], [1, 2], [1], [1], [2], [3, 4]]
    assert [numbers(sent.records) for sent in run.sent] == [[1]]


# ---- Partial answers: ReportBatchItemFailures


@pytest.mark.parametrize(
    "response", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}, {"somethingElse": 1}]
)
def test_a_null_or_empty_answer_is_complete_success(response: object) -> None:
    run = Run(report_batch_item_failures=True)
    run.receive(records(1, 2))
    run.answer(InvokeResult(response))
    assert run.checkpoints == [2]


@pytest.mark.parametrize(
    "response",
    [
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": 2}]},
        {"batchItemFailures": [{"wrongKey": "0002"}]},
        {"batchItemFailures": [{"itemIdentifier": "0002"}, {"itemIdentifier": "9999"}]},
        {"batchItemFailures": ["0002"]},
        {"batchItemFailures": "0002"},
        "done",
        ["0002"],
    ],
)
def test_a_bad_identifier_fails_the_whole_batch(response: object) -> None:
    """FAULTS row 7: an identifier that is empty, null, of a bad key, or not in the batch."""
    run = Run(report_batch_item_failures=True)
    run.receive(records(1, 3))
    run.answer(InvokeResult(response))
    run.wait_for_retry()
    assert run.invoked == [[1, 2, 3], [1, 2, 3]]
    assert run.checkpoints == []


def test_of_several_failures_the_lowest_sequence_number_counts() -> None:
    """ "Lambda uses the lowest sequence number as the checkpoint, then retries all records from there"."""
    run = Run(report_batch_item_failures=True)
    run.receive(records(1, 5))
    run.answer(failing_at(4, 2, 5))
    assert run.checkpoints == [1]
    run.wait_for_retry()
    assert run.invoked[-1] == [2, 3, 4, 5]


def test_a_partial_answer_without_bisect_spends_a_retry() -> None:
    run = Run(report_batch_item_failures=True, maximum_retry_attempts=1)
    run.receive(records(1, 4))
    run.answer(failing_at(2))
    run.wait_for_retry()
    run.answer(failing_at(3))
    assert [(numbers(sent.records), sent.function_error) for sent in run.sent] == [([3, 4], None)]
    assert run.checkpoints == [1, 4]


def test_a_partial_answer_is_ignored_unless_the_mapping_asks_for_it() -> None:
    run = Run(report_batch_item_failures=False)
    run.receive(records(1, 2))
    run.answer(failing_at(1))
    assert run.checkpoints == [2]


# ---- Parallelization factor: "in-order processing at the partition-key level"


def test_keys_are_in_order_and_lanes_do_not_wait_for_each_other() -> None:
    run = Run(batch_size=10, parallelization_factor=10)
    blocked, free = "ada", "bob"
    run.receive([record(1, key=blocked), record(2, key=free), record(3, key=blocked), record(4, key=free)])
    assert sorted(run.invoked) == [[1, 3], [2, 4]]
    run.answer(ERROR, [1, 3])
    run.answer(OK, [2, 4])
    run.receive([record(5, key=free), record(6, key=blocked)])
    assert run.invoked[2:] == [[5]]
    run.answer_all(lambda _: OK)
    assert run.invoked[3:] == [[1, 3], [6]]


def test_the_checkpoint_never_passes_a_record_of_a_slower_lane() -> None:
    run = Run(batch_size=10, parallelization_factor=10)
    run.receive([record(1, key="bob"), record(2, key="ada"), record(3, key="bob")])
    run.answer(OK, [1, 3])
    assert run.checkpoints == [1]
    run.answer(OK, [2])
    assert run.checkpoints == [1, 3]
    assert run.machine.idle


def test_the_checkpoint_waits_for_the_slowest_of_several_lanes() -> None:
    run = Run(parallelization_factor=10)
    run.receive([record(1, key="ada"), record(2, key="bob"), record(3, key="carol")])
    assert sorted(run.invoked) == [[1], [2], [3]]
    run.answer(OK, [3])
    run.answer(OK, [2])
    assert run.checkpoints == []
    run.answer(OK, [1])
    assert run.checkpoints == [3]


# ---- FilterCriteria: "after your filter criteria evaluates a record, the streams iterator advances past this record"


def is_even(body: str) -> bool:
    return int(body.split()[1]) % 2 == 0


def test_filtered_records_are_passed_by_without_an_invocation() -> None:
    run = Run(accepts=is_even)
    run.receive(records(1, 1))
    assert run.invoked == []
    assert run.checkpoints == [1]
    assert run.machine.idle
    assert run.machine.filtered == 1


def test_filtered_records_do_not_count_to_the_batch_or_its_window() -> None:
    """ "Lambda applies your filter criteria to each new event to determine whether to add it to the current batch"."""
    run = Run(accepts=is_even, batch_size=2, batching_window=10)
    run.receive(records(1, 1))
    run.wait(8)
    run.receive(records(2, 3))
    run.wait(8)
    assert run.invoked == [], "the window began with record 2"
    run.receive(records(4, 5))
    assert run.invoked == [[2, 4]]


def test_the_checkpoint_passes_a_filtered_record_once_all_before_it_are_settled() -> None:
    run = Run(accepts=is_even)
    run.receive(records(1, 5))
    assert run.checkpoints == [1]
    run.answer(ERROR)
    assert run.checkpoints == [1]
    run.wait_for_retry()
    run.answer(OK)
    assert run.checkpoints == [1, 5]


def test_records_that_the_filter_drops_do_not_keep_others_from_being_read() -> None:
    run = Run(accepts=is_even, batch_size=10, batching_window=100)
    run.receive([record(2), *[record(2 * number + 1) for number in range(1, 60)]])
    assert run.machine.room == 19
    assert run.machine.pending == 60


def test_filtered_messages_are_deleted_and_count_to_no_batch() -> None:
    """ "If a message doesn't satisfy your filter criteria, Lambda automatically removes the message"."""
    machine = QueueMachine(QueueMappingSettings(batch_size=2, batching_window=5, accepts=is_even))
    assert deleted(machine.receive(messages(1, 1), NOON)) == ["m1"]
    assert machine.idle
    actions = machine.receive(messages(2, 3), NOON + 1)
    assert deleted(actions) == ["m3"]
    assert batches(actions) == []
    assert batches(machine.receive(messages(4, 5), NOON + 2)) == [["m2", "m4"]]
    assert machine.filtered == 3


# ---- Shards that split or merge: a parent's records come before its children's


def test_a_child_shard_is_read_only_after_its_parent_is_drained() -> None:
    """FAULTS row 6: after a split."""
    parents: dict[str, list[str]] = {"root": [], "left": ["root"], "right": ["root"]}
    assert readable_shards(parents, set()) == ["root"]
    assert readable_shards(parents, {"root"}) == ["left", "right"]


def test_a_merged_shard_is_read_only_after_both_its_parents_are_drained() -> None:
    parents: dict[str, list[str]] = {"left": [], "right": [], "merged": ["left", "right"]}
    assert readable_shards(parents, {"left"}) == ["right"]
    assert readable_shards(parents, {"left", "right"}) == ["merged"]


def test_a_parent_that_the_stream_no_longer_lists_holds_nobody_back() -> None:
    assert readable_shards({"child": ["gone"]}, set()) == ["child"]


# ---- OnFailure: the documented invocation record


def given_up(**fields: Any) -> SendToDestination:
    run = Run(maximum_retry_attempts=0, **fields)
    run.receive([record(1, arrived_at=NOON + 0.123), record(2, arrived_at=NOON + 1)])
    run.answer(ERROR)
    return run.sent[0]


@pytest.mark.parametrize(("kind", "batch_info"), [("dynamodb", "DDBStreamBatchInfo"), ("kinesis", "KinesisBatchInfo")])
def test_the_on_failure_message_has_the_documented_shape(kind: Any, batch_info: str) -> None:
    message = failure_message(
        given_up(),
        kind=kind,
        function_arn="arn:function",
        stream_arn="arn:stream",
        shard_id="shardId-1",
        now=NOON + 5.5,
        new_request_id=lambda: "never used",
    )
    assert message == {
        "requestContext": {
            "requestId": "failed",
            "functionArn": "arn:function",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2023-11-14T22:13:25.500Z",
        batch_info: {
            "shardId": "shardId-1",
            "startSequenceNumber": "0001",
            "endSequenceNumber": "0002",
            "approximateArrivalOfFirstRecord": "2023-11-14T22:13:20.123Z",
            "approximateArrivalOfLastRecord": "2023-11-14T22:13:21Z",
            "batchSize": 2,
            "streamArn": "arn:stream",
        },
    }


def test_a_record_that_was_never_delivered_has_no_response() -> None:
    run = Run(maximum_record_age=60)
    run.receive([record(1, arrived_at=NOON - 61)])
    message = failure_message(
        run.sent[0],
        kind="kinesis",
        function_arn="f",
        stream_arn="s",
        shard_id="1",
        now=NOON,
        new_request_id=lambda: "new",
    )
    assert message["responseContext"] is None
    assert message["requestContext"]["requestId"] == "new"
    assert message["requestContext"]["approximateInvokeCount"] == 0


def test_an_on_failure_object_is_named_as_lambda_names_it() -> None:
    key = failure_object_key("mapping", "shardId-1", NOON, "unique")
    assert key == "aws/lambda/mapping/shardId-1/2023/11/14/2023-11-14T22.13.20-unique"


def test_the_destination_is_told_before_the_checkpoint_moves_on() -> None:
    """FAULTS row 40: a stop between the two repeats the message and loses nothing."""
    machine = StreamShardMachine(StreamMappingSettings(maximum_retry_attempts=0))
    machine.receive(records(1, 1), NOON)
    kinds = [type(action) for action in machine.complete(1, ERROR, NOON)]
    assert kinds.index(SendToDestination) < kinds.index(Checkpoint)


def test_the_same_input_gives_the_same_actions() -> None:
    def trace() -> list[object]:
        machine = StreamShardMachine(StreamMappingSettings(batch_size=3, parallelization_factor=4, batching_window=1))
        actions: list[object] = list(machine.receive([record(n, key=f"k{n}") for n in range(40)], NOON))
        for step in range(60):
            for batch_id in list(machine._lane_of_batch):
                actions += machine.complete(batch_id, ERROR if step % 7 == 0 else OK, NOON + step)
            actions += machine.tick(NOON + step)
        assert machine.idle
        return actions

    assert trace() == trace()


# ---- SQS: "Lambda deletes the messages that succeeded"; visibility, receive count and redrive are the queue's


def message(number: int, size: int = 100) -> QueueMessage:
    return QueueMessage(f"m{number}", f"r{number}", size, f"body {number}")


def messages(first: int, last: int) -> list[QueueMessage]:
    return [message(number) for number in range(first, last + 1)]


def deleted(actions: Sequence[object]) -> list[str]:
    return [one.message_id for action in actions if isinstance(action, DeleteMessages) for one in action.messages]


def batches(actions: Sequence[object]) -> list[list[str]]:
    return [[one.message_id for one in action.records] for action in actions if isinstance(action, Invoke)]


def test_a_queue_batch_that_succeeds_is_deleted() -> None:
    machine = QueueMachine(QueueMappingSettings())
    machine.receive(messages(1, 2), NOON)
    assert deleted(machine.complete(1, InvokeResult("any answer"), NOON)) == ["m1", "m2"]
    assert machine.idle


def test_a_queue_batch_that_fails_is_left_to_its_visibility_timeout() -> None:
    machine = QueueMachine(QueueMappingSettings(report_batch_item_failures=True))
    machine.receive(messages(1, 2), NOON)
    assert machine.complete(1, ERROR, NOON) == []
    assert machine.idle


def test_a_partial_queue_answer_deletes_the_messages_it_does_not_name() -> None:
    machine = QueueMachine(QueueMappingSettings(report_batch_item_failures=True))
    machine.receive(messages(1, 4), NOON)
    result = InvokeResult({"batchItemFailures": [{"itemIdentifier": "m2"}, {"itemIdentifier": "m4"}]})
    assert deleted(machine.complete(1, result, NOON)) == ["m1", "m3"]


@pytest.mark.parametrize("identifier", ["", None, "unknown"])
def test_a_bad_identifier_in_a_queue_answer_deletes_nothing(identifier: str | None) -> None:
    """FAULTS row 7."""
    machine = QueueMachine(QueueMappingSettings(report_batch_item_failures=True))
    machine.receive(messages(1, 2), NOON)
    result = InvokeResult({"batchItemFailures": [{"itemIdentifier": identifier}]})
    assert deleted(machine.complete(1, result, NOON)) == []


def test_a_queue_has_several_batches_in_flight_up_to_its_concurrency() -> None:
    machine = QueueMachine(QueueMappingSettings(batch_size=1, maximum_concurrency=2))
    assert batches(machine.receive(messages(1, 3), NOON)) == [["m1"], ["m2"]]
    assert machine.room == 0
    assert batches(machine.complete(1, OK, NOON)) == [["m3"]]


def test_queue_messages_are_gathered_for_the_window() -> None:
    machine = QueueMachine(QueueMappingSettings(batch_size=100, batching_window=5))
    assert machine.receive(messages(1, 1), NOON) == [WaitUntil(NOON + 5)]
    assert machine.receive(messages(2, 2), NOON + 4) == []
    assert batches(machine.tick(NOON + 5)) == [["m1", "m2"]]


def test_a_queue_batch_is_closed_by_the_payload_limit() -> None:
    machine = QueueMachine(QueueMappingSettings(payload_limit=14 + 2 * 101))
    assert batches(machine.receive(messages(1, 3), NOON)) == [["m1", "m2"], ["m3"]]


def test_a_queue_batch_that_went_leaves_the_payload_of_the_next_one_empty() -> None:
    machine = QueueMachine(QueueMappingSettings(batch_size=100, batching_window=5, payload_limit=14 + 2 * 101))
    assert batches(machine.receive(messages(1, 2), NOON)) == [["m1", "m2"]]
    assert batches(machine.receive(messages(3, 3), NOON)) == []
    assert batches(machine.tick(NOON + 5)) == [["m3"]]


def invocations(actions: Sequence[object]) -> list[Invoke]:
    return [each for each in actions if isinstance(each, Invoke)]


def test_the_oldest_is_the_first_record_that_is_not_settled() -> None:
    machine = StreamShardMachine(StreamMappingSettings(batch_size=1))
    (first,) = invocations(machine.receive([record(1, arrived_at=NOON - 5), record(2, arrived_at=NOON - 3)], NOON))
    assert machine.oldest == NOON - 5
    (second,) = invocations(machine.complete(first.batch_id, InvokeResult(), NOON))
    assert machine.oldest == NOON - 3
    machine.complete(second.batch_id, InvokeResult(), NOON)
    assert machine.oldest is None


def test_it_is_retrying_until_what_failed_has_succeeded() -> None:
    machine = StreamShardMachine(StreamMappingSettings())
    (first,) = invocations(machine.receive(records(1, 2), NOON))
    machine.complete(first.batch_id, InvokeResult(error="Unhandled"), NOON)
    was_retrying = machine.retrying
    (again,) = invocations(machine.tick(NOON + 60))
    machine.complete(again.batch_id, InvokeResult(), NOON + 60)
    assert (was_retrying, machine.retrying) == (True, False)


def test_an_hour_that_passes_ends_pauses_and_makes_what_waits_too_old() -> None:
    machine = StreamShardMachine(StreamMappingSettings(maximum_record_age=1800, first_backoff=600, longest_backoff=600))
    (first,) = invocations(machine.receive(records(1, 2), NOON))
    machine.complete(first.batch_id, InvokeResult(error="Unhandled"), NOON)
    assert invocations(machine.tick(NOON + 1)) == []

    machine.age(3600)
    given_up = [each for each in machine.tick(NOON + 1) if isinstance(each, SendToDestination)]
    assert [each.condition for each in given_up] == ["RecordAgeExceeded"]
    # What comes afterwards is as old as it is.
    assert len(invocations(machine.receive([record(3, arrived_at=NOON)], NOON + 2))) == 1
