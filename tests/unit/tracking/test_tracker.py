"""A batch's messages are folded by application, and each application is written once."""

from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest

from headwater.domain.tracking import StatusChange, TrackedApplication
from headwater.tracking.tracker import Tracker, TrackingConflictError, UnknownMessageError, parse_message
from tests.fakes.applications import InMemoryTracking
from tests.unit.domain.test_tracking import CHANGE, LIFE


def message(change: StatusChange, message_id: str, **values: Any) -> dict[str, Any]:
    body = orjson.dumps({"schema_version": 1, **asdict(change), **values}).decode()
    return {"messageId": message_id, "body": body, "attributes": {"ApproximateReceiveCount": "1"}}


def test_a_batch_is_folded_and_each_application_written_once() -> None:
    store = InMemoryTracking()
    other = replace(CHANGE, application_id="a2")

    outcome = Tracker(store).track([message(change, str(n)) for n, change in enumerate((*reversed(LIFE), other))])

    assert outcome.failures == ()
    assert store.writes == 2
    stored = store.stored["a1"].application
    assert stored is not None
    assert [step.status for step in stored.history] == ["Received", "Preparing", "Approved"]


def test_a_batch_that_comes_again_writes_nothing() -> None:
    store = InMemoryTracking()
    batch = [message(change, str(n)) for n, change in enumerate(LIFE)]

    for _ in range(3):
        Tracker(store).track(batch)

    assert store.writes == 1


@pytest.mark.parametrize(
    "body",
    ["no JSON", "[]", '{"schema_version": 2}', '{"schema_version": 1}', orjson.dumps({**asdict(CHANGE)}).decode()],
)
def test_a_message_that_cannot_be_read_fails_alone(body: str) -> None:
    store = InMemoryTracking()
    bad = {"messageId": "bad", "body": body, "attributes": {"ApproximateReceiveCount": "1"}}

    outcome = Tracker(store).track([message(CHANGE, "good"), bad])

    assert outcome.queue_response() == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert "a1" in store.stored


def test_a_newer_schema_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnknownMessageError, match="deploy the receiver first"):
        parse_message(orjson.dumps({**asdict(CHANGE), "schema_version": 2}).decode())


class Racing(InMemoryTracking):
    """Somebody else writes first, so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def put(self, application: TrackedApplication, revision: int) -> None:
        if self.times:
            self.times -= 1
            Tracker(InMemoryTracking())  # another one, elsewhere
            super().put(TrackedApplication(**{**_fields(application), "history": application.history[:1]}), revision)
            raise TrackingConflictError("a1")
        super().put(application, revision)


def _fields(application: TrackedApplication) -> dict[str, Any]:
    return {name: getattr(application, name) for name in ("application_id", "account_id", "kind", "title", "history")}


def test_a_lost_race_is_read_again_and_folded_onto_what_is_there() -> None:
    store = Racing(times=1)

    outcome = Tracker(store).track([message(change, str(n)) for n, change in enumerate(LIFE)])

    stored = store.stored["a1"].application
    assert outcome.failures == ()
    assert stored is not None
    assert [step.action_id for step in stored.history] == ["x1", "x2", "x3"]


class AlwaysTaken(InMemoryTracking):
    def put(self, application: TrackedApplication, revision: int) -> None:
        raise TrackingConflictError(application.application_id)


def test_a_race_that_is_always_lost_fails_the_applications_messages_and_no_others() -> None:
    outcome = Tracker(AlwaysTaken()).track([message(change, str(n)) for n, change in enumerate(LIFE)])

    assert [failure.identifier for failure in outcome.failures] == ["0", "1", "2"]
