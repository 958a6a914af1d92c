"""Whatever is odd, in whichever order it is delivered, stops its own aggregate alone; mended, all is applied once."""

from collections.abc import Mapping
from copy import replace
from dataclasses import dataclass
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.limits import DynamoDbLimits
from headwater.projections.leaderboard import LEADERBOARD
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Projection
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import EVENT_TYPES
from tests.fakes.kinesis_records import InMemoryClaimStore, deliver, failed, kinesis_batch
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels
from tests.unit.projections.test_any_delivery import USERS, Run, runs

#: ``unreadable``: fan_out has parked it. ``missing``: it is appended late. ``unknown``: of newer code. ``huge``: in no
#: row there is room for it.
type Oddity = Literal["unreadable", "missing", "unknown", "huge"]
LIMITS = DynamoDbLimits(row_bytes=2_500)
#: What no stream delivers before it is mended.
NOT_PUBLISHED = ("unreadable", "missing")


@dataclass(frozen=True)
class OddRun:
    """A run, and what is odd about some events of its history, by aggregate and version."""

    run: Run
    odd: Mapping[tuple[str, int], Oddity]

    def seen(self, event: RecordedEvent) -> RecordedEvent:
        """The event as it is before it is mended."""
        match self.odd.get((event.aggregate_id, event.version)):
            case "unknown":
                return replace(event, type="PlayUndone")
            case "huge":
                return replace(event, data={**event.data, "game": "x" * 2 * LIMITS.row_bytes})
        return event

    def kind(self, event: RecordedEvent) -> Oddity | None:
        return self.odd.get((event.aggregate_id, event.version))


@st.composite
def odd_runs(draw: st.DrawFn) -> OddRun:
    run = draw(runs())
    odd: dict[tuple[str, int], Oddity] = {}
    for event in draw(st.lists(st.sampled_from(run.history), max_size=4)):
        kinds: list[Oddity] = ["unreadable", "missing"]
        if event.type == PlayCompleted.__name__:
            kinds += ["unknown", "huge"]
        odd[event.aggregate_id, event.version] = draw(st.sampled_from(kinds))
    return OddRun(run, odd)


class Scene:
    """A projection over a store in which some things are odd."""

    def __init__(self, odd_run: OddRun, projection: Projection) -> None:
        self.odd_run = odd_run
        self.projection = projection
        self.rows, self.events, self.lot = InMemoryReadModels(LIMITS), InMemoryEventStore(), InMemoryParkingLot()
        self.rows.faults, self.rows.after_effect = list(odd_run.run.before), list(odd_run.run.after)
        self.runner = ProjectionRunner(
            projection,
            self.rows,
            self.events,
            InMemoryClaimStore(),
            EVENT_TYPES,
            parking=parking(self.lot),
            patience=patience(),
            sleep=lambda _: None,
            limits=LIMITS,
        )
        for event in odd_run.run.history:
            if odd_run.kind(event) == "missing":
                continue
            self.events.histories.setdefault(event.aggregate_id, []).append(odd_run.seen(event))
            if odd_run.kind(event) == "unreadable":
                self.events.unreadable.add(event.event_id)

    def arrive(self) -> None:
        arrival = [event for event in self.odd_run.run.arrival if self.odd_run.kind(event) not in NOT_PUBLISHED]
        deliver(kinesis_batch(map(self.odd_run.seen, arrival)), self.runner.process, self.odd_run.run.sizes)

    def mend(self) -> None:
        """Each item as it should be; fan_out's letters, and what is appended late, are published."""
        self.rows.faults, self.rows.after_effect = [], []
        self.events.unreadable.clear()
        self.events.histories.clear()
        for event in self.odd_run.run.history:
            self.events.histories.setdefault(event.aggregate_id, []).append(event)
        late = [event for event in self.odd_run.run.history if self.odd_run.kind(event) in NOT_PUBLISHED]
        deliver(kinesis_batch(late), self.runner.process, self.odd_run.run.sizes)
        for letter in self.lot.parked:
            assert failed(self.runner.redrive(letter.raw)) == []

    def gates(self, aggregate_id: str) -> tuple[int, int | None]:
        """How far the aggregate is applied, and where its mark stands."""
        row = self.rows.rows.get(self.projection.pk(self.projection.key(aggregate_id)))
        if row is None:
            return 0, None
        gate = self.projection.gate_of(aggregate_id)
        return row.applied.get(gate, 0), row.parked_from.get(gate) or row.waits_for.get(gate)

    def assert_each_stands_at_its_own_oddity(self) -> None:
        history = self.odd_run.run.history
        for aggregate_id in {event.aggregate_id for event in history}:
            mine = [event for event in history if event.aggregate_id == aggregate_id]
            odd = [event.version for event in mine if self.odd_run.kind(event)]
            applied, mark = self.gates(aggregate_id)
            assert mark in (None, applied + 1)
            assert applied >= min(odd, default=len(mine) + 1) - 1
            # Of what was delivered, nothing is acknowledged that neither a row nor a mark accounts for.
            published = [event.version for event in mine if self.odd_run.kind(event) not in NOT_PUBLISHED]
            assert mark or max(published, default=0) <= applied

    def assert_rows_are_the_fold(self) -> None:
        for user in USERS:
            mine = [event for event in self.odd_run.run.history if event.aggregate_key == user]
            row = self.rows.rows[self.projection.pk(user)]
            applied = [event for event in mine if event.version <= row.applied.get(event.aggregate_type, 0)]
            assert row.state == self.projection.fold(applied)


@settings(max_examples=300)
@given(odd_runs(), st.sampled_from([PLAYER_PROFILES, LEADERBOARD]))
def test_what_is_odd_stops_its_own_aggregate_and_mended_it_is_applied_once(run: OddRun, projection: Projection) -> None:
    """FAULTS rows 1, 2, 5 and 20."""
    scene = Scene(run, projection)

    scene.arrive()

    scene.assert_each_stands_at_its_own_oddity()
    scene.mend()
    for event in run.run.history:
        applied, mark = scene.gates(event.aggregate_id)
        assert (applied >= event.version, mark) == (True, None)
    scene.assert_rows_are_the_fold()


@settings(max_examples=150)
@given(odd_runs())
def test_what_is_given_up_is_all_that_is_not_applied(run: OddRun) -> None:
    """Every letter discarded, fan_out's too: each aggregate goes on without what was odd, and without nothing else."""
    scene = Scene(run, PLAYER_PROFILES)
    scene.arrive()
    scene.rows.faults, scene.rows.after_effect = [], []

    given_up: set[tuple[str, int]] = set()
    for event in sorted(run.run.history, key=lambda event: event.version):
        if run.kind(event) == "unreadable" and scene.gates(event.aggregate_id)[0] + 1 == event.version:
            given_up |= {(event.aggregate_id, event.version)} if scene.runner.pass_over(*_place(event)) else set()
        if scene.gates(event.aggregate_id)[1] == event.version and run.kind(event) != "unreadable":
            letters = [letter for letter in scene.lot.parked if letter.aggregate_id == event.aggregate_id]
            for each in scene.runner.discard(letters[-1].raw)[0]:
                given_up |= {(each.aggregate_id, version) for version in range(each.first, each.last + 1)}
            assert scene.gates(event.aggregate_id)[1] != event.version

    for aggregate_id, version in given_up:
        assert run.odd[aggregate_id, version]
    for user in USERS:
        row = scene.rows.rows.get(PLAYER_PROFILES.pk(user))
        if row is not None:
            mine = [
                event
                for event in run.run.history
                if event.aggregate_key == user
                and event.version <= row.applied.get(event.aggregate_type, 0)
                and _place(event) not in given_up
            ]
            assert row.state == PLAYER_PROFILES.fold(mine)
            assert not row.parked_from


def _place(event: RecordedEvent) -> tuple[str, int]:
    return event.aggregate_id, event.version
