"""One suite against tracked applications in memory and on DynamoDB (the simulator's and moto's), so that none rots."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import boto3
import pytest

from headwater.domain.tracking import Step, TrackedApplication
from headwater.tracking.dynamodb import DynamoDbTracking
from headwater.tracking.tracker import Stored, TrackingConflictError, TrackingStore
from tests.fakes.applications import InMemoryTracking
from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_receiver_tables


def in_memory() -> TrackingStore:
    return InMemoryTracking()


def simulated() -> TrackingStore:
    return DynamoDbTracking(FakeAws().dynamodb, "tracking", lambda _: None)


def on_dynamodb() -> DynamoDbTracking:
    client = boto3.client("dynamodb")
    create_receiver_tables(client)
    return DynamoDbTracking(client, "tracking", lambda _: None)


@pytest.fixture(params=[in_memory, simulated, on_dynamodb])
def store(request: pytest.FixtureRequest) -> Iterator[TrackingStore]:
    build: Callable[[], TrackingStore] = request.param
    with mock_aws():
        yield build()


def application(number: int = 1, *, account: str = "ann", status: str = "Received", day: int = 1) -> TrackedApplication:
    step = Step(
        action_id=f"x{number}", status=status, note="so it is 🎣", occurred_at=f"2026-03-{day:02d}T12:00:00.000Z"
    )
    return TrackedApplication(
        application_id=f"a{number}", account_id=account, kind="licence", title=None, history=(step,)
    )


def test_an_application_comes_back_as_it_went_in(store: TrackingStore) -> None:
    store.put(application(1), 0)
    store.put(application(2), 0)

    assert store.get(["a1", "nobody", "a1"]) == {"a1": Stored(application(1), 1)}


def test_what_is_not_there_is_left_out(store: TrackingStore) -> None:
    assert store.get(["a1"]) == {}
    assert store.get([]) == {}


def test_a_write_goes_over_the_revision_that_was_read_and_over_no_other(store: TrackingStore) -> None:
    store.put(application(1), 0)
    changed = replace(application(1), title="To fish")

    for revision in (0, 2):
        with pytest.raises(TrackingConflictError):
            store.put(changed, revision)
    store.put(changed, 1)

    assert store.get(["a1"]) == {"a1": Stored(changed, 2)}


@pytest.fixture
def lists() -> Iterator[DynamoDbTracking]:
    with mock_aws():
        store = on_dynamodb()
        store.put(application(1, day=1), 0)
        store.put(application(2, day=3, status="Preparing"), 0)
        store.put(application(3, day=2), 0)
        store.put(application(4, day=2, account="bob"), 0)
        yield store


def test_an_accounts_applications_come_newest_first_and_page_by_page(lists: DynamoDbTracking) -> None:
    first = lists.of_account("ann", limit=2, after=None)
    second = lists.of_account("ann", limit=2, after=first.after)

    assert [each.application_id for each in first.applications] == ["a2", "a3"]
    assert [each.application_id for each in second.applications] == ["a1"]
    assert second.after is None


def test_a_statuss_applications_come_oldest_first_up_to_an_age(lists: DynamoDbTracking) -> None:
    every = lists.of_status("Received", until=None, limit=10, after=None)
    old = lists.of_status("Received", until="2026-03-01T23:00:00.000Z", limit=10, after=None)

    assert every.applications[0].application_id == "a1"
    assert {each.application_id for each in every.applications} == {"a1", "a3", "a4"}
    assert [each.application_id for each in old.applications] == ["a1"]
    assert old.applications[0].account_id == "ann"
