"""The HTTP API over memory: routes, answers, problem details, logs and metrics."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from copy import replace
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headwater.accounts.profiles import Profile
from headwater.domain.events import PlayCompleted, RecordedEvent, UserProfileChanged, UserRegistered
from headwater.functions.api.entry import http_handler
from headwater.functions.api.request import BODY_BYTES, Request
from headwater.functions.api.routes import Routes
from headwater.functions.entry import logger
from headwater.projections.leaderboard import LEADERBOARD
from headwater.projections.runner import ProjectionRunner
from tests.fakes.accounts import World
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.events import AT, EVENT_TYPES, recorded
from tests.fakes.http import http_event
from tests.fakes.kinesis_records import InMemoryClaimStore, kinesis_batch
from tests.fakes.parking_lot import parking
from tests.fakes.patience import patience

CANARY = "canary-7f3a-correct-horse"
REGISTRATION = {"name": "Ada", "email": "ada@example.org", "password": CANARY}
PLAY = {"game": "chess", "score": 7}
NOBODY = "01990000-0000-7000-8000-ffffffffffff"

#: The route, a body that it takes, and the status that it answers.
COMMANDS = [
    ("POST", "/register", {"name": "Eve", "email": "eve@example.org", "password": "battery staple"}, 201),
    ("PUT", "/users/{id}/email", {"email": "ada@example.com"}, 200),
    ("PUT", "/users/{id}/profile", {"name": "Ada L."}, 200),
    ("POST", "/users/{id}/plays", PLAY, 201),
    ("POST", "/activities", {"kind": "ClickOnLogo", "details": {"page": "/"}}, 202),
]


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def fields(self) -> dict[str, str]:
        return {item["field"]: item["problem"] for item in self.body["errors"]}


class Api:
    """The handler over a `World`, with one user."""

    def __init__(self) -> None:
        self.world = World()
        world = self.world
        routes = Routes(world.accounts, world.profiles, world.preferences, world.leaderboards, lambda: world.now)
        self.handler = http_handler("http_api", routes.router())
        self.user_id = self.send("POST", "/register", REGISTRATION).body["user_id"]

    def send(self, *args: Any, **kwargs: Any) -> Reply:
        return self.answer(http_event(*args, **kwargs))

    def answer(self, event: dict[str, Any]) -> Reply:
        response = self.handler(event, None)
        assert response["isBase64Encoded"] is False
        return Reply(response["statusCode"], response["headers"], json.loads(response["body"]))

    def events(self) -> int:
        return sum(len(history) for history in self.world.memory.histories.values())


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the functions' logger writes: it holds on to the stream that it found at import."""
    stream, handler = io.StringIO(), logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


@pytest.fixture
def api(log: io.StringIO) -> Api:
    return Api()


@dataclass
class Output:
    """All that a function writes: log lines and metrics lines."""

    log: io.StringIO
    capsys: pytest.CaptureFixture[str]

    def text(self) -> str:
        """Everything since the last look."""
        text = self.log.getvalue() + "".join(self.capsys.readouterr())
        self.log.seek(0)
        self.log.truncate()
        return text

    def of_one_request(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Its log line and its metrics line."""
        lines = [json.loads(line) for line in self.text().splitlines()]
        (entry,) = [line for line in lines if "_aws" not in line]
        (metrics,) = [line for line in lines if "_aws" in line]
        return entry, metrics


@pytest.fixture
def output(api: Api, log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> Output:
    output = Output(log, capsys)
    output.text()
    return output


@pytest.mark.parametrize(("method", "path", "body", "status"), COMMANDS)
def test_a_command_answers_with_what_it_appended(
    api: Api, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    reply = api.send(method, path.format(id=api.user_id), body)

    assert reply.status == status
    appended = [event for history in api.world.memory.histories.values() for event in history]
    assert (reply.body["event_id"], reply.body["version"]) in [(event.event_id, event.version) for event in appended]
    assert api.events() == 2
    assert reply.headers["content-type"] == "application/json"


def test_a_registration_says_where_the_user_is(api: Api) -> None:
    reply = api.send("POST", "/register", REGISTRATION | {"email": "eve@example.org"})

    assert reply.headers["location"] == f"/users/{reply.body['user_id']}"
    assert api.send("GET", reply.headers["location"]).body["name"] == "Ada"


ONE_DAY = {"current": 1, "longest": 1}


def test_a_profile_is_read_at_once_and_says_that_its_row_is_on_its_way(api: Api) -> None:
    api.send("POST", f"/users/{api.user_id}/plays", PLAY)

    reply = api.send("GET", f"/users/{api.user_id}")

    assert reply.status == 200
    assert reply.body == {
        "user_id": api.user_id,
        "name": "Ada",
        "registered_at": "2026-03-01T12:00:00.000Z",
        "plays": 1,
        "best_scores": {"chess": 7},
        "last_play": {"game": "chess", "score": 7, "played_at": "2026-03-01T12:00:00.000Z"},
        "streaks": {"overall": ONE_DAY, "games": {"chess": ONE_DAY}},
        "badges": [],
        "progress": reply.body["progress"],
        "pending": True,
    }
    assert reply.body["progress"][0] == {
        "badge": "three-days-in-a-row",
        "game": "chess",
        "title": "Three days in a row",
        "description": "Played the same game on three days in a row (UTC).",
        "have": 1,
        "need": 3,
    }


def test_a_deleted_user_is_gone(api: Api) -> None:
    assert api.send("DELETE", f"/users/{api.user_id}").body["version"] == 2

    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/plays")]:
        reply = api.send(method, f"/users/{api.user_id}{path}", PLAY)
        assert (reply.status, reply.body["type"]) == (410, "urn:headwater:problem:user-deleted")


@pytest.mark.parametrize("user_id", [NOBODY, "1", "..", "%2e%2e", NOBODY.upper(), "user#1"])
def test_an_unknown_user_is_not_found(api: Api, user_id: str) -> None:
    for method, path, body in [("GET", "", None), ("DELETE", "", None), ("POST", "/plays", PLAY)]:
        reply = api.send(method, f"/users/{user_id}{path}", body)
        assert (reply.status, reply.body["type"]) == (404, "urn:headwater:problem:user-not-found")
    assert api.events() == 1


def test_a_change_to_what_is_already_so_names_no_event(api: Api) -> None:
    assert api.send("PUT", f"/users/{api.user_id}/profile", {"name": "Ada"}).body == {"version": 1}


def test_a_taken_address_is_a_conflict(api: Api) -> None:
    reply = api.send("POST", "/register", REGISTRATION)

    assert reply.status == 409
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.body == {
        "type": "urn:headwater:problem:email-taken",
        "title": "The e-mail address is taken",
        "status": 409,
        "detail": "another account has this e-mail address",
    }


@pytest.mark.parametrize(("method", "path", "body", "_status"), COMMANDS)
def test_a_field_of_the_wrong_type_is_named(
    api: Api, method: str, path: str, body: dict[str, Any], _status: int
) -> None:
    """FAULTS row 18."""
    values: list[Any] = [None, True, 1.5, [], {"a": 1}]
    for field in body:
        for wrong in values:
            reply = api.send(method, path.format(id=api.user_id), {**body, field: wrong})
            optional = field in {"details", "user_id"} and wrong is None
            assert (reply.status == 400 and [field] == [name.partition(".")[0] for name in reply.fields]) or optional
    assert api.events() == 1 + (path == "/activities")


@pytest.mark.parametrize(("method", "path", "body", "_status"), COMMANDS)
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused_by_its_fields_name(
    api: Api, method: str, path: str, body: dict[str, Any], _status: int, number: str
) -> None:
    """FAULTS row 18."""
    for field in [*body, "unknown"]:
        text = json.dumps({**body, field: "HERE"}).replace('"HERE"', number)
        reply = api.send(method, path.format(id=api.user_id), text=text)
        assert (reply.status, list(reply.fields)) == (400, [field])
    assert api.events() == 1


@pytest.mark.parametrize(("method", "path", "body", "_status"), COMMANDS)
def test_unknown_and_missing_fields_are_named(
    api: Api, method: str, path: str, body: dict[str, Any], _status: int
) -> None:
    """FAULTS row 18."""
    reply = api.send(method, path.format(id=api.user_id), {"surprise": 1})

    assert reply.status == 400
    assert reply.body["type"] == "urn:headwater:problem:invalid-request"
    assert reply.fields["surprise"].startswith("is unknown here; the fields are: ")
    assert {name for name, problem in reply.fields.items() if problem == "is missing"} == body.keys() - {"details"}
    assert api.events() == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a': 1}", '{"name": "Ada",}', "[" * 60_000, "NaN" + "[" * 60_000, '{"a": "NaN', '"\\ud800"', "nul"],
)
def test_malformed_json_is_refused(api: Api, text: str) -> None:
    """FAULTS row 18."""
    reply = api.send("POST", "/register", text=text)

    assert reply.status == 400
    assert reply.fields["body"].startswith("is not JSON: ")


@pytest.mark.parametrize("text", ["[]", "null", "7", '"text"', "NaN"])
def test_json_that_is_no_object_is_refused(api: Api, text: str) -> None:
    """FAULTS row 18."""
    assert api.send("POST", "/register", text=text).fields == {"body": "must be a JSON object"}


def test_a_play_in_the_far_future_is_refused(api: Api) -> None:
    reply = api.send("POST", f"/users/{api.user_id}/plays", PLAY | {"played_at": "2126-03-01T12:00:00Z"})

    assert (reply.status, reply.fields) == (400, {"played_at": "must not be in the future"})
    assert api.events() == 1


def test_a_name_of_nothing_visible_is_refused(api: Api) -> None:
    for method, path in (("POST", "/register"), ("PUT", f"/users/{api.user_id}/profile")):
        body = REGISTRATION if path == "/register" else {}

        reply = api.send(method, path, body | {"name": "\u200b"})

        assert (reply.status, reply.fields) == (400, {"name": "must have a character that can be seen"})


@pytest.mark.parametrize("email", ["a@b.org\r\nBcc: eve@example.org", "a@b.org%0aBcc:x", "<b>@b.org"])
def test_an_address_with_a_line_break_is_refused(api: Api, email: str) -> None:
    """FAULTS row 27."""
    for method, path in [("POST", "/register"), ("PUT", f"/users/{api.user_id}/email")]:
        reply = api.send(method, path, (REGISTRATION if method == "POST" else {}) | {"email": email})
        assert (reply.status, list(reply.fields)) == (400, ["email"])
    assert api.events() == 1


def test_a_body_may_come_as_base64(api: Api) -> None:
    assert api.send("POST", f"/users/{api.user_id}/plays", PLAY, as_base64=True).status == 201

    broken = http_event("POST", "/register", text="") | {"body": "%%%", "isBase64Encoded": True}
    assert api.answer(broken).fields == {"body": "must be UTF-8 text"}


@pytest.mark.parametrize("as_base64", [False, True])
@pytest.mark.parametrize("size", [BODY_BYTES + 1, 10_000_000])
def test_a_body_above_the_limit_is_refused(api: Api, size: int, as_base64: bool) -> None:
    """FAULTS row 18."""
    reply = api.send("POST", "/register", text="x" * size, as_base64=as_base64)

    assert (reply.status, reply.body["type"]) == (413, "urn:headwater:problem:body-too-large")
    assert api.events() == 1


@pytest.mark.parametrize("as_base64", [False, True])
def test_the_limit_counts_bytes_of_the_body_itself(api: Api, as_base64: bool) -> None:
    body = json.dumps(PLAY)
    fits, over = body + " " * (BODY_BYTES - len(body)), json.dumps({"game": "ü"}, ensure_ascii=False)
    over += " " * (BODY_BYTES - len(over))

    assert api.send("POST", f"/users/{api.user_id}/plays", text=fits, as_base64=as_base64).status == 201
    assert api.send("POST", f"/users/{api.user_id}/plays", text=over, as_base64=as_base64).status == 413


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_a_body_that_is_not_declared_as_json_is_refused(api: Api, content_type: str) -> None:
    reply = api.send("POST", "/register", REGISTRATION, headers={"content-type": content_type})

    assert (reply.status, reply.body["type"]) == (415, "urn:headwater:problem:unsupported-media-type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "APPLICATION/JSON", "application/vnd.a+json"]
)
def test_json_may_be_declared_in_several_ways(api: Api, content_type: str) -> None:
    event = http_event("POST", f"/users/{api.user_id}/plays", PLAY)
    event["headers"] = {"Content-Type": content_type}

    assert api.answer(event).status == 201


@pytest.mark.parametrize("path", ["/", "", "/users", f"/users/{NOBODY}/", f"/users/{NOBODY}/plays/1", "/registers"])
def test_an_unknown_path_is_not_found(api: Api, path: str) -> None:
    reply = api.send("GET", path)

    assert (reply.status, reply.body["type"]) == (404, "urn:headwater:problem:route-not-found")


def test_another_method_is_refused_with_those_that_there_are(api: Api) -> None:
    reply = api.send("PATCH", f"/users/{api.user_id}", {})

    assert (reply.status, reply.headers["allow"]) == (405, "DELETE, GET")


def test_a_named_stage_is_no_part_of_the_path(api: Api) -> None:
    assert api.send("GET", f"/users/{api.user_id}", stage="prod").status == 200


def test_a_change_may_depend_on_the_version(api: Api) -> None:
    path = f"/users/{api.user_id}/profile"

    stale = api.send("PUT", path, {"name": "Eve"}, headers={"if-match": '"7"'})
    assert (stale.status, stale.body["type"]) == (412, "urn:headwater:problem:version-mismatch")
    assert api.send("PUT", path, {"name": "Eve"}, headers={"if-match": '"1"'}).body["version"] == 2
    assert api.send("PUT", path, {"name": "Ada"}, headers={"if-match": "*"}).body["version"] == 3
    for tag in ["3", 'W/"3"', '"3", "4"', '"-1"', '"x"']:
        assert list(api.send("PUT", path, {"name": "Eve"}, headers={"if-match": tag}).fields) == ["If-Match"]


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/register", {**REGISTRATION, "email": "eve@example.org"}, {"name": "Eve"}),
        ("/register", {**REGISTRATION, "email": "eve@example.org"}, {"password": "another password"}),
        ("/users/{id}/plays", PLAY, {"score": 8}),
        ("/activities", {"kind": "ClickOnLogo"}, {"kind": "ClickOnFooter"}),
    ],
)
def test_a_post_may_be_repeated(api: Api, path: str, body: dict[str, Any], other: dict[str, Any]) -> None:
    """FAULTS row 29."""
    path, headers = path.format(id=api.user_id), {"idempotency-key": "k-1"}

    first = api.send("POST", path, body, headers=headers)
    again = api.send("POST", path, dict(reversed(body.items())), headers={"idempotency-key": '"k-1"'})
    reused = api.send("POST", path, body | other, headers=headers)

    assert first.status in {201, 202}
    assert again == first
    assert (reused.status, reused.body["type"]) == (422, "urn:headwater:problem:idempotency-key-reused")
    assert api.events() == 2


def test_one_key_serves_several_routes_and_callers(api: Api) -> None:
    """FAULTS row 29."""
    headers, path = {"idempotency-key": "k-1"}, f"/users/{api.user_id}/plays"

    assert api.send("POST", "/activities", {"kind": "ClickOnLogo"}, headers=headers).status == 202
    versions = [
        api.send("POST", path, PLAY, headers=headers, user_id=user_id).body["version"]
        for user_id in [None, "AIDAONE", "AROATWO:morning", "AROATWO:evening"]
    ]
    assert versions == [1, 2, 3, 3]


@pytest.mark.parametrize("key", ["", " ", "x" * 129, "a b", "a\nb", "ключ", '"', "a#b"])
def test_a_key_is_a_token(api: Api, key: str) -> None:
    reply = api.send("POST", "/activities", {"kind": "ClickOnLogo"}, headers={"idempotency-key": key})

    assert (reply.status, list(reply.fields)) == (400, ["Idempotency-Key"])
    assert api.events() == 1


@pytest.mark.parametrize(
    ("given", "kept"), [("order-1", "order-1"), ("", "request-1"), ("a\nb", "request-1"), ("x" * 129, "request-1")]
)
def test_a_correlation_id_goes_with_the_events_and_the_answer(api: Api, given: str, kept: str) -> None:
    headers = {"x-correlation-id": given}

    reply = api.send("POST", f"/users/{api.user_id}/plays", PLAY, headers=headers, user_id="AROATWO:morning")

    assert reply.headers["x-correlation-id"] == kept
    (event,) = api.world.memory.load(f"player#{api.user_id}")
    assert event.metadata == {"correlation_id": kept, "actor": "AROATWO"}


def test_each_request_is_one_log_line_and_one_of_metrics(api: Api, output: Output) -> None:
    api.send("POST", f"/users/{api.user_id}/plays", PLAY)

    entry, metrics = output.of_one_request()

    assert (entry["level"], entry["route"], entry["status"]) == ("INFO", "POST /users/{id}/plays", 201)
    assert (entry["correlation_id"], entry["request_id"]) == ("request-1", "request-1")
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Headwater"
    # Each metric is paid for: none is there twice.
    assert [sorted(names) for names in metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"]] == [
        ["function", "route", "service", "source"]
    ]
    assert (metrics["function"], metrics["source"], metrics["route"]) == ("http_api", "http", "POST /users/{id}/plays")
    counts = [metrics[name] for name in ("RequestsSucceeded", "RequestsRefused", "RequestsFailed")]
    assert counts == [[1], [0], [0]]
    assert metrics["ProcessingTime"][0] > 0


def has_played(api: Api, *scores: int) -> list[str]:
    """One player a score on the leaderboard of chess; the ids, in the order of the scores given."""
    users = [f"01990000-0000-7000-8000-00000000000{number}" for number in range(len(scores))]
    runner = ProjectionRunner(
        LEADERBOARD,
        api.world.read_models,
        api.world.memory,
        InMemoryClaimStore(),
        EVENT_TYPES,
        parking=parking(),
        patience=patience(),
    )
    plays = [PlayCompleted(game="chess", score=score, played_at=AT) for score in scores]
    events = [recorded(f"player#{user}", 1, play) for user, play in zip(users, plays, strict=True)]
    assert runner.process(kinesis_batch(events)).failures == []
    return users


def test_a_leaderboard_ranks_players_by_score_with_their_names(api: Api) -> None:
    ada, eve, joe = has_played(api, 7, 9, 7)
    api.world.has_row(f"player_profiles@1#{eve}", {"name": "Eve"})

    reply = api.send("GET", "/games/chess/leaderboard")

    assert reply.status == 200
    assert reply.body == {
        "game": "chess",
        "entries": [
            {"rank": 1, "user_id": eve, "name": "Eve", "score": 9, "achieved_at": AT},
            {"rank": 2, "user_id": ada, "name": None, "score": 7, "achieved_at": AT},
            {"rank": 3, "user_id": joe, "name": None, "score": 7, "achieved_at": AT},
        ],
    }


def test_a_leaderboard_is_as_long_as_asked(api: Api) -> None:
    has_played(api, *range(10))

    for limit in (1, 9, 10, 100):
        reply = api.send("GET", "/games/chess/leaderboard", query={"limit": str(limit)})
        assert [entry["rank"] for entry in reply.body["entries"]] == list(range(1, min(limit, 10) + 1))


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "", "1.0", "1e1", " 5", "+5", "5,6", "٣", "9" * 5000])
def test_a_leaderboards_limit_is_a_whole_number_from_1_to_100(api: Api, limit: str) -> None:
    """FAULTS row 18: wrong types and ranges are named."""
    has_played(api, 7)

    reply = api.send("GET", "/games/chess/leaderboard", query={"limit": limit})

    assert reply.status == 400
    assert reply.fields == {"limit": "must be a whole number from 1 to 100"}


@pytest.mark.parametrize("game", ["go", "Chess", "chess%23", "-", "x" * 65])
def test_a_game_that_nobody_played_has_no_leaderboard(api: Api, game: str) -> None:
    has_played(api, 7)

    reply = api.send("GET", f"/games/{game}/leaderboard")

    assert (reply.status, reply.body["type"]) == (404, "urn:headwater:problem:game-not-found")


def test_a_refused_request_is_logged_with_its_fields_alone(api: Api, output: Output) -> None:
    api.send("POST", "/register", {"email": "eve@@example.org", "password": "short", CANARY: 1, "name": "Eve"})

    entry, metrics = output.of_one_request()

    assert entry["problem"] == {"error": "InvalidFieldsError", "fields": ["email", "password"]}
    assert (metrics["RequestsRefused"], metrics["RequestsFailed"]) == ([1], [0])
    assert not any(text in json.dumps(entry) for text in ["eve@", "short", CANARY])


def test_an_unknown_path_reaches_neither_log_nor_metric(api: Api, output: Output) -> None:
    api.send("GET", f"/{CANARY}")

    assert CANARY not in json.dumps(output.of_one_request())


@dataclass
class BrokenProfiles:
    """Fails as AWS does with an error of this code."""

    code: str

    def read(self, user_id: str) -> Profile:
        told = f"{CANARY} in an item of {user_id}"
        raise ClientError({"Error": {"Code": self.code, "Message": told}}, "GetItem")


def answer_of_broken(api: Api, code: str) -> dict[str, Any]:
    world = api.world
    routes = Routes(world.accounts, BrokenProfiles(code), world.preferences, world.leaderboards, lambda: world.now)
    return http_handler("http_api", routes.router())(http_event("GET", f"/users/{NOBODY}"), None)


def test_an_unexpected_error_tells_the_client_nothing_and_the_operator_where(api: Api, output: Output) -> None:
    """FAULTS row 31."""
    response = answer_of_broken(api, "AccessDeniedException")

    entry, metrics = output.of_one_request()
    assert response["statusCode"] == 500
    assert json.loads(response["body"])["type"] == "urn:headwater:problem:unexpected"
    assert CANARY not in json.dumps([response, entry, metrics])
    assert entry["problem"]["error"] == "ClientError"
    assert entry["problem"]["code"] == "AccessDeniedException"
    assert any(frame.startswith("read:") for frame in entry["problem"]["at"])
    assert (entry["level"], metrics["RequestsFailed"]) == ("ERROR", [1])


ROUTES_OF_A_USER = [
    ("GET", "/users/{id}", None),
    ("GET", "/users/{id}/preferences", None),
    ("PUT", "/users/{id}/email", {"email": "ada@example.com"}),
    ("PUT", "/users/{id}/profile", {"name": "Ada L."}),
    ("DELETE", "/users/{id}", None),
    ("POST", "/users/{id}/plays", PLAY),
]


def no_item(event: RecordedEvent, memory: InMemoryEventStore) -> RecordedEvent:
    memory.unreadable.add(event.event_id)
    return event


#: What a foreign producer, or a newer version of ours, leaves in a history.
UNREADABLE: list[Callable[[RecordedEvent, InMemoryEventStore], RecordedEvent]] = [
    no_item,
    lambda event, _: replace(event, type="UserRenamed"),
    lambda event, _: replace(event, schema_version=2),
    lambda event, _: replace(event, data={CANARY: CANARY}),
    # Each is an event, and the second cannot follow the first.
    lambda event, _: recorded(event.aggregate_id, event.version, UserRegistered(name=CANARY, email="a@example.org")),
]


@pytest.mark.parametrize("spoil", UNREADABLE, ids=["no item", "type", "schema version", "data", "order"])
@pytest.mark.parametrize(("method", "path", "body"), ROUTES_OF_A_USER)
def test_an_event_that_cannot_be_read_is_named_and_nobody_is_told_to_try_again(
    api: Api,
    output: Output,
    spoil: Callable[[RecordedEvent, InMemoryEventStore], RecordedEvent],
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    """FAULTS row 51."""
    memory = api.world.memory
    aggregate_id = f"user#{api.user_id}"
    event = spoil(recorded(aggregate_id, 2, UserProfileChanged(name="Ada L.")), memory)
    memory.histories[aggregate_id].append(event)

    reply = api.send(method, path.format(id=api.user_id), body)

    entry, _ = output.of_one_request()
    named = {"aggregate_id": aggregate_id, "version": 2, "event_id": event.event_id}
    assert (reply.status, reply.body["type"]) == (500, "urn:headwater:problem:unreadable-history")
    assert "retry-after" not in reply.headers
    assert reply.body["event"] == entry["problem"]["event"] == named
    assert f"version 2 of {aggregate_id} cannot be read" in reply.body["detail"]
    assert "Trying again does not help" in reply.body["detail"]
    assert CANARY not in json.dumps([reply.body, entry])
    assert api.events() == 2, "nothing was appended"


def test_a_play_that_cannot_be_read_is_named_to_who_looks_and_keeps_nobody_from_playing(api: Api) -> None:
    """A play depends on no earlier one, so that none is refused for what a foreign producer appended."""
    memory, aggregate_id = api.world.memory, f"player#{api.user_id}"
    assert api.send("POST", f"/users/{api.user_id}/plays", PLAY).status == 201
    memory.unreadable.add(memory.histories[aggregate_id][0].event_id)

    reply = api.send("GET", f"/users/{api.user_id}")

    assert reply.body["type"] == "urn:headwater:problem:unreadable-history"
    assert (reply.body["event"]["aggregate_id"], reply.body["event"]["version"]) == (aggregate_id, 1)
    assert api.send("POST", f"/users/{api.user_id}/plays", PLAY).body["version"] == 2
    # Who has a name can be told all the same.
    assert api.send("GET", f"/users/{api.user_id}/preferences").status == 200


def test_a_repeated_request_gets_its_answer_although_an_event_behind_it_cannot_be_read(api: Api) -> None:
    """FAULTS row 29: the first request was done, whatever was appended since."""
    memory, aggregate_id = api.world.memory, f"player#{api.user_id}"
    headers = {"idempotency-key": "k-1"}
    first = api.send("POST", f"/users/{api.user_id}/plays", PLAY, headers=headers)
    memory.unreadable.add(memory.histories[aggregate_id][0].event_id)

    again = api.send("POST", f"/users/{api.user_id}/plays", PLAY, headers=headers)

    assert (again.status, again.body) == (first.status, first.body)


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
def test_throttling_that_outlasts_the_sdk_asks_for_another_attempt(api: Api, output: Output, code: str) -> None:
    """FAULTS row 15."""
    response = answer_of_broken(api, code)

    entry, metrics = output.of_one_request()
    assert response["statusCode"] == 503
    assert int(response["headers"]["retry-after"]) > 0
    assert json.loads(response["body"])["type"] == "urn:headwater:problem:busy"
    assert CANARY not in json.dumps([response, entry, metrics])
    assert (entry["problem"]["code"], metrics["RequestsFailed"]) == (code, [1])


def test_a_password_is_found_nowhere(api: Api, output: Output) -> None:
    """FAULTS row 30: whatever becomes of the request."""
    headers = {"idempotency-key": "k-1", "x-correlation-id": "c-1"}
    fresh = REGISTRATION | {"email": "eve@example.org"}
    requests: list[Callable[[], Reply]] = [
        lambda: api.send("POST", "/register", fresh, headers=headers),
        lambda: api.send("POST", "/register", fresh, headers=headers),
        lambda: api.send("POST", "/register", fresh | {"password": CANARY + "!"}, headers=headers),
        lambda: api.send("POST", "/register", REGISTRATION),
        lambda: api.send("POST", "/register", REGISTRATION | {"name": ""}),
        lambda: api.send("POST", "/register", REGISTRATION | {"password": CANARY * 10}),
        lambda: api.send("POST", "/register", text=json.dumps(REGISTRATION)[:-1]),
        lambda: api.send("PUT", f"/users/{api.user_id}/email", REGISTRATION),
        lambda: api.send("POST", "/activities", {"kind": "ClickOnLogo", CANARY: CANARY}),
    ]

    statuses = []
    for request in requests:
        reply = request()
        statuses.append(reply.status)
        told = reply.body | {"errors": [item for item in reply.body.get("errors", []) if item["field"] != CANARY]}
        assert CANARY not in json.dumps([told, reply.headers])

    assert statuses == [201, 201, 422, 409, 400, 400, 400, 400, 400]
    assert CANARY not in repr(api.world.memory.histories) + repr(api.world.memory.tables)
    written = output.text()
    assert written.count("request answered") == len(requests)
    assert CANARY not in written


def test_an_event_that_is_no_request_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'requestContext' of API Gateway's payload 2\.0"):
        Request.from_event({"Records": []})
