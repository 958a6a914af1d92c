"""Sets of UTC days, as runs from the latest back."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.domain.days import Days


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
    today = 739_676

    days = reduce(Days.add, [today + number % 1000 for number in range(10_000)], Days())

    assert days == Days(f"{today + 999} (1000)")


def test_days_read_from_the_latest_run_back() -> None:
    days = reduce(Days.add, [739_671, *range(739_676, 739_686)], Days())

    assert days.text == "739685 a41"
    assert days.intervals == [(739_671, 739_671), (739_676, 739_685)]


@given(st.lists(st.integers(1, 3_000_000), unique=True))
def test_days_far_apart_are_held_as_well_as_those_close_together(arrivals: list[int]) -> None:
    days = reduce(Days.add, arrivals, Days())

    assert [day for first, last in days.intervals for day in range(first, last + 1)] == sorted(arrivals)


@pytest.mark.parametrize("run", [1, 9, 10, 35, 36, 37, 100])
@pytest.mark.parametrize("pause", [1, 9, 10, 35, 36, 37, 100])
def test_runs_and_pauses_of_any_length_read_back_as_they_were(run: int, pause: int) -> None:
    first = [(739_000, 739_000 + run - 1), (739_000 + run + pause, 739_000 + run + pause + run - 1)]
    held = [day for start, end in first for day in range(start, end + 1)]

    in_order, late = reduce(Days.add, held, Days()), reduce(Days.add, reversed(held), Days())

    assert in_order == late
    assert in_order.intervals == first
    assert (in_order.pause, in_order.run_through(held[0]), in_order.run_through(held[-1])) == (pause, run, run)


@given(st.lists(st.integers(739_000, 739_060)), st.integers(738_998, 739_062))
def test_what_it_tells_is_what_a_plain_set_tells(arrivals: list[int], today: int) -> None:
    days = reduce(Days.add, arrivals, Days())

    held = set(arrivals)
    assert (today in days) == (today in held)
    assert days.last == max(held, default=0)
    start = days.last
    while start - 1 in held:
        start -= 1
    assert days.streak(today) == (days.last - start + 1 if held and days.last >= today - 1 else 0)
    before = [day for day in held if day < start]
    assert days.pause == (start - max(before) - 1 if before else 0)


@pytest.mark.parametrize(("today", "streak"), [(739_685, 10), (739_686, 10), (739_687, 0), (739_684, 10)])
def test_a_streak_lasts_through_the_day_after_its_last(today: int, streak: int) -> None:
    """Today is not over yet; and a clock behind the player's takes no streak away."""
    assert Days("739685 a41").streak(today) == streak
