"""Delivery rule 6: a permanent error parks its aggregate, whose later events wait in the event store."""

from collections.abc import Sequence
from copy import replace
from typing import Any

import pytest

from headwater.dead_letters.parked import NotParkedError
from headwater.dead_letters.redrive import GivenUp
from headwater.domain.events import RecordedEvent, UnknownEventError
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.read_models import RowConflictError
from headwater.projections.runner import NotStoppedError, ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import EVENT_TYPES
from tests.fakes.kinesis_records import InMemoryClaimStore, kinesis_batch
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels
from tests.unit.projections.test_runner import plays, registered, unknown


class System:
    def __init__(self, events: InMemoryEventStore | None = None) -> None:
        self.rows = InMemoryReadModels()
        self.events = events or InMemoryEventStore()
        self.lot = InMemoryParkingLot()
        self.runner = ProjectionRunner(
            PLAYER_PROFILES,
            self.rows,
            self.events,
            InMemoryClaimStore(),
            EVENT_TYPES,
            sleep=lambda _: None,
            parking=parking(self.lot, "player_profiles"),
            patience=patience(),
        )

    def store(self, events: Sequence[RecordedEvent]) -> None:
        self.events.histories["player#u1"] = list(events)

    @property
    def row(self) -> Any:
        return self.rows.rows["player_profiles@1#u1"]


@pytest.fixture
def system() -> System:
    return System()


def poisoned() -> list[RecordedEvent]:
    first, second, third = plays(3)
    return [first, unknown(second), third]


def test_a_poison_record_is_parked_and_its_neighbours_flow(system: System) -> None:
    """FAULTS row 1."""
    outcome = system.runner.process(kinesis_batch([*poisoned(), *plays(2, "u2"), registered()]))

    assert outcome.failures == []
    (parked,) = system.lot.parked
    assert (parked.aggregate_id, parked.versions, parked.reason) == ("player#u1", [2, 3], "UnknownEventError")
    assert system.row.applied == {"player": 1, "user": 1}
    assert system.row.parked_from == {"player": 2}
    assert system.rows.rows["player_profiles@1#u2"].applied == {"player": 2}


def test_later_events_never_overtake_what_is_parked(system: System) -> None:
    """FAULTS row 2: acknowledged, applied by nobody, parked once."""
    system.runner.process(kinesis_batch(poisoned()))

    # The store would heal the gap by now; the mark alone holds them back.
    system.store(plays(4))
    outcome = system.runner.process(kinesis_batch(plays(1, first=4)))

    assert outcome.failures == []
    assert system.row.applied == {"player": 1}
    assert len(system.lot.parked) == 1


def test_what_cannot_be_parked_is_neither_acknowledged_nor_marked(system: System) -> None:
    system.lot.faults = [NotParkedError("refused")]
    batch = kinesis_batch(poisoned())

    assert len(system.runner.process(batch).failures) == 2
    assert system.row.parked_from == {}
    assert system.runner.process(batch).failures == []
    assert system.row.parked_from == {"player": 2}


def test_a_crash_between_parking_and_marking_parks_twice(system: System) -> None:
    """FAULTS row 40: the other way round, a marked gate would have nothing parked."""
    system.rows.faults = [None, ConnectionError("no answer")]
    batch = kinesis_batch(poisoned())

    assert len(system.runner.process(batch).failures) == 2
    assert system.runner.process(batch).failures == []
    assert [parked.versions for parked in system.lot.parked] == [[2, 3], [2, 3]]


def test_after_the_repair_a_redrive_heals_up_to_the_head_and_clears_the_mark(system: System) -> None:
    """FAULTS row 20: an event type that this code learns later."""
    system.runner.process(kinesis_batch(poisoned()))
    system.store(plays(5))

    assert system.runner.redrive(system.lot.parked[0].raw).failures == []

    assert (system.row.applied, system.row.parked_from, system.row.state["plays"]) == ({"player": 5}, {}, 5)
    revision = system.row.revision
    assert system.runner.redrive(system.lot.parked[0].raw).failures == []
    assert system.row.revision == revision


def test_an_event_acknowledged_while_the_redrive_ran_is_applied_by_it(system: System) -> None:
    system.runner.process(kinesis_batch(poisoned()))
    system.store(plays(3))
    put = system.rows.put

    def racing(row: Any, parts: Any = ()) -> None:
        system.rows.put = put  # type: ignore[method-assign]
        system.store(plays(4))
        assert system.runner.process(kinesis_batch(plays(1, first=4))).failures == []
        put(row, parts)

    system.rows.put = racing  # type: ignore[method-assign]

    assert system.runner.redrive(system.lot.parked[0].raw).failures == []
    assert system.row.applied == {"player": 4}


def test_a_redrive_that_meets_the_next_poison_record_keeps_the_mark_and_the_message(system: System) -> None:
    system.runner.process(kinesis_batch(poisoned()))
    *good, last = plays(5)
    system.store([*good, unknown(last)])

    assert len(system.runner.redrive(system.lot.parked[0].raw).failures) == 2

    assert (system.row.applied, system.row.parked_from) == ({"player": 4}, {"player": 5})
    assert len(system.lot.parked) == 1


def test_an_unreadable_record_is_parked_and_the_next_event_heals_its_aggregate(system: System) -> None:
    first, second, third = plays(3)
    system.store([first, second, third])
    batch = kinesis_batch([first, second, third])
    batch[1] = {**batch[1], "kinesis": {**batch[1]["kinesis"], "data": "e30="}}

    assert system.runner.process(batch).failures == []

    assert (system.lot.parked[0].aggregate_id, system.lot.parked[0].versions) == ("player#u1", [])
    assert (system.row.applied, system.row.parked_from) == ({"player": 3}, {})
    assert system.runner.redrive(system.lot.parked[0].raw).failures == []


def test_an_unreadable_record_of_an_aggregate_that_is_not_stored_stays(system: System) -> None:
    batch = kinesis_batch(plays(1))
    batch[0] = {**batch[0], "kinesis": {**batch[0]["kinesis"], "data": "e30="}}
    system.runner.process(batch)

    assert len(system.runner.redrive(system.lot.parked[0].raw).failures) == 1


def test_a_redrive_reaches_as_far_as_the_store_can_be_read(system: System) -> None:
    """FAULTS row 2: what lies before an item that is no event is applied; that item is fan_out's to bring."""
    system.runner.process(kinesis_batch(poisoned()))
    history = plays(6)
    system.store(history)
    system.events.unreadable.add(history[4].event_id)

    assert system.runner.redrive(system.lot.parked[0].raw).failures == []

    assert (system.row.applied, system.row.parked_from, system.row.waits_for) == ({"player": 4}, {}, {"player": 5})


def test_an_event_above_that_is_none_does_not_stop_what_a_gap_is_healed_with(system: System) -> None:
    history = plays(4)
    system.store(history)
    system.events.unreadable.add(history[3].event_id)

    assert system.runner.process(kinesis_batch([history[1]])).failures == []

    assert (system.row.applied, system.row.parked_from) == ({"player": 3}, {})


def test_what_is_parked_or_held_back_did_not_succeed(system: System) -> None:
    broken = kinesis_batch(plays(1, "u3"), first=9)[0]
    broken = {**broken, "kinesis": {**broken["kinesis"], "data": "e30="}}

    first = system.runner.process([*kinesis_batch([*poisoned(), *plays(2, "u2"), registered()]), broken])
    later = system.runner.process(kinesis_batch([*plays(1, first=4), *plays(2, "u2")]))

    assert (first.received, first.succeeded, first.parked) == (7, 4, 3)
    assert (later.received, later.succeeded, later.parked) == (3, 2, 1)


def test_what_could_not_be_parked_failed_and_is_counted_once(system: System) -> None:
    system.lot.closed = True

    outcome = system.runner.process(kinesis_batch([*poisoned(), *plays(2, "u2")]))

    assert (len(outcome.failures), outcome.succeeded, outcome.parked) == (2, 3, 0)


def test_the_aggregates_that_stand_still_are_named_at_each_of_their_events(system: System) -> None:
    assert system.runner.process(kinesis_batch([*poisoned(), *plays(2, "u2")])).stopped == ["player#u1"]
    assert system.runner.process(kinesis_batch([*plays(1, first=4), *plays(3, "u2")])).stopped == ["player#u1"]
    assert system.runner.process(kinesis_batch(plays(4, "u2"))).stopped == []


# Releasing


def test_a_release_heals_what_was_repaired_though_nothing_is_parked_any_more(system: System) -> None:
    system.runner.process(kinesis_batch(poisoned()))
    system.store(plays(5))

    assert system.runner.release("player#u1") is None

    assert (system.row.applied, system.row.parked_from, system.row.state["plays"]) == ({"player": 5}, {}, 5)


def test_a_release_gives_nothing_up_and_the_next_event_parks_it_anew(system: System) -> None:
    history = [*poisoned(), *plays(2, first=4)]
    system.runner.process(kinesis_batch([*history[:3], registered()]))
    system.rows.rows["player_profiles@1#u1"] = replace(system.row, parked_from={"player": 2, "user": 9})
    system.store(history)
    system.rows.faults = [RowConflictError("player_profiles@1#u1", 0)]

    released = system.runner.release("player#u1")

    assert released is not None
    assert (released[0], type(released[1])) == (2, UnknownEventError)
    assert (system.row.applied, system.row.parked_from) == ({"player": 1, "user": 1}, {"user": 9})
    assert system.runner.process(kinesis_batch(history[4:])).failures == []
    assert (system.row.applied["player"], system.row.parked_from["player"]) == (1, 2)
    assert [parked.versions for parked in system.lot.parked] == [[2, 3], [5]]


def test_a_release_keeps_the_mark_while_the_store_does_not_answer(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.runner.process(kinesis_batch(poisoned()))

    def refuse(aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        raise ConnectionError(f"no route to {aggregate_id} after {after}")

    monkeypatch.setattr(system.events, "load", refuse)

    with pytest.raises(ConnectionError):
        system.runner.release("player#u1")
    assert system.row.parked_from == {"player": 2}


@pytest.mark.parametrize("aggregate_id", ["player#u2", "player#nobody", "game#chess", "u1", ""])
def test_what_does_not_stand_still_cannot_be_released(system: System, aggregate_id: str) -> None:
    system.runner.process(kinesis_batch([*poisoned(), *plays(2, "u2")]))

    with pytest.raises(NotStoppedError, match="does not stand still"):
        system.runner.release(aggregate_id)


# Discarding


def test_discarding_gives_up_the_event_at_which_the_aggregate_stands_and_later_ones_flow(system: System) -> None:
    first, poison, third = poisoned()
    system.runner.process(kinesis_batch([first, poison, third]))
    system.store([first, poison, third, *plays(1, first=4)])

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 2, 2)], [])
    assert (system.row.applied, system.row.parked_from, system.row.state["plays"]) == ({"player": 4}, {}, 3)
    assert system.runner.process(kinesis_batch(plays(1, first=5))).failures == []
    assert (system.row.applied, system.row.state["plays"]) == ({"player": 5}, 4)
    assert len(system.lot.parked) == 1


def test_the_last_event_of_all_can_be_given_up(system: System) -> None:
    first, poison, _ = poisoned()
    system.store([first, poison])
    system.runner.process(kinesis_batch([first, poison]))

    assert system.runner.discard(system.lot.parked[0].raw)[0] == [GivenUp("player#u1", 2, 2)]

    assert (system.row.applied, system.row.parked_from, system.row.state["plays"]) == ({"player": 2}, {}, 1)


def test_a_second_poison_keeps_the_mark_and_is_not_given_up_unseen(system: System) -> None:
    first, poison, third, fourth = [*poisoned(), unknown(plays(4)[3])]
    system.runner.process(kinesis_batch([first, poison, third]))
    system.store([first, poison, third, fourth, *plays(1, first=5)])

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert given_up == [GivenUp("player#u1", 2, 2)]
    assert len(outcome.failures) == 2
    assert (system.row.applied, system.row.parked_from) == ({"player": 3}, {"player": 4})
    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)
    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 4, 4)], [])
    assert (system.row.applied, system.row.parked_from, system.row.state["plays"]) == ({"player": 5}, {}, 3)


def test_what_can_be_applied_by_now_is_not_given_up(system: System) -> None:
    system.runner.process(kinesis_batch(poisoned()))
    system.store(plays(3))

    assert system.runner.discard(system.lot.parked[0].raw)[0] == []

    assert (system.row.applied, system.row.parked_from, system.row.state["plays"]) == ({"player": 3}, {}, 3)


def test_nothing_is_given_up_while_the_store_does_not_answer(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system.store(poisoned())
    system.runner.process(kinesis_batch(poisoned()))

    def refuse(aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        raise ConnectionError(f"no route to {aggregate_id} after {after}")

    monkeypatch.setattr(system.events, "load", refuse)

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert (given_up, len(outcome.failures)) == ([], 2)
    assert system.row.parked_from == {"player": 2}


def test_discarding_leaves_an_aggregate_without_a_mark_alone(system: System) -> None:
    system.runner.process(kinesis_batch(plays(2)))
    system.store(plays(5))
    stranger = kinesis_batch([replace(plays(1)[0], aggregate_id="game#chess", type="GameAdded")])

    assert system.runner.discard([*kinesis_batch(plays(1)), *stranger])[0] == []

    assert system.row.applied == {"player": 2}
