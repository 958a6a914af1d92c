"""One suite against read models in memory and on DynamoDB (the simulator's and moto's), so that no fake can rot."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from decimal import Decimal
from typing import Any

import boto3
import pytest

from headwater.attribute_values import MalformedAttributeError
from headwater.projections.dynamodb import DynamoDbReadModels
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Projection, Rank
from headwater.projections.read_models import (
    Ranked,
    ReadModelReader,
    ReadModelStore,
    Row,
    RowConflictError,
    RowRefusedError,
    UnreadableRowsError,
)
from tests.fakes.cloud import FakeAws
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.moto import mock_aws
from tests.fakes.read_models import InMemoryReadModels
from tests.fakes.tables import create_tables

OTHER = Projection(name="other", generation=2, initial={}, folds={})


def in_memory() -> ReadModelStore:
    return InMemoryReadModels()


def simulated() -> ReadModelStore:
    return DynamoDbReadModels(FakeAws().dynamodb, "read_models", sleep=lambda _: None)


def on_dynamodb() -> ReadModelStore:
    client = boto3.client("dynamodb")
    create_tables(client)
    return DynamoDbReadModels(client, "read_models", sleep=lambda _: None)


@pytest.fixture(params=[in_memory, simulated, on_dynamodb])
def store(request: pytest.FixtureRequest) -> Iterator[ReadModelStore]:
    build: Callable[[], ReadModelStore] = request.param
    with mock_aws():
        yield build()


def row(pk: str = "player_profiles@1#u1", revision: int = 1, **state: Any) -> Row:
    return Row(pk=pk, state=state, applied={"player": revision}, revision=revision)


def test_a_row_comes_back_as_it_went_in(store: ReadModelStore) -> None:
    full = row(name="Zoë 🏆", plays=3, best={"chess": 10**12}, last=None, ratio=Decimal("0.5"), empty={}, days=["a", 1])

    store.put(full)

    assert store.get([full.pk]) == {full.pk: full}
    assert store.get([full.pk], consistent=False) == {full.pk: full}


def test_a_parked_aggregates_mark_comes_and_goes_with_its_row(store: ReadModelStore) -> None:
    marked = Row(
        pk="badges@1#u1",
        state={"n": 1},
        applied={"player": 1},
        parked_from={"player": 2},
        waits_for={"user": 1},
        revision=1,
    )
    store.put(marked)
    assert store.get([marked.pk]) == {marked.pk: marked}

    cleared = Row(pk=marked.pk, state={"n": 2}, applied={"player": 2}, revision=2)
    store.put(cleared)
    assert store.get([marked.pk]) == {marked.pk: cleared}


def test_a_tombstone_keeps_its_versions_and_nothing_else(store: ReadModelStore) -> None:
    store.put(row(name="Ada"))
    tombstone = Row(pk="player_profiles@1#u1", state=None, applied={"user": 2, "player": 1}, revision=2)

    store.put(tombstone)

    assert store.get([tombstone.pk]) == {tombstone.pk: tombstone}


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ({"pk": "x" * 2_049}, "key"),
        ({"pk": "é" * 1_025}, "key"),
        ({"pk": "p@1#\ud83d"}, "key"),
        ({"pk": ""}, "key"),
        ({"rank": Rank("é" * 1_025, "1")}, "ranking"),
        ({"rank": Rank("r", "x" * 1_025)}, "place"),
        ({"rank": Rank("r", "")}, "place"),
        ({"state": {"text": "x" * 384 * 1024}}, "bytes"),
        ({"state": {"text": "🏆" * 98 * 1024}}, "bytes"),
        ({"state": {"list": ["x"] * 200_000}}, "bytes"),
    ],
)
def test_a_row_that_the_table_could_not_hold_is_refused_and_says_why(
    store: ReadModelStore, refused: dict[str, Any], why: str
) -> None:
    """FAULTS row 1: bytes count, not characters."""
    with pytest.raises(RowRefusedError, match=why):
        store.put(replace(row(name="Ada"), **refused))
    with pytest.raises(RowRefusedError, match=why):
        store.put(row("p@1#u1"), [replace(row(name="Ada"), **refused)])

    assert store.get(["p@1#u1", row().pk]) == {}


@pytest.mark.parametrize("state", [{"ratio": 0.5}, {"n": 10**38 + 1}, {"x": set()}, {"x": {1: "x"}}])
def test_a_state_that_dynamodb_could_not_hold_is_refused(store: ReadModelStore, state: Any) -> None:
    with pytest.raises(MalformedAttributeError):
        store.put(row(**state))


def test_marks_are_not_held_to_the_rows_limit(store: ReadModelStore) -> None:
    """A row as large as it may be can still be marked."""
    state = {"text": "x" * (384 * 1024 - 200)}
    store.put(Row(pk="p@1#u1", state=state, applied={"player": 1}, revision=1))
    gate = f"badge#{'x' * 1_900}"
    marks = {f"{gate}{number}": 1 for number in range(3)}

    store.put(Row(pk="p@1#u1", state=state, applied={"player": 1}, revision=2, parked_from=marks, waits_for=marks))

    assert store.get(["p@1#u1"])["p@1#u1"].waits_for == marks


def test_a_key_that_no_row_can_have_has_none_and_fails_no_other(store: ReadModelStore) -> None:
    store.put(row())

    assert store.get(["x" * 2_049, "é" * 1_025, "p@1#\ud83d", "", row().pk]) == {row().pk: row()}


@pytest.mark.parametrize("spoilt", [{}, {"revision": {"N": "1"}}, {"revision": {"N": "1"}, "applied": {"S": "x"}}])
def test_items_that_are_no_rows_are_named_and_the_others_given(store: ReadModelStore, spoilt: dict[str, Any]) -> None:
    store.put(row())
    if isinstance(store, DynamoDbReadModels):
        store._client.put_item(TableName="read_models", Item={"pk": {"S": "p@1#spoilt"}, **spoilt})
    elif isinstance(store, InMemoryReadModels):
        store.unreadable.add("p@1#spoilt")

    with pytest.raises(UnreadableRowsError, match="p@1#spoilt") as caught:
        store.get([row().pk, "p@1#spoilt"])

    assert caught.value.rows == {row().pk: row()}
    assert caught.value.unreadable == {"p@1#spoilt"}
    incidents = RecordedIncidents()
    reader = ReadModelReader(store, incidents)
    assert reader.get_many(
        [(PLAYER_PROFILES, "u1"), (Projection(name="p", generation=1, initial={}, folds={}), "spoilt")]
    ) == [
        {},
        None,
    ]
    assert [incident for incident, _ in incidents.reports] == ["UnreadableRows"]


def test_an_empty_state_is_no_tombstone(store: ReadModelStore) -> None:
    store.put(row())

    assert store.get([row().pk])[row().pk].state == {}


def test_rows_that_do_not_exist_are_left_out_and_a_key_may_be_asked_for_twice(store: ReadModelStore) -> None:
    store.put(row())

    assert list(store.get([row().pk, "player_profiles@1#nobody", row().pk])) == [row().pk]
    assert store.get([]) == {}


def test_more_rows_than_a_request_takes(store: ReadModelStore) -> None:
    pks = [f"player_profiles@1#u{number}" for number in range(101)]
    for pk in pks:
        store.put(row(pk))

    assert store.get(pks).keys() == set(pks)


@pytest.mark.parametrize("revision", [1, 2, 4])
def test_a_write_against_another_revision_than_was_read_is_refused(store: ReadModelStore, revision: int) -> None:
    for number in (1, 2):
        store.put(row(revision=number, plays=number))

    with pytest.raises(RowConflictError, match="player_profiles@1#u1"):
        store.put(row(revision=revision, plays=99))

    assert store.get([row().pk])[row().pk].state == {"plays": 2}


def test_a_row_that_should_exist_and_does_not_is_refused(store: ReadModelStore) -> None:
    with pytest.raises(RowConflictError):
        store.put(row(revision=2))
    assert store.get([row().pk]) == {}


def part(user: str, order: str | None, ranking: str = "leaderboard@1#chess#0") -> Row:
    """A part's row, or its tombstone."""
    rank = None if order is None else Rank(ranking, order)
    return Row(
        pk=f"leaderboard@1#{user}#chess", state={"plays": 1} if rank else None, applied={}, revision=1, rank=rank
    )


def test_a_row_and_its_parts_are_written_together(store: ReadModelStore) -> None:
    checkpoint, parts = row(parts={"chess": {"plays": 1}}), [part("u1", "1"), part("u1b", None)]

    store.put(checkpoint, parts)

    written = [checkpoint, *parts]
    assert store.get([each.pk for each in written]) == {each.pk: each for each in written}


@pytest.mark.parametrize("revision", [1, 2, 4])
def test_no_part_is_written_without_its_checkpoint(store: ReadModelStore, revision: int) -> None:
    for number in (1, 2):
        store.put(row(revision=number), [part("u1", str(number))])

    with pytest.raises(RowConflictError, match="player_profiles@1#u1"):
        store.put(row(revision=revision), [part("u1", "9"), part("u2", "9")])

    assert store.get([part("u1", "2").pk, part("u2", "9").pk]) == {part("u1", "2").pk: part("u1", "2")}


def test_as_many_parts_as_a_transaction_takes(store: ReadModelStore) -> None:
    parts = [part(f"u{number}", str(number)) for number in range(99)]

    store.put(row(), parts)

    assert len(store.get([each.pk for each in parts])) == 99


def test_a_ranking_holds_its_rows_in_order_and_forgets_tombstones(store: ReadModelStore) -> None:
    other = part("u9", "0", "leaderboard@1#chess#1")
    store.put(row(), [part("u1", "c"), part("u2", "a"), part("u3", "b"), part("u4", "a"), other])
    store.put(row(revision=2), [part("u2", None), part("u1", "d")])

    def ranked(limit: int) -> list[Ranked]:
        return store.ranking("leaderboard@1#chess#0", limit)

    assert ranked(10) == [
        Ranked("a", "leaderboard@1#u4#chess"),
        Ranked("b", "leaderboard@1#u3#chess"),
        Ranked("d", "leaderboard@1#u1#chess"),
    ]
    assert ranked(2) == ranked(10)[:2]
    assert store.ranking("leaderboard@1#go#0", 10) == []


def test_a_row_without_parts_may_have_a_rank_too(store: ReadModelStore) -> None:
    ranked = Row(pk="streaks@1#u1", state={}, applied={"player": 1}, revision=1, rank=Rank("streaks@1#all", "7"))

    store.put(ranked)

    assert store.get([ranked.pk]) == {ranked.pk: ranked}
    assert store.ranking("streaks@1#all", 1) == [Ranked("7", ranked.pk)]


def test_a_reader_merges_the_partitions_of_a_ranking(store: ReadModelStore) -> None:
    for user, order, number in [("u1", "d", 0), ("u2", "b", 1), ("u3", "c", 0), ("u4", "a", 2)]:
        ranked = part(user, order, f"other@2#chess#{number}")
        store.put(row(f"other@2#{user}"), [ranked])

    first = ReadModelReader(store, RecordedIncidents()).first(OTHER, ["chess#0", "chess#1", "chess#2", "chess#3"], 3)

    assert [ranked.ranked_by for ranked in first] == ["a", "b", "c"]


def test_a_reader_gets_rows_of_several_projections_in_the_order_asked_for(store: ReadModelStore) -> None:
    store.put(row(name="Ada"))
    store.put(row("other@2#u1", plays=3))
    store.put(Row(pk="other@2#gone", state=None, applied={}, revision=1))
    reader = ReadModelReader(store, RecordedIncidents())

    assert reader.get_many([(OTHER, "u1"), (OTHER, "gone"), (PLAYER_PROFILES, "u1"), (PLAYER_PROFILES, "nobody")]) == [
        {"plays": 3},
        None,
        {"name": "Ada"},
        None,
    ]
    assert reader.get(PLAYER_PROFILES, "u1") == {"name": "Ada"}


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that take turns as often as they can, so that what they must not do at once they would."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(8) as threads:
        yield threads
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("store", [in_memory, on_dynamodb], indirect=True)
def test_writers_side_by_side_lose_nothing_and_disturb_no_reader(
    store: ReadModelStore, threads: ThreadPoolExecutor
) -> None:
    """As a projection's writers do: transactions, some of which fail, beside reads."""
    store.put(row("taken"))

    def write(number: int) -> None:
        store.put(row(f"u{number}"), [replace(row(f"u{number}#chess"), rank=Rank("chess", f"{number:03d}"))])

    def lose(_: int) -> None:
        with pytest.raises(RowConflictError):
            store.put(row("taken"), [row("never")])

    def read(_: int) -> None:
        store.ranking("chess", 10)

    list(threads.map(lambda work: work[0](work[1]), [(f, n) for n in range(40) for f in (write, lose, read)]))

    written = {f"u{number}{part}" for number in range(40) for part in ("", "#chess")}
    assert store.get([*sorted(written), "never"]).keys() == written
    assert len(store.ranking("chess", 100)) == 40
