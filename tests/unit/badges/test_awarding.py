"""Awarding badges: the event first, then the progress; once, whoever races and however often it is delivered."""

from collections.abc import Callable
from copy import replace
from datetime import UTC, datetime, timedelta

import pytest

from headwater.badges.awarder import Awarder
from headwater.badges.progress import BADGE_PROGRESS
from headwater.domain.badges import ALL_GAMES
from headwater.domain.events import (
    BadgeEarned,
    NewEvent,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserRegistered,
)
from headwater.event_store.store import Append, ConcurrencyError
from headwater.ids import uuid7
from headwater.projections.read_models import Row
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore, failed, kinesis_batch
from tests.fakes.parking_lot import parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels

NOW = datetime(2026, 4, 1, tzinfo=UTC)


class CountingEventStore(InMemoryEventStore):
    """Counts the appends; ``faults`` are raised one an append, ``after_effect`` once it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.appends = 0
        self.faults: list[Exception] = []
        self.after_effect: list[Exception] = []

    def append(self, *appends: Append, also: object = ()) -> list[RecordedEvent]:
        self.appends += 1
        if self.faults:
            raise self.faults.pop(0)
        written = super().append(*appends)
        if self.after_effect:
            raise self.after_effect.pop(0)
        return written


class System:
    """The badges consumer with everything it talks to in memory; a second one may share the tables."""

    def __init__(self, beside: "System | None" = None) -> None:
        self.rows: InMemoryReadModels = beside.rows if beside else InMemoryReadModels()
        self.events: CountingEventStore = beside.events if beside else CountingEventStore()
        self.runner = ProjectionRunner(
            BADGE_PROGRESS,
            self.rows,
            self.events,
            InMemoryClaimStore(),
            EVENT_TYPES,
            parking=parking(),
            patience=patience(),
            before_write=Awarder(self.events, uuid7, lambda: NOW).award,
            sleep=lambda _: None,
        )

    def earned(self, user: str = "u1") -> set[str]:
        """What the row says is earned, by badge key."""
        state = self.rows.rows[f"badges@2#{user}"].state
        assert state is not None
        return {
            badge if scope == ALL_GAMES else f"{badge}:{scope}"
            for scope, text in state["earned"].items()
            for badge in text.split()
        }

    def award(self, key: str, user: str = "u1") -> RecordedEvent:
        [event] = self.events.histories[f"badge#{user}#{key}"]
        return event

    def awards(self) -> list[RecordedEvent]:
        return [event for id_, history in self.events.histories.items() if id_[:6] == "badge#" for event in history]


@pytest.fixture
def system() -> System:
    return System()


def play(version: int, day: int = 1, game: str = "chess", user: str = "u1", **envelope: object) -> RecordedEvent:
    moment = (datetime(2026, 3, 1, 12) + timedelta(days=day - 1)).isoformat(timespec="milliseconds") + "Z"  # noqa: DTZ001
    return recorded(f"player#{user}", version, PlayCompleted(game=game, score=1, played_at=moment), **envelope)


def test_an_award_says_for_what_when_and_why(system: System) -> None:
    first = play(1, metadata={"correlation_id": "c-1", "actor": "user#u1"})

    assert system.runner.process(kinesis_batch([first])).failures == []

    award = system.award("first-play:chess")
    assert (award.aggregate_id, award.version) == ("badge#u1#first-play:chess", 1)
    assert award.metadata == {"causation_id": first.event_id, "correlation_id": "c-1"}
    assert award.occurred_at == "2026-04-01T00:00:00.000Z"
    assert award.payload == BadgeEarned(
        user_id="u1",
        badge="first-play",
        game="chess",
        title="First play",
        earned_at="2026-03-01T12:00:00.000Z",
        play_event_id=first.event_id,
    )
    assert system.award("first-play-ever").data["game"] is None
    assert len(system.awards()) == 2
    assert system.earned() == {"first-play:chess", "first-play-ever"}


def test_an_ignored_event_that_nobody_can_read_holds_no_award_up(system: System) -> None:
    """FAULTS row 1: it is parked (not here: the queue is closed), and what came with it is awarded."""
    newer = replace(recorded("user#u1", 1, UserRegistered(name="Ada", email="ada@example.org")), schema_version=2)

    assert failed(system.runner.process(kinesis_batch([newer, play(1)]))) == [1]

    assert len(system.rows.writes) == 1
    assert system.earned() == {"first-play:chess", "first-play-ever"}
    assert len(system.awards()) == 2


def test_somebodys_item_in_an_awards_place_holds_no_plays_up(system: System) -> None:
    """FAULTS row 1: it is no event, which fan_out has parked; the player's own aggregate goes on."""
    foreign = replace(recorded("badge#u1#first-play:chess", 1, play(1).payload), event_id="foreign")
    system.events.histories[foreign.aggregate_id] = [foreign]
    system.events.unreadable.add("foreign")

    assert system.runner.process(kinesis_batch([play(1), play(2)])).failures == []

    assert system.rows.rows["badges@2#u1"].applied == {"player": 2}
    assert system.award("first-play-ever")


def test_ten_days_in_a_row_over_several_batches_out_of_order_and_twice(system: System) -> None:
    """FAULTS row 32: out of order and twice, by event time."""
    plays = [play(version, day) for version, day in enumerate([3, 1, 2, 5, 4, 9, 10, 7, 8, 6], start=1)]
    system.events.histories["player#u1"] = plays

    for batch in (plays[4:8], plays[:6], plays[7:], plays):
        assert system.runner.process(kinesis_batch(batch)).failures == []

    assert {"ten-days-in-a-row:chess", "ten-days-of-play", "ten-plays:chess"} < system.earned()
    assert {f"badge#u1#{key}" for key in system.earned()} == {award.aggregate_id for award in system.awards()}
    assert system.award("ten-days-in-a-row:chess").data["play_event_id"] == plays[9].event_id


def test_a_batch_costs_one_read_one_write_a_player_and_one_append_an_award(system: System) -> None:
    plays = [play(version, version, user=f"u{user}") for user in range(100) for version in range(1, 11)]

    assert system.runner.process(kinesis_batch(plays)).failures == []

    assert len(plays) == 1000
    assert len(system.rows.reads) == 1
    assert len(system.rows.writes) == 100
    assert system.events.appends == len(system.awards()) == 100 * len(system.earned("u7"))


def test_plays_that_earn_nothing_append_nothing(system: System) -> None:
    system.runner.process(kinesis_batch([play(1)]))

    system.runner.process(kinesis_batch([play(2), play(3)]))

    assert system.events.appends == 2


def test_two_workers_race_for_one_award(system: System) -> None:
    """FAULTS row 33: both read the same progress; one award, one progress."""
    rival = System(beside=system)
    batch = kinesis_batch([play(1), play(2, 2)])
    system.rows.meanwhile = [lambda: rival.runner.process(batch)]

    assert system.runner.process(batch).failures == []

    assert {award.aggregate_id for award in system.awards()} == {
        "badge#u1#first-play:chess",
        "badge#u1#first-play-ever",
    }
    assert len(system.awards()) == 2
    assert system.rows.rows["badges@2#u1"].applied == {"player": 2}


def test_a_redelivery_weeks_later_awards_nothing(system: System) -> None:
    """FAULTS rows 4 and 33."""
    batch = kinesis_batch([play(version, version) for version in range(1, 11)])
    system.runner.process(batch)
    before = (system.awards(), dict(system.rows.rows))

    assert system.runner.process(batch).failures == []

    assert (system.awards(), system.rows.rows) == before
    assert system.events.appends == len(system.awards())


def failing_append(system: System) -> None:
    system.events.faults = [ConnectionError("throttled")]


def lost_append(system: System) -> None:
    system.events.after_effect = [TimeoutError("no answer")]


def crash_between(system: System) -> None:
    system.rows.faults = [TimeoutError("stopped")]


def lost_write(system: System) -> None:
    system.rows.after_effect = [TimeoutError("no answer")]


@pytest.mark.parametrize("fault", [failing_append, lost_append, crash_between, lost_write])
def test_a_fault_between_award_and_progress_leaves_one_award_and_the_whole_progress(
    system: System, fault: Callable[[System], None]
) -> None:
    """FAULTS row 3: crash after the effect, before the acknowledgement, at each point."""
    batch = kinesis_batch([play(1)])
    fault(system)

    assert failed(system.runner.process(batch)) == [1]
    assert system.runner.process(batch).failures == []

    assert len(system.awards()) == 2
    assert system.earned() == {"first-play:chess", "first-play-ever"}


def test_progress_never_claims_an_award_that_was_not_appended(system: System) -> None:
    system.events.faults = [ConnectionError("throttled")]

    system.runner.process(kinesis_batch([play(1), play(1, user="u2")]))

    assert "badges@2#u1" not in system.rows.rows
    assert system.earned("u2") == {"first-play:chess", "first-play-ever"}


def test_a_refusal_that_shows_no_award_is_not_taken_for_one(system: System) -> None:
    system.events.faults = [ConcurrencyError("badge#u1#first-play:chess", 0, [])]

    assert failed(system.runner.process(kinesis_batch([play(1)]))) == [1]

    assert system.rows.rows == {}


def test_its_own_awards_coming_back_on_the_stream_change_nothing(system: System) -> None:
    system.runner.process(kinesis_batch([play(1)]))
    writes = len(system.rows.writes)

    assert system.runner.process(kinesis_batch(system.awards())).failures == []

    assert (len(system.rows.writes), len(system.awards())) == (writes, 2)


def test_a_deleted_player_earns_nothing_more(system: System) -> None:
    registered = recorded("user#u1", 1, UserRegistered(name="Ada", email="ada@example.org"))
    deleted = recorded("user#u1", 2, UserDeleted())
    system.runner.process(kinesis_batch([registered, play(1), deleted]))

    assert system.runner.process(kinesis_batch([play(2, 2, "go")])).failures == []

    assert system.awards() == []
    assert system.rows.rows["badges@2#u1"].state is None
    assert system.rows.rows["badges@2#u1"].applied == {"user": 2, "player": 2}


def test_an_award_by_hand_is_not_overwritten(system: System) -> None:
    by_hand = BadgeEarned(
        user_id="u1",
        badge="first-play",
        game="chess",
        title="x",
        earned_at="2026-03-01T12:00:00.000Z",
        play_event_id="by hand",
    )
    event = NewEvent(event_id=uuid7(), payload=by_hand, occurred_at="2026-01-01T00:00:00.000Z")
    InMemoryEventStore.append(system.events, Append("badge#u1#first-play:chess", 0, [event]))

    assert system.runner.process(kinesis_batch([play(1)])).failures == []

    assert system.award("first-play:chess").payload == by_hand
    assert system.earned() == {"first-play:chess", "first-play-ever"}


def test_a_new_generation_folds_the_history_once_and_awards_only_what_is_new(system: System) -> None:
    """Rows of an earlier generation are not read: the gate sees a gap down to the first play."""
    plays = [play(version, version) for version in range(1, 11)]
    system.events.histories["player#u1"] = plays
    old = ("first-play:chess", plays[0]), ("ten-days-in-a-row:chess", plays[9])
    for key, of in old:
        badge, _, game = key.partition(":")
        by_then = BadgeEarned(
            user_id="u1",
            badge=badge,
            game=game,
            title="as it was called",
            earned_at=of.data["played_at"],
            play_event_id=of.event_id,
        )
        system.events.histories[f"badge#u1#{key}"] = [recorded(f"badge#u1#{key}", 1, by_then)]
    before = {key: system.award(key) for key, _ in old}
    system.rows.rows["badges@1#u1"] = Row(pk="badges@1#u1", state={"games": {}}, applied={"player": 10}, revision=10)

    assert system.runner.process(kinesis_batch([play(11, 11)])).failures == []

    assert {key: system.award(key) for key in before} == before
    assert system.award("three-days-of-play").data["play_event_id"] == plays[2].event_id
    assert {f"badge#u1#{key}" for key in system.earned()} == {award.aggregate_id for award in system.awards()}
    assert system.rows.rows["badges@2#u1"].applied == {"player": 11}
