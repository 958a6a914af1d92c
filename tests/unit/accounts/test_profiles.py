"""Reading profiles: from the rows, and from the events while rows are on their way."""

from datetime import timedelta

import pytest

from headwater.clock import timestamp
from headwater.domain.badges import Streak, Streaks, count, no_tally
from headwater.domain.events import PlayCompleted, UserDeleted, UserRegistered
from headwater.domain.user import UserDeletedError, UserNotFoundError
from headwater.event_store.store import Append
from tests.fakes.accounts import NOW, World
from tests.fakes.events import AT, new_event

USER = "01990000-0000-7000-8000-000000000001"
ROW = {"name": "Ada", "registered_at": AT, "plays": 1, "best_scores": {"chess": 7}, "last_play": None}
PLAY = PlayCompleted(game="chess", score=7, played_at=AT)


@pytest.fixture
def world() -> World:
    return World()


def earned(title: str, earned_at: str = AT, play: str = "e") -> dict[str, object]:
    return {"title": title, "earned_at": earned_at, "play_event_id": play}


def achieved(days: int, **awards: dict[str, object]) -> dict[str, object]:
    """The row of a player of chess on so many days in a row, the last of them the clock's."""
    tally = no_tally()
    for number in range(days):
        moment = timestamp(NOW - timedelta(days=days - 1 - number))
        tally = count(tally, PlayCompleted(game="chess", score=7, played_at=moment))
    return {**tally, "earned": {key.replace("_", "-"): award for key, award in awards.items()}}


def registered(world: World) -> None:
    world.memory.append(Append(f"user#{USER}", 0, [new_event(UserRegistered(name="Ada", email="ada@example.org"))]))


def test_a_profile_is_its_row_and_what_was_achieved(world: World) -> None:
    world.has_row(f"player_profiles@1#{USER}", ROW)
    row = achieved(7, first_play_ever=earned("Debut", "2026-03-02T00:00:00.000Z"))
    row["earned"] = {**row["earned"], "first-play:chess": earned("First play", AT, "play-1")}  # type: ignore[dict-item]
    world.has_row(f"achievements@1#{USER}", row)

    profile = world.profiles.read(USER)

    assert (profile.state, profile.pending) == (ROW, False)
    assert profile.badges == [
        {
            "badge": "first-play",
            "game": "chess",
            "title": "First play",
            "description": "Played a game for the first time.",
            "earned_at": AT,
            "play_event_id": "play-1",
        },
        {
            "badge": "first-play-ever",
            "game": None,
            "title": "Debut",
            "description": "Finished a first play.",
            "earned_at": "2026-03-02T00:00:00.000Z",
            "play_event_id": "e",
        },
    ]
    seven = Streak(current=7, longest=7)
    assert profile.streaks == Streaks(overall=seven, games={"chess": seven})
    assert {(goal["badge"], goal["have"], goal["need"]) for goal in profile.progress} >= {("ten-plays", 7, 10)}


def test_a_profile_costs_one_read_of_its_two_rows_and_no_others(world: World) -> None:
    world.has_row(f"player_profiles@1#{USER}", ROW)
    world.has_row(f"achievements@1#{USER}", achieved(1))

    world.profiles.read(USER)

    assert world.read_models.reads == [[f"player_profiles@1#{USER}", f"achievements@1#{USER}"]]


def test_streaks_are_those_of_the_day_of_reading(world: World) -> None:
    world.has_row(f"player_profiles@1#{USER}", ROW)
    world.has_row(f"achievements@1#{USER}", achieved(3))

    current = []
    for days in range(4):
        world.now = NOW + timedelta(days=days)
        current.append(world.profiles.read(USER).streaks["overall"]["current"])

    assert current == [3, 3, 0, 0]


def test_a_badge_that_is_no_longer_awarded_keeps_its_title(world: World) -> None:
    world.has_row(f"player_profiles@1#{USER}", ROW)
    world.has_row(f"achievements@1#{USER}", achieved(1, retired=earned("Beta tester")))

    [badge] = world.profiles.read(USER).badges

    assert (badge["title"], badge["description"]) == ("Beta tester", None)


def test_achievements_that_are_on_their_way_keep_no_profile_back(world: World) -> None:
    world.has_row(f"player_profiles@1#{USER}", ROW)

    profile = world.profiles.read(USER)

    assert (profile.badges, profile.pending) == ([], False)
    assert profile.streaks["overall"] == Streak(current=0, longest=0)


def test_who_has_just_registered_and_played_reads_it(world: World) -> None:
    registered(world)
    world.memory.append(Append(f"player#{USER}", 0, [new_event(PLAY)]))

    profile = world.profiles.read(USER)

    assert profile.pending
    assert (profile.state["name"], profile.state["plays"], profile.state["best_scores"]) == ("Ada", 1, {"chess": 7})
    assert profile.badges == []
    assert profile.streaks["games"]["chess"] == Streak(current=1, longest=1)


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
