"""Whatever way a history is delivered, the rows become its pure fold (FAULTS rows 2 to 6)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.badges.awarder import Awarder
from headwater.badges.progress import BADGE_PROGRESS
from headwater.clock import utc_now
from headwater.domain.badges import no_progress, record_play
from headwater.domain.events import (
    BadgeEarned,
    DomainEvent,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.ids import uuid7
from headwater.limits import DynamoDbLimits
from headwater.projections.leaderboard import LEADERBOARD
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Projection
from headwater.projections.read_models import RowConflictError
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore, deliver, kinesis_batch
from tests.fakes.parking_lot import parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels

USERS = ("u1", "u2")
CHANGES: list[DomainEvent] = [
    UserProfileChanged(name="Grace"),
    UserEmailChanged(old_email="a@example.org", new_email="b@example.org"),
]


@dataclass(frozen=True)
class Run:
    """A history, the order and batches in which it arrives, and what goes wrong with the writes."""

    history: Sequence[RecordedEvent]
    arrival: Sequence[RecordedEvent]
    sizes: Sequence[int]
    before: Sequence[Exception | None]
    after: Sequence[Exception | None]


@st.composite
def histories(draw: st.DrawFn, user: str) -> list[RecordedEvent]:
    changes = draw(st.lists(st.sampled_from(CHANGES), max_size=3))
    deletion: list[DomainEvent] = draw(st.sampled_from([[], [UserDeleted()]]))
    account: list[DomainEvent] = [UserRegistered(name="Ada", email="a@example.org"), *changes, *deletion]
    plays = draw(
        st.lists(
            st.builds(
                PlayCompleted,
                game=st.sampled_from(["chess", "go"]),
                score=st.integers(0, 5),
                played_at=st.integers(1, 14).map(lambda day: f"2026-03-{day:02d}T12:00:00.000Z"),
            ),
            max_size=16,
        )
    )
    return [recorded(f"user#{user}", version, payload) for version, payload in enumerate(account, start=1)] + [
        recorded(f"player#{user}", version, payload) for version, payload in enumerate(plays, start=1)
    ]


@st.composite
def runs(draw: st.DrawFn) -> Run:
    history = [event for user in USERS for event in draw(histories(user))]
    again = draw(st.lists(st.sampled_from(history), max_size=10))
    faults = st.lists(st.sampled_from([None, None, ConnectionError("throttled")]), max_size=6)
    lost = st.lists(st.sampled_from([None, None, TimeoutError("no answer")]), max_size=6)
    conflicts = st.lists(st.sampled_from([None, RowConflictError("row", 0)]), max_size=4)
    return Run(
        history=history,
        arrival=draw(st.permutations([*history, *again])),
        sizes=draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)),
        before=[*draw(faults), *draw(conflicts)],
        after=draw(lost),
    )


def arrive(
    run: Run, projection: Projection, *, writers: int = 1, limits: DynamoDbLimits | None = None
) -> tuple[InMemoryReadModels, InMemoryEventStore]:
    """Delivers the run until all of it is accepted."""
    rows, events = InMemoryReadModels(), InMemoryEventStore()
    for event in run.history:
        events.histories.setdefault(event.aggregate_id, []).append(event)
    rows.faults, rows.after_effect = list(run.before), list(run.after)
    awarder = Awarder(events, uuid7, utc_now)
    runner = ProjectionRunner(
        projection,
        rows,
        events,
        InMemoryClaimStore(),
        EVENT_TYPES,
        parking=parking(),
        patience=patience(),
        before_write=awarder.award if projection is BADGE_PROGRESS else None,
        writers=ThreadPoolExecutor(writers) if writers > 1 else None,
        sleep=lambda _: None,
        limits=limits,
    )
    deliver(kinesis_batch(run.arrival), runner.process, run.sizes)
    return rows, events


def assert_rows_are_the_fold(run: Run, projection: Projection, rows: InMemoryReadModels) -> None:
    for user in USERS:
        mine = [event for event in run.history if event.aggregate_key == user]
        row = rows.rows[projection.pk(user)]
        assert row.state == projection.fold(mine)
        assert row.applied == {
            type_: max(event.version for event in mine if event.aggregate_type == type_)
            for type_ in {event.aggregate_type for event in mine}
        }


@settings(max_examples=200)
@given(runs())
def test_profiles_become_the_pure_fold_of_the_history(run: Run) -> None:
    rows, _ = arrive(run, PLAYER_PROFILES)

    assert_rows_are_the_fold(run, PLAYER_PROFILES, rows)


@settings(max_examples=30)
@given(runs())
def test_threads_change_nothing_about_the_result(run: Run) -> None:
    rows, _ = arrive(run, PLAYER_PROFILES, writers=3)

    assert_rows_are_the_fold(run, PLAYER_PROFILES, rows)


@settings(max_examples=200)
@given(runs(), st.sampled_from([2, 3, 100]))
def test_leaderboards_become_the_pure_fold_however_few_rows_a_transaction_takes(run: Run, items: int) -> None:
    """FAULTS rows 3 to 5 of several rows a player: none lags behind the checkpoint that says it was moved."""
    rows, _ = arrive(run, LEADERBOARD, limits=DynamoDbLimits(transaction_items=items))

    assert_rows_are_the_fold(run, LEADERBOARD, rows)
    for user in USERS:
        state = rows.rows[LEADERBOARD.pk(user)].state
        expected = {LEADERBOARD.pk(f"{user}#{game}"): part for game, part in (state or {"parts": {}})["parts"].items()}
        stored = {pk: row for pk, row in rows.rows.items() if pk.startswith(LEADERBOARD.pk(f"{user}#"))}
        assert {pk: row.state for pk, row in stored.items() if row.state is not None} == expected
        assert {pk for pk, row in stored.items() if row.rank} == expected.keys()
        assert state is None or stored.keys() == expected.keys()


@settings(max_examples=200)
@given(runs())
def test_progress_becomes_the_pure_fold_and_each_award_is_one_event(run: Run) -> None:
    """FAULTS row 33 too: whatever is repeated, a badge is awarded once, and for the play that the progress names."""
    rows, events = arrive(run, BADGE_PROGRESS)

    assert_rows_are_the_fold(run, BADGE_PROGRESS, rows)
    for user in USERS:
        state = rows.rows[BADGE_PROGRESS.pk(user)].state
        awarded = {
            aggregate_id.removeprefix(f"badge#{user}#"): history
            for aggregate_id, history in events.histories.items()
            if aggregate_id.startswith(f"badge#{user}#")
        }
        assert all(len(history) == 1 for history in awarded.values())
        if state is not None:
            progress, expected = no_progress(), dict[str, DomainEvent]()
            for event in (event for event in run.history if event.aggregate_id == f"player#{user}"):
                progress, awards = record_play(progress, cast(PlayCompleted, event.payload), event.event_id)
                expected |= {key: BadgeEarned(user_id=user, **award) for key, award in awards.items()}
            assert {key: history[0].payload for key, history in awarded.items()} == expected
