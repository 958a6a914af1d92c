"""The demo's story: of the size asked for, the same each time, with the players that the badges need."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devstack.demo.traffic import DAYS, User, cast, requests_in
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


def played(person: User) -> list[datetime]:
    """When the user played, in the order of the requests."""
    bodies = [request.body for request in person.story if request.path.endswith("/plays")]
    return [datetime.fromisoformat(body["played_at"]) for body in bodies if body is not None]


@given(
    users=st.integers(1, 12),
    plays=st.integers(0, 480),
    now=st.timedeltas(timedelta(0), timedelta(days=1500)).map(NOW.__add__),
    seed=st.integers(0, 1000),
)
@example(users=5, plays=200, now=datetime(2026, 3, 31, 0, 7, tzinfo=UTC), seed=1)
def test_each_player_lives_within_the_days_at_any_hour(users: int, plays: int, now: datetime, seed: int) -> None:
    people = cast(users, plays, now, seed)

    told = [moment for person in people for moment in played(person)]
    assert len(told) == plays
    assert all(now - timedelta(days=DAYS) <= moment <= now for moment in told)
    dates = {moment.date() for moment in told}
    # As many dates as days, also just after midnight: charts have one point a date.
    assert not dates or (max(dates) - min(dates)).days < DAYS
    for person in people:
        moments, days = played(person), sorted({moment.date() for moment in played(person)})
        match person.number % 5:
            case 1:
                assert len(days) >= min(len(moments), DAYS), "one devoted plays on each day as long as plays last"
            case 2 if len(moments) > 1:
                away = max(later - earlier for earlier, later in pairwise(days))
                assert away >= timedelta(weeks=3), "one comes back"
            case 3:
                assert all(moment.hour == 2 for moment in moments), "one plays at night"
            case 4 if moments:
                first = len(moments) - len(moments) // 2
                assert max(moments[first:], default=moments[0]).date() <= min(moments[:first]).date(), (
                    "the first plays arrive last"
                )


def test_some_plays_arrive_after_later_ones() -> None:
    late = played(cast(5, 200, NOW)[3])

    assert late != sorted(late)
    assert late[-1] < late[0]


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
    } <= earned
