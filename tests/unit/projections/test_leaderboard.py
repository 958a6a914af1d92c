"""The leaderboard: rows of a player's games that move with their checkpoint, the index, and the reader over it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.dead_letters.parked import NotParkedError
from headwater.dead_letters.redrive import GivenUp
from headwater.domain.events import (
    SCORE_LIMIT,
    MalformedEventError,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserProfileChanged,
    UserRegistered,
)
from headwater.ids import uuid7
from headwater.limits import DynamoDbLimits
from headwater.projections.leaderboard import LEADERBOARD, SPREAD, Entry, GameNotFoundError, Leaderboards, Standing
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Rank, State
from headwater.projections.read_models import ReadModelReader, ReadModelThrottledError, Row, RowConflictError
from headwater.projections.runner import ProjectionRunner
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import AT, EVENT_TYPES, read, recorded
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore, failed, kinesis_batch, kinesis_record
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.patience import patience
from tests.fakes.read_models import InMemoryReadModels

LATER = "2026-03-02T12:00:00.000Z"
LIMITS = DynamoDbLimits()


class System:
    """A runner over the leaderboard with everything it talks to in memory, and the reader."""

    def __init__(self, limits: DynamoDbLimits = LIMITS, lot: InMemoryParkingLot | None = None) -> None:
        self.rows = InMemoryReadModels()
        self.events = InMemoryEventStore()
        self.incidents = RecordedIncidents()
        self.claims = InMemoryClaimStore()
        self.runner = ProjectionRunner(
            LEADERBOARD,
            self.rows,
            self.events,
            self.claims,
            EVENT_TYPES,
            parking=parking(lot),
            patience=patience(),
            sleep=lambda _: None,
            limits=limits,
        )
        self.leaderboards = Leaderboards(ReadModelReader(self.rows, self.incidents), self.incidents)

    def process(self, events: Iterable[RecordedEvent]) -> list[int]:
        return failed(self.runner.process(kinesis_batch(events)))

    def row(self, key: str) -> Row:
        return self.rows.rows[f"leaderboard@1#{key}"]

    def states(self) -> dict[str, State | None]:
        """Rows of players and games by ``<user>#<game>``."""
        keys = (pk.removeprefix("leaderboard@1#") for pk in self.rows.rows)
        return {key: self.row(key).state for key in keys if "#" in key}

    def stored(self, events: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        for event in events:
            self.events.histories.setdefault(event.aggregate_id, []).append(event)
        return events


@pytest.fixture
def system() -> System:
    return System()


def play(version: int, game: str = "chess", score: int = 7, user: str = "u1", at: str = AT) -> RecordedEvent:
    return recorded(f"player#{user}", version, PlayCompleted(game=game, score=score, played_at=at))


def deleted(version: int = 1, user: str = "u1") -> RecordedEvent:
    return recorded(f"user#{user}", version, UserDeleted())


def games(count: int, first: int = 1) -> list[RecordedEvent]:
    """One play of each of so many games."""
    return [play(version, f"game-{version}") for version in range(first, first + count)]


def test_a_player_has_a_row_in_each_game_with_the_best_score_and_when_it_was_reached(system: System) -> None:
    plays = [play(1, score=5), play(2, score=9, at=LATER), play(3, score=3), play(4, "go", 1)]

    assert system.process(plays) == []

    assert system.states() == {
        "u1#chess": {"score": 9, "achieved_at": LATER, "plays": 3},
        "u1#go": {"score": 1, "achieved_at": AT, "plays": 1},
    }
    assert system.row("u1").applied == {"player": 4}
    assert system.rows.transactions == [3]


def test_of_equal_scores_the_earlier_by_event_time_counts_even_if_it_arrives_later(system: System) -> None:
    system.process([play(1, score=9, at=LATER)])
    system.process([play(2, score=9, at=AT), play(3, score=9, at=LATER)])

    assert system.states() == {"u1#chess": {"score": 9, "achieved_at": AT, "plays": 3}}


def test_only_the_rows_of_games_that_were_played_are_written_again(system: System) -> None:
    system.process(games(5))
    before = system.row("u1#game-1")

    system.process([play(6, "game-3"), play(7, "game-3")])

    assert system.rows.transactions == [6, 2]
    assert system.row("u1#game-1") == before
    assert system.row("u1#game-3").state == {"score": 7, "achieved_at": AT, "plays": 3}


def test_the_same_plays_again_write_nothing(system: System) -> None:
    """FAULTS row 4: the whole batch again, and again with other bounds."""
    plays = [*games(3), play(4)]
    system.process(plays)
    before = dict(system.rows.rows)

    for batch in (plays, plays[1:], plays[:2]):
        assert system.process(batch) == []

    assert system.rows.rows == before
    assert len(system.rows.writes) == 1


def test_versions_that_arrive_as_2_3_1_are_healed_without_reading_a_row_again(system: System) -> None:
    """FAULTS row 5."""
    one, two, three = system.stored([play(1, score=1), play(2, "go", 2), play(3, score=3)])

    for event in (two, three, one):
        assert system.process([event]) == []

    assert system.states() == {
        "u1#chess": {"score": 3, "achieved_at": AT, "plays": 2},
        "u1#go": {"score": 2, "achieved_at": AT, "plays": 1},
    }
    assert [len(keys) for keys in system.rows.reads] == [1, 1, 1]


def test_an_unknown_type_stops_its_player_and_nobody_else(system: System) -> None:
    """FAULTS row 20: a type that is neither folded nor ignored is never skipped."""
    unknown = replace(play(2), type="PlayUndone")
    outcome = system.runner.process(kinesis_batch([play(1), unknown, play(3), play(1, user="u2")]))

    # Nor parked here: the queue is closed.
    assert failed(outcome) == [2, 3]
    assert isinstance(outcome.failures[0].error, NotParkedError)
    assert system.row("u1").applied == {"player": 1}
    assert system.row("u2").applied == {"player": 1}


def stopped_at_its_second_of(count: int) -> tuple[System, InMemoryParkingLot]:
    """A player whose second play cannot be read, in a system whose transactions take nine games each."""
    lot = InMemoryParkingLot()
    system = System(DynamoDbLimits(transaction_items=10), lot)
    history = [play(1, "game-1"), replace(play(2), type="PlayUndone"), *games(count - 2, 3)]
    system.stored(history)
    assert system.process(history[:2]) == []
    return system, lot


class EndlessError(BaseException):
    """No code under test catches it."""


def test_an_event_is_given_up_once_though_what_follows_takes_several_transactions() -> None:
    """FAULTS row 4: the gate never goes back."""
    system, lot = stopped_at_its_second_of(50)
    system.rows.faults = [None] * 20 + [EndlessError("it goes on for ever")]

    given_up, outcome = system.runner.discard(lot.parked[0].raw)

    assert (given_up, outcome.failures) == ([GivenUp("player#u1", 2, 2)], [])
    assert (system.row("u1").applied, system.row("u1").parked_from) == ({"player": 50}, {})
    assert set(map(str, system.states().values())) == {str(play_state())}
    assert len(system.states()) == 49


def test_a_discard_that_is_stopped_between_two_transactions_is_finished_by_the_next() -> None:
    """FAULTS row 3."""
    system, lot = stopped_at_its_second_of(50)
    system.rows.faults = [None, ConnectionError("the command was stopped")]

    assert system.runner.discard(lot.parked[0].raw)[1].failures
    assert system.runner.discard(lot.parked[0].raw)[1].failures == []

    assert (system.row("u1").applied, system.row("u1").parked_from) == ({"player": 50}, {})
    assert set(map(str, system.states().values())) == {str(play_state())}


def test_a_score_that_the_index_could_not_sort_is_malformed(system: System) -> None:
    for score in (-1, SCORE_LIMIT + 1):
        with pytest.raises(MalformedEventError, match="score"):
            LEADERBOARD.fold([read(replace(play(1), data={**play(1).data, "score": score}))])
    assert LEADERBOARD.fold([play(1, score=SCORE_LIMIT), play(2, "go", 0)])


def test_a_deleted_user_leaves_every_game_and_the_index(system: System) -> None:
    system.process([*games(3), play(1, user="u2", game="game-1")])

    assert system.process([deleted()]) == []

    assert system.states() == {"u1#game-1": None, "u1#game-2": None, "u1#game-3": None, "u2#game-1": play_state()}
    assert system.row("u1").state is None
    assert all(row.rank is None for row in system.rows.rows.values() if row.state is None)
    assert [entry.user_id for entry in system.leaderboards.top("game-1", 10)] == ["u2"]
    with pytest.raises(GameNotFoundError):
        system.leaderboards.top("game-2", 10)


def play_state() -> State:
    return {"score": 7, "achieved_at": AT, "plays": 1}


def test_nothing_brings_a_deleted_players_rows_back(system: System) -> None:
    """FAULTS row 4: duplicates weeks later, and plays that were on their way."""
    system.process([*games(2), deleted()])

    for batch in (games(2), [deleted()], [play(3, "game-1", 99)], [play(4, "game-9")]):
        assert system.process(batch) == []

    assert set(system.states().values()) <= {None}
    assert system.row("u1").applied == {"player": 4, "user": 1}


def test_a_deletion_that_arrives_before_the_plays_leaves_no_row(system: System) -> None:
    system.process([deleted()])
    system.process(games(2))

    assert system.states() == {}
    assert system.row("u1").applied == {"user": 1, "player": 2}


def test_other_events_of_the_user_pass_the_gate_by_a_plain_write(system: System) -> None:
    registered = recorded("user#u1", 1, UserRegistered(name="Ada", email="ada@example.org"))
    system.process([registered, recorded("user#u1", 2, UserProfileChanged(name="Ada L."))])

    assert system.row("u1").applied == {"user": 2}
    assert (len(system.rows.writes), system.rows.transactions) == (1, [])
    assert "Ada" not in str(system.rows.rows)


def test_more_games_than_a_transaction_takes_move_in_several_each_with_its_version(system: System) -> None:
    versions: list[int] = []
    put = system.rows.put

    def spy(row: Row, parts: Sequence[Row] = ()) -> None:
        versions.append(row.applied["player"])
        put(row, parts)

    system.rows.put = spy  # type: ignore[method-assign]

    assert system.process(games(250)) == []

    assert versions == [99, 198, 250]
    assert system.rows.transactions == [100, 100, 53]
    assert len(system.states()) == 250


def test_more_plays_than_a_transaction_takes_of_few_games_are_one_transaction(system: System) -> None:
    assert system.process([play(version, f"game-{version % 3}") for version in range(1, 301)]) == []

    assert system.rows.transactions == [4]


def test_a_stop_between_two_transactions_loses_nothing_and_doubles_nothing(system: System) -> None:
    """FAULTS row 3: what was written is found by its gate, what was not follows."""
    system.rows.faults = [None, ConnectionError("the function was stopped")]
    plays = games(250)

    assert system.process(plays)[0] <= 100
    assert system.row("u1").applied == {"player": 99}
    assert system.process(plays) == []

    assert system.row("u1").applied == {"player": 250}
    assert set(map(str, system.states().values())) == {str(play_state())}


def test_a_player_of_more_games_than_a_transaction_takes_is_deleted_in_several(system: System) -> None:
    system.process(games(250))
    system.rows.transactions.clear()
    system.rows.faults = [None, ConnectionError("the function was stopped")]

    assert system.process([deleted()]) == [1]
    assert system.row("u1").applied == {"player": 250}
    # A play that comes between shows for as long as the deletion is under way.
    assert system.process([play(251, "game-1", 8)]) == []
    assert system.process([deleted()]) == []

    # The second was refused.
    assert system.rows.transactions == [100, 100, 2, 100, 54]
    assert system.row("u1").applied == {"player": 251, "user": 1}
    assert len(system.states()) == 250
    assert set(system.states().values()) == {None}


def test_plays_and_a_deletion_in_one_batch_split_where_they_must(system: System) -> None:
    assert system.process([*games(150), deleted()]) == []

    assert max(system.rows.transactions) <= LIMITS.transaction_items
    assert set(system.states().values()) == {None}
    assert system.row("u1").applied == {"player": 150, "user": 1}


@pytest.mark.parametrize("error", [RowConflictError("leaderboard@1#u1", 0), ReadModelThrottledError("busy")])
def test_a_transaction_that_is_refused_is_tried_again_from_what_is_stored(system: System, error: Exception) -> None:
    """FAULTS row 15, and a lost race."""
    system.rows.faults = [error, error]

    assert system.process([play(1), play(2, "go")]) == []

    assert len(system.states()) == 2
    assert len(system.rows.writes) == 3


def test_a_lost_answer_is_found_by_the_gate(system: System) -> None:
    """FAULTS row 3: the transaction was done, and its answer lost."""
    system.rows.after_effect = [RowConflictError("leaderboard@1#u1", 0)]

    assert system.process([play(1, score=3), play(2, score=5)]) == []

    assert system.states() == {"u1#chess": {"score": 5, "achieved_at": AT, "plays": 2}}


def test_two_writers_of_one_player_lose_nothing(system: System) -> None:
    one, two, three = system.stored([play(1), play(2, "go"), play(3)])
    system.rows.meanwhile = [lambda: system.process([one, two])]

    assert system.process([three]) == []

    assert system.row("u1").applied == {"player": 3}
    assert system.row("u1#chess").state == {"score": 7, "achieved_at": AT, "plays": 2}
    assert system.row("u1#go").state == play_state()


def test_a_claim_check_is_followed(system: System) -> None:
    """FAULTS row 13: the game of an event without data is not known before."""
    outcome = system.runner.process([kinesis_record(play(1), 1, claims=system.claims)])

    assert outcome.failures == []
    assert system.states() == {"u1#chess": play_state()}


def test_a_key_that_its_parts_could_not_be_told_from_is_refused(system: System) -> None:
    """``player#u1#chess`` would have its checkpoint where the player u1 has the row of chess."""
    assert system.process([play(1, user="u1#chess"), play(1)]) == [1]

    assert list(system.states()) == ["u1#chess"]


@pytest.mark.parametrize("writers", [1, 8])
def test_a_thousand_records_of_a_hundred_players_cost_one_read_and_a_transaction_each(writers: int) -> None:
    system = System()
    with ThreadPoolExecutor(writers) as threads:
        runner = ProjectionRunner(
            LEADERBOARD,
            system.rows,
            system.events,
            system.claims,
            EVENT_TYPES,
            parking=parking(),
            patience=patience(),
            writers=threads,
        )
        plays = [play(turn, f"game-{turn % 3}", turn, f"u{user}") for turn in range(1, 11) for user in range(100)]
        assert runner.process(kinesis_batch(plays)).failures == []

    assert [len(keys) for keys in system.rows.reads] == [100]
    assert sorted(system.rows.writes) == sorted(f"leaderboard@1#u{user}" for user in range(100))
    assert system.rows.transactions == [4] * 100


@given(st.lists(st.builds(Standing, score=st.integers(0, SCORE_LIMIT),
                          achieved_at=st.integers(1, 28).map(lambda day: f"2026-03-{day:02d}T12:00:00.000Z"),
                          user_id=st.sampled_from(["a", "b", "ab"]))))  # fmt: skip
def test_the_index_sorts_by_score_then_time_then_user(standings: list[Standing]) -> None:
    by_text = sorted(standings, key=lambda standing: standing.text)

    assert by_text == sorted(standings, key=lambda one: (-one.score, one.achieved_at, one.user_id))
    assert [Standing.parse(standing.text) for standing in standings] == standings


def test_a_hot_game_is_spread_evenly_over_its_partitions(system: System) -> None:
    rank = LEADERBOARD.rank
    assert rank is not None
    partitions = Counter(rank(f"{uuid7()}#chess", play_state()).ranking for _ in range(8000))

    assert partitions.keys() == {f"chess#{number}" for number in range(SPREAD)}
    assert max(partitions.values()) < 1.25 * 8000 / SPREAD


def board(system: System, scores: dict[str, tuple[int, str]]) -> None:
    system.process([play(1, score=score, user=user, at=at) for user, (score, at) in scores.items()])


def named(system: System, user: str, name: str | None) -> None:
    pk = PLAYER_PROFILES.pk(user)
    system.rows.rows[pk] = Row(pk=pk, state={"name": name}, applied={}, revision=1)


def test_a_leaderboard_is_merged_over_its_partitions_with_names(system: System) -> None:
    board(system, {"u1": (5, AT), "u2": (9, LATER), "u3": (9, AT), "u4": (7, AT), "u5": (9, AT)})
    for user, name in {"u2": "Grace", "u3": "Ada", "u4": None}.items():
        named(system, user, name)
    system.rows.reads.clear()

    entries = system.leaderboards.top("chess", 4)

    assert entries == [
        Entry(rank=1, user_id="u3", name="Ada", score=9, achieved_at=AT),
        Entry(rank=2, user_id="u5", name=None, score=9, achieved_at=AT),
        Entry(rank=3, user_id="u2", name="Grace", score=9, achieved_at=LATER),
        Entry(rank=4, user_id="u4", name=None, score=7, achieved_at=AT),
    ]
    assert sorted(system.rows.queries) == [f"leaderboard@1#chess#{number}" for number in range(SPREAD)]
    assert [len(keys) for keys in system.rows.reads] == [4]


@pytest.mark.parametrize("text", ["0999999999992#so#on#u9", "abc#def#ghi", "", "0999999999992#u9"])
def test_a_row_that_cannot_be_read_is_left_out_and_reported(system: System, text: str) -> None:
    """Older code wrote what it could not read again: everybody else is answered."""
    board(system, {"u1": (5, AT), "u2": (9, LATER)})
    pk = LEADERBOARD.pk("u9#chess")
    system.rows.rows[pk] = Row(
        pk=pk, state=play_state(), applied={}, revision=1, rank=Rank(LEADERBOARD.pk("chess#0"), text)
    )

    entries = system.leaderboards.top("chess", 10)

    assert [(entry.rank, entry.user_id) for entry in entries] == [(1, "u2"), (2, "u1")]
    assert [(incident, facts["row"]) for incident, facts in system.incidents.reports] == [("UnreadableRows", pk)]
    system.rows.rows = {pk: system.rows.rows[pk]}
    with pytest.raises(GameNotFoundError):
        system.leaderboards.top("chess", 10)


def test_a_name_that_cannot_be_read_is_none(system: System) -> None:
    board(system, {"u1": (5, AT), "u2": (9, LATER)})
    named(system, "u1", "Ada")
    system.rows.unreadable = {PLAYER_PROFILES.pk("u2")}

    assert [entry.name for entry in system.leaderboards.top("chess", 10)] == [None, "Ada"]


@pytest.mark.parametrize("data", [{"played_at": "so#on"}, {"score": 7.0}, {"score": "7"}, {"game": 7}])
def test_what_could_not_be_read_again_is_not_written(data: dict[str, object]) -> None:
    lot = InMemoryParkingLot()
    system = System(lot=lot)
    odd = replace(play(1), data={**play(1).data, **data})

    assert system.process([odd, play(1, user="u2")]) == []

    assert list(system.states()) == ["u2#chess"]
    assert [parked.aggregate_id for parked in lot.parked] == ["player#u1"]


def test_the_order_of_ties_does_not_depend_on_the_order_of_arrival() -> None:
    scores = {f"u{number}": (9, AT) for number in range(30)}
    one, other = System(), System()
    board(one, scores)
    board(other, dict(reversed(scores.items())))

    assert one.leaderboards.top("chess", 30) == other.leaderboards.top("chess", 30)
    assert [entry.user_id for entry in one.leaderboards.top("chess", 30)] == sorted(scores)


def test_a_game_that_nobody_played_has_no_leaderboard(system: System) -> None:
    board(system, {"u1": (5, AT)})

    with pytest.raises(GameNotFoundError):
        system.leaderboards.top("ches", 10)
