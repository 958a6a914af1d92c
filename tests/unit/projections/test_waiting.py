"""Versions that are missing, or that nobody can read: a gate waits for them, and heals by itself."""

from collections.abc import Collection, Sequence
from copy import replace
from typing import Any

import pytest

from headwater.dead_letters.redrive import GivenUp
from headwater.domain.events import RecordedEvent
from headwater.event_store import codec
from headwater.projections.history import GapError, UnreadableVersionError
from headwater.projections.passing_over import PassingOver
from headwater.projections.read_models import Row
from headwater.projections.runner import NotStoppedError, StandsEarlierError
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.kinesis_records import failed, kinesis_batch
from tests.fakes.stream_records import stream_record
from tests.unit.projections.test_parking import System
from tests.unit.projections.test_runner import plays, registered, unknown


class CountingEventStore(InMemoryEventStore):
    """``loads`` and ``proofs`` count reads; ``halves`` are hidden from the next loads, each from one."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.proofs: list[set[int]] = []
        self.halves: list[set[int]] = []
        self.failing: list[Exception] = []

    def load(self, aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        self.loads += 1
        if self.failing:
            raise self.failing.pop(0)
        hidden = self.halves.pop(0) if self.halves else set()
        return [event for event in super().load(aggregate_id, after) if event.version not in hidden]

    def present(self, aggregate_id: str, versions: Collection[int]) -> set[int]:
        self.proofs.append(set(versions))
        return super().present(aggregate_id, versions)


class Waiting(System):
    """Player u1's profile; its store counts."""

    def __init__(self) -> None:
        super().__init__(CountingEventStore())
        self.counted: CountingEventStore = self.events  # type: ignore[assignment]

    def store(self, events: Sequence[RecordedEvent], *unreadable: int) -> None:
        super().store(events)
        self.events.unreadable = {event.event_id for event in events if event.version in unreadable}

    def process(self, *events: RecordedEvent) -> list[int]:
        return failed(self.runner.process(kinesis_batch(events)))

    @property
    def stands(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        return self.row.applied, self.row.parked_from, self.row.waits_for

    @property
    def letters(self) -> list[tuple[list[int], str]]:
        return [(list(parked.versions), parked.reason) for parked in self.lot.parked]


@pytest.fixture
def system() -> Waiting:
    return Waiting()


# Gaps


def test_a_gap_that_is_proven_is_parked_at_once_and_the_shard_goes_on(system: Waiting) -> None:
    """FAULTS row 5: version 3 alone."""
    three = plays(1, first=3)
    system.store(three)

    outcome = system.runner.process(kinesis_batch([*three, *plays(2, "u2"), registered()]))

    assert (outcome.failures, outcome.parked, outcome.stopped) == ([], 1, ["player#u1"])
    assert system.letters == [([3], "GapError")]
    assert system.stands == ({"user": 1}, {}, {"player": 1})
    assert system.rows.rows["player_profiles@1#u2"].applied == {"player": 2}
    assert system.counted.proofs == [{1, 3}]


def test_what_follows_is_acknowledged_without_a_read_or_a_letter(system: Waiting) -> None:
    system.store(plays(3, first=3))
    system.process(*plays(1, first=3))
    loads, revision = system.counted.loads, system.row.revision

    later = system.runner.process(kinesis_batch(plays(2, first=4)))

    assert (later.failures, later.parked, later.stopped) == ([], 2, ["player#u1"])
    assert (len(system.lot.parked), system.counted.loads, system.row.revision) == (1, loads, revision)


def test_it_goes_on_by_itself_when_the_missing_versions_arrive(system: Waiting) -> None:
    """FAULTS row 5: appended late, one by one."""
    history = plays(5)
    system.store(history[2:4])
    system.process(history[2])
    system.process(history[3])
    system.store(history[:1] + history[2:])

    assert system.process(history[0]) == []

    # Its letter tells of version 2 now.
    assert system.stands == ({"player": 1}, {}, {"player": 2})
    assert system.letters == [([3], "GapError"), ([1], "GapError")]
    system.store(history)
    assert system.process(history[1]) == []
    assert (system.stands, system.row.state["plays"]) == (({"player": 5}, {}, {}), 5)
    for letter in system.lot.parked:
        assert system.runner.redrive(letter.raw).failures == []
    assert system.row.applied == {"player": 5}


def test_half_a_transaction_is_no_gap(system: Waiting) -> None:
    """A plain query may see version 2 of a transaction and not yet version 1."""
    history = plays(2)
    system.store(history)
    system.counted.halves = [{1}]

    assert system.process(history[1]) == []

    assert (system.stands, system.lot.parked) == (({"player": 2}, {}, {}), [])


def test_a_version_that_is_there_is_waited_for_however_long_no_query_shows_it(system: Waiting) -> None:
    history = plays(2)
    system.store(history)
    system.counted.halves = [{1}, {1}]

    assert system.process(history[1]) == []

    assert (system.stands, system.lot.parked) == (({}, {}, {"player": 1}), [])


def test_a_gap_inside_the_store_is_proven_too(system: Waiting) -> None:
    one, two, _, four, five = plays(5)
    system.store([one, two, four, five])

    assert system.process(two, five) == []

    assert (system.stands, system.letters) == (({"player": 2}, {}, {"player": 3}), [([5], "GapError")])


def test_a_store_that_does_not_answer_proves_nothing(system: Waiting) -> None:
    system.store(plays(1, first=3))
    system.counted.failing = [ConnectionError("throttled")]

    assert system.process(*plays(1, first=3), *plays(1, "u2")) == [1]

    assert (list(system.rows.rows), system.lot.parked) == (["player_profiles@1#u2"], [])


def test_a_gaps_letter_stays_while_the_gap_does_and_goes_once_it_is_healed(system: Waiting) -> None:
    history = plays(3)
    system.store(history[2:])
    system.process(history[2])
    (letter,) = system.lot.parked

    assert failed(system.runner.redrive(letter.raw)) == [1]
    assert system.stands == ({}, {}, {"player": 1})
    system.store(history)
    assert system.runner.redrive(letter.raw).failures == []
    assert system.stands == ({"player": 3}, {}, {})


def test_the_missing_version_can_be_given_up(system: Waiting) -> None:
    system.store(plays(2, first=2))
    system.process(*plays(1, first=3))

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 1, 1)], [])
    assert (system.stands, system.row.state["plays"]) == (({"player": 3}, {}, {}), 2)


def test_all_that_is_missing_below_what_came_is_given_up_at_once(system: Waiting) -> None:
    """However many: a foreign program may append any version that an item's key can hold."""
    last = 2**63 - 1
    one, far = plays(2)
    far = replace(far, version=last)
    system.store([one, far])
    system.process(one, far)

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 2, last - 1)], [])
    assert (system.stands, system.row.state["plays"]) == (({"player": last}, {}, {}), 2)


def test_what_is_there_between_two_gaps_is_applied_and_the_second_gap_is_given_up_by_itself(system: Waiting) -> None:
    history = plays(9)
    system.store([history[0], history[4], history[8]])
    # 9 alone brings the news; 5 is in the store.
    system.process(history[0], history[8])
    letter = system.lot.parked[0].raw

    given_up, outcome = system.runner.discard(letter)
    assert (given_up, len(outcome.failures)) == ([GivenUp("player#u1", 2, 4)], 1)
    assert system.stands == ({"player": 5}, {}, {"player": 6})
    assert system.row.state["plays"] == 2

    given_up, outcome = system.runner.discard(letter)
    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 6, 8)], [])
    assert (system.stands, system.row.state["plays"]) == (({"player": 9}, {}, {}), 3)


def test_a_gap_ends_below_the_lowest_version_of_a_transaction_of_which_a_query_sees_half(system: Waiting) -> None:
    history = plays(5)
    system.store(history[3:])
    system.counted.halves = [{4}]
    system.process(history[4])
    system.counted.halves = [{4}, {4}]

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 1, 3)], [])
    assert (system.stands, system.row.state["plays"]) == (({"player": 5}, {}, {}), 2)


def test_a_gap_ends_below_a_version_that_cannot_be_read(system: Waiting) -> None:
    history = plays(5)
    system.store([history[0], history[3], history[4]], 4)
    system.process(history[0], history[4])

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert given_up == [GivenUp("player#u1", 2, 3)]
    assert [type(failure.error) for failure in outcome.failures] == [UnreadableVersionError]
    assert system.stands == ({"player": 3}, {}, {"player": 4})


# Versions that are there and that nobody can read


def test_a_version_that_cannot_be_read_is_waited_for_and_not_parked_once_more(system: Waiting) -> None:
    """FAULTS row 1: judged once, by fan_out."""
    history = plays(4)
    system.store(history, 2)

    outcome = system.runner.process(kinesis_batch([history[0], history[2], *plays(1, "u2")]))

    assert (outcome.failures, outcome.parked, outcome.stopped) == ([], 1, ["player#u1"])
    assert (system.stands, system.lot.parked) == (({"player": 1}, {}, {"player": 2}), [])
    assert system.counted.proofs == []
    assert system.process(history[3]) == []
    assert system.lot.parked == []


def test_one_redrive_of_fan_outs_letter_heals_up_to_the_head(system: Waiting) -> None:
    history = plays(6)
    system.store(history, 2)
    system.process(history[0], *history[2:])

    # Mended, and published.
    system.store(history)
    assert system.process(history[1]) == []

    assert (system.stands, system.row.state["plays"]) == (({"player": 6}, {}, {}), 6)
    assert system.lot.parked == []


def test_newer_code_reads_what_arrives_and_what_follows(system: Waiting) -> None:
    """The version arrives legible, though the store's item is not, for this code."""
    history = plays(4)
    system.store(history, 2)
    system.process(history[0], history[3])

    assert system.process(history[1]) == []

    assert system.stands == ({"player": 4}, {}, {})


def test_what_was_acknowledged_while_it_healed_is_applied_by_it(system: Waiting) -> None:
    history = plays(4)
    system.store(history[:3], 2)
    system.process(history[0], history[2])
    system.store(history[:3])
    put = system.rows.put

    def racing(row: Row, parts: Any = ()) -> None:
        system.rows.put = put  # type: ignore[method-assign]
        system.store(history)
        assert system.process(history[3]) == []
        put(row, parts)

    system.rows.put = racing  # type: ignore[method-assign]

    assert system.process(history[1]) == []
    assert system.stands == ({"player": 4}, {}, {})


@pytest.mark.parametrize("applied", [1, 2])
def test_a_healing_that_is_interrupted_is_taken_up_again(system: Waiting, applied: int) -> None:
    """FAULTS row 40: what was acknowledged above it would come from nowhere else."""
    history = plays(4)
    system.store(history, 2)
    system.process(history[0], history[2], history[3])
    system.store(history)
    if applied == 1:
        system.rows.faults = [ConnectionError("throttled")]
    else:
        # Once before the row moves, and once after.
        system.counted.failing = [ConnectionError("throttled")] * 2

    assert system.process(history[1]) == [1]
    assert system.stands == ({"player": applied}, {}, {"player": 2})

    assert system.process(history[1]) == []
    assert system.stands == ({"player": 4}, {}, {})


def test_a_healing_that_meets_poison_parks_what_brought_it(system: Waiting) -> None:
    one, two, three, four = plays(4)
    system.store([one, two, unknown(three), four], 2)
    system.process(one, four)
    system.store([one, two, unknown(three), four])

    assert system.process(two) == []

    assert (system.stands, system.letters) == (({"player": 2}, {"player": 3}, {}), [([2], "UnknownEventError")])
    system.store([one, two, three, four])
    assert system.runner.redrive(system.lot.parked[0].raw).failures == []
    assert system.stands == ({"player": 4}, {}, {})


def test_a_healing_that_meets_the_next_one_waits_for_that(system: Waiting) -> None:
    history = plays(6)
    system.store(history, 2, 4)
    system.process(history[0], *history[4:])
    system.store(history, 4)

    assert system.process(history[1]) == []
    assert (system.stands, system.lot.parked) == (({"player": 3}, {}, {"player": 4}), [])

    system.store(history)
    assert system.process(history[3]) == []
    assert system.stands == ({"player": 6}, {}, {})


def test_a_version_that_arrives_and_cannot_be_applied_is_parked_here(system: Waiting) -> None:
    history = plays(3)
    system.store(history, 2)
    system.process(history[0], history[2])

    assert system.process(unknown(history[1])) == []

    assert (system.stands, system.letters) == (({"player": 1}, {"player": 2}, {}), [([2], "UnknownEventError")])


def test_whoever_moved_the_aggregate_on_meanwhile_knows_better(system: Waiting) -> None:
    history = plays(3)
    system.store(history, 2)
    put = system.rows.put

    def racing(row: Row, parts: Any = ()) -> None:
        put(row, parts)
        system.rows.put = put  # type: ignore[method-assign]
        put(replace(row, applied={"player": 2}, revision=row.revision + 1))

    system.rows.put = racing  # type: ignore[method-assign]

    assert system.process(history[0], history[2]) == [2]
    assert system.stands == ({"player": 2}, {}, {})
    assert system.process(history[2]) == []
    assert system.stands == ({"player": 3}, {}, {})


def test_a_redrive_leaves_what_it_did_not_apply(system: Waiting) -> None:
    """Of a dead letter of ours, the record that waits for fan_out's is not lost sight of."""
    history = plays(4)
    system.store([history[0], unknown(history[1])])
    system.process(history[0], unknown(history[1]), history[3])
    system.store(history, 3)

    # Version 2 is applied by now; 4 waits for 3.
    assert failed(system.runner.redrive(system.lot.parked[0].raw)) == [3]
    assert system.stands == ({"player": 2}, {}, {"player": 3})
    system.store(history)
    assert system.process(history[2]) == []
    assert system.runner.redrive(system.lot.parked[0].raw).failures == []
    assert system.stands == ({"player": 4}, {}, {})


# Passing over


def test_a_version_that_nobody_will_bring_is_passed_over(system: Waiting) -> None:
    history = plays(4)
    system.store(history, 2)
    system.process(history[0], history[2])

    assert system.runner.pass_over("player#u1", 2)

    assert (system.stands, system.row.state["plays"]) == (({"player": 4}, {}, {}), 3)
    assert not system.runner.pass_over("player#u1", 2)


def test_it_is_passed_over_before_the_projection_has_met_it(system: Waiting) -> None:
    """The discard may come before the next event does."""
    system.store(plays(2), 2)

    assert system.runner.pass_over("player#u1", 2)

    assert (system.stands, system.row.state["plays"]) == (({"player": 2}, {}, {}), 1)


def test_a_version_that_can_be_had_is_not_passed_over(system: Waiting) -> None:
    history = plays(3)
    system.store(history, 2)
    system.process(history[0], history[2])
    system.store(history)

    assert not system.runner.pass_over("player#u1", 2)

    assert (system.stands, system.row.state["plays"]) == (({"player": 3}, {}, {}), 3)


def test_a_version_that_can_be_had_is_not_passed_over_though_it_stands_at_a_later_one(system: Waiting) -> None:
    history = plays(5)
    system.store(history, 2, 4)
    system.process(history[0], history[2])
    system.store(history, 4)

    assert not system.runner.pass_over("player#u1", 2)

    assert system.row.state["plays"] == 3


def test_a_version_above_where_it_stands_has_to_wait(system: Waiting) -> None:
    history = plays(4)
    system.store(history, 2, 3)

    with pytest.raises(StandsEarlierError, match="stands at version 2"):
        system.runner.pass_over("player#u1", 3)

    assert system.runner.pass_over("player#u1", 2)
    assert system.stands == ({"player": 2}, {}, {"player": 3})
    assert system.runner.pass_over("player#u1", 3)
    assert system.stands == ({"player": 4}, {}, {})


def test_what_stops_it_next_is_parked(system: Waiting) -> None:
    one, two, three, four = plays(4)
    system.store([one, two, unknown(three), four], 2)
    system.process(one, four)

    assert system.runner.pass_over("player#u1", 2)

    assert (system.stands, system.letters) == (({"player": 2}, {"player": 3}, {}), [([3], "UnknownEventError")])
    assert system.runner.discard(system.lot.parked[0].raw)[0] == [GivenUp("player#u1", 3, 3)]
    assert system.stands == ({"player": 4}, {}, {})


@pytest.mark.parametrize("aggregate_id", ["game#chess", "activity#a1", "u1", ""])
def test_what_the_projection_does_not_follow_needs_no_passing_over(system: Waiting, aggregate_id: str) -> None:
    assert not system.runner.pass_over(aggregate_id, 1)
    assert system.rows.writes == []


def test_nothing_is_passed_over_while_the_store_does_not_answer(system: Waiting) -> None:
    system.store(plays(3), 2)
    system.process(*plays(1))
    system.counted.failing = [ConnectionError("throttled")]

    with pytest.raises(ConnectionError):
        system.runner.pass_over("player#u1", 2)


def test_a_discard_of_fan_outs_letter_passes_over_in_each_projection_that_waits() -> None:
    here, there = Waiting(), Waiting()
    history = plays(3)
    for system in (here, there):
        system.store(history, 2)
    here.process(history[0], history[2])
    passing = PassingOver({"here": here.runner, "there": there.runner})

    given_up, outcome = passing.discard([stream_record(1, codec.encode(history[1]))])

    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 2, 2)], [])
    assert (here.stands, there.stands) == (({"player": 3}, {}, {}), ({"player": 3}, {}, {}))


def test_of_a_gap_a_letter_of_fan_out_gives_up_its_own_version_alone(system: Waiting) -> None:
    """Its item was deleted; the others that are missing have a letter of their own then."""
    history = plays(9)
    system.store([history[0], history[8]])
    system.process(history[0], history[8])
    assert system.letters == [([9], "GapError")]

    assert system.runner.pass_over("player#u1", 2)

    assert system.stands == ({"player": 2}, {}, {"player": 3})


def test_a_discard_says_which_projection_cannot_pass_over_yet_and_goes_on_with_the_others() -> None:
    here, there = Waiting(), Waiting()
    here.store(plays(3), 1, 2)
    there.store(plays(3), 2)
    strange: dict[str, Any] = {"eventID": "1", "dynamodb": {"Keys": {"pk": {"S": "x"}}}}

    given_up, outcome = PassingOver({"here": here.runner, "there": there.runner}).discard(
        [strange, stream_record(1, codec.encode(plays(2)[1]))]
    )

    assert given_up == [GivenUp("player#u1", 2, 2)]
    assert [type(failure.error) for failure in outcome.failures] == [StandsEarlierError]
    assert there.stands == ({"player": 3}, {}, {})


# Releasing


def test_a_release_heals_what_was_mended(system: Waiting) -> None:
    history = plays(3)
    system.store(history, 2)
    system.process(history[0], history[2])
    system.store(history)

    assert system.runner.release("player#u1") is None
    assert system.stands == ({"player": 3}, {}, {})


def test_a_release_parks_what_still_cannot_be_read_so_that_it_can_be_given_up(system: Waiting) -> None:
    """Nobody else would: fan_out's letter has expired."""
    history = plays(3)
    system.store(history, 2)
    system.process(history[0], history[2])

    released = system.runner.release("player#u1")

    assert released is not None
    assert (released[0], type(released[1])) == (2, UnreadableVersionError)
    assert (system.stands, system.letters) == (
        ({"player": 1}, {}, {"player": 2}),
        [([2], "UnreadableVersionError")],
    )
    assert len(system.runner.redrive(system.lot.parked[0].raw).failures) == 1
    assert system.runner.discard(system.lot.parked[0].raw)[0] == [GivenUp("player#u1", 2, 2)]
    assert system.stands == ({"player": 3}, {}, {})


def test_a_release_of_a_gap_lets_the_next_event_park_it_anew(system: Waiting) -> None:
    system.store(plays(2, first=3))
    system.process(*plays(1, first=3))

    released = system.runner.release("player#u1")

    assert released is not None
    assert (released[0], type(released[1])) == (1, GapError)
    assert system.stands == ({}, {}, {})
    assert system.process(*plays(1, first=4)) == []
    assert (system.stands, len(system.lot.parked)) == (({}, {}, {"player": 1}), 2)
    with pytest.raises(NotStoppedError):
        system.runner.release("player#u2")
