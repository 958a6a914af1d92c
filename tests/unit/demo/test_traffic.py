"""The demo's story: of the size asked for, the same each time, with the players that the badges need."""

from datetime import UTC, datetime

import pytest

from devstack.demo.traffic import DAYS, cast, requests_in
from headwater.domain.badges import no_progress, record_play
from headwater.domain.events import PlayCompleted

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(("users", "plays"), [(1, 0), (1, 1), (3, 10), (50, 2000), (7, 3)])
def test_the_story_has_as_many_users_and_plays_as_asked_for(users: int, plays: int) -> None:
    people = cast(users, plays, NOW)

    told = [request for person in people for request in person.story if request.path.endswith("/plays")]
    assert len(people) == users
    assert len(told) == plays
    assert requests_in(people) == users + sum(len(person.story) for person in people)


def test_the_same_seed_tells_the_same_story() -> None:
    assert cast(20, 300, NOW) == cast(20, 300, NOW)


def test_a_devoted_player_plays_chess_on_each_day() -> None:
    devoted = cast(5, 5 * DAYS, NOW)[0]

    days = {request.body["played_at"][:10] for request in devoted.story if request.body and "game" in request.body}
    assert len(days) == DAYS


def test_the_last_of_several_leaves_after_playing() -> None:
    people = cast(3, 30, NOW)

    assert [request.method for request in people[-1].story][-2:] == ["POST", "DELETE"]
    assert [sum(request.method == "DELETE" for request in person.story) for person in people] == [0, 0, 1]
    assert all(request.method != "DELETE" for request in cast(1, 3, NOW)[0].story)


def test_no_play_lies_in_the_future() -> None:
    for person in cast(10, 400, NOW):
        for request in person.story:
            if request.body and "played_at" in request.body:
                assert datetime.fromisoformat(request.body["played_at"]) <= NOW


def test_the_story_earns_badges_of_many_kinds() -> None:
    earned: set[str] = set()
    for person in cast(5, 5 * 40, NOW):
        progress = no_progress()
        for number, request in enumerate(person.story):
            if request.body and "game" in request.body:
                progress, awards = record_play(progress, PlayCompleted(**request.body), f"play-{number}")
                earned |= {award["badge"] for award in awards.values()}

    assert {
        "thirty-days-in-a-row",
        "thirty-days-of-play",
        "ten-plays",
        "personal-best",
        "all-rounder",
        "weekend-player",
        "night-owl",
        "comeback",
    } <= earned
