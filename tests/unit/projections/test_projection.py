"""What a projection declares, and the pure fold of player profiles."""

from copy import replace
from typing import Any

import pytest

from headwater.domain import player
from headwater.domain.events import (
    BadgeEarned,
    MalformedEventError,
    PlayCompleted,
    RecordedEvent,
    UnknownEventError,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Projection, State
from tests.fakes.events import AT, read, recorded

USER, PLAYER = "user#u1", "player#u1"
REGISTERED = recorded(USER, 1, UserRegistered(name="Ada", email="ada@example.org"))


def play(version: int, game: str = "chess", score: int = 7, played_at: str = AT) -> RecordedEvent:
    return recorded(PLAYER, version, PlayCompleted(game=game, score=score, played_at=played_at))


def declare(**changes: Any) -> Projection:
    declared: dict[str, Any] = {"name": "plays", "generation": 1, "initial": {"plays": 0}, "folds": {}}
    return Projection(**(declared | changes))


def test_a_profile_holds_name_plays_best_scores_and_the_last_play_by_event_time() -> None:
    history = [
        REGISTERED,
        play(1, "chess", 5, "2026-03-02T12:00:00.000Z"),
        play(2, "chess", 3, "2026-03-01T12:00:00.000Z"),
        play(3, "go", 0, "2026-02-01T12:00:00.000Z"),
        recorded(USER, 2, UserEmailChanged(old_email="ada@example.org", new_email="ada@example.net")),
        recorded(USER, 3, UserProfileChanged(name="Ada L.")),
    ]

    assert PLAYER_PROFILES.fold(history) == {
        "name": "Ada L.",
        "registered_at": AT,
        "plays": 3,
        "best_scores": {"chess": 5, "go": 0},
        "last_play": {"game": "chess", "score": 5, "played_at": "2026-03-02T12:00:00.000Z"},
    }


def test_a_profile_agrees_with_the_player_of_the_domain() -> None:
    plays = [play(version, f"game-{version % 3}", version * 7 % 5, f"2026-03-0{version % 4 + 1}T12:00:00.000Z")
             for version in range(1, 10)]  # fmt: skip

    profile, expected = PLAYER_PROFILES.fold(plays), player.fold(event.payload for event in plays)

    assert profile is not None
    assert (profile["plays"], profile["best_scores"]) == (expected.plays, expected.best_scores)
    assert expected.last_play is not None
    assert PlayCompleted(**profile["last_play"]) == expected.last_play


def test_a_deleted_user_is_a_tombstone_whatever_follows() -> None:
    assert PLAYER_PROFILES.fold([REGISTERED, play(1), recorded(USER, 2, UserDeleted()), play(2)]) is None


def test_folding_leaves_the_state_before_it_as_it_was() -> None:
    before = PLAYER_PROFILES.fold([REGISTERED, play(1)])
    assert before is not None
    kept = {**before, "best_scores": {**before["best_scores"]}, "last_play": {**before["last_play"]}}

    PLAYER_PROFILES.evolve(before, play(2, "go", 9, "2026-04-01T12:00:00.000Z"))

    assert before == kept


def test_an_event_type_that_is_neither_folded_nor_ignored_is_an_error() -> None:
    """FAULTS row 20: unknown type, on an aggregate that it folds."""
    unknown = replace(play(1), type="PlayUndone")

    with pytest.raises(UnknownEventError, match="player_profiles neither folds nor ignores 'PlayUndone'"):
        PLAYER_PROFILES.evolve({}, unknown)


def test_a_newer_schema_version_is_an_error() -> None:
    """FAULTS row 20: newer schema version."""
    with pytest.raises(UnknownEventError, match="schema version 2"):
        PLAYER_PROFILES.evolve(dict(PLAYER_PROFILES.initial), read(replace(play(1), schema_version=2)))


def test_aggregates_of_other_types_are_not_followed() -> None:
    assert PLAYER_PROFILES.follows(USER)
    assert not any(PLAYER_PROFILES.follows(each) for each in ("activity#a1", "user", "", "#a1", "users#a1"))


def test_a_folded_type_under_another_aggregate_is_malformed() -> None:
    with pytest.raises(MalformedEventError, match="aggregate of type player, not user"):
        PLAYER_PROFILES.evolve({}, replace(play(1), aggregate_id=USER))


def test_data_that_cannot_be_folded_is_malformed_and_not_quoted() -> None:
    secret = replace(play(1), data={"game": "chess", "score": "ada@example.org", "played_at": AT})

    with pytest.raises(MalformedEventError, match="score") as caught:
        PLAYER_PROFILES.evolve(dict(PLAYER_PROFILES.initial), read(secret))
    assert "ada@" not in str(caught.value)


def nothing(state: State, payload: Any, event: RecordedEvent) -> State:
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Plays@1"}, "Plays@1"),
        ({"initial": {"revision": 0}}, "revision"),
        ({"folds": {PlayCompleted: nothing}, "ignores": [PlayCompleted]}, "PlayCompleted"),
        ({"deleted_by": [UserDeleted], "ignores": [UserDeleted]}, "UserDeleted"),
        ({"folds": {PlayCompleted: nothing}, "many": {"badge"}}, "badge"),
        ({"folds": {PlayCompleted: nothing}, "ignores": [BadgeEarned]}, "'BadgeEarned'.* does not follow: leave"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declare(**changes)
