"""The leaderboard function with its fixture, and the API's route over it, against DynamoDB (moto)."""

import json
from typing import Any

import pytest

from headwater import bootstrap
from headwater.domain.events import PlayCompleted, UserDeleted
from headwater.event_store.store import Append
from headwater.projections.leaderboard import SPREAD
from tests.fakes.events import AT, new_event, recorded
from tests.fakes.http import http_event
from tests.fakes.kinesis_records import kinesis_batch, kinesis_record
from tests.integration.stream_functions import USER, Invoke, fixture, handler, item, stack

__all__ = ["stack"]


@pytest.fixture
def invoke(stack: None) -> Invoke:
    return handler("leaderboard")


def leaderboard(game: str, **query: str) -> tuple[int, Any]:
    response = handler("http_api")(http_event("GET", f"/games/{game}/leaderboard", query=query))
    return response["statusCode"], json.loads(response["body"])


def play(user: str, version: int, score: int, game: str = "chess", at: str = AT) -> Any:
    return recorded(f"player#{user}", version, PlayCompleted(game=game, score=score, played_at=at))


def test_the_fixture_becomes_rows_and_again_changes_nothing(invoke: Invoke) -> None:
    """FAULTS row 4: the same invocation twice."""
    pks = [f"leaderboard@1#{USER}", f"leaderboard@1#{USER}#chess", f"leaderboard@1#{USER}#go"]
    assert invoke(fixture("LeaderboardFunction")) == {"batchItemFailures": []}
    checkpoint, chess, go = rows = [item(pk) for pk in pks]
    assert checkpoint["applied"] == {"user": 2, "player": 3}
    assert checkpoint["parts"].keys() == {"chess", "go"}
    assert (chess["score"], chess["plays"], go["score"], go["plays"]) == (120, 2, 40, 1)
    assert chess["ranking"].startswith("leaderboard@1#chess#")
    assert "ranking" not in checkpoint

    assert invoke(fixture("LeaderboardFunction")) == {"batchItemFailures": []}
    assert [item(pk) for pk in pks] == rows


def test_the_route_shows_who_leads_with_the_names_of_their_profiles(invoke: Invoke) -> None:
    invoke({"Records": kinesis_batch([play(f"u{number}", 1, number % 7) for number in range(3 * SPREAD)])})
    invoke(fixture("LeaderboardFunction"))
    handler("player_profiles")(fixture("PlayerProfilesFunction"))

    status, body = leaderboard("chess", limit="3")

    assert status == 200
    assert [(entry["rank"], entry["user_id"], entry["name"]) for entry in body["entries"]] == [
        (1, USER, "Ada King"),
        (2, "u13", None),
        (3, "u20", None),
    ]
    assert [entry["rank"] for entry in leaderboard("chess")[1]["entries"]] == list(range(1, 11))
    assert leaderboard("chess", limit="101")[0] == 400
    assert leaderboard("nonesuch")[0] == 404


def test_a_deleted_user_is_on_no_leaderboard_and_stays_away(invoke: Invoke) -> None:
    deleted = recorded(f"user#{USER}", 3, UserDeleted())
    invoke(fixture("LeaderboardFunction"))

    assert invoke({"Records": kinesis_batch([deleted])}) == {"batchItemFailures": []}
    assert invoke(fixture("LeaderboardFunction")) == {"batchItemFailures": []}

    assert leaderboard("chess")[0] == leaderboard("go")[0] == 404
    assert item(f"leaderboard@1#{USER}#chess").keys() == {"pk", "deleted", "applied", "revision"}


def test_a_gap_is_read_from_the_events_table(invoke: Invoke) -> None:
    """FAULTS row 5: only version 3 arrives."""
    plays = [new_event(PlayCompleted(game=game, score=1, played_at=AT)) for game in ("chess", "go", "chess")]
    stored = bootstrap.event_store().append(Append(f"player#{USER}", 0, plays))

    assert invoke({"Records": [kinesis_record(stored[2], 1)]}) == {"batchItemFailures": []}

    assert item(f"leaderboard@1#{USER}")["applied"] == {"player": 3}
    assert item(f"leaderboard@1#{USER}#go")["plays"] == 1


def test_more_games_than_a_transaction_takes(invoke: Invoke) -> None:
    batch = kinesis_batch([play(USER, version, 1, f"game-{version}") for version in range(1, 121)])

    assert invoke({"Records": batch}) == {"batchItemFailures": []}

    assert item(f"leaderboard@1#{USER}")["revision"] == 2
    assert leaderboard("game-120")[1]["entries"][0]["score"] == 1
