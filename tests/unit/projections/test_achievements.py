"""Achievements: awards from their events, sums from plays, one row a user, whatever way both are delivered."""

from collections.abc import Sequence
from copy import replace
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.badges.awarder import Awarder
from headwater.badges.progress import BADGE_PROGRESS
from headwater.clock import utc_now
from headwater.domain.badges import Tally, count, no_tally
from headwater.domain.events import (
    BadgeEarned,
    DomainEvent,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserProfileChanged,
    UserRegistered,
)
from headwater.ids import uuid7
from headwater.projections.achievements import ACHIEVEMENTS
from headwater.projections.projection import State
from headwater.projections.read_models import RowConflictError
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import AT, EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore, deliver, failed, kinesis_batch
from tests.fakes.parking_lot import parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels


class System:
    """The achievements consumer with everything it talks to in memory."""

    def __init__(self, history: Sequence[RecordedEvent] = ()) -> None:
        self.rows = InMemoryReadModels()
        self.events = InMemoryEventStore()
        for event in history:
            self.events.histories.setdefault(event.aggregate_id, []).append(event)
        self.runner = ProjectionRunner(
            ACHIEVEMENTS,
            self.rows,
            self.events,
            InMemoryClaimStore(),
            EVENT_TYPES,
            parking=parking(),
            patience=patience(),
            sleep=lambda _: None,
        )

    def state(self, user: str = "u1") -> State | None:
        return self.rows.rows[f"achievements@1#{user}"].state


def play(version: int, day: int = 1, game: str = "chess", user: str = "u1") -> RecordedEvent:
    payload = PlayCompleted(game=game, score=day, played_at=f"2026-03-{day:02d}T12:00:00.000Z")
    return recorded(f"player#{user}", version, payload)


def award(badge: str, game: str | None = None, user: str = "u1") -> RecordedEvent:
    key = badge if game is None else f"{badge}:{game}"
    earned = BadgeEarned(
        user_id=user, badge=badge, game=game, title=badge.title(), earned_at=AT, play_event_id=f"of {key}"
    )
    return recorded(f"badge#{user}#{key}", 1, earned)


def test_an_award_is_kept_with_the_play_that_earned_it_and_plays_move_the_sums() -> None:
    system = System()

    batch = [award("comeback"), play(1), award("first-play", "chess"), play(2, 2)]
    assert system.runner.process(kinesis_batch(batch)).failures == []

    state = system.state()
    assert state is not None
    assert state["earned"] == {
        "comeback": {"title": "Comeback", "earned_at": AT, "play_event_id": "of comeback"},
        "first-play:chess": {"title": "First-Play", "earned_at": AT, "play_event_id": "of first-play:chess"},
    }
    assert (state["games"]["chess"]["plays"], state["longest_streak"]) == (2, 2)
    assert (len(system.rows.reads), len(system.rows.writes)) == (1, 1)


def test_awards_are_what_was_awarded_and_not_what_rules_say_of_the_plays() -> None:
    system = System()

    system.runner.process(kinesis_batch([play(1), award("retired")]))

    state = system.state()
    assert state is not None
    assert state["earned"].keys() == {"retired"}


def test_an_award_that_comes_again_weeks_later_changes_nothing() -> None:
    """FAULTS rows 4 and 33."""
    system, batch = System(), kinesis_batch([play(1), award("first-play", "chess"), award("first-play-ever")])
    system.runner.process(batch)
    before = dict(system.rows.rows)

    assert system.runner.process(batch).failures == []

    assert system.rows.rows == before
    assert len(system.rows.writes) == 1


def test_a_thousand_records_of_a_hundred_users_cost_one_read_and_a_write_each() -> None:
    """A hundred keys a BatchGetItem: tests/unit/projections/test_dynamodb.py holds the requests to that."""
    system = System()
    events = [play(version, version, user=f"u{user}") for user in range(100) for version in range(1, 9)]
    events += [award(badge, user=f"u{user}") for user in range(100) for badge in ("a", "b")]

    assert system.runner.process(kinesis_batch(events)).failures == []

    assert (len(system.rows.reads), len(system.rows.writes)) == (1, 100)


def test_a_deleted_user_has_no_achievements_and_late_ones_do_not_bring_them_back() -> None:
    system = System()
    gone = [
        recorded("user#u1", 1, UserRegistered(name="Ada", email="a@example.org")),
        recorded("user#u1", 2, UserDeleted()),
    ]

    for batch in ([play(1), award("a"), *gone], [award("b"), play(2, 2)], [award("a")]):
        assert system.runner.process(kinesis_batch(batch)).failures == []

    assert system.state() is None


def test_a_malformed_award_stops_no_other() -> None:
    """FAULTS row 2: what one aggregate holds up is itself."""
    system = System()
    broken = replace(award("a"), data={"badge": "a"})

    outcome = system.runner.process(kinesis_batch([broken, award("b"), play(1)]))

    assert failed(outcome) == [1]
    state = system.state()
    assert state is not None
    assert state["earned"].keys() == {"b"}
    assert state["games"]["chess"]["plays"] == 1


@st.composite
def histories(draw: st.DrawFn) -> list[RecordedEvent]:
    """One user's account, plays, and the awards that the badges consumer makes of them."""
    deletion: list[DomainEvent] = draw(st.sampled_from([[], [], [UserDeleted()]]))
    account: list[DomainEvent] = [
        UserRegistered(name="Ada", email="a@example.org"),
        UserProfileChanged(name="G"),
        *deletion,
    ]
    days = draw(st.lists(st.integers(1, 28), max_size=20))
    plays = [play(version, day, draw(st.sampled_from(["chess", "go"]))) for version, day in enumerate(days, start=1)]
    events = InMemoryEventStore()
    runner = ProjectionRunner(
        BADGE_PROGRESS,
        InMemoryReadModels(),
        events,
        InMemoryClaimStore(),
        EVENT_TYPES,
        parking=parking(),
        patience=patience(),
        before_write=Awarder(events, uuid7, utc_now).award,
    )
    assert runner.process(kinesis_batch(plays)).failures == []
    awards = [event for history in events.histories.values() for event in history]
    return [*(recorded("user#u1", version, each) for version, each in enumerate(account, start=1)), *plays, *awards]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[RecordedEvent], list[RecordedEvent]]:
    history = draw(histories())
    again = draw(st.lists(st.sampled_from(history), max_size=8))
    return history, draw(st.permutations([*history, *again]))


@settings(max_examples=150)
@given(
    deliveries(),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.lists(st.sampled_from([None, ConnectionError("throttled"), RowConflictError("row", 0)]), max_size=6),
    st.lists(st.sampled_from([None, TimeoutError("no answer")]), max_size=6),
)
def test_achievements_become_the_pure_fold_under_any_delivery(
    delivery: tuple[list[RecordedEvent], list[RecordedEvent]],
    sizes: list[int],
    before: list[BaseException | None],
    after: list[Exception | None],
) -> None:
    """FAULTS rows 2 to 6 and 33: duplicates, reordering, throttles, lost answers, races."""
    history, arrival = delivery
    system = System(history)
    system.rows.faults, system.rows.after_effect = list(before), after

    deliver(kinesis_batch(arrival), system.runner.process, sizes)

    row = system.rows.rows["achievements@1#u1"]
    assert row.state == ACHIEVEMENTS.fold(history)
    assert row.applied == {ACHIEVEMENTS.gate(event): event.version for event in history}
    deleted = any(event.type == UserDeleted.__name__ for event in history)
    assert (row.state is None) == deleted
    if row.state is not None:
        tally: Tally = no_tally()
        for event in history:
            if isinstance(each := event.payload, PlayCompleted):
                tally = count(tally, each)
        assert {name: row.state[name] for name in tally} == cast(State, tally)
        assert {f"badge#u1#{key}": earned["play_event_id"] for key, earned in row.state["earned"].items()} == {
            event.aggregate_id: event.data["play_event_id"] for event in history if event.type == BadgeEarned.__name__
        }
