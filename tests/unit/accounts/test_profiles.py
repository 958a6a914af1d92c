"""Reading profiles: from the rows, and from the events while rows are on their way."""

import pytest

from headwater.accounts.profiles import Profile
from headwater.domain.events import PlayCompleted, UserDeleted, UserRegistered
from headwater.domain.user import UserDeletedError, UserNotFoundError
from headwater.event_store.store import Append
from tests.fakes.accounts import World
from tests.fakes.events import AT, new_event

USER = "01990000-0000-7000-8000-000000000001"
ROW = {"name": "Ada", "registered_at": AT, "plays": 1, "best_scores": {"chess": 7}, "last_play": None}
PLAY = PlayCompleted(game="chess", score=7, played_at=AT)


@pytest.fixture
def world() -> World:
    return World()


def award(badge: str, earned_at: str) -> dict[str, object]:
    return {"badge": badge, "game": None, "title": badge, "earned_at": earned_at, "play_event_id": "e"}


def registered(world: World) -> None:
    world.memory.append(Append(f"user#{USER}", 0, [new_event(UserRegistered(name="Ada", email="ada@example.org"))]))


def test_a_profile_is_its_row_and_its_badges_by_time(world: World) -> None:
    late, early = award("b", "2026-03-02T00:00:00.000Z"), award("c", AT)
    world.has_row(f"player_profiles@1#{USER}", ROW)
    world.has_row(f"badges@1#{USER}", {"games": {}, "earned": {"b": late, "c": early}})

    assert world.profiles.read(USER) == Profile(state=ROW, badges=[early, late], pending=False)
    assert len(world.read_models.reads) == 1


def test_who_has_just_registered_and_played_reads_it(world: World) -> None:
    registered(world)
    world.memory.append(Append(f"player#{USER}", 0, [new_event(PLAY)]))

    profile = world.profiles.read(USER)

    assert profile.pending
    assert (profile.state["name"], profile.state["plays"], profile.state["best_scores"]) == ("Ada", 1, {"chess": 7})
    assert profile.badges == []


def test_a_row_that_has_plays_but_no_registration_yet_is_not_shown(world: World) -> None:
    registered(world)
    world.has_row(f"player_profiles@1#{USER}", ROW | {"name": None, "registered_at": None})

    assert world.profiles.read(USER).state["name"] == "Ada"


def test_an_unknown_and_a_deleted_user_have_no_profile(world: World) -> None:
    with pytest.raises(UserNotFoundError):
        world.profiles.read(USER)
    registered(world)
    world.memory.append(Append(f"user#{USER}", 1, [new_event(UserDeleted())]))
    with pytest.raises(UserDeletedError):
        world.profiles.read(USER)
