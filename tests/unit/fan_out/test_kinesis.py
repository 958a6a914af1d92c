"""The Kinesis publisher against a client in memory."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.failures import FailureKind
from headwater.fan_out.kinesis import KinesisPublisher
from headwater.limits import KinesisLimits
from headwater.sending import RetryPolicy
from tests.fakes.kinesis_records import InMemoryClaimStore, outgoing
from tests.fakes.publishers import AT_ONCE, FakeKinesis, client_error
from tests.fakes.table_stream import play, plays


def publisher(
    kinesis: FakeKinesis, limits: KinesisLimits | None = None, claims: InMemoryClaimStore | None = None
) -> KinesisPublisher:
    return KinesisPublisher(
        kinesis.client, "events", claims or InMemoryClaimStore(), limits=limits or KinesisLimits(), retry=AT_ONCE
    )


def versions(kinesis: FakeKinesis, aggregate_id: str) -> list[int]:
    return [int(orjson.loads(data)["sequence"]) for key, data in kinesis.records if key == aggregate_id]


def deduplicated(numbers: Sequence[int]) -> list[int]:
    """What a version gate applies: the next version, and nothing twice."""
    applied = 0
    for number in numbers:
        applied += number == applied + 1
    return list(range(1, applied + 1))


def test_events_go_out_under_their_aggregate_and_in_order() -> None:
    kinesis = FakeKinesis()
    events = [outgoing(event) for event in plays(12, players=3)]

    refused = publisher(kinesis).publish(events)

    assert refused == {}
    assert kinesis.records == [(event.aggregate_id, event.body) for event in events]


def test_row_8_from_a_keys_first_failed_record_on_that_key_is_sent_again_and_no_other() -> None:
    """FAULTS row 8. The second record of player 1 fails once; its third was taken by the same call."""
    kinesis = FakeKinesis()
    events = [outgoing(event) for event in plays(8, players=2)]
    kinesis.fails = lambda data, call: call == 1 and data == events[3].body

    refused = publisher(kinesis).publish(events)

    assert refused == {}
    assert kinesis.calls == [[event.body for event in events], [events[3].body, events[5].body, events[7].body]]
    assert versions(kinesis, "player#0199-0") == [1, 2, 3, 4]
    assert versions(kinesis, "player#0199-1") == [1, 3, 4, 2, 3, 4]
    assert deduplicated(versions(kinesis, "player#0199-1")) == [1, 2, 3, 4]


def test_row_8_a_later_request_of_the_batch_leaves_out_a_key_that_failed() -> None:
    """FAULTS row 8, across requests: version 3 must not overtake version 2."""
    kinesis = FakeKinesis()
    events = [outgoing(event) for event in plays(6, players=2)]
    kinesis.fails = lambda data, call: call == 1 and data == events[0].body

    refused = publisher(kinesis, KinesisLimits(records=2)).publish(events)

    assert refused == {}
    assert versions(kinesis, "player#0199-0") == [1, 2, 3]
    assert versions(kinesis, "player#0199-1") == [1, 2, 3]


def test_row_9_a_200_in_which_all_failed_reports_all() -> None:
    """FAULTS row 9. Attempts are bounded: Lambda's retry comes next."""
    kinesis = FakeKinesis()
    kinesis.fails = lambda _data, _call: True
    events = [outgoing(event) for event in plays(4, players=2)]

    refused = publisher(kinesis).publish(events)

    assert sorted(refused) == [0, 1, 2, 3]
    assert "ProvisionedThroughputExceededException" in str(refused[0])
    assert len(kinesis.calls) == AT_ONCE.attempts
    assert kinesis.records == []


def test_a_key_that_keeps_failing_reports_its_records_from_the_first_failed_on() -> None:
    kinesis = FakeKinesis()
    events = [outgoing(event) for event in plays(8, players=2)]
    kinesis.fails = lambda data, _call: data == events[3].body

    refused = publisher(kinesis).publish(events)

    assert sorted(refused) == [3, 5, 7]
    assert versions(kinesis, "player#0199-0") == [1, 2, 3, 4]


def test_row_10_501_records_are_split() -> None:
    """FAULTS row 10."""
    kinesis = FakeKinesis()
    events = [outgoing(event) for event in plays(501, players=7)]

    assert publisher(kinesis).publish(events) == {}

    assert [len(call) for call in kinesis.calls] == [500, 1]


def test_row_10_a_request_is_split_by_bytes_partition_keys_included() -> None:
    """FAULTS row 10. One byte less than four records take: three go out first."""
    events = [outgoing(event) for event in plays(4, players=4)]
    size = sum(len(event.body) + len(event.aggregate_id) for event in events)
    limits = KinesisLimits(request_bytes=size - 1)
    kinesis = FakeKinesis(limits)

    assert publisher(kinesis, limits).publish(events) == {}

    assert [len(call) for call in kinesis.calls] == [3, 1]


def test_row_10_a_record_over_the_record_limit_goes_by_claim_check() -> None:
    """FAULTS row 10. Its neighbours travel whole, and all keep their places."""
    events = [
        outgoing(play(1, 1)),
        outgoing(play(1, 2, metadata={"actor": "a" * 64}, game="g" * 2000)),
        outgoing(play(1, 3)),
    ]
    limits = KinesisLimits(record_bytes=1500)
    kinesis, claims = FakeKinesis(limits), InMemoryClaimStore()

    assert publisher(kinesis, limits, claims).publish(events) == {}

    sent = [orjson.loads(data) for _, data in kinesis.records]
    assert versions(kinesis, "player#0199-1") == [1, 2, 3]
    assert claims.claims == {sent[1]["dataref"]: events[1].body}
    assert "data" not in sent[1]
    assert [sent[0]["data"]["game"], sent[2]["data"]["game"]] == ["chess", "chess"]


def test_an_event_too_large_even_without_its_data_is_refused_alone_and_for_good() -> None:
    events = [
        outgoing(play(1, 1, metadata={"correlation_id": "c" * 2000})),
        outgoing(play(2, 1)),
        outgoing(play(1, 2)),
    ]
    limits = KinesisLimits(record_bytes=1500)
    kinesis = FakeKinesis(limits)

    refused = publisher(kinesis, limits).publish(events)

    assert {position: error.kind for position, error in refused.items()} == {0: FailureKind.PERMANENT}
    assert "1500" in str(refused[0])
    assert versions(kinesis, "player#0199-2") == [1]
    assert versions(kinesis, "player#0199-1") == [2]


def test_a_partition_key_beyond_the_limit_is_refused_by_name_and_alone() -> None:
    long = outgoing(play(1, 1))
    event = OutgoingEvent(
        event_id=long.event_id, type=long.type, aggregate_id="player#" + "x" * 250, aggregate_type="player", body=b"{}"
    )
    kinesis = FakeKinesis()

    refused = publisher(kinesis).publish([event, outgoing(play(2, 1))])

    assert {position: error.kind for position, error in refused.items()} == {0: FailureKind.PERMANENT}
    assert "257 characters" in str(refused[0])


def test_a_claim_store_that_is_down_holds_back_what_needs_it() -> None:
    class Down(InMemoryClaimStore):
        def put(self, event_id: str, body: bytes) -> str:
            raise client_error("SlowDown", "PutObject", 503)

    limits = KinesisLimits(record_bytes=1500)
    kinesis = FakeKinesis(limits)
    events = [outgoing(play(1, 1, game="g" * 2000)), outgoing(play(1, 2)), outgoing(play(2, 1))]

    refused = publisher(kinesis, limits, Down()).publish(events)

    assert {position: error.kind for position, error in refused.items()} == dict.fromkeys([0, 1], FailureKind.TRANSIENT)
    assert "SlowDown" in str(refused[0])
    assert [key for key, _ in kinesis.records] == ["player#0199-2"]


def test_row_15_a_call_refused_as_a_whole_ends_the_batch_at_once() -> None:
    """FAULTS row 15. The SDK has backed off already; what is left is Lambda's to retry, not ours to time out on."""
    kinesis = FakeKinesis()
    kinesis.down = True
    events = [outgoing(event) for event in plays(1000, players=10)]

    refused = publisher(kinesis).publish(events)

    assert sorted(refused) == list(range(1000))
    assert kinesis.refusals == 1


def test_row_15_each_event_of_every_request_is_reported_in_an_outage() -> None:
    """FAULTS row 15. Down from the second request on: what the first one took is not reported, all else is."""

    class DownAfterOne(FakeKinesis):
        def put_records(self, **arguments: Any) -> dict[str, Any]:
            self.down = bool(self.calls)
            return super().put_records(**arguments)

    kinesis = DownAfterOne()
    events = [outgoing(event) for event in plays(10, players=10)]

    refused = publisher(kinesis, KinesisLimits(records=3)).publish(events)

    taken = {data for _, data in kinesis.records}
    assert [event.body in taken for event in events] == [position not in refused for position in range(10)]
    assert sorted(refused) == list(range(3, 10))
    assert {error.kind for error in refused.values()} == {FailureKind.TRANSIENT}
    assert kinesis.refusals == 1


@pytest.mark.parametrize("spoilt", [(0,), (11,), (4, 5), (0, 3, 11), tuple(range(12))], ids=str)
def test_a_request_refused_as_a_whole_is_narrowed_down_to_the_events_at_fault(spoilt: tuple[int, ...]) -> None:
    """FAULTS row 41."""
    kinesis = FakeKinesis()
    events = [outgoing(event) for event in plays(12, players=3)]
    bodies = {events[position].body for position in spoilt}
    kinesis.spoils = bodies.__contains__

    refused = publisher(kinesis).publish(events)

    assert {position: (str(error), error.kind) for position, error in refused.items()} == dict.fromkeys(
        spoilt, ("Kinesis: ValidationException", FailureKind.REFUSED)
    )
    # Each once, and in the order of the batch.
    assert [data for _, data in kinesis.records] == [event.body for event in events if event.body not in bodies]


def test_one_event_at_fault_among_many_costs_few_calls() -> None:
    kinesis = FakeKinesis()
    events = [outgoing(event) for event in plays(500, players=50)]
    kinesis.spoils = lambda data: data == events[321].body

    assert sorted(publisher(kinesis).publish(events)) == [321]

    assert len(kinesis.calls) + kinesis.refusals <= 2 * 9 + 1


def test_an_aggregate_that_fails_for_the_moment_is_not_overtaken_within_a_narrowed_request() -> None:
    """Version 1 fails in the first half; versions 2 to 4 must not go out with the second."""
    kinesis = FakeKinesis()
    events = [outgoing(play(1, version)) for version in range(1, 5)] + [outgoing(play(2, 1))]
    kinesis.spoils = lambda data: data == events[4].body
    kinesis.fails = lambda data, _call: data == events[0].body

    once = RetryPolicy(attempts=1)
    refused = KinesisPublisher(kinesis.client, "events", InMemoryClaimStore(), retry=once).publish(events)

    assert {position: error.kind for position, error in refused.items()} == {
        **dict.fromkeys(range(4), FailureKind.TRANSIENT),
        4: FailureKind.REFUSED,
    }
    # Only what stood beside it in one answer was taken, and comes again.
    assert versions(kinesis, "player#0199-1") == [2]


def test_an_error_that_nobody_foresaw_is_laid_to_the_event_that_raises_it() -> None:
    class Odd(FakeKinesis):
        def put_records(self, **arguments: Any) -> dict[str, Any]:
            if any(record["Data"] == events[1].body for record in arguments["Records"]):
                raise ZeroDivisionError
            return super().put_records(**arguments)

    events = [outgoing(event) for event in plays(6, players=2)]
    kinesis = Odd()

    refused = publisher(kinesis).publish(events)

    # Its aggregate's later events wait for it.
    assert {position: error.kind for position, error in refused.items()} == dict.fromkeys(
        [1, 3, 5], FailureKind.UNFORESEEN
    )
    assert versions(kinesis, "player#0199-0") == [1, 2, 3]


@pytest.mark.parametrize(
    ("code", "kind", "calls"),
    [
        ("ProvisionedThroughputExceededException", FailureKind.TRANSIENT, AT_ONCE.attempts),
        ("InternalFailure", FailureKind.TRANSIENT, AT_ONCE.attempts),
        ("KMSAccessDeniedException", FailureKind.OUTAGE, 1),
    ],
)
def test_a_record_inside_of_an_answer_fails_for_the_moment_or_the_place(
    code: str, kind: FailureKind, calls: int
) -> None:
    class Failing(FakeKinesis):
        def put_records(self, **arguments: Any) -> dict[str, Any]:
            self.calls.append([])
            return {"FailedRecordCount": 1, "Records": [{"ErrorCode": code, "ErrorMessage": "m"}]}

    kinesis = Failing()

    refused = publisher(kinesis).publish([outgoing(play(1, 1))])

    assert refused[0].kind is kind
    assert len(kinesis.calls) == calls
