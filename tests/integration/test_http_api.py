"""The HTTP API on DynamoDB (moto): the shipped handler with its fixture, races, and a missing variable."""

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from headwater import bootstrap
from headwater.accounts.commands import RegisterUser
from headwater.accounts.credentials import Credentials
from headwater.accounts.items import DynamoDbItems
from headwater.accounts.passwords import Password
from headwater.accounts.request_ledger import RequestLedger
from headwater.accounts.use_cases import Accounts, CommandContext, EmailTakenError
from headwater.domain.badges import no_tally
from headwater.domain.events import RecordedEvent, UserRegistered
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.event_store.store import Append, ConditionalWrite
from headwater.ids import uuid7
from headwater.projections.read_models import Row
from tests.fakes.accounts import quick_passwords
from tests.fakes.events import EVENT_TYPES
from tests.fakes.http import http_event
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables
from tests.integration.stream_functions import SETTINGS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).parents[2]
CANARY = "canary-7f3a-correct-horse"

type Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]


def forget_built() -> None:
    for name in dir(bootstrap):
        if clear := getattr(getattr(bootstrap, name), "cache_clear", None):
            clear()


@pytest.fixture
def client() -> Iterator["DynamoDBClient"]:
    with mock_aws():
        client: DynamoDBClient = boto3.client("dynamodb")
        create_tables(client)
        yield client


@pytest.fixture
def handler(client: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    forget_built()
    module = importlib.import_module("headwater.functions.http_api")
    yield importlib.reload(module).handler
    forget_built()


def items(client: "DynamoDBClient", table: str) -> list[dict[str, Any]]:
    return list(client.scan(TableName=table, ConsistentRead=True)["Items"])


def call(handler: Handler, *args: Any, **kwargs: Any) -> tuple[int, dict[str, Any]]:
    response = handler(http_event(*args, **kwargs), None)
    return response["statusCode"], json.loads(response["body"])


def test_the_handler_takes_its_fixture(handler: Handler, client: "DynamoDBClient") -> None:
    event = json.loads((ROOT / "events/HttpApiFunction.json").read_text())

    first = handler(event, None)
    again = handler(event, None)

    assert first["statusCode"] == 201
    assert again == first
    user_id = json.loads(first["body"])["user_id"]
    assert first["headers"]["location"] == f"/users/{user_id}"
    (stored,) = items(client, "events")
    assert stored["aggregate_id"] == {"S": f"user#{user_id}"}
    assert json.loads(stored["data"]["S"]) == {"name": "Ada Lovelace", "email": "ada@example.org"}
    assert json.loads(stored["metadata"]["S"]) == {"correlation_id": "fixture-1", "actor": "AROAIOSFODNN7EXAMPLE"}
    assert {item["pk"]["S"] for item in items(client, "credentials")} == {
        "email#ada@example.org",
        f"credentials#{user_id}",
    }


def test_an_account_lives_and_leaves(handler: Handler, client: "DynamoDBClient") -> None:
    registration = {"name": "Ada", "email": "ada@example.org", "password": CANARY}
    status, body = call(handler, "POST", "/register", registration)
    assert status == 201
    path = f"/users/{body['user_id']}"

    assert call(handler, "PUT", f"{path}/email", {"email": "ada@example.com"})[1]["version"] == 2
    assert call(handler, "PUT", f"{path}/profile", {"name": "Ada L."})[1]["version"] == 3
    assert call(handler, "POST", f"{path}/plays", {"game": "chess", "score": 7})[0] == 201
    assert call(handler, "POST", f"{path}/plays", {"game": "chess", "score": 9})[1]["version"] == 2
    status, profile = call(handler, "GET", path)
    assert (status, profile["name"], profile["best_scores"], profile["pending"]) == (200, "Ada L.", {"chess": 9}, True)
    assert call(handler, "POST", "/register", registration | {"name": "Eve"})[0] == 201
    assert call(handler, "POST", "/register", registration | {"email": "ADA@example.com"})[0] == 409
    assert call(handler, "DELETE", path)[1]["version"] == 4
    assert call(handler, "GET", path)[0] == 410
    assert call(handler, "POST", f"{path}/plays", {"game": "chess", "score": 7})[0] == 410
    assert call(handler, "POST", "/register", registration | {"email": "ada@example.com"})[0] == 201


def test_a_profile_comes_from_the_read_side_once_its_row_is_there(handler: Handler) -> None:
    user_id = "01990000-0000-7000-8000-000000000001"
    state = {"name": "Ada", "registered_at": "x", "plays": 3, "best_scores": {"chess": 9}, "last_play": None}
    earned = {"title": "First", "earned_at": "x", "play_event_id": "y"}
    rows = bootstrap.read_models()
    rows.put(Row(pk=f"player_profiles@1#{user_id}", state=state, applied={"user": 1}, revision=1))
    achieved = {**no_tally(), "earned": {"first-play:chess": earned}}
    rows.put(Row(pk=f"achievements@1#{user_id}", state=achieved, applied={}, revision=1))

    status, body = call(handler, "GET", f"/users/{user_id}")

    assert status == 200
    description = "Played a game for the first time."
    assert body == {
        "user_id": user_id,
        **state,
        "streaks": {"overall": {"current": 0, "longest": 0}, "games": {}},
        "badges": [{"badge": "first-play", "game": "chess", "description": description, **earned}],
        "progress": body["progress"],
        "pending": False,
    }
    assert {"badge", "game", "title", "description", "have", "need"} == body["progress"][0].keys()


def test_an_activity_expires(handler: Handler, client: "DynamoDBClient") -> None:
    assert call(handler, "POST", "/activities", {"kind": "ClickOnLogo"})[0] == 202

    (stored,) = items(client, "events")
    days = (int(stored["expires_at"]["N"]) - datetime.now(UTC).timestamp()) / 86_400
    assert days == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize(
    "body", ['{"name": NaN}', "{", '{"name": "A", "email": "a@b.org\\r\\n", "password": "12345678"}']
)
def test_bad_input_writes_nothing(handler: Handler, client: "DynamoDBClient", body: str) -> None:
    """FAULTS rows 18 and 27."""
    assert call(handler, "POST", "/register", text=body, headers={"idempotency-key": "k"})[0] == 400

    assert items(client, "events") == items(client, "credentials") == items(client, "ledger") == []


def test_a_key_used_again_is_answered_again_or_refused(handler: Handler, client: "DynamoDBClient") -> None:
    """FAULTS row 29."""
    body = {"name": "Ada", "email": "ada@example.org", "password": CANARY}
    headers = {"idempotency-key": "k-1"}

    first = call(handler, "POST", "/register", body, headers=headers)

    assert call(handler, "POST", "/register", body, headers=headers) == first
    assert call(handler, "POST", "/register", body | {"password": CANARY + "!"}, headers=headers)[0] == 422
    assert call(handler, "POST", "/register", body | {"name": "Eve"}, headers=headers)[0] == 422
    assert len(items(client, "events")) == 1


def test_a_password_is_in_no_table(handler: Handler, client: "DynamoDBClient") -> None:
    """FAULTS row 30: nor is its hash anywhere but with the credentials."""
    body = {"name": "Ada", "email": "ada@example.org", "password": CANARY}
    call(handler, "POST", "/register", body, headers={"idempotency-key": "k-1"})
    call(handler, "POST", "/register", body, headers={"idempotency-key": "k-1"})

    tables = {name: repr(items(client, name)) for name in ("events", "ledger", "credentials", "read_models")}
    assert all(CANARY not in content for content in tables.values())
    assert [name for name, content in tables.items() if "$argon2" in content] == ["credentials"]


class Together:
    """Lets appends begin only once all are ready, and, as DynamoDB's transactions do, take effect one by one."""

    def __init__(self, store: DynamoDbEventStore, parties: int) -> None:
        self._store = store
        self._barrier = threading.Barrier(parties)
        self._serial = threading.Lock()

    def append(self, *appends: Append, also: Sequence[ConditionalWrite] = ()) -> list[RecordedEvent]:
        self._barrier.wait(timeout=30)
        with self._serial:
            return self._store.append(*appends, also=also)

    def load(self, aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        return self._store.load(aggregate_id, after)

    def present(self, aggregate_id: str, versions: Collection[int]) -> set[int]:
        return self._store.present(aggregate_id, versions)

    def head(self, aggregate_id: str) -> int:
        return self._store.head(aggregate_id)


def test_of_those_who_register_one_address_at_once_one_wins(client: "DynamoDBClient") -> None:
    """FAULTS row 28."""
    names = ["Ada", "Bea", "Cleo", "Dana", "Eve"]
    store = DynamoDbEventStore(client, "events", EVENT_TYPES)
    accounts = Accounts(
        store=Together(store, len(names)),
        credentials=Credentials(DynamoDbItems(client, "credentials"), "credentials"),
        requests=RequestLedger(DynamoDbItems(client, "ledger"), "ledger"),
        passwords=quick_passwords(),
        clock=lambda: datetime.now(UTC),
        new_id=uuid7,
    )

    def register(name: str) -> str | None:
        command = RegisterUser(name=name, email="x@example.org", password=Password(CANARY))
        try:
            return accounts.register(command, CommandContext(correlation_id="c", actor="anonymous")).aggregate_key
        except EmailTakenError:
            return None

    with ThreadPoolExecutor(len(names)) as threads:
        outcomes = list(threads.map(register, names))

    (winner,) = [(name, user_id) for name, user_id in zip(names, outcomes, strict=True) if user_id]
    (stored,) = items(client, "events")
    assert stored["aggregate_id"]["S"] == f"user#{winner[1]}"
    (event,) = store.load(f"user#{winner[1]}")
    assert event.payload == UserRegistered(name=winner[0], email="x@example.org")
    assert {item["pk"]["S"] for item in items(client, "credentials")} == {
        "email#x@example.org",
        f"credentials#{winner[1]}",
    }


@pytest.mark.parametrize("missing", ["LEDGER_TABLE", "SENDER_ADDRESS"])
def test_a_missing_variable_fails_the_import_by_name(missing: str) -> None:
    environment = {name: value for name, value in (os.environ | SETTINGS).items() if name != missing}

    run = subprocess.run(
        [sys.executable, "-c", "import headwater.functions.http_api"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode != 0
    assert f"MissingSettingError: missing environment variable(s): {missing}" in run.stderr
