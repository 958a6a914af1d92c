"""What was set aside is redriven by itself, after growing pauses."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.records import MalformedRecordError
from headwater.change_stream.sqs import QueueMessage
from headwater.dead_letters.parked import encode
from headwater.dead_letters.redrive import Redrive
from headwater.dead_letters.set_aside import PAUSES, SetAside
from headwater.failures import FailureKind, kind_of
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.publishers import client_error


class Bench:
    """A consumer that fails what ``errors`` names by aggregate; implements the postponement."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.applied: list[str] = []
        self.pauses: dict[str, timedelta] = {}
        self.set_aside = SetAside(Redrive({"tests": self.process}, {}, {}), InMemoryClaimStore(), self)

    def process(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        failures = [Failure("1", self.errors[raw["of"]]) for raw in records if raw["of"] in self.errors]
        self.applied += [raw["of"] for raw in records if raw["of"] not in self.errors]
        return BatchOutcome(len(records), failures)

    def postpone(self, message: QueueMessage, delay: timedelta) -> None:
        self.pauses[message.message_id] = delay


def message(aggregate_id: str, receive_count: int = 1, consumer: str = "tests") -> dict[str, Any]:
    aside = InMemoryParkingLot()
    parking(aside=aside, consumer=consumer).set_aside(aggregate_id, [1], [{"of": aggregate_id}], KeyError("x"))
    return {
        "messageId": f"message-{aggregate_id}",
        "body": encode(aside.parked[0]).decode(),
        "attributes": {"ApproximateReceiveCount": str(receive_count)},
    }


def failed(outcome: BatchOutcome) -> list[str]:
    return [failure.identifier for failure in outcome.failures]


def test_what_can_be_applied_is_done_with_and_what_still_fails_hides() -> None:
    """FAULTS row 42."""
    bench = Bench()
    bench.errors["b"] = KeyError("x")

    outcome = bench.set_aside.consume([message("a"), message("b"), message("c")])

    assert bench.applied == ["a", "c"]
    assert failed(outcome) == ["message-b"]
    assert bench.pauses == {"message-b": timedelta(minutes=1)}


@pytest.mark.parametrize(("count", "pause"), list(enumerate(PAUSES, start=1)))
def test_the_pauses_grow_with_each_receipt(count: int, pause: timedelta) -> None:
    bench = Bench()
    bench.errors["a"] = KeyError("x")

    bench.set_aside.consume([message("a", count)])

    assert bench.pauses == {"message-a": pause}


def test_after_the_last_pause_the_queue_alone_decides() -> None:
    bench = Bench()
    bench.errors["a"] = KeyError("x")

    assert failed(bench.set_aside.consume([message("a", len(PAUSES) + 1)])) == ["message-a"]

    assert bench.pauses == {}


@pytest.mark.parametrize("odd", [{"body": "{}"}, message("a", consumer="nobody")], ids=["none of ours", "unknown"])
def test_a_message_that_nobody_can_redrive_goes_the_same_way_to_a_person(odd: dict[str, Any]) -> None:
    bench = Bench()

    assert failed(bench.set_aside.consume([{**message("a"), **odd}])) == ["message-a"]

    assert bench.pauses


def test_a_message_without_an_id_fails_the_batch() -> None:
    with pytest.raises(MalformedRecordError):
        Bench().set_aside.consume([{"body": "{}"}])


def test_an_outage_is_told_as_one() -> None:
    bench = Bench()
    bench.errors["a"] = client_error("AccessDeniedException", "PutItem")

    (failure,) = bench.set_aside.consume([message("a")]).failures

    assert kind_of(failure.error) is FailureKind.OUTAGE
