"""The badges function with its fixture, against DynamoDB (moto)."""

from typing import Any

import pytest

from headwater import bootstrap
from headwater.domain.events import BadgeEarned
from tests.integration.stream_functions import USER, Invoke, fixture, handler, item, stack

__all__ = ["stack"]


#: What the fixture earns, and a badge that it does not.
KEYS = ("first-play:chess", "first-play:go", "first-play-ever", "personal-best:chess", "ten-days-in-a-row:chess")
EARNED = {"chess": "first-play personal-best", "go": "first-play", "*": "first-play-ever"}


@pytest.fixture
def invoke(stack: None) -> Invoke:
    return handler("badges")


def awards() -> dict[str, Any]:
    return {key: bootstrap.event_store().load(f"badge#{USER}#{key}") for key in KEYS}


def test_the_fixture_earns_its_badges_once_however_often_it_comes(invoke: Invoke) -> None:
    """FAULTS rows 4 and 33."""
    for _ in range(2):
        assert invoke(fixture("BadgesFunction")) == {"batchItemFailures": []}

    assert {key: len(history) for key, history in awards().items()} == dict.fromkeys(KEYS[:-1], 1) | {KEYS[-1]: 0}
    chess = awards()["first-play:chess"]
    assert chess[0].payload == BadgeEarned(
        user_id=USER,
        badge="first-play",
        game="chess",
        title="First play",
        earned_at="2026-03-01T12:00:00.000Z",
        play_event_id="019930c2-7000-7000-8000-000000000002",
    )
    assert chess[0].metadata["causation_id"] == "019930c2-7000-7000-8000-000000000002"
    row = item(f"badges@2#{USER}")
    assert row["earned"] == EARNED
    assert row["games"]["chess"] == {
        "plays": 2,
        "days": "739676 2",
        "longest_streak": 2,
        "best": 120,
        "first_at": "2026-02-28T23:59:59.999000+00:00",
        "first_score": 95,
    }
    assert (row["days"], row["longest_streak"], row["weekends"], row["night_plays"]) == ("739676 2", 2, 1, 0)
    assert (row["applied"], row["revision"]) == ({"user": 1, "player": 3}, 1)


def test_a_crash_between_award_and_progress_leaves_one_award(invoke: Invoke) -> None:
    """FAULTS row 3: the awards are there, the progress is not."""
    invoke(fixture("BadgesFunction"))
    bootstrap.dynamodb().delete_item(TableName="read_models", Key={"pk": {"S": f"badges@2#{USER}"}})

    assert invoke(fixture("BadgesFunction")) == {"batchItemFailures": []}

    assert [len(history) for history in awards().values()] == [1, 1, 1, 1, 0]
    assert item(f"badges@2#{USER}")["earned"] == EARNED
