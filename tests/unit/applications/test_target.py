"""What can be told is sent, what cannot is parked, and what fails is named."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headwater.applications.elements import Element, IncompleteBatchError, parse_batch
from headwater.applications.target import Target
from headwater.failures import FailureKind
from headwater.functions.pipe import target_handler
from headwater.limits import SqsLimits
from headwater.sending import QueueSender, RetryPolicy
from tests.fakes.applications import InMemoryInbox, InMemoryParking
from tests.fakes.cloud import FakeAws
from tests.fakes.patience import Patient, patience
from tests.fakes.publishers import AT_ONCE, client_error


def told(position: int, of: int) -> Element:
    return Element(event_id=f"event-{position}", position=position, of=of, status={"action_id": f"x{position}"})


def marked(position: int, of: int) -> Element:
    place: dict[str, Any] = {"event_id": f"event-{position}", "position": position, "of": of}
    return Element(**place, error="ApplicationMissingError", reason="there is none", record={"eventID": "raw"})


def test_what_can_be_told_is_sent_and_what_cannot_is_parked() -> None:
    inbox, parking = InMemoryInbox(), InMemoryParking()
    elements = [told(0, 3), marked(1, 3), told(2, 3)]

    outcome = Target(inbox, parking, patience()).deliver(elements)

    assert [message["action_id"] for message in inbox.messages] == ["x0", "x2"]
    assert parking.parked == [elements[1]]
    assert outcome.failures == ()


def test_what_the_queue_refuses_and_what_cannot_be_parked_is_named_alone() -> None:
    """FAULTS row 36: the Pipe retries what failed."""
    inbox, parking = InMemoryInbox(), InMemoryParking()
    inbox.refuses, parking.down = {"x0"}, True

    outcome = Target(inbox, parking, patience()).deliver([told(0, 3), marked(1, 3), told(2, 3)])

    assert outcome.queue_response() == {
        "batchItemFailures": [{"itemIdentifier": "event-0"}, {"itemIdentifier": "event-1"}]
    }
    assert [message["action_id"] for message in inbox.messages] == ["x2"]


def test_what_the_queue_refuses_for_good_is_parked_with_its_record_and_its_neighbours_are_told() -> None:
    inbox, parking = InMemoryInbox(), InMemoryParking()
    inbox.refuses, inbox.kind = {"x0", "x1"}, FailureKind.REFUSED
    carried = replace(told(0, 3), record={"eventID": "raw"})

    outcome = Target(inbox, parking, patience()).deliver([carried, told(1, 3), told(2, 3)])

    assert [message["action_id"] for message in inbox.messages] == ["x2"]
    (parked,) = parking.parked
    assert (parked.event_id, parked.status, parked.record) == ("event-0", None, {"eventID": "raw"})
    # Whose record was too long to come with it is tried again, until its age points to it.
    assert [failure.identifier for failure in outcome.failures] == ["event-1"]


def test_what_nobody_foresaw_of_one_record_is_set_aside_after_a_while_and_its_neighbours_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """FAULTS row 42."""
    inbox, parking, patient = InMemoryInbox(), InMemoryParking(), Patient()
    handler = target_handler("application_target", Target(inbox, parking, patient.patience).deliver)
    odd = replace(marked(1, 3), error="ZeroDivisionError", reason="alice divides", kind=FailureKind.UNFORESEEN)
    batch = [element.to_json() for element in (told(0, 3), odd, told(2, 3))]

    first = handler(batch, _context())
    patient.after = 31
    last = handler(batch, _context())

    assert first == {"batchItemFailures": [{"itemIdentifier": "event-1"}]}
    assert last == {"batchItemFailures": []}
    assert (parking.aside, parking.parked) == ([odd], [])
    assert [message["action_id"] for message in inbox.messages] == ["x0", "x2"] * 2
    assert "alice" not in caplog.text


def test_where_nearly_all_fail_alike_nothing_is_set_aside() -> None:
    parking, patient = InMemoryParking(), Patient()
    odd = [replace(marked(position, 30), kind=FailureKind.UNFORESEEN) for position in range(30)]
    target = Target(InMemoryInbox(), parking, patient.patience)

    target.deliver(odd)
    patient.after = 31

    assert len(target.deliver(odd).failures) == 30
    assert (parking.aside, parking.parked) == ([], [])
    assert [incident for incident, _ in patient.incidents.reports] == ["SystemicFailures"] * 2


@pytest.mark.parametrize(
    "batch",
    [
        [told(0, 2).to_json()],
        [told(1, 2).to_json()],
        [told(0, 2).to_json(), told(0, 2).to_json()],
        [told(1, 2).to_json(), told(0, 2).to_json()],
        [told(0, 1).to_json(), told(1, 2).to_json()],
        [{**told(0, 1).to_json(), "status": None}],
        [{"eventID": "event-0"}],
        [],
        {},
        None,
    ],
)
def test_row_35_a_batch_that_is_not_whole_is_sent_nowhere(batch: Any) -> None:
    """FAULTS row 35: fewer elements than records, and whatever else is not one for each."""
    inbox, parking = InMemoryInbox(), InMemoryParking()
    handler = target_handler("application_target", Target(inbox, parking, patience()).deliver)

    with pytest.raises(IncompleteBatchError):
        handler(batch, _context())

    assert (inbox.messages, parking.parked) == ([], [])


def test_row_35_the_reason_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """FAULTS row 35: a Pipe's dead letter has no reason, so that the log must."""
    handler = target_handler("application_target", Target(InMemoryInbox(), InMemoryParking(), patience()).deliver)

    with pytest.raises(IncompleteBatchError):
        handler([told(0, 3).to_json()], _context())

    (line,) = [vars(each) for each in caplog.records]
    assert line["error"] == "IncompleteBatchError"
    assert "the enrichment was given 3 records and answered 1" in line["reason"]


def test_an_element_comes_back_as_it_went() -> None:
    elements = [told(0, 2), marked(1, 2)]

    assert list(parse_batch([element.to_json() for element in elements])) == elements


class RefusingQueue:
    """SendMessageBatch that answers 200 with Failed entries: each message's first ``times`` tries."""

    def __init__(self, times: int, *, fault: bool = False) -> None:
        self.times, self.fault = times, fault
        self.code = "InvalidMessageContents" if fault else "InternalError"
        self.tries: dict[str, int] = {}
        self.sizes: list[int] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        self.sizes.append(len(Entries))
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        for entry in Entries:
            self.tries[entry["MessageBody"]] = self.tries.get(entry["MessageBody"], 0) + 1
            if self.tries[entry["MessageBody"]] <= self.times:
                answer["Failed"].append({"Id": entry["Id"], "Code": self.code, "SenderFault": self.fault})
            else:
                answer["Successful"].append({"Id": entry["Id"]})
        return answer


def inbox(client: Any, **settings: Any) -> QueueSender:
    return QueueSender(client, "https://queue", retry=AT_ONCE, **settings)


def test_failed_entries_are_sent_again_and_no_others() -> None:
    queue = RefusingQueue(times=1)

    assert inbox(queue).send([f"m{number}" for number in range(12)]) == {}

    assert queue.sizes == [10, 10, 2, 2]
    assert set(queue.tries.values()) == {2}


def test_what_stays_refused_is_told_by_its_position() -> None:
    refused = inbox(RefusingQueue(times=99)).send(["a", "b"])

    assert {position: str(error) for position, error in refused.items()} == {
        0: "SQS: InternalError",
        1: "SQS: InternalError",
    }


def test_what_is_our_own_fault_is_not_tried_again() -> None:
    queue = RefusingQueue(times=99, fault=True)

    assert set(inbox(queue).send(["a"])) == {0}
    assert queue.tries == {"a": 1}


def test_row_36_a_queue_that_refuses_as_a_whole_ends_the_sending() -> None:
    """FAULTS row 36. Access denied, or gone: the Pipe's retry is for that, not this function's time."""

    class Refusing:
        calls = 0

        def send_message_batch(self, **_: Any) -> Any:
            self.calls += 1
            raise client_error("AccessDenied", "SendMessageBatch", 403)

    queue = Refusing()
    refused = inbox(queue).send([f"m{number}" for number in range(25)])

    assert set(refused) == set(range(25))
    assert {str(error) for error in refused.values()} == {"SQS: AccessDenied"}
    assert queue.calls == 1


def test_a_request_stays_below_its_bytes() -> None:
    queue = RefusingQueue(times=0)

    inbox(queue, limits=SqsLimits(request_bytes=10)).send(["aaaa", "bbbb", "cccc"])

    assert queue.sizes == [2, 1]


def test_what_sqs_takes_for_invalid_is_sent_escaped() -> None:
    aws = FakeAws()
    target = Target(QueueSender(aws.sqs, aws.queue, retry=RetryPolicy(attempts=1)), InMemoryParking(), patience())
    element = Element(event_id="e", position=0, of=1, status={"note": "odd \ufffe\uffff"})

    assert target.deliver([element]).failures == ()
    with pytest.raises(ClientError):
        aws.sqs.send_message(QueueUrl=aws.queue, MessageBody="odd \ufffe")


def _context() -> Any:
    return type("Context", (), {"aws_request_id": "request-1"})()
