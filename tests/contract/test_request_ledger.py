"""One suite for the request ledger and the items it reads, in memory and on DynamoDB (the simulator's and moto's)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from headwater.accounts.items import DynamoDbItems, Items
from headwater.accounts.request_ledger import IdempotencyKeyReusedError, Receipt, RequestKey, RequestLedger
from headwater.domain.events import PlayCompleted
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.event_store.store import Append, EventStore, PutNew, WriteRefusedError
from tests.fakes.accounts import InMemoryItems
from tests.fakes.cloud import FakeAws
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import EVENT_TYPES, new_event
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAYER = "player#01990000-0000-7000-8000-000000000001"
PLAY = PlayCompleted(game="chess", score=7, played_at="2026-03-01T12:00:00.000Z")
RECEIPT = Receipt(aggregate_id=PLAYER, version=1, event_id="01990000-0000-7000-8000-000000000002")

type Built = tuple[EventStore, Items]


def in_memory() -> Built:
    store = InMemoryEventStore()
    return store, InMemoryItems(store, "ledger")


def simulated() -> Built:
    client = FakeAws().dynamodb
    return DynamoDbEventStore(client, "events", EVENT_TYPES, sleep=lambda _: None), DynamoDbItems(client, "ledger")


def on_dynamodb() -> Built:
    client = boto3.client("dynamodb")
    create_tables(client)
    return DynamoDbEventStore(client, "events", EVENT_TYPES, sleep=lambda _: None), DynamoDbItems(client, "ledger")


@pytest.fixture(params=[in_memory, simulated, on_dynamodb])
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    build: Callable[[], Built] = request.param
    with mock_aws():
        yield build()


@pytest.fixture
def store(built: Built) -> EventStore:
    return built[0]


@pytest.fixture
def ledger(built: Built) -> RequestLedger:
    return RequestLedger(built[1], "ledger")


def request_key(
    *, caller: str = "a", route: str = "POST /x", key: str = "k", path: str = "/x", score: int = 7
) -> RequestKey:
    return RequestKey.of(caller=caller, route=route, key=key, path=path, body={"score": score, "game": "chess"})


def test_an_item_reads_as_it_was_written(built: Built) -> None:
    store, items = built
    item = {"pk": "x", "count": 7, "text": "ü", "nothing": None, "inner": {"list": [1, "a"]}}
    store.append(also=[PutNew("ledger", item)])

    assert items.get("x") == item
    assert items.get("y") is None


def test_a_new_key_is_not_known(ledger: RequestLedger) -> None:
    assert ledger.recall(request_key()) is None


@pytest.mark.parametrize("event_id", ["01990000-0000-7000-8000-000000000002", None])
def test_what_is_remembered_is_recalled(store: EventStore, ledger: RequestLedger, event_id: str | None) -> None:
    """FAULTS row 29."""
    receipt = Receipt(aggregate_id=PLAYER, version=1, event_id=event_id)
    store.append(Append(PLAYER, 0, [new_event(PLAY)]), also=[ledger.remember(request_key(), receipt, NOW)])

    assert ledger.recall(request_key()) == receipt


def test_a_used_key_stops_the_events_of_its_repetition(store: EventStore, ledger: RequestLedger) -> None:
    """FAULTS row 29."""
    store.append(Append(PLAYER, 0, [new_event(PLAY)]), also=[ledger.remember(request_key(), RECEIPT, NOW)])
    again = ledger.remember(request_key(), RECEIPT, NOW)

    with pytest.raises(WriteRefusedError) as caught:
        store.append(Append(PLAYER, 1, [new_event(PLAY)]), also=[again, PutNew("ledger", {"pk": "other"})])

    assert caught.value.write == again
    assert len(store.load(PLAYER)) == 1


def test_a_key_with_another_request_is_refused(store: EventStore, ledger: RequestLedger) -> None:
    """FAULTS row 29."""
    store.append(also=[ledger.remember(request_key(), RECEIPT, NOW)])

    with pytest.raises(IdempotencyKeyReusedError):
        ledger.recall(request_key(score=8))
    with pytest.raises(IdempotencyKeyReusedError):
        ledger.recall(request_key(path="/y"))


def test_keys_of_other_callers_and_routes_do_not_meet(store: EventStore, ledger: RequestLedger) -> None:
    store.append(also=[ledger.remember(request_key(), RECEIPT, NOW)])

    assert ledger.recall(request_key(caller="b", score=8)) is None
    assert ledger.recall(request_key(route="POST /y", score=8)) is None


def test_a_key_is_kept_for_a_day(ledger: RequestLedger) -> None:
    item = ledger.remember(request_key(), RECEIPT, NOW).item

    assert item["expires_at"] == int((NOW + timedelta(days=1)).timestamp())
    assert str(item["pk"]).startswith("request#")


def test_the_fingerprint_knows_no_order_of_fields_and_no_password() -> None:
    """FAULTS row 30."""

    def key(body: dict[str, object]) -> RequestKey:
        return RequestKey.of(caller="a", route="POST /register", key="k", path="/register", body=body)

    assert key({"name": "Ada", "email": "a@b.org", "password": "one"}) == key({"email": "a@b.org", "name": "Ada"})
    assert key({"name": "Ada"}) != key({"name": "Eve"})


def test_a_request_is_remembered_by_itself_once(ledger: RequestLedger) -> None:
    """Where no event is appended: whoever asks again hears what the first one heard."""
    first = Receipt(aggregate_id="application#1", version=1, event_id=None)
    second = Receipt(aggregate_id="application#2", version=1, event_id=None)

    assert ledger.first(request_key(), first, NOW) == first
    assert ledger.first(request_key(), second, NOW) == first
    with pytest.raises(IdempotencyKeyReusedError):
        ledger.first(request_key(score=8), second, NOW)
