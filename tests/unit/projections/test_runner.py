"""The projection runner: gates, gaps, failures, races, and what it costs. Its queue of parked records takes nothing."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import replace

import pytest

from headwater.change_stream.records import MalformedRecordError
from headwater.dead_letters.parked import NotParkedError
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserProfileChanged,
    UserRegistered,
)
from headwater.projections.gates import ProjectionGates
from headwater.projections.inbox import HeldBackError
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import BeforeWrite, Projection, RowChange, State, owner_key
from headwater.projections.read_models import Row, RowConflictError
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import AT, EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore, failed, kinesis_batch, kinesis_record
from tests.fakes.parking_lot import parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels


class System:
    """A runner over player profiles with everything it talks to in memory."""

    def __init__(
        self,
        writers: int = 1,
        rows: InMemoryReadModels | None = None,
        before_write: BeforeWrite | None = None,
        projection: Projection = PLAYER_PROFILES,
    ) -> None:
        self.rows = rows or InMemoryReadModels()
        self.events = InMemoryEventStore()
        self.claims = InMemoryClaimStore()
        self.changes: list[RowChange] = []
        self.runner = ProjectionRunner(
            projection,
            self.rows,
            self.events,
            self.claims,
            EVENT_TYPES,
            parking=parking(),
            patience=patience(),
            before_write=before_write or self.changes.append,
            writers=ThreadPoolExecutor(writers) if writers > 1 else None,
            sleep=lambda _: None,
        )

    def row(self, key: str = "u1") -> Row:
        return self.rows.rows[f"player_profiles@1#{key}"]

    def profile(self, key: str = "u1") -> dict[str, object]:
        state = self.row(key).state
        assert state is not None
        return state

    def stored(self, events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        for event in events:
            self.events.histories.setdefault(event.aggregate_id, []).append(event)
        return events


@pytest.fixture
def system() -> System:
    return System()


def plays(count: int, user: str = "u1", first: int = 1) -> list[RecordedEvent]:
    return [
        recorded(f"player#{user}", version, PlayCompleted(game="chess", score=version, played_at=AT))
        for version in range(first, first + count)
    ]


def registered(user: str = "u1") -> RecordedEvent:
    return recorded(f"user#{user}", 1, UserRegistered(name="Ada", email="ada@example.org"))


def unknown(event: RecordedEvent) -> RecordedEvent:
    return replace(event, type="PlayUndone")


def test_events_of_both_aggregates_fold_into_one_row(system: System) -> None:
    outcome = system.runner.process(kinesis_batch([*plays(2), registered()]))

    assert outcome.failures == []
    assert system.row().applied == {"player": 2, "user": 1}
    assert system.row().revision == 1
    assert system.profile()["name"] == "Ada"
    assert system.profile()["plays"] == 2


def test_the_same_batch_again_changes_nothing_and_writes_nothing(system: System) -> None:
    """FAULTS row 4: the whole batch is delivered again."""
    batch = kinesis_batch([registered(), *plays(3)])
    system.runner.process(batch)
    before = system.row()

    assert system.runner.process(batch).failures == []

    assert system.row() == before
    assert len(system.rows.writes) == 1


def test_other_batch_bounds_over_the_same_events_change_nothing(system: System) -> None:
    """FAULTS row 4: delivered again with other bounds."""
    events = plays(6)
    system.runner.process(kinesis_batch(events[:4]))

    system.runner.process(kinesis_batch(events[2:]))

    assert system.profile()["plays"] == 6
    assert system.row().applied == {"player": 6}


def test_events_of_one_batch_may_come_out_of_order_and_twice(system: System) -> None:
    one, two, three = plays(3)

    outcome = system.runner.process(kinesis_batch([three, one, one, two, three]))

    assert outcome.failures == []
    assert system.profile()["plays"] == 3


def test_a_gap_is_healed_from_the_event_store(system: System) -> None:
    """FAULTS row 5: versions arrive 2, 3, 1, in batches of their own."""
    one, two, three = system.stored(plays(3))

    for event in (two, three, one):
        assert system.runner.process(kinesis_batch([event])).failures == []

    assert system.profile()["plays"] == 3
    assert system.row().applied == {"player": 3}


def test_all_that_healing_reads_is_applied(system: System) -> None:
    """FAULTS row 5: what is on its way and was read with the missing events need not be waited for."""
    history = system.stored(plays(5))

    assert system.runner.process(kinesis_batch([history[1]])).failures == []

    assert system.row().applied == {"player": 5}


def test_a_gap_that_cannot_be_parked_is_tried_again(system: System) -> None:
    """FAULTS row 5: nothing above the gap is applied, or acknowledged."""
    one, two, three, four = plays(4)

    outcome = system.runner.process(kinesis_batch([one, four, three]))

    assert failed(outcome) == [2, 3]
    assert {type(failure.error) for failure in outcome.failures} == {NotParkedError, HeldBackError}
    assert (system.row().applied, system.row().waits_for) == ({"player": 1}, {})
    system.stored([one, two, three, four])
    assert system.runner.process(kinesis_batch([four, three], first=2)).failures == []
    assert system.row().applied == {"player": 4}


def test_an_event_that_cannot_be_applied_stops_its_aggregate_and_no_other(system: System) -> None:
    """FAULTS rows 1 and 2: nothing of that aggregate past it; the row's other aggregate and other rows flow."""
    one, two, three = plays(3)
    batch = kinesis_batch([one, unknown(two), three, registered(), *plays(2, "u2")])

    outcome = system.runner.process(batch)

    assert failed(outcome) == [2, 3]
    assert outcome.stream_response() == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert [type(failure.error) for failure in outcome.failures] == [NotParkedError, HeldBackError]
    assert system.row().applied == {"player": 1, "user": 1}
    assert system.profile()["name"] == "Ada"
    assert system.profile("u2")["plays"] == 2


def test_records_that_came_before_the_failure_but_belong_after_it_are_not_acknowledged(system: System) -> None:
    """FAULTS row 2: 3, 1, 2 where 2 fails; if 3 were acknowledged, nothing would bring it back."""
    one, two, three = plays(3)

    outcome = system.runner.process(kinesis_batch([three, one, unknown(two)]))

    assert failed(outcome) == [1, 3]
    assert system.row().applied == {"player": 1}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"specversion":"1.0"}', b"\xff"])
def test_a_record_that_cannot_be_read_stops_the_aggregate_that_it_was_routed_by(system: System, body: bytes) -> None:
    """FAULTS rows 1 and 2, where not even the version is legible."""
    one, two, three = plays(3)
    batch = [
        kinesis_record(one, 1),
        kinesis_record(two, 2, body=body),
        kinesis_record(three, 3),
        *kinesis_batch([registered(), *plays(1, "u2")], first=4),
    ]

    outcome = system.runner.process(batch)

    assert failed(outcome) == [2, 3]
    assert isinstance(outcome.failures[0].error, NotParkedError)
    assert system.row().applied == {"player": 1, "user": 1}
    assert system.profile("u2")["plays"] == 1


def test_an_aggregate_does_not_pass_an_unreadable_record_in_its_batch_even_where_the_store_could_heal_it(
    system: System,
) -> None:
    """FAULTS row 2: what follows a failure is given back with it; delivered without it, the gap is healed."""
    one, two, three = system.stored(plays(3))
    batch = [kinesis_record(one, 1), kinesis_record(two, 2, body=b"{"), kinesis_record(three, 3)]

    assert failed(system.runner.process(batch)) == [2, 3]
    assert system.row().applied == {"player": 1}

    assert system.runner.process(batch[2:]).failures == []
    assert system.row().applied == {"player": 3}


def test_data_that_is_not_base64_fails_its_record_alone(system: System) -> None:
    one, two = plays(2)
    broken = kinesis_record(two, 2)
    broken["kinesis"]["data"] = "%"

    outcome = system.runner.process([kinesis_record(one, 1), broken, *kinesis_batch(plays(1, "u2"), first=3)])

    assert failed(outcome) == [2]
    assert system.profile("u2")["plays"] == 1


def test_a_record_that_no_answer_could_name_fails_the_whole_batch(system: System) -> None:
    """FAULTS row 7, from our side: never an answer with an identifier that Lambda does not know."""
    record = kinesis_record(registered(), 2)
    del record["kinesis"]["sequenceNumber"]

    with pytest.raises(MalformedRecordError):
        system.runner.process([*kinesis_batch(plays(1)), record])

    assert system.rows.rows == {}


def test_a_projection_is_deaf_to_aggregate_types_that_it_does_not_follow(system: System) -> None:
    """FAULTS row 20: what nobody here needs stops nobody, of whatever type, version or shape."""
    strangers = kinesis_batch([replace(registered(), aggregate_id=f"game#{name}", type="GameAdded") for name in "abc"])
    strangers[1]["kinesis"]["data"] = "no base64"
    batch = [*strangers, *kinesis_batch([registered()], first=4)]

    assert failed(system.runner.process(batch)) == []
    assert system.runner.redrive(strangers).failures == []
    assert ProjectionGates(PLAYER_PROFILES, system.rows, EVENT_TYPES).unapplied(batch) == []
    assert system.profile()["name"] == "Ada"
    assert list(system.rows.rows) == ["player_profiles@1#u1"]


def test_an_unknown_event_in_the_store_stops_what_is_healed_across_it(system: System) -> None:
    """FAULTS row 20: neither the stream nor the store carries an aggregate past an event that nobody can read."""
    one, two, three = plays(3)
    system.stored([one, unknown(two), three])

    outcome = system.runner.process(kinesis_batch([three]))

    assert failed(outcome) == [1]
    assert isinstance(outcome.failures[0].error, NotParkedError)
    assert system.row().applied == {"player": 1}


def test_declared_aggregates_that_it_does_not_follow_leave_no_trace(system: System) -> None:
    activity = recorded("activity#a1", 1, ActivityRecorded(kind="ClickOnLogo", user_id="u1", details={}))

    assert system.runner.process(kinesis_batch([activity])).failures == []

    assert (system.rows.rows, system.rows.writes) == ({}, [])


def test_a_deleted_user_leaves_a_tombstone_that_late_events_cannot_bring_back(system: System) -> None:
    """FAULTS row 3 and the tombstone: plays after the deletion pass the gate, duplicates of all are no-ops."""
    history = [registered(), *plays(2), recorded("user#u1", 2, UserDeleted())]
    system.runner.process(kinesis_batch(history))
    assert system.row().state is None

    late = kinesis_batch([*plays(1, first=3), registered(), *plays(2)])
    assert system.runner.process(late).failures == []

    assert system.row() == Row(pk="player_profiles@1#u1", state=None, applied={"user": 2, "player": 3}, revision=2)


def test_a_crash_after_the_write_applies_its_events_once(system: System) -> None:
    """FAULTS row 3: the row was written, the batch was never acknowledged."""
    batch = kinesis_batch([registered(), *plays(3)])
    system.rows.after_effect = [TimeoutError("no answer")]

    assert failed(system.runner.process(batch)) == [1, 2, 3, 4]
    assert system.runner.process(batch).failures == []

    assert system.profile()["plays"] == 3
    assert system.row().revision == 1


def test_a_write_that_fails_fails_the_records_of_its_row_alone(system: System) -> None:
    """FAULTS row 15: one throttled row; duplicates in the batch need no second chance."""
    system.runner.process(kinesis_batch(plays(1)))
    system.rows.faults = [ConnectionError("throttled")]

    outcome = system.runner.process(kinesis_batch([*plays(3), registered("u2")]))

    assert failed(outcome) == [2, 3]
    assert system.profile("u2")["name"] == "Ada"
    assert system.row().applied == {"player": 1}


def test_a_read_that_fails_fails_the_batch(system: System) -> None:
    def refuse() -> None:
        raise ConnectionError("throttled")

    system.rows.meanwhile = [refuse]

    with pytest.raises(ConnectionError):
        system.runner.process(kinesis_batch(plays(1)))


def test_a_lost_race_folds_only_what_is_still_above(system: System) -> None:
    """FAULTS rows 3 and 6: two lanes of one row, or a put whose answer was lost and which was tried again."""
    rival = System(rows=system.rows)
    system.rows.meanwhile = [lambda: rival.runner.process(kinesis_batch([registered(), *plays(2)]))]

    assert system.runner.process(kinesis_batch(plays(3))).failures == []

    assert system.row().applied == {"user": 1, "player": 3}
    assert system.profile()["plays"] == 3
    assert system.row().revision == 2
    assert [len(change.events) for change in system.changes] == [3, 1]


def test_a_race_that_is_lost_again_and_again_is_given_back(system: System) -> None:
    conflict = RowConflictError("player_profiles@1#u1", 0)
    system.rows.faults = [conflict] * 100

    outcome = system.runner.process(kinesis_batch(plays(2)))

    assert failed(outcome) == [1, 2]
    assert outcome.failures[0].error is conflict
    assert len(system.rows.writes) < 10


def test_an_effect_that_fails_keeps_the_row_from_moving() -> None:
    def refuse(change: RowChange) -> None:
        if change.key == "u1":
            raise ConnectionError("throttled")

    system = System(before_write=refuse)

    outcome = system.runner.process(kinesis_batch([*plays(2), *plays(1, "u2")]))

    assert failed(outcome) == [1, 2]
    assert list(system.rows.rows) == ["player_profiles@1#u2"]


def test_a_claim_check_is_followed(system: System) -> None:
    """FAULTS row 13: the event was too large for its destination; a duplicate of it costs no request."""
    one, two = plays(2)
    batch = [kinesis_record(one, 1), kinesis_record(two, 2, claims=system.claims)]

    for _ in range(2):
        assert system.runner.process(batch).failures == []

    assert system.profile()["best_scores"] == {"chess": 2}
    assert len(system.claims.gets) == 1


def test_a_claim_check_that_is_gone_or_leads_elsewhere_stops_its_aggregate(system: System) -> None:
    """FAULTS row 13."""
    one, two = plays(2)
    gone = kinesis_record(one, 1, claims=InMemoryClaimStore())
    elsewhere = kinesis_record(registered(), 3, claims=system.claims)
    [dataref] = system.claims.claims
    system.claims.claims[dataref] = kinesis_record_body(two)

    outcome = system.runner.process([gone, kinesis_record(two, 2), elsewhere])

    assert failed(outcome) == [1, 2, 3]
    assert system.rows.rows == {}


def kinesis_record_body(event: RecordedEvent) -> bytes:
    claims = InMemoryClaimStore()
    kinesis_record(event, 1, claims=claims)
    return claims.claims.popitem()[1]


def test_ignored_types_of_its_own_aggregates_pass_the_gate(system: System) -> None:
    renamed = recorded("user#u1", 3, UserProfileChanged(name="Ada L."))
    moved = replace(registered(), version=2, type="UserEmailChanged", data={"old_email": "a", "new_email": "b"})

    assert system.runner.process(kinesis_batch([registered(), moved, renamed])).failures == []

    assert system.row().applied == {"user": 3}
    assert system.profile()["name"] == "Ada L."
    assert "email" not in str(system.row())


@pytest.mark.parametrize("writers", [1, 8])
def test_a_thousand_records_of_a_hundred_aggregates_cost_one_read_and_a_hundred_writes(writers: int) -> None:
    system = System(writers)
    histories = [plays(10, f"u{user}") for user in range(100)]
    batch = kinesis_batch(event for turn in zip(*histories, strict=True) for event in turn)

    assert system.runner.process(batch).failures == []

    assert len(batch) == 1000
    assert [len(keys) for keys in system.rows.reads] == [100]
    assert sorted(system.rows.writes) == sorted(f"player_profiles@1#u{user}" for user in range(100))
    assert {system.row(f"u{user}").applied["player"] for user in range(100)} == {10}


def test_an_empty_batch_is_no_error(system: System) -> None:
    assert system.runner.process([]).failures == []


def _collected(state: State, award: BadgeEarned, _: RecordedEvent) -> State:
    return {**state, "badges": sorted([*state["badges"], award.badge])}


#: Many aggregates of one type in one row: each award is its own, always at version 1.
COLLECTED = Projection(
    name="collected",
    generation=1,
    initial={"badges": []},
    folds={BadgeEarned: _collected},
    deleted_by=[UserDeleted],
    ignores=[UserRegistered],
    key=owner_key,
    many={"badge"},
)


def award(badge: str, user: str = "u1", version: int = 1) -> RecordedEvent:
    earned = BadgeEarned(user_id=user, badge=badge, game=None, title=badge, earned_at=AT, play_event_id="p")
    return recorded(f"badge#{user}#{badge}:chess", version, earned)


def test_many_aggregates_of_one_type_share_a_row_each_behind_its_own_gate() -> None:
    """FAULTS row 33: an award that arrives weeks later again, among others, counts once."""
    system = System(projection=COLLECTED)
    a, b, c = award("a"), award("b"), award("c")

    for batch in ([registered(), b, a], [a, c, award("a", "u2")], [c, b]):
        assert system.runner.process(kinesis_batch(batch)).failures == []

    row = system.rows.rows["collected@1#u1"]
    assert row.state == {"badges": ["a", "b", "c"]}
    assert row.applied == {"user": 1, "badge#u1#a:chess": 1, "badge#u1#b:chess": 1, "badge#u1#c:chess": 1}
    assert system.rows.rows["collected@1#u2"].state == {"badges": ["a"]}


def test_of_many_aggregates_in_a_row_one_that_stops_holds_up_no_other() -> None:
    """FAULTS rows 2 and 5: a gap that the event store does not explain stops its own aggregate alone."""
    system = System(projection=COLLECTED)

    outcome = system.runner.process(kinesis_batch([award("a", version=2), award("b")]))

    assert failed(outcome) == [1]
    assert system.rows.rows["collected@1#u1"].state == {"badges": ["b"]}


def test_of_many_aggregates_in_a_row_none_brings_back_what_was_deleted() -> None:
    system = System(projection=COLLECTED)
    gone = recorded("user#u1", 2, UserDeleted())

    for batch in ([award("a"), registered(), gone], [award("b")], [gone, award("a")]):
        assert system.runner.process(kinesis_batch(batch)).failures == []

    row = system.rows.rows["collected@1#u1"]
    assert row.state is None
    assert row.applied == {"user": 2, "badge#u1#a:chess": 1, "badge#u1#b:chess": 1}
