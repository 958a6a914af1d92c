"""The badges function with its fixture, against DynamoDB (moto)."""

from typing import Any

import pytest

from headwater import bootstrap
from headwater.badges.progress import BADGE_PROGRESS
from headwater.domain.events import BadgeEarned
from headwater.projections.player_profiles import PLAYER_PROFILES
from tests.integration.stream_functions import USER, Invoke, fixture, handler, item, stack

__all__ = ["stack"]


@pytest.fixture
def invoke(stack: None) -> Invoke:
    return handler("badges")


def awards() -> dict[str, Any]:
    keys = (f"badge#{USER}#{key}" for key in ("first-play:chess", "first-play:go", "ten-days-in-a-row:chess"))
    return {key: bootstrap.event_store().load(key) for key in keys}


def test_the_fixture_earns_its_badges_once_however_often_it_comes(invoke: Invoke) -> None:
    """FAULTS rows 4 and 33."""
    for _ in range(2):
        assert invoke(fixture("BadgesFunction")) == {"batchItemFailures": []}

    chess, go, days = awards().values()
    assert [len(history) for history in (chess, go, days)] == [1, 1, 0]
    assert chess[0].payload == BadgeEarned(
        user_id=USER,
        badge="first-play",
        game="chess",
        title="First play",
        earned_at="2026-03-01T12:00:00.000Z",
        play_event_id="019930c2-7000-7000-8000-000000000002",
    )
    assert chess[0].metadata["causation_id"] == "019930c2-7000-7000-8000-000000000002"
    row = item(f"badges@1#{USER}")
    assert row["earned"].keys() == {"first-play:chess", "first-play:go"}
    assert row["games"]["chess"] == {"plays": 2, "days": "739676 2"}
    assert (row["applied"], row["revision"]) == ({"user": 1, "player": 3}, 1)


def test_a_crash_between_award_and_progress_leaves_one_award(invoke: Invoke) -> None:
    """FAULTS row 3: the awards are there, the progress is not."""
    invoke(fixture("BadgesFunction"))
    bootstrap.dynamodb().delete_item(TableName="read_models", Key={"pk": {"S": f"badges@1#{USER}"}})

    assert invoke(fixture("BadgesFunction")) == {"batchItemFailures": []}

    assert [len(history) for history in awards().values()] == [1, 1, 0]
    assert item(f"badges@1#{USER}")["earned"].keys() == {"first-play:chess", "first-play:go"}


def test_a_reader_gets_profile_and_badges_together(invoke: Invoke) -> None:
    invoke(fixture("BadgesFunction"))

    profile, progress = bootstrap.read_model_reader().get_many([(PLAYER_PROFILES, USER), (BADGE_PROGRESS, USER)])

    assert profile is None
    assert progress is not None
    assert progress["earned"]["first-play:go"]["earned_at"] == "2026-03-01T12:30:00.000Z"
