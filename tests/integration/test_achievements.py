"""The achievements function with its fixture, against DynamoDB (moto)."""

import pytest

from headwater import bootstrap
from headwater.projections.achievements import ACHIEVEMENTS
from headwater.projections.player_profiles import PLAYER_PROFILES
from tests.integration.stream_functions import USER, Invoke, fixture, handler, item, stack

__all__ = ["stack"]


@pytest.fixture
def invoke(stack: None) -> Invoke:
    return handler("achievements")


def test_the_fixture_becomes_achievements_and_again_changes_nothing(invoke: Invoke) -> None:
    """FAULTS rows 4 and 33: the same invocation twice; an award arrives before its play does."""
    assert invoke(fixture("AchievementsFunction")) == {"batchItemFailures": []}
    row = item(f"achievements@1#{USER}")
    first = {"earned_at": "2026-03-01T12:00:00.000Z", "play_event_id": "019930c2-7000-7000-8000-000000000002"}
    assert row["earned"] == {
        "first-play:chess": {"title": "First play", **first},
        "first-play-ever": {"title": "Debut", **first},
    }
    assert {game: of_game["plays"] for game, of_game in row["games"].items()} == {"chess": 2, "go": 1}
    assert (row["longest_streak"], row["weekends"], row["revision"]) == (2, 1, 1)
    assert row["applied"] == {
        "user": 1,
        "player": 3,
        f"badge#{USER}#first-play:chess": 1,
        f"badge#{USER}#first-play-ever": 1,
    }

    assert invoke(fixture("AchievementsFunction")) == {"batchItemFailures": []}
    assert item(f"achievements@1#{USER}") == row


def test_a_reader_gets_profile_and_achievements_together(invoke: Invoke) -> None:
    invoke(fixture("AchievementsFunction"))

    profile, achieved = bootstrap.read_model_reader().get_many([(PLAYER_PROFILES, USER), (ACHIEVEMENTS, USER)])

    assert profile is None
    assert achieved is not None
    assert achieved["earned"]["first-play-ever"]["title"] == "Debut"
