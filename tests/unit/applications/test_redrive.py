"""Parked records of the Pipe are told again through its target function, which alone the other account lets in."""

import io
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from headwater.applications.elements import Element
from headwater.applications.enrichment import Enrichment
from headwater.applications.parking import CONSUMER
from headwater.applications.redrive import LambdaTeller, PipeRedrive, UntellableError
from headwater.applications.target import Target
from headwater.dead_letters.redrive import Redrive, StillFailingError
from headwater.functions.pipe import target_handler
from tests.fakes.applications import InMemoryApplications, InMemoryInbox, InMemoryParking, action, application, record
from tests.fakes.patience import patience


class DeployedTarget:
    """Stands in for Lambda, with the real handler over ``inbox`` and ``parking``."""

    def __init__(self) -> None:
        self.inbox, self.parking = InMemoryInbox(), InMemoryParking()
        self.invoked: list[str] = []
        handler = target_handler("application_target", Target(self.inbox, self.parking, patience()).deliver)
        self.answer: Callable[[Any], Any] = lambda event: handler(event, SimpleNamespace(aws_request_id="request-1"))

    def invoke(self, **request: Any) -> Any:
        self.invoked.append(request["FunctionName"])
        try:
            answer, failed = self.answer(orjson.loads(request["Payload"])), {}
        except Exception as error:  # noqa: BLE001  # as Lambda answers for any
            answer = {"errorType": type(error).__name__, "errorMessage": str(error)}
            failed = {"FunctionError": "Unhandled"}
        return {"StatusCode": 200, "Payload": io.BytesIO(orjson.dumps(answer)), **failed}


def redrive(deployed: DeployedTarget, items: Sequence[Any], *records: Any) -> None:
    pipe = PipeRedrive(Enrichment(InMemoryApplications(*items)), LambdaTeller(deployed, "headwater-Target"))
    Redrive({CONSUMER: pipe.redrive}, {}, {}).run(CONSUMER, records)


def test_the_target_function_tells_what_can_be_told_now() -> None:
    deployed = DeployedTarget()

    redrive(deployed, [application()], record(action()), record(action("x2", status="Preparing")))

    assert [message["action_id"] for message in deployed.inbox.messages] == ["x1", "x2"]
    assert deployed.invoked == ["headwater-Target"]


def test_what_still_cannot_be_told_fails_with_the_reason_and_is_not_parked_again() -> None:
    deployed = DeployedTarget()

    with pytest.raises(StillFailingError, match="there is no application a2"):
        redrive(deployed, [application()], record(action("x2", "a2")), record(action()))

    assert deployed.parking.parked == []
    assert [message["action_id"] for message in deployed.inbox.messages] == ["x1"]


def test_nothing_to_tell_invokes_nothing() -> None:
    deployed = DeployedTarget()

    with pytest.raises(StillFailingError, match="ApplicationMissingError"):
        redrive(deployed, [], record(action()))

    assert deployed.invoked == []


def test_row_36_what_the_queue_refuses_again_still_fails() -> None:
    """FAULTS row 36: a refusal that the function answers for must not pass for done."""
    deployed = DeployedTarget()
    deployed.inbox.refuses = {"x1"}

    with pytest.raises(StillFailingError, match="did not take it: the log of application-target says why"):
        redrive(deployed, [application()], record(action()))


def test_a_function_that_fails_is_told_with_its_error() -> None:
    deployed = DeployedTarget()

    def broken(_: Any) -> Any:
        raise KeyError("inbox")

    deployed.answer = broken

    with pytest.raises(UntellableError, match="headwater-Target failed: KeyError: 'inbox'"):
        redrive(deployed, [application()], record(action()))


@pytest.mark.parametrize("answer", [None, {}, [], "", {"batchItemFailures": None}])
def test_an_answer_that_says_nothing_is_no_success(answer: Any) -> None:
    """Lambda's mappings take it for one; an operator's command takes the dead letter off by it."""
    deployed = DeployedTarget()
    deployed.answer = lambda _: answer

    with pytest.raises(UntellableError, match="did not say what it told"):
        redrive(deployed, [application()], record(action()))


def test_a_teller_hands_over_a_batch_that_the_target_takes_for_whole() -> None:
    deployed = DeployedTarget()
    elements = Enrichment(InMemoryApplications(application())).enrich([record(action())])

    assert LambdaTeller(deployed, "headwater-Target").tell(elements) == []
    assert isinstance(elements[0], Element)
