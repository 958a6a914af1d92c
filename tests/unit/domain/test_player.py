"""Players: what a play may say, and what plays add up to."""

from datetime import UTC, datetime, timedelta

import pytest

from headwater.domain import player
from headwater.domain.events import PlayCompleted, UserDeleted
from headwater.domain.fields import InvalidFieldError
from headwater.domain.player import Player
from headwater.domain.user import User, UserDeletedError, UserNotFoundError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def play(game: str, score: int, day: int) -> PlayCompleted:
    return PlayCompleted(game=game, score=score, played_at=f"2026-02-{day:02d}T12:00:00.000Z")


def test_plays_add_up_whatever_their_order() -> None:
    late, early, other = play("chess", 3, 20), play("chess", 9, 1), play("go", 0, 10)

    folded = player.fold([late, early, other])

    assert folded == Player(plays=3, best_scores={"chess": 9, "go": 0}, last_play=late)
    assert folded == player.fold([other, late, early])
    assert player.fold([]) == Player()


def test_another_aggregates_event_is_refused() -> None:
    with pytest.raises(ValueError, match="UserDeleted"):
        player.evolve(Player(), UserDeleted())


def test_only_an_existing_user_plays() -> None:
    ada = User(name="Ada", email="ada@example.org")
    expected = PlayCompleted(game="chess", score=7, played_at="2026-03-01T12:00:00.000Z")

    assert player.complete_play(ada, "chess", 7, "2026-03-01T12:00:00.000Z") == expected
    with pytest.raises(UserNotFoundError):
        player.complete_play(None, "chess", 7, "2026-03-01T12:00:00.000Z")
    with pytest.raises(UserDeletedError):
        player.complete_play(User(name="Ada", email="a@example.org", deleted=True), "chess", 7, "")


@pytest.mark.parametrize("value", ["chess", "7-wonders", "x" * 64])
def test_a_game_is_a_slug(value: str) -> None:
    assert player.parse_game(value) == value


@pytest.mark.parametrize("value", [None, "", "Chess", "-chess", "che ss", "chess\n", "x" * 65, 7, "schäch", "chess%0a"])
def test_other_games_are_refused(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^game: must be 1 to 64 lower-case"):
        player.parse_game(value)


@pytest.mark.parametrize("value", [0, 1, 10**12])
def test_a_score_is_a_whole_number(value: int) -> None:
    assert player.parse_score(value) == value


@pytest.mark.parametrize("value", [True, False, 7.0, float("nan"), float("inf"), -1, 10**12 + 1, "7", None, [7]])
def test_other_scores_are_refused(value: object) -> None:
    """FAULTS row 18."""
    with pytest.raises(InvalidFieldError, match=r"^score: must be a whole number from 0 to 1000000000000"):
        player.parse_score(value)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00Z", NOW),
        ("2026-03-01T12:05:00.000Z", NOW + timedelta(minutes=5)),
        ("2026-03-01T13:30:00+01:30", NOW),
        ("2024-02-29T23:59Z", datetime(2024, 2, 29, 23, 59, tzinfo=UTC)),
        ("2026-03-01T11:59:59.123456789Z", datetime(2026, 3, 1, 11, 59, 59, 123456, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_play_has_a_time_with_an_offset(text: str, moment: datetime) -> None:
    assert player.parse_played_at(text, NOW) == moment


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("2026-03-01T12:05:01Z", "must not be in the future"),
        ("9999-12-31T23:59:59-23:59", "must be a time that exists"),
        ("3026-03-01T12:00:00Z", "must not be in the future"),
        ("1999-12-31T23:59:59Z", "must not be before 2000"),
        ("2026-02-29T12:00:00Z", "must be a time that exists"),
        ("2026-03-01T12:00:00+99:00", "must be a time that exists"),
        ("2026-03-01T12:00:00", "must be an ISO 8601 time"),
        ("2026-03-01", "must be an ISO 8601 time"),
        ("yesterday", "must be an ISO 8601 time"),
        ("2026-03-01T12:00:00Z\n", "must be an ISO 8601 time"),
        ("٢٠٢٦-03-01T12:00:00Z", "must be an ISO 8601 time"),
        (1772366400, "must be an ISO 8601 time"),
        (float("nan"), "must be an ISO 8601 time"),
        (True, "must be an ISO 8601 time"),
    ],
)
def test_other_times_are_refused(value: object, problem: str) -> None:
    with pytest.raises(InvalidFieldError, match=f"^played_at: {problem}"):
        player.parse_played_at(value, NOW)
