"""One suite against the store in memory and on DynamoDB (the simulator's and moto's), so that no fake can rot."""

from collections.abc import Callable, Iterator
from copy import replace
from typing import Any

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError

from devstack.simulator.cloud.client import NoFaults
from headwater.domain.events import (
    BadgeEarned,
    MalformedEventError,
    PlayCompleted,
    UserEmailChanged,
    UserRegistered,
)
from headwater.event_store import codec
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.event_store.store import (
    Append,
    AppendTooLargeError,
    ConcurrencyError,
    EventStore,
    PutNew,
    Remove,
    Replace,
    UnreadableHistoryError,
    WriteRefusedError,
)
from tests.fakes.cloud import FakeAws
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import EVENT_TYPES, new_event
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables

USER = "user#0199-a"
PLAYER = "player#0199-a"
REGISTERED = UserRegistered(name="Ada", email="ada@example.org")
AT = "2026-03-01T12:00:00.000Z"
PLAY = PlayCompleted(game="chess", score=7, played_at=AT)
ID = "01990000-0000-7000-8000-000000000001"
BADGE = BadgeEarned(user_id=ID, badge="first", game=None, title="First", earned_at=AT, play_event_id=ID)


def in_memory() -> EventStore:
    return InMemoryEventStore()


def simulated() -> EventStore:
    return DynamoDbEventStore(FakeAws().dynamodb, "events", EVENT_TYPES, sleep=lambda _: None)


def on_dynamodb() -> EventStore:
    client = boto3.client("dynamodb")
    create_tables(client)
    return DynamoDbEventStore(client, "events", EVENT_TYPES, sleep=lambda _: None)


@pytest.fixture(params=[in_memory, simulated, on_dynamodb])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    build: Callable[[], EventStore] = request.param
    with mock_aws():
        yield build()


def test_events_come_back_as_they_went_in_and_in_order(store: EventStore) -> None:
    metadata = {"correlation_id": "c-1", "actor": "user#0199-a"}
    written = store.append(Append(PLAYER, 0, [new_event(PLAY, metadata=metadata), new_event(PLAY)]))
    written += store.append(Append(PLAYER, 2, [new_event(PLAY, expires_at=1_800_000_000)]))

    assert store.load(PLAYER) == written
    assert [event.version for event in store.load(PLAYER)] == [1, 2, 3]
    assert store.load(PLAYER, after=2) == written[2:]
    assert store.head(PLAYER) == 3
    assert store.load(PLAYER)[0].payload == PLAY


def test_an_item_that_is_no_event_ends_what_can_be_loaded(store: EventStore) -> None:
    """FAULTS row 1: what comes before it can be applied all the same."""
    first, second, third = store.append(Append(PLAYER, 0, [new_event(PLAY), new_event(PLAY), new_event(PLAY)]))
    if isinstance(store, DynamoDbEventStore):
        spoilt = {**codec.encode(second), "data": {"S": "no json"}}
        store._client.put_item(TableName="events", Item=spoilt)
    elif isinstance(store, InMemoryEventStore):
        store.unreadable.add(second.event_id)

    with pytest.raises(UnreadableHistoryError, match=PLAYER) as caught:
        store.load(PLAYER)

    assert caught.value.before == [first]
    unreadable = caught.value.aggregate_id, caught.value.version, caught.value.event_id
    assert unreadable == (PLAYER, 2, second.event_id)
    assert store.present(PLAYER, {1, 2, 4}) == {1, 2}
    assert store.load(PLAYER, after=2) == [third]
    assert store.head(PLAYER) == 3


@pytest.mark.parametrize("store", [simulated, on_dynamodb], indirect=True)
def test_an_item_under_a_version_that_no_event_can_have_is_none_of_the_history(store: DynamoDbEventStore) -> None:
    written = store.append(Append(PLAYER, 0, [new_event(PLAY), new_event(PLAY)]))
    for version in ("-1", "0", "0.5", "1.5", "2.5", "9223372036854775808", "1E+37"):
        store._client.put_item(TableName="events", Item={**codec.encode(written[0]), "version": {"N": version}})

    assert store.load(PLAYER) == written
    assert store.head(PLAYER) == 2
    assert store.append(Append(PLAYER, 2, [new_event(PLAY)])) == store.load(PLAYER, after=2)


def test_it_tells_which_versions_are_there(store: EventStore) -> None:
    store.append(Append(PLAYER, 2, [new_event(PLAY)]))

    assert store.present(PLAYER, {1, 3}) == {3}
    assert store.present(PLAYER, [3, 2**64]) == {3}
    assert store.present("user#nobody", {1}) == set()

    # One that is appended late stands in its place.
    store.append(Append(PLAYER, 1, [new_event(PLAY)]))
    assert [event.version for event in store.load(PLAYER)] == [2, 3]


@pytest.mark.parametrize(("conflicts", "outcome"), [(2, {1}), (99, None)])
def test_what_is_being_written_just_now_is_asked_for_again(conflicts: int, outcome: set[int] | None) -> None:
    aws = FakeAws()
    store = DynamoDbEventStore(aws.dynamodb, "events", EVENT_TYPES, sleep=lambda _: None)
    store.append(Append(PLAYER, 0, [new_event(PLAY)]))
    aws.cloud.dynamodb.surroundings = replace(aws.cloud.dynamodb.surroundings, faults=Busy(conflicts))

    if outcome is not None:
        assert store.present(PLAYER, {1, 2}) == outcome
    else:
        with pytest.raises(ClientError, match="TransactionConflict"):
            store.present(PLAYER, {1, 2})


class Busy(NoFaults):
    """Somebody writes an item of each of the next transactions."""

    def __init__(self, conflicts: int) -> None:
        self._conflicts = conflicts

    def refuse(self, service: str, operation: str, entries: int) -> frozenset[int]:
        self._conflicts -= 1
        return frozenset({0} if self._conflicts >= 0 else ())


def test_what_newer_code_wrote_ends_what_can_be_loaded(store: EventStore) -> None:
    """FAULTS row 20: and it does not keep others from appending after it."""
    first, second = store.append(Append(PLAYER, 0, [new_event(PLAY), new_event(PLAY)]))
    newer = replace(second, schema_version=2)
    if isinstance(store, DynamoDbEventStore):
        store._client.put_item(TableName="events", Item=codec.encode(newer))
    elif isinstance(store, InMemoryEventStore):
        store.unreadable.add(second.event_id)

    with pytest.raises(UnreadableHistoryError) as caught:
        store.load(PLAYER)

    assert caught.value.before == [first]
    assert store.head(PLAYER) == 2
    assert store.append(Append(PLAYER, store.head(PLAYER), [new_event(PLAY)]))[0].version == 3


def test_an_unknown_aggregate_is_empty(store: EventStore) -> None:
    assert store.load("user#nobody") == []
    assert store.head("user#nobody") == 0


def test_a_conflict_gives_what_got_in_between(store: EventStore) -> None:
    store.append(Append(PLAYER, 0, [new_event(PLAY)]))
    theirs = store.append(Append(PLAYER, 1, [new_event(PLAY), new_event(PLAY)]))

    with pytest.raises(ConcurrencyError) as caught:
        store.append(Append(PLAYER, 1, [new_event(PLAY)]))

    assert list(caught.value.intervening) == theirs
    assert len(store.load(PLAYER)) == 3


@pytest.mark.parametrize("also", [[], [PutNew("credentials", {"pk": "email#ada", "user_id": "0199-a"})]])
def test_an_append_whose_answer_was_lost_succeeds_when_tried_again(store: EventStore, also: list[PutNew]) -> None:
    append = Append(USER, 0, [new_event(REGISTERED)])
    store.append(append, also=also)

    again = store.append(append, also=also)

    assert store.load(USER) == again


def test_a_transaction_writes_all_its_events_or_none(store: EventStore) -> None:
    store.append(Append(PLAYER, 0, [new_event(PLAY)]))

    with pytest.raises(ConcurrencyError):
        store.append(Append(USER, 0, [new_event(REGISTERED)]), Append(PLAYER, 0, [new_event(PLAY)]))

    assert store.load(USER) == []


def test_a_write_beside_the_events_that_loses_its_condition_stops_them(store: EventStore) -> None:
    guard = PutNew("credentials", {"pk": "email#ada", "user_id": "0199-a"})
    store.append(Append(USER, 0, [new_event(REGISTERED)]), also=[guard])

    with pytest.raises(WriteRefusedError) as caught:
        store.append(Append("user#0199-b", 0, [new_event(REGISTERED)]), also=[guard])

    assert caught.value.write == guard
    assert store.load("user#0199-b") == []


def test_replace_and_remove_demand_what_they_expect(store: EventStore) -> None:
    store.append(also=[PutNew("credentials", {"pk": "email#ada", "user_id": "0199-a"})])

    with pytest.raises(WriteRefusedError):
        store.append(also=[Remove("credentials", {"pk": "email#ada"}, {"user_id": "somebody else"})])
    with pytest.raises(WriteRefusedError):
        store.append(also=[Replace("credentials", {"pk": "email#nobody", "user_id": "0199-a"})])
    store.append(also=[Replace("credentials", {"pk": "email#ada", "user_id": "new"}, {"user_id": "0199-a"})])
    store.append(also=[Remove("credentials", {"pk": "email#ada"}, {"user_id": "new"})])

    store.append(also=[PutNew("credentials", {"pk": "email#ada", "user_id": "free again"})])


def test_more_than_a_transaction_holds_is_refused_before_anything_is_written(store: EventStore) -> None:
    with pytest.raises(AppendTooLargeError, match="101"):
        store.append(Append(PLAYER, 0, [new_event(PLAY) for _ in range(101)]))
    assert store.load(PLAYER) == []


@pytest.mark.parametrize(
    ("aggregate_id", "event", "field"),
    [
        (PLAYER, {"payload": PlayCompleted(game="Chess", score=7, played_at=AT)}, "game"),
        (PLAYER, {"payload": PlayCompleted(game="chess", score=7.0, played_at=AT)}, "score"),  # type: ignore[arg-type]
        (PLAYER, {"payload": PlayCompleted(game="chess", score=10**12 + 1, played_at=AT)}, "score"),
        (PLAYER, {"payload": PlayCompleted(game="chess", score=7, played_at="2026-03-01T12:00Z")}, "played_at"),
        (USER, {"payload": UserRegistered(name="", email="ada@example.org")}, "name"),
        (USER, {"payload": UserRegistered(name="\u200b\u3164", email="ada@example.org")}, "name"),
        (USER, {"payload": UserRegistered(name="Ada", email="ada@localhost")}, "email"),
        (USER, {"payload": UserRegistered(name="Ada \ud83d", email="ada@example.org")}, "name: must hold no half"),
        (USER, {"payload": PLAY}, "player"),
        (PLAYER, {"payload": PLAY, "event_id": ""}, "id"),
        (PLAYER, {"payload": PLAY, "event_id": "e" * 129}, "event_id"),
        (PLAYER, {"payload": PLAY, "occurred_at": "2026-03-01T12:00:00Z"}, "occurred_at"),
        (PLAYER, {"payload": PLAY, "metadata": {"actor": 7}}, "metadata"),
        ("player#" + "x" * 101, {"payload": PLAY}, "aggregate_id"),
        ("player#" + "\U0001f40d" * 300, {"payload": PLAY}, "aggregate_id"),
        ("player#a#b", {"payload": PLAY}, "aggregate"),
        ("player#", {"payload": PLAY}, "aggregate"),
        ("badge#a#" + "x" * 250, {"payload": BADGE}, "aggregate_id"),
    ],
)
def test_what_a_reader_could_not_read_or_a_destination_not_carry_is_not_appended(
    store: EventStore, aggregate_id: str, event: dict[str, Any], field: str
) -> None:
    good = Append("user#0199-b", 0, [new_event(REGISTERED)])

    with pytest.raises(MalformedEventError, match=field):
        store.append(good, Append(aggregate_id, 0, [new_event(**event)]))

    assert store.load("user#0199-b") == []
    assert store.head(aggregate_id) == 0


@pytest.mark.parametrize("version", [-2, 2**63 - 1])
def test_a_version_that_no_reader_takes_is_not_appended(store: EventStore, version: int) -> None:
    with pytest.raises(MalformedEventError, match="version"):
        store.append(Append(PLAYER, version, [new_event(PLAY)]))


def test_what_follows_from_an_event_that_was_read_may_hold_what_that_one_holds(store: EventStore) -> None:
    """FAULTS row 20: a play that another program appended earns its badge all the same."""
    award = msgspec.structs.replace(BADGE, game="Chess Masters", user_id="somebody", earned_at="2026-03-01T12:00Z")
    append = Append("badge#somebody#" + "x" * 300, 0, [new_event(award)], derived=True)

    written = store.append(append)

    assert store.load(append.aggregate_id) == written
    unreadable = msgspec.structs.replace(award, earned_at="today")
    with pytest.raises(MalformedEventError, match="earned_at"):
        store.append(Append("badge#somebody#2", 0, [new_event(unreadable)], derived=True))


def test_a_change_of_an_address_that_today_would_not_be_taken_is_appended(store: EventStore) -> None:
    change = UserEmailChanged(old_email="ada", new_email="ada@example.org")

    assert store.append(Append(USER, 0, [new_event(change)]))
    with pytest.raises(MalformedEventError, match="new_email"):
        store.append(Append(USER, 1, [new_event(UserEmailChanged(old_email="ada@example.org", new_email="ada"))]))
