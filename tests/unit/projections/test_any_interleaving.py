"""Appends, deliveries, faults and redeliveries in any interleaving: rows become the pure fold (FAULTS rows 2 to 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headwater.domain.events import (
    DomainEvent,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import AT, EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore, failed, kinesis_batch
from tests.fakes.parking_lot import parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels

USERS = ("u1", "u2", "u3")
CHANGES: Sequence[DomainEvent] = (
    UserProfileChanged(name="Grace"),
    UserEmailChanged(old_email="a@example.org", new_email="b@example.org"),
    UserDeleted(),
)


class UnreliableEventStore(InMemoryEventStore):
    """Answers every read but those that are to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = 0

    def load(self, aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("throttled")
        return super().load(aggregate_id, after)


class Rows(RuleBasedStateMachine):
    """A log, a projection over it, and deliveries that repeat, skip, reorder and lose their answers."""

    def __init__(self) -> None:
        super().__init__()
        self.events = UnreliableEventStore()
        self.rows = InMemoryReadModels()
        self.runner = ProjectionRunner(
            PLAYER_PROFILES,
            self.rows,
            self.events,
            InMemoryClaimStore(),
            EVENT_TYPES,
            parking=parking(),
            patience=patience(),
            sleep=lambda _: None,
        )
        self.log: list[RecordedEvent] = []
        self.accepted: dict[str, int] = {}

    @rule(user=st.sampled_from(USERS), score=st.integers(0, 5), game=st.sampled_from(["chess", "go"]))
    def play(self, user: str, score: int, game: str) -> None:
        self._append(f"player#{user}", PlayCompleted(game=game, score=score, played_at=AT))

    @rule(user=st.sampled_from(USERS), change=st.sampled_from(CHANGES))
    def change(self, user: str, change: DomainEvent) -> None:
        history = self.events.histories.get(f"user#{user}")
        if history and history[-1].type == UserDeleted.__name__:
            return
        self._append(f"user#{user}", change if history else UserRegistered(name="Ada", email="a@example.org"))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Some events of the log: out of order, twice, with gaps below."""
        picks = data.draw(st.lists(st.integers(0, len(self.log) - 1), min_size=1, max_size=8))
        self._process([self.log[pick] for pick in picks])

    @rule(
        before=st.lists(st.booleans(), max_size=3),
        after=st.lists(st.booleans(), max_size=3),
        reads=st.integers(0, 2),
    )
    def let_calls_fail(self, before: list[bool], after: list[bool], reads: int) -> None:
        self.rows.faults = [ConnectionError("throttled") if fails else None for fails in before]
        self.rows.after_effect = [TimeoutError("no answer") if fails else None for fails in after]
        self.events.failing = reads

    @invariant()
    def every_row_is_the_fold_of_a_prefix_of_its_aggregates(self) -> None:
        for row in self.rows.rows.values():
            user = row.pk.rpartition("#")[2]
            applied = [
                event
                for type_, version in row.applied.items()
                for event in self.events.histories[f"{type_}#{user}"][:version]
            ]
            assert row.state == PLAYER_PROFILES.fold(applied)

    @invariant()
    def what_was_accepted_is_applied(self) -> None:
        for aggregate_id, version in self.accepted.items():
            type_, _, user = aggregate_id.partition("#")
            assert self.rows.rows[PLAYER_PROFILES.pk(user)].applied[type_] >= version

    def teardown(self) -> None:
        """The newest event of each aggregate arrives, and nothing fails any more: the rest is healed."""
        self.let_calls_fail([], [], 0)
        if not self.log:
            return
        heads = [history[-1] for history in self.events.histories.values()]
        assert self._process(heads) == []
        for user in USERS:
            mine = [event for event in self.log if event.aggregate_key == user]
            row = self.rows.rows.get(PLAYER_PROFILES.pk(user))
            assert (row is not None) == bool(mine)
            if row is not None:
                assert row.state == PLAYER_PROFILES.fold(mine)
        self.every_row_is_the_fold_of_a_prefix_of_its_aggregates()

    def _append(self, aggregate_id: str, payload: DomainEvent) -> None:
        history = self.events.histories.setdefault(aggregate_id, [])
        event = recorded(aggregate_id, len(history) + 1, payload)
        history.append(event)
        self.log.append(event)

    def _process(self, events: Sequence[RecordedEvent]) -> list[int]:
        failures = failed(self.runner.process(kinesis_batch(events)))
        for number, event in enumerate(events, start=1):
            if number not in failures:
                reached = max(self.accepted.get(event.aggregate_id, 0), event.version)
                self.accepted[event.aggregate_id] = reached
        return failures


TestRows: Any = Rows.TestCase
TestRows.settings = settings(max_examples=100, stateful_step_count=30)
