"""Badges: days as intervals, rules over progress."""

from datetime import UTC, date, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.domain.badges import (
    BADGES,
    Badge,
    Days,
    Progress,
    days_in_a_row,
    no_progress,
    record_play,
    utc_day,
)
from headwater.domain.events import PlayCompleted


def play(played_at: str, game: str = "chess") -> PlayCompleted:
    return PlayCompleted(game=game, score=1, played_at=played_at)


def at_noon(day: date) -> str:
    return f"{day.isoformat()}T12:00:00.000Z"


def after_plays(*plays: PlayCompleted) -> Progress:
    progress = no_progress()
    for number, each in enumerate(plays, start=1):
        progress = record_play(progress, each, f"play-{number}")
    return progress


# Days close together make neighbours, merges and gaps likely.
@given(st.lists(st.integers(739_000, 739_060)))
def test_intervals_hold_the_same_days_as_a_plain_set(arrivals: list[int]) -> None:
    days = reduce(Days.add, arrivals, Days())

    held = {day for first, last in days.intervals for day in range(first, last + 1)}
    assert held == set(arrivals)
    assert all(earlier[1] + 1 < later[0] for earlier, later in zip(days.intervals, days.intervals[1:], strict=False))
    assert days == reduce(Days.add, sorted(held), Days())


@given(st.lists(st.integers(739_000, 739_060)), st.integers(738_998, 739_062))
def test_a_run_is_what_counting_neighbours_gives(arrivals: list[int], day: int) -> None:
    days = reduce(Days.add, arrivals, Days())

    held = set(arrivals)
    expected = 0
    if day in held:
        first = next(first for first in range(day, 0, -1) if first - 1 not in held)
        expected = next(length for length in range(1, 100) if first + length not in held)
    assert days.run_through(day) == expected


def test_the_size_is_bounded_by_the_gaps_and_not_by_the_plays() -> None:
    today = utc_day("2026-03-01T12:00:00.000Z")

    days = reduce(Days.add, [today + number % 1000 for number in range(10_000)], Days())

    assert days == Days(f"{today + 999} 1000")


def test_days_read_from_the_latest_run_back() -> None:
    days = reduce(Days.add, [739_671, *range(739_676, 739_686)], Days())

    assert days.text == "739685 10 4 1"
    assert days.intervals == [(739_671, 739_671), (739_676, 739_685)]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-03-01T23:59:59.999Z", "2026-03-02T00:00:00.000Z"),
        ("2024-02-28T12:00:00.000Z", "2024-02-29T12:00:00.000Z"),
        ("2024-02-29T12:00:00.000Z", "2024-03-01T12:00:00.000Z"),
        ("2026-02-28T12:00:00.000Z", "2026-03-01T12:00:00.000Z"),
        ("2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00.000Z"),
        ("2026-03-01T23:30:00.000-02:00", "2026-03-03T01:00:00.000+00:00"),
    ],
)
def test_days_are_those_of_utc_at_midnight_and_in_leap_years(earlier: str, later: str) -> None:
    """FAULTS row 32: midnight UTC and leap days."""
    assert utc_day(later) - utc_day(earlier) == 1


@pytest.mark.parametrize("moment", ["2026-03-01T12:00:00.000", "yesterday", ""])
def test_a_moment_that_belongs_to_no_utc_day_is_refused(moment: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever the standard library says of it
        utc_day(moment)


def test_the_first_play_of_each_game_earns_a_badge_once() -> None:
    progress = after_plays(
        play("2026-03-01T12:00:00.000Z"), play("2026-03-02T12:00:00.000Z"), play("2026-03-03T12:00:00.000Z", "go")
    )

    assert progress["earned"] == {
        "first-play:chess": {
            "badge": "first-play",
            "game": "chess",
            "title": "First play",
            "earned_at": "2026-03-01T12:00:00.000Z",
            "play_event_id": "play-1",
        },
        "first-play:go": {
            "badge": "first-play",
            "game": "go",
            "title": "First play",
            "earned_at": "2026-03-03T12:00:00.000Z",
            "play_event_id": "play-3",
        },
    }


@pytest.mark.parametrize("first", [date(2024, 2, 24), date(2026, 2, 24), date(2026, 12, 27)])
def test_ten_days_in_a_row_are_earned_by_the_tenth_play(first: date) -> None:
    """FAULTS row 32: across a leap day, the end of February and the turn of the year."""
    moments = [play(at_noon(first + timedelta(days=number))) for number in range(10)]

    assert "ten-days-in-a-row:chess" not in after_plays(*moments[:9])["earned"]
    assert after_plays(*moments)["earned"]["ten-days-in-a-row:chess"]["play_event_id"] == "play-10"


def test_a_day_without_a_play_breaks_the_row_and_a_play_of_another_game_does_not_fill_it() -> None:
    moments = [date(2026, 3, 1) + timedelta(days=number) for number in range(11)]
    plays = [play(at_noon(day), "go" if number == 5 else "chess") for number, day in enumerate(moments)]

    assert "ten-days-in-a-row:chess" not in after_plays(*plays)["earned"]


def test_a_play_that_comes_weeks_late_closes_the_gap() -> None:
    """FAULTS row 32: out of order, two on a day, late by weeks."""
    days = [date(2026, 3, 1) + timedelta(days=number) for number in range(10)]
    on_time = [play(at_noon(day)) for day in reversed(days) if day != days[3]]

    late = after_plays(*on_time, *on_time, play("2026-04-20T12:00:00.000Z"), play(at_noon(days[3])))

    award = late["earned"]["ten-days-in-a-row:chess"]
    assert award["play_event_id"] == "play-20"
    assert award["earned_at"] == at_noon(days[3])


@given(st.permutations(range(13)))
def test_the_order_of_arrival_decides_which_play_earns_a_badge_but_not_whether(order: list[int]) -> None:
    days = [play(at_noon(date(2024, 2, 20) + timedelta(days=number))) for number in order]

    assert after_plays(*days)["earned"].keys() == {"first-play:chess", "ten-days-in-a-row:chess"}


def test_two_rows_of_days_earn_the_badge_once() -> None:
    days = [date(2026, 3, 1) + timedelta(days=number) for number in [*range(10), *range(20, 30)]]

    assert after_plays(*(play(at_noon(day)) for day in days))["earned"]["ten-days-in-a-row:chess"][
        "earned_at"
    ] == at_noon(days[9])


def test_a_badge_is_one_rule_and_need_not_belong_to_a_game() -> None:
    regular = Badge(id="three-days", title="Regular", description="Three days.", rule=days_in_a_row(3), per_game=False)
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)

    progress = no_progress()
    for number in range(4):
        moment = (start + timedelta(days=number)).isoformat()
        progress = record_play(progress, play(moment), f"play-{number}", [*BADGES, regular])

    assert progress["earned"]["three-days"]["game"] is None
    assert progress["earned"]["three-days"]["play_event_id"] == "play-2"


def test_recording_a_play_leaves_the_progress_before_it_as_it_was() -> None:
    before = after_plays(play("2026-03-01T12:00:00.000Z"))
    kept = {"games": {"chess": {**before["games"]["chess"]}}, "earned": {**before["earned"]}}

    record_play(before, play("2026-03-02T12:00:00.000Z"), "play-2")

    assert before == kept


def test_badge_ids_are_unique() -> None:
    assert len({badge.id for badge in BADGES}) == len(BADGES)
