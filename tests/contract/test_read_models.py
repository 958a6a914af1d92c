"""One suite against read models in memory and on DynamoDB (the simulator's and moto's), so that no fake can rot."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from moto import mock_aws

from headwater.projections.dynamodb import DynamoDbReadModels
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Projection
from headwater.projections.read_models import ReadModelReader, ReadModelStore, Row, RowConflictError
from tests.fakes.cloud import FakeAws
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


def test_a_tombstone_keeps_its_versions_and_nothing_else(store: ReadModelStore) -> None:
    store.put(row(name="Ada"))
    tombstone = Row(pk="player_profiles@1#u1", state=None, applied={"user": 2, "player": 1}, revision=2)

    store.put(tombstone)

    assert store.get([tombstone.pk]) == {tombstone.pk: tombstone}


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


def test_a_reader_gets_rows_of_several_projections_in_the_order_asked_for(store: ReadModelStore) -> None:
    store.put(row(name="Ada"))
    store.put(row("other@2#u1", plays=3))
    store.put(Row(pk="other@2#gone", state=None, applied={}, revision=1))
    reader = ReadModelReader(store)

    assert reader.get_many([(OTHER, "u1"), (OTHER, "gone"), (PLAYER_PROFILES, "u1"), (PLAYER_PROFILES, "nobody")]) == [
        {"plays": 3},
        None,
        {"name": "Ada"},
        None,
    ]
    assert reader.get(PLAYER_PROFILES, "u1") == {"name": "Ada"}
