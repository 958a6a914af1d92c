"""Whatever goes wrong is laid to the aggregate that brings it; its neighbours are applied and acknowledged."""

from collections.abc import Callable, Sequence
from copy import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headwater.attribute_values import MalformedAttributeError
from headwater.change_stream import cloud_events
from headwater.change_stream.cloud_events import Delivery
from headwater.dead_letters.redrive import GivenUp
from headwater.domain.events import BadgeEarned, EventTypes, PlayCompleted, RecordedEvent, UserRegistered
from headwater.limits import DynamoDbLimits
from headwater.projections.dynamodb import item_of
from headwater.projections.leaderboard import LEADERBOARD
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import BeforeWrite, Projection, RowChange, State, owner_key
from headwater.projections.read_models import ReadModelThrottledError, Row
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import AT, EVENT_TYPES, recorded
from tests.fakes.kinesis_records import InMemoryClaimStore, failed, kinesis_batch, kinesis_record
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.patience import Patient
from tests.fakes.read_models import InMemoryReadModels
from tests.unit.projections.test_runner import plays, registered

DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "PutItem")
REFUSED = ClientError({"Error": {"Code": "ValidationException", "Message": ""}}, "PutItem")


class Rows(InMemoryReadModels):
    """Raises what ``refuses`` gives for a row."""

    def __init__(self, limits: DynamoDbLimits) -> None:
        super().__init__(limits)
        self.refuses: Callable[[Row], Exception | None] = lambda _: None

    def put(self, row: Row, parts: Sequence[Row] = ()) -> None:
        if error := self.refuses(row):
            self.writes.append(row.pk)
            raise error
        super().put(row, parts)


class System:
    def __init__(
        self,
        projection: Projection = PLAYER_PROFILES,
        limits: DynamoDbLimits | None = None,
        before_write: BeforeWrite | None = None,
    ) -> None:
        limits = limits or DynamoDbLimits()
        self.projection = projection
        self.rows = Rows(limits)
        self.events = InMemoryEventStore()
        self.claims = InMemoryClaimStore()
        self.lot, self.aside = InMemoryParkingLot(), InMemoryParkingLot()
        self.patient = Patient()
        self.runner = ProjectionRunner(
            projection,
            self.rows,
            self.events,
            self.claims,
            EVENT_TYPES,
            parking=parking(self.lot, projection.name, aside=self.aside),
            patience=self.patient.patience,
            before_write=before_write,
            sleep=lambda _: None,
            limits=limits,
        )

    def process(self, *events: RecordedEvent) -> list[int]:
        for event in events:
            history = self.events.histories.setdefault(event.aggregate_id, [])
            if event.version > len(history):
                history.append(event)
        return failed(self.runner.process(kinesis_batch(events)))

    def row(self, key: str = "u1") -> Row:
        return self.rows.rows[self.projection.pk(key)]

    @property
    def letters(self) -> list[tuple[str, list[int], str]]:
        return [(parked.aggregate_id, list(parked.versions), parked.reason) for parked in self.lot.parked]

    @property
    def set_aside(self) -> list[tuple[str, list[int], str]]:
        return [(parked.aggregate_id, list(parked.versions), parked.reason) for parked in self.aside.parked]


def play(version: int, user: str = "u1", **data: Any) -> RecordedEvent:
    event = recorded(f"player#{user}", version, PlayCompleted(game="chess", score=1, played_at=AT))
    return replace(event, data={**event.data, **data})


# Rows that cannot be written


def _halved(state: State, play: PlayCompleted, _: RecordedEvent) -> State:
    return {**state, "plays": state["plays"] + 1, "half": play.score / 2 if play.score == 13 else state["half"]}


#: Readable events, and a fold that makes of one what no row can hold.
HALVED = Projection(
    name="halved",
    generation=1,
    initial={"plays": 0, "half": 0, "name": None},
    folds={PlayCompleted: _halved, UserRegistered: lambda state, user, _: {**state, "name": user.name}},
)


def test_a_value_that_no_row_can_hold_is_parked_at_once() -> None:
    """FAULTS row 1."""
    system = System(HALVED)
    batch = [play(1), play(2), play(3, score=13), play(4), registered(), *plays(2, "u2")]

    assert system.process(*batch) == []

    assert system.letters == [("player#u1", [3, 4], "MalformedAttributeError")]
    assert (system.row().applied, system.row().parked_from) == ({"player": 2, "user": 1}, {"player": 3})
    assert (system.row().state or {})["plays"] == 2
    assert system.row("u2").applied == {"player": 2}


@pytest.mark.parametrize("poison", range(1, 20))
def test_of_many_events_the_one_whose_lone_write_is_refused_is_found_by_halves(poison: int) -> None:
    system = System()
    system.rows.refuses = lambda row: (
        REFUSED if row.pk.endswith("u1") and row.applied.get("player", 0) >= poison else None
    )

    assert system.process(*plays(19), *plays(1, "u2")) == []

    assert system.letters == [("player#u1", list(range(poison, 20)), "ValidationException")]
    if poison > 1:
        assert system.row().applied == {"player": poison - 1}
    assert system.row("u2").applied == {"player": 1}
    assert len(system.rows.writes) <= 14


def test_of_aggregates_that_share_a_row_the_one_at_fault_is_found() -> None:
    system = System(HALVED)

    assert system.process(registered(), play(1, score=13), recorded("user#u1", 2, registered().payload)) == []

    assert system.letters == [("player#u1", [1], "MalformedAttributeError")]
    assert (system.row().applied, system.row().parked_from) == ({"user": 2}, {"player": 1})


def test_the_mark_of_what_was_narrowed_down_holds_later_events_back_and_a_redrive_clears_it() -> None:
    system = System(HALVED)
    system.process(play(1, score=13))
    system.process(play(2), play(3))
    assert (system.row().applied, len(system.lot.parked)) == ({}, 1)
    system.events.histories["player#u1"][0] = play(1, score=7)

    assert system.runner.redrive(system.lot.parked[0].raw).failures == []

    assert (system.row().applied, system.row().parked_from) == ({"player": 3}, {})


def test_while_it_is_not_mended_a_redrive_takes_nothing_off_and_a_discard_gives_up_that_event_alone() -> None:
    system = System(HALVED)
    system.process(play(1), play(2, score=13), play(3))

    assert len(system.runner.redrive(system.lot.parked[0].raw).failures) == 2
    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 2, 2)], [])
    assert (system.row().applied, (system.row().state or {})["plays"]) == ({"player": 3}, 2)


def test_what_follows_an_event_that_was_given_up_is_blamed_for_its_own_write() -> None:
    system = System(HALVED)
    system.process(play(1), play(2, score=13), play(3, score=13), play(4))

    given_up, outcome = system.runner.discard(system.lot.parked[0].raw)

    assert (given_up, len(outcome.failures)) == ([GivenUp("player#u1", 2, 2)], 3)
    assert (system.row().applied, system.row().parked_from) == ({"player": 2}, {"player": 3})


def test_a_row_does_not_grow_above_its_limit_and_its_mark_still_fits() -> None:
    """FAULTS row 1: 400 KB are DynamoDB's limit; ours leaves room for marks."""
    limits = DynamoDbLimits(row_bytes=2_000)
    system = System(limits=limits)
    batch = [play(version, game=f"game-{version}-{'x' * 60}") for version in range(1, 101)]

    assert system.process(*batch, *plays(2, "u2")) == []

    (letter,) = system.letters
    first = letter[1][0]
    assert (letter[0], letter[2]) == ("player#u1", "RowRefusedError")
    assert (system.row().applied, system.row().parked_from) == ({"player": first - 1}, {"player": first})
    assert 10 < first < 40


def test_a_checkpoint_and_its_parts_keep_to_the_limit_too() -> None:
    system = System(LEADERBOARD, DynamoDbLimits(row_bytes=2_000, transaction_items=10))
    batch = [play(version, game=f"game-{version}") for version in range(1, 101)]

    assert system.process(*batch, *plays(1, "u2")) == []

    (letter,) = system.letters
    assert letter[2] == "RowRefusedError"
    state = system.row().state
    assert state is not None
    assert len(state["parts"]) == system.row().applied["player"] == letter[1][0] - 1
    assert system.row().parked_from == {"player": letter[1][0]}


@pytest.mark.parametrize("game", ["x" * 2_040, "é" * 1_030])
def test_a_part_whose_key_is_too_long_in_bytes_is_parked_and_the_others_are_written(game: str) -> None:
    """FAULTS row 1: 2,048 bytes, not characters."""
    system = System(LEADERBOARD)

    assert system.process(play(1), play(2, game=game), play(1, "u2")) == []

    assert system.letters == [("player#u1", [2], "RowRefusedError")]
    assert {pk for pk in system.rows.rows if pk.count("#") == 2} == {"leaderboard@1#u1#chess", "leaderboard@1#u2#chess"}


@pytest.mark.parametrize("user", ["x" * 2_035, "é" * 1_020])
def test_a_key_that_no_row_can_have_fails_no_other_row(user: str) -> None:
    """It can stand in the events table, and the row's key is longer. Without a row there is no mark."""
    system = System()

    assert system.process(play(1, user), *plays(2, "u2")) == []
    assert system.process(play(2, user), *plays(3, "u2")) == []

    assert system.letters == [(f"player#{user}", [1], "RowRefusedError"), (f"player#{user}", [2], "RowRefusedError")]
    assert system.row("u2").applied == {"player": 3}


def test_an_item_that_is_no_row_stops_its_own_aggregates_alone() -> None:
    system = System()
    system.process(*plays(1), *plays(1, "u2"))
    system.rows.unreadable = {"player_profiles@1#u1"}

    assert system.process(play(2), registered(), *plays(2, "u2")) == []

    assert [(agg, versions) for agg, versions, _ in system.letters] == [("player#u1", [2]), ("user#u1", [1])]
    assert system.row("u2").applied == {"player": 2}
    system.rows.unreadable = set()
    for letter in system.lot.parked:
        assert system.runner.redrive(letter.raw).failures == []
    assert system.row().applied == {"player": 2, "user": 1}


def test_a_row_that_takes_no_mark_parks_each_event_by_itself() -> None:
    system = System()
    system.rows.refuses = lambda row: REFUSED if row.pk == "player_profiles@1#u1" else None
    system.events.histories["player#u3"] = [*plays(2, "u3")]
    system.events.unreadable = {system.events.histories["player#u3"][0].event_id}

    assert system.process(play(1), *plays(1, "u2")) == []
    assert system.process(play(2)) == []
    system.rows.refuses = lambda row: REFUSED if row.pk == "player_profiles@1#u3" else None
    assert failed(system.runner.process(kinesis_batch(plays(1, "u3", first=2)))) == []

    # The last waits for what fan_out has parked, and has nothing else to hold it back.
    assert [(agg, versions) for agg, versions, _ in system.letters] == [
        ("player#u1", [1]),
        ("player#u1", [1 + 1]),
        ("player#u3", [2]),
    ]


# What nobody foresaw


def _surprising(state: State, play: PlayCompleted, _: RecordedEvent) -> State:
    if play.score == 13:
        raise RuntimeError("nobody foresaw this")
    return {**state, "plays": state["plays"] + 1}


SURPRISING = Projection(
    name="surprising",
    generation=1,
    initial={"plays": 0},
    folds={PlayCompleted: _surprising},
)


def folding() -> System:
    return System(SURPRISING)


def before_the_write() -> System:
    def effect(change: RowChange) -> None:
        if any(event.data["score"] == 13 for event in change.events):
            raise RuntimeError("nobody foresaw this")

    return System(before_write=effect)


def claims() -> System:
    system = System()
    get = system.claims.get

    def broken(dataref: str) -> bytes:
        if b'"score":13' in system.claims.claims[dataref]:
            raise RuntimeError("nobody foresaw this")
        return get(dataref)

    system.claims.get = broken  # type: ignore[method-assign]
    return system


def writing() -> System:
    system = System()
    system.rows.refuses = lambda row: (
        RuntimeError("nobody foresaw this") if "13" in str((row.state or {}).get("best_scores")) else None
    )
    return system


@pytest.mark.parametrize("build", [folding, before_the_write, claims, writing])
def test_it_is_laid_to_the_one_aggregate_and_set_aside_after_thirty_seconds(build: Callable[[], System]) -> None:
    system = build()
    events = [play(1), play(2, score=13), play(3), *plays(3, "u2"), *plays(2, "u3")]
    batch = [kinesis_record(event, number, claims=system.claims) for number, event in enumerate(events, start=1)]

    for after in (0, 15, 29):
        system.patient.after = after
        assert failed(system.runner.process(batch)) == [2, 3]
        assert (system.row().applied, system.row().parked_from) == ({"player": 1}, {})
        assert system.row("u2").applied == {"player": 3}
        assert (system.letters, system.set_aside) == ([], [])
    system.patient.after = 30
    outcome = system.runner.process(batch)

    assert (outcome.failures, outcome.parked, outcome.stopped) == ([], 2, ["player#u1"])
    assert (system.letters, system.set_aside) == ([], [("player#u1", [2, 3], "unforeseen")])
    assert (system.row().applied, system.row().parked_from) == ({"player": 1}, {"player": 2})
    assert failed(system.runner.process(kinesis_batch(plays(1, first=4)))) == []
    assert len(system.aside.parked) == 1


def test_what_was_set_aside_is_redriven_once_it_has_passed_by() -> None:
    system = writing()
    system.process(play(1, score=13))
    system.patient.after = 60
    system.process(play(1, score=13), play(2))
    (letter,) = system.aside.parked
    assert len(system.runner.redrive(letter.raw).failures) == 2
    assert system.row().parked_from == {"player": 1}

    system.rows.refuses = lambda _: None

    assert system.runner.redrive(letter.raw).failures == []
    assert (system.row().applied, system.row().parked_from) == ({"player": 2}, {})


def test_a_redrive_that_meets_what_nobody_foresaw_stops_no_healthy_aggregate() -> None:
    system = folding()
    system.process(play(1))

    assert len(system.runner.redrive(kinesis_batch([play(2, score=13)])).failures) == 1

    assert system.row().parked_from == {}


def test_where_nearly_all_fail_alike_the_shard_waits_and_nothing_is_parked() -> None:
    system = System()
    system.rows.refuses = lambda _: REFUSED
    batch = [event for user in range(10) for event in plays(1, f"u{user}")]

    for after in (0, 60):
        system.patient.after = after
        assert system.process(*batch) == list(range(1, 11))

    assert (system.letters, system.set_aside) == ([], [])
    assert [incident for incident, _ in system.patient.incidents.reports] == ["SystemicFailures"] * 2


@pytest.mark.parametrize("error", [DENIED, ReadModelThrottledError("throttled"), ConnectionError("no route")])
def test_neither_an_outage_nor_a_bad_moment_parks_anything(error: Exception) -> None:
    system = System()
    system.rows.refuses = lambda row: error if row.pk.endswith("u1") else None

    for after in (0, 3_600):
        system.patient.after = after
        assert system.process(*plays(3), *plays(1, "u2")) == [1, 2, 3]

    assert (system.letters, system.set_aside) == ([], [])
    assert system.row("u2").applied == {"player": 1}


def test_a_record_that_no_decoder_foresaw_holds_up_its_own_aggregate(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    decode = cloud_events.decode

    def surprised(body: bytes, types: EventTypes) -> Delivery:
        if b'"odd"' in body:
            raise RecursionError
        return decode(body, types)

    monkeypatch.setattr(cloud_events, "decode", surprised)
    odd = replace(play(2), event_id="odd")
    batch = [play(1), odd, play(3), *plays(2, "u2")]

    assert system.process(*batch) == [2, 3]
    assert (system.row().applied, system.row("u2").applied) == ({"player": 1}, {"player": 2})
    system.patient.after = 30
    assert system.process(*batch) == []
    assert system.set_aside == [("player#u1", [], "unforeseen")]
    assert system.row().applied == {"player": 3}


# What else a row may hold


def test_many_marks_in_one_row_are_bounded_by_the_item_and_not_by_the_row() -> None:
    """A row as large as it may be, and the marks that its aggregates get."""
    limits = DynamoDbLimits()
    state = {"text": "x" * (limits.row_bytes - 200)}
    row = Row(pk="p@1#u1", state=state, applied={"player": 1}, parked_from={"player": 2}, revision=1)

    item = item_of(row, limits)

    assert len(str(item)) < limits.item_bytes
    with pytest.raises(MalformedAttributeError):
        item_of(replace(row, state={"ratio": 0.5}), limits)


def _collected(state: State, award: BadgeEarned, _: RecordedEvent) -> State:
    return {**state, "badges": [*state["badges"], 0.5 if award.badge == "b" else award.badge]}


COLLECTED = Projection(
    name="collected",
    generation=1,
    initial={"badges": []},
    folds={BadgeEarned: _collected},
    key=owner_key,
    many={"badge"},
)


def test_of_many_aggregates_in_a_row_only_the_one_at_fault_is_parked() -> None:
    system = System(COLLECTED)

    def award(key: str) -> RecordedEvent:
        earned = BadgeEarned(user_id="u1", badge=key, game=None, title=key, earned_at=AT, play_event_id="p")
        return recorded(f"badge#u1#{key}", 1, earned)

    batch = [award("a"), award("b"), award("c"), award("e")]
    assert system.process(*batch) == []

    assert system.letters == [("badge#u1#b", [1], "MalformedAttributeError")]
    row = system.row()
    assert (row.state or {})["badges"] == ["a", "c", "e"]
    assert row.parked_from == {"badge#u1#b": 1}
