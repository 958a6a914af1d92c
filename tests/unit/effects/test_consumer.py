"""The frame of a consumer behind a queue, with its ledger in memory."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from headwater.change_stream import cloud_events
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.change_stream.records import MalformedRecordError
from headwater.change_stream.sqs import QueueMessage
from headwater.domain.events import RecordedEvent, UserDeleted, UserRegistered
from headwater.effects.consumer import (
    OUTAGE_PAUSES,
    EffectNotPerformedError,
    EffectRefusedError,
    EffectsFailedError,
    OnUnconfirmed,
    QueueConsumer,
    UnexpectedEventError,
)
from headwater.effects.ledger import ClaimHeldError, UnconfirmedClaimError
from headwater.event_store import codec
from headwater.failures import FailureKind
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore, outgoing
from tests.fakes.ledger import InMemoryEffectLedger
from tests.fakes.publishers import client_error
from tests.fakes.queue_messages import queue_message

START = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
LEASE = timedelta(minutes=2)


def registered(user: str = "a", **envelope: Any) -> RecordedEvent:
    return recorded(f"user#0199-{user}", 1, UserRegistered(name="Ada", email="ada@example.org"), **envelope)


def replayed(event: RecordedEvent) -> OutgoingEvent:
    return cloud_events.encode(codec.encode(event), EVENT_TYPES, replay=True)


class Bench:
    """A consumer whose effects are to note the event's id; faults are raised in turn, after the noting or before."""

    def __init__(self, on_unconfirmed: OnUnconfirmed = OnUnconfirmed.HOLD, effects: Sequence[str] = ("",)) -> None:
        self.now = START
        self.effects = effects
        self.postponed: list[tuple[str, timedelta]] = []
        self.performed: list[str] = []
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.claims = InMemoryClaimStore()
        self.incidents = RecordedIncidents()
        self.ledger = InMemoryEffectLedger(lease=LEASE, clock=lambda: self.now)
        self._consumer = QueueConsumer(
            "notes",
            ["UserRegistered"],
            self._prepare,
            types=EVENT_TYPES,
            claims=self.claims,
            ledger=self.ledger,
            incidents=self.incidents,
            on_unconfirmed=on_unconfirmed,
            postponement=self,
            clock=lambda: self.now,
        )

    def deliver(self, *messages: dict[str, Any]) -> BatchOutcome:
        return self._consumer.consume(messages)

    def postpone(self, message: QueueMessage, delay: timedelta) -> None:
        self.postponed.append((message.message_id, delay))

    def _prepare(self, event: RecordedEvent) -> dict[str, Callable[[], None]]:
        if event.payload == UserRegistered(name="", email=""):
            raise ValueError("nobody to note")

        def effect() -> None:
            if self.before:
                raise self.before.pop(0)
            self.performed.append(event.event_id)
            if self.after:
                raise self.after.pop(0)

        return dict.fromkeys(self.effects, effect)


def errors(outcome: BatchOutcome) -> dict[str, type[Exception]]:
    return {failure.identifier: type(failure.error) for failure in outcome.failures}


def test_rows_3_and_4_an_event_that_comes_again_has_its_effect_once() -> None:
    """FAULTS rows 3 and 4: again in the batch, in a later one, or weeks later as a redrive."""
    bench, event = Bench(), registered()

    outcomes = [bench.deliver(queue_message(event, "m-1"), queue_message(event, "m-2"))]
    bench.now += timedelta(days=20)
    outcomes.append(bench.deliver(queue_message(event, "m-3")))

    assert bench.performed == [event.event_id]
    assert outcomes == [BatchOutcome(2), BatchOutcome(1)]


def test_events_of_two_aggregates_that_have_one_id_have_an_effect_each() -> None:
    """A program that counts its events for each aggregate gives them such ids."""
    bench = Bench()
    ada, bob = (
        recorded(f"user#{name}", 1, UserRegistered(name=name, email=f"{name}@example.org"), event_id="1")
        for name in ("ada", "bob")
    )

    for delivery in ("first", "again"):
        bench.deliver(queue_message(ada, f"ada-{delivery}"), queue_message(bob, f"bob-{delivery}"))

    assert bench.performed == ["1", "1"]


def test_a_replayed_event_has_no_second_effect() -> None:
    bench, event = Bench(), registered()
    bench.deliver(queue_message(event, "m-1"))

    outcome = bench.deliver(queue_message(replayed(event), "m-2"))

    assert outcome == BatchOutcome(1)
    assert bench.performed == [event.event_id]


def test_an_effect_that_certainly_failed_is_performed_by_the_next_delivery() -> None:
    bench, event = Bench(), registered()
    bench.before = [EffectNotPerformedError("throttled")]

    first = bench.deliver(queue_message(event, "m-1"))
    second = bench.deliver(queue_message(event, "m-1"))

    assert errors(first) == {"m-1": EffectNotPerformedError}
    assert second == BatchOutcome(1)
    assert bench.performed == [event.event_id]


@pytest.mark.parametrize("policy", list(OnUnconfirmed))
def test_row_3_an_effect_whose_answer_was_lost_waits_out_its_lease(policy: OnUnconfirmed) -> None:
    """FAULTS row 3: the effect happened, its acknowledgement did not."""
    bench, event = Bench(policy), registered()
    bench.after = [TimeoutError()]

    first = bench.deliver(queue_message(event, "m-1"))
    bench.now += LEASE - timedelta(seconds=1)
    within = bench.deliver(queue_message(event, "m-1"))

    assert errors(first) == {"m-1": TimeoutError}
    assert errors(within) == {"m-1": ClaimHeldError}
    assert bench.performed == [event.event_id]
    assert bench.incidents.reports == []


def test_past_its_lease_an_unconfirmed_claim_is_reported_and_held() -> None:
    bench, event = Bench(OnUnconfirmed.HOLD), registered()
    bench.after = [TimeoutError()]
    bench.deliver(queue_message(event, "m-1"))
    bench.now += LEASE

    outcomes = [bench.deliver(queue_message(event, "m-1")) for _ in range(2)]

    assert [errors(outcome) for outcome in outcomes] == [{"m-1": UnconfirmedClaimError}] * 2
    assert bench.performed == [event.event_id]
    assert [(incident, facts["event_id"]) for incident, facts in bench.incidents.reports] == [
        ("UnconfirmedEffects", event.event_id)
    ] * 2


def test_past_its_lease_an_unconfirmed_claim_is_reported_and_repeated_once_where_that_is_the_policy() -> None:
    bench, event = Bench(OnUnconfirmed.REPEAT), registered()
    bench.after = [TimeoutError()]
    bench.deliver(queue_message(event, "m-1"))
    bench.now += LEASE

    outcomes = [bench.deliver(queue_message(event, "m-1")) for _ in range(2)]

    assert outcomes == [BatchOutcome(1)] * 2
    assert bench.performed == [event.event_id] * 2
    assert [incident for incident, _ in bench.incidents.reports] == ["UnconfirmedEffects"]


def test_past_its_lease_an_idempotent_effect_goes_on_and_nobody_needs_to_hear_of_it() -> None:
    bench, event = Bench(OnUnconfirmed.RESUME), registered()
    bench.after = [TimeoutError()]
    bench.deliver(queue_message(event, "m-1"))
    bench.now += LEASE

    outcome = bench.deliver(queue_message(event, "m-1"))

    assert outcome == BatchOutcome(1)
    assert bench.performed == [event.event_id] * 2
    assert bench.incidents.reports == []


def test_row_26_a_refused_effect_ends_is_reported_and_is_not_asked_for_again() -> None:
    """FAULTS row 26: terminal, no loop."""
    bench, event = Bench(), registered()
    bench.before = [EffectRefusedError("the recipient is refused")]

    outcomes = [bench.deliver(queue_message(event, message)) for message in ("m-1", "m-2")]

    assert outcomes == [BatchOutcome(1)] * 2
    assert bench.performed == []
    assert bench.incidents.reports == [
        ("RefusedEffects", {"message": "the recipient is refused", "event_id": event.event_id, "effect": ""})
    ]


def test_effects_of_one_event_are_claimed_each_on_its_own() -> None:
    """What was done is not done again for the sake of what was not."""
    bench, event = Bench(effects=("old", "new", "third")), registered()
    bench.before = [EffectNotPerformedError("throttled")]

    first = bench.deliver(queue_message(event, "m-1"))
    assert errors(first) == {"m-1": EffectNotPerformedError}
    assert len(bench.performed) == 2

    second = bench.deliver(queue_message(event, "m-1"))
    assert second == BatchOutcome(1)
    assert len(bench.performed) == 3
    assert set(bench.ledger.entries) == {("notes", f"{event.event_id}#{name}") for name in bench.effects}


def test_several_failures_of_one_event_are_told_together() -> None:
    bench, event = Bench(effects=("old", "new")), registered()
    bench.before = [EffectNotPerformedError("throttled"), TimeoutError("no answer")]

    (failure,) = bench.deliver(queue_message(event, "m-1")).failures

    assert isinstance(failure.error, EffectsFailedError)
    assert str(failure.error) == "EffectNotPerformedError: throttled; TimeoutError: no answer"


def test_row_26_a_message_that_can_only_wait_is_postponed() -> None:
    """FAULTS row 26: without its daily quota, SES is not asked every few minutes."""
    bench, event = Bench(effects=("old", "new")), registered()
    hours = timedelta(hours=3)
    bench.before = [EffectNotPerformedError("quota", hours), EffectNotPerformedError("quota", 2 * hours)]

    outcome = bench.deliver(queue_message(event, "m-1"))

    assert set(errors(outcome)) == {"m-1"}
    assert bench.postponed == [("m-1", hours)]


@pytest.mark.parametrize("other", [EffectNotPerformedError("throttled"), TimeoutError("no answer")])
def test_a_message_with_anything_to_do_soon_is_not_postponed(other: Exception) -> None:
    bench, event = Bench(effects=("old", "new")), registered()
    bench.before = [EffectNotPerformedError("quota", timedelta(hours=3)), other]

    bench.deliver(queue_message(event, "m-1"))
    bench.deliver(queue_message(event, "m-1"))

    assert bench.postponed == []


def test_row_1_a_message_that_cannot_be_handled_fails_alone_and_claims_nothing() -> None:
    """FAULTS row 1, for a queue: the neighbours flow."""
    bench, good = Bench(), registered("good")
    unreadable = registered("b")
    deleted = recorded("user#0199-c", 2, UserDeleted())
    newer = recorded("user#0199-d", 1, UserRegistered(name="Ada", email="ada@example.org"))
    body = outgoing(newer).body.decode().replace("UserRegistered:1", "UserRegistered:2")
    nobody = recorded("user#0199-e", 1, UserRegistered(name="", email=""))

    outcome = bench.deliver(
        queue_message(unreadable, "not-json", body="{"),
        queue_message(deleted, "other-type"),
        queue_message(newer, "newer-schema", body=body),
        queue_message(nobody, "unprepared"),
        queue_message(good, "good") | {"body": None},
        queue_message(good, "good"),
    )

    assert bench.performed == [good.event_id]
    assert set(bench.ledger.entries) == {("notes", good.event_id)}
    assert set(errors(outcome)) == {"not-json", "other-type", "newer-schema", "unprepared", "good"}
    assert errors(outcome)["other-type"] is UnexpectedEventError
    assert outcome.queue_response()["batchItemFailures"][0] == {"itemIdentifier": "not-json"}


def test_row_13_a_claim_check_is_followed() -> None:
    """FAULTS row 13, the consumer's half."""
    bench, event = Bench(), registered()
    whole = outgoing(event)
    light = cloud_events.without_data(whole, bench.claims.put(event.event_id, whole.body))

    outcome = bench.deliver(queue_message(light, "m-1"))

    assert outcome == BatchOutcome(1)
    assert bench.performed == [event.event_id]


def test_a_replay_of_what_the_ledger_may_have_forgotten_is_reported_and_not_acted_upon() -> None:
    bench = Bench()
    bench.ledger.memory = timedelta(days=400)
    old = registered("a", occurred_at=(START - timedelta(days=400)).isoformat())
    recent = registered("b", occurred_at=(START - timedelta(days=399)).isoformat())
    imported = registered("c", occurred_at=(START - timedelta(days=4000)).isoformat())

    outcome = bench.deliver(
        queue_message(replayed(old), "m-1"), queue_message(replayed(recent), "m-2"), queue_message(imported, "m-3")
    )

    assert outcome == BatchOutcome(3)
    assert bench.performed == [recent.event_id, imported.event_id]
    assert [(incident, facts["event_id"]) for incident, facts in bench.incidents.reports] == [
        ("OutdatedEffects", old.event_id)
    ]


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T12:00:00"])
def test_a_replay_without_a_time_that_can_be_placed_fails(time: str) -> None:
    bench, message = Bench(), queue_message(replayed(registered()), "m-1")
    body = orjson.loads(message["body"]) | {"time": time}

    outcome = bench.deliver(message | {"body": orjson.dumps(body).decode()})

    assert set(errors(outcome)) == {"m-1"}
    assert bench.performed == []


def test_a_record_without_a_message_id_fails_the_batch_before_anything_is_done() -> None:
    bench = Bench()
    nameless = queue_message(registered(), "m-2")
    del nameless["messageId"]

    with pytest.raises(MalformedRecordError, match="messageId"):
        bench.deliver(queue_message(registered("b"), "m-1"), nameless)

    assert bench.performed == []


DENIED = client_error("AccessDeniedException", "PutItem")


@pytest.mark.parametrize("count", [1, 5, len(OUTAGE_PAUSES)])
def test_an_outage_hides_a_message_for_longer_each_time_so_that_it_outlasts_the_outage(count: int) -> None:
    """FAULTS row 44."""
    bench, message = Bench(), queue_message(registered(), "m-1")
    message["attributes"]["ApproximateReceiveCount"] = str(count)
    bench.before = [EffectNotPerformedError("not verified", kind=FailureKind.OUTAGE)]

    assert errors(bench.deliver(message)) == {"m-1": EffectNotPerformedError}

    assert bench.postponed == [("m-1", OUTAGE_PAUSES[count - 1])]


def test_after_the_last_pause_of_an_outage_the_queue_alone_decides() -> None:
    bench, message = Bench(), queue_message(registered(), "m-1")
    message["attributes"]["ApproximateReceiveCount"] = str(len(OUTAGE_PAUSES) + 1)
    bench.before = [EffectNotPerformedError("not verified", kind=FailureKind.OUTAGE)]

    bench.deliver(message)

    assert bench.postponed == []


def test_an_outage_before_anything_is_claimed_hides_the_message_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def denied(*_: object, **__: object) -> None:
        raise DENIED

    monkeypatch.setattr(bench.ledger, "claim", denied)

    assert errors(bench.deliver(queue_message(registered(), "m-1"))) == {"m-1": type(DENIED)}
    assert bench.postponed == [("m-1", OUTAGE_PAUSES[0])]


def test_a_bad_moment_leaves_the_message_to_its_queue() -> None:
    bench = Bench()
    bench.before = [EffectNotPerformedError("throttled")]

    bench.deliver(queue_message(registered(), "m-1"))

    assert bench.postponed == []


def test_an_outage_of_one_effect_is_the_messages() -> None:
    bench = Bench(effects=["a", "b"])
    bench.before = [ValueError("odd"), EffectNotPerformedError("not verified", kind=FailureKind.OUTAGE)]

    assert errors(bench.deliver(queue_message(registered(), "m-1"))) == {"m-1": EffectsFailedError}
    assert bench.postponed == [("m-1", OUTAGE_PAUSES[0])]
