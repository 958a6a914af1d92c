"""Badges: what plays add up to, the rules over it, and who is told what of it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.domain.badges import (
    BADGES,
    Award,
    Badge,
    Facts,
    Progress,
    Standing,
    Streak,
    Streaks,
    Tally,
    count,
    description,
    goals,
    no_progress,
    no_tally,
    record_play,
    streaks,
    utc_day,
)
from headwater.domain.days import Days
from headwater.domain.events import PlayCompleted

MONDAY = date(2026, 3, 2)
SATURDAY = MONDAY + timedelta(days=5)


def play(played_at: str, game: str = "chess", score: int = 1) -> PlayCompleted:
    return PlayCompleted(game=game, score=score, played_at=played_at)


def on(day: date, game: str = "chess", score: int = 1, hour: int = 12) -> PlayCompleted:
    return play(f"{day.isoformat()}T{hour:02d}:00:00.000Z", game, score)


def days_from(first: date, *numbers: int) -> list[PlayCompleted]:
    return [on(first + timedelta(days=number)) for number in numbers]


def history(plays: Iterable[PlayCompleted], badges: Sequence[Badge] = BADGES) -> tuple[Progress, dict[str, Award]]:
    """The progress after the plays, and every award by its key; the plays' ids are play-1, play-2 …"""
    progress, all_awards = no_progress(), dict[str, Award]()
    for number, each in enumerate(plays, start=1):
        progress, awards = record_play(progress, each, f"play-{number}", badges)
        assert not all_awards.keys() & awards.keys(), "a badge is earned once"
        all_awards |= awards
    return progress, all_awards


def awards_of(plays: Iterable[PlayCompleted]) -> dict[str, str]:
    """The play that earned each badge."""
    return {key: award["play_event_id"] for key, award in history(plays)[1].items()}


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


# Each rule, and the play before which it does not hold


def test_the_first_play_ever_earns_one_badge_and_the_first_of_each_game_another() -> None:
    _, awards = history([on(MONDAY), on(MONDAY), on(MONDAY, "go")])

    assert awards["first-play-ever"] == {
        "badge": "first-play-ever",
        "game": None,
        "title": "Debut",
        "earned_at": "2026-03-02T12:00:00.000Z",
        "play_event_id": "play-1",
    }
    assert awards["first-play:go"] == {
        "badge": "first-play",
        "game": "go",
        "title": "First play",
        "earned_at": "2026-03-02T12:00:00.000Z",
        "play_event_id": "play-3",
    }
    assert awards["first-play:chess"]["play_event_id"] == "play-1"


@pytest.mark.parametrize("first", [date(2024, 2, 10), date(2026, 2, 14), date(2026, 12, 12)])
@pytest.mark.parametrize(
    ("row", "key"),
    [
        (3, "three-days-in-a-row:chess"),
        (10, "ten-days-in-a-row:chess"),
        (30, "thirty-days-in-a-row:chess"),
        (3, "three-days-of-play"),
        (10, "ten-days-of-play"),
        (30, "thirty-days-of-play"),
    ],
)
def test_days_in_a_row_are_earned_by_the_play_of_the_last_of_them(first: date, row: int, key: str) -> None:
    """FAULTS row 32: across a leap day, the end of February and the turn of the year."""
    plays = days_from(first, *range(row))

    assert key not in awards_of(plays[:-1])
    assert awards_of(plays)[key] == f"play-{row}"


def test_another_game_keeps_the_row_of_all_games_and_not_that_of_one() -> None:
    plays = [on(MONDAY + timedelta(days=number), "go" if number == 5 else "chess") for number in range(10)]

    awards = awards_of(plays)

    assert awards["ten-days-of-play"] == "play-10"
    assert "ten-days-in-a-row:chess" not in awards


def test_a_day_without_a_play_breaks_the_row() -> None:
    awards = awards_of(days_from(MONDAY, 0, 1, *range(3, 12)))

    assert awards["three-days-of-play"] == "play-5"
    assert not {"ten-days-of-play", "ten-days-in-a-row:chess"} & awards.keys()


def test_two_plays_a_day_count_as_one_day_at_either_end_of_it() -> None:
    """FAULTS row 32: two on a day, around midnight UTC."""
    plays = [
        play("2026-03-01T00:00:00.000Z"),
        play("2026-03-01T23:59:59.999Z"),
        play("2026-03-02T00:00:00.000Z"),
        play("2026-03-03T01:00:00+02:00"),
        play("2026-03-03T00:00:00.000Z"),
    ]

    assert awards_of(plays)["three-days-in-a-row:chess"] == "play-5"


def test_a_play_that_comes_weeks_late_closes_the_gap_and_earns_the_badge() -> None:
    """FAULTS row 32: out of order, two on a day, late by weeks."""
    row = days_from(date(2026, 3, 1), *range(10))
    on_time = [each for each in reversed(row) if each != row[3]]

    _, awards = history([*on_time, *on_time, play("2026-04-20T12:00:00.000Z"), row[3]])

    assert awards["ten-days-in-a-row:chess"]["play_event_id"] == "play-20"
    assert awards["ten-days-in-a-row:chess"]["earned_at"] == row[3].played_at


def test_two_rows_of_days_earn_the_badge_once_for_the_first() -> None:
    assert awards_of(days_from(MONDAY, *range(10), *range(20, 30)))["ten-days-in-a-row:chess"] == "play-10"


@pytest.mark.parametrize(("number", "key"), [(10, "ten-plays:chess"), (100, "hundred-plays:chess")])
def test_so_many_plays_of_one_game(number: int, key: str) -> None:
    plays = [on(MONDAY), on(MONDAY, "go")] + [on(MONDAY)] * (number - 1)

    assert key not in awards_of(plays[:-1])
    assert awards_of(plays)[key] == f"play-{number + 1}"


@pytest.mark.parametrize(
    ("scores", "earned_by"),
    [
        ([5], None),
        ([5, 5], None),
        ([5, 3, 4, 5], None),
        ([5, 6], "play-2"),
        ([5, 3, 6, 7], "play-3"),
        ([0, 1], "play-2"),
    ],
)
def test_a_personal_best_is_a_score_above_all_earlier_ones(scores: list[int], earned_by: str | None) -> None:
    plays = [on(MONDAY + timedelta(days=day), score=score) for day, score in enumerate(scores)]

    assert awards_of(plays).get("personal-best:chess") == earned_by


def test_a_personal_best_goes_by_event_time_and_by_game() -> None:
    """FAULTS row 32: out of order. Nine points were the first of them all, whenever they arrive."""
    late_first = [on(MONDAY + timedelta(days=1), score=5), on(MONDAY, score=9)]
    at_once = [on(MONDAY, score=5), on(MONDAY, score=9)]
    other_game = [on(MONDAY, score=5), on(MONDAY + timedelta(days=1), "go", score=9)]

    for plays in (late_first, at_once, other_game):
        assert not [key for key in awards_of(plays) if key.startswith("personal-best")]
    assert awards_of([*late_first, on(MONDAY + timedelta(days=2), score=10)])["personal-best:chess"] == "play-3"


def test_an_award_stands_whatever_arrives_later() -> None:
    beaten = [on(MONDAY, score=5), on(MONDAY + timedelta(days=1), score=6)]

    progress, awards = history([*beaten, on(MONDAY - timedelta(days=1), score=9)])

    assert awards["personal-best:chess"]["play_event_id"] == "play-2"
    assert "personal-best" in progress["earned"]["chess"].split()


def test_five_different_games() -> None:
    plays = [on(MONDAY, game) for game in ("a", "b", "a", "c", "d", "d", "e")]

    assert awards_of(plays)["all-rounder"] == "play-7"
    assert "all-rounder" not in awards_of(plays[:-1])


def test_four_weekends_each_with_both_days_in_any_order() -> None:
    """FAULTS row 32: out of order. Half weekends, and Sunday with Monday, do not count."""
    weekends = [SATURDAY + timedelta(weeks=week) for week in range(5)]
    whole = [each for saturday in weekends[:3] for each in days_from(saturday, 1, 0, 0)]
    halves = days_from(weekends[3], 0, 2) + days_from(weekends[4], 1, 2)

    assert "weekend-player" not in awards_of([*whole, *halves, *halves])
    assert awards_of([*whole, *halves, *days_from(weekends[3], 1)])["weekend-player"] == "play-14"


def test_ten_plays_before_five_in_the_morning() -> None:
    """FAULTS row 32: midnight UTC begins the night, five o'clock ends it."""
    nights = [play("2026-03-02T00:00:00.000Z")] * 5 + [play("2026-03-02T04:59:59.999Z")] * 4
    days = [play("2026-03-02T05:00:00.000Z"), play("2026-03-01T23:59:59.999Z")]

    assert "night-owl" not in awards_of([*nights, *days])
    assert awards_of([*nights, *days, nights[0]])["night-owl"] == "play-12"


@pytest.mark.parametrize(("days_without", "earned"), [(29, False), (30, True), (400, True)])
def test_a_comeback_is_a_play_after_thirty_days_without(days_without: int, earned: bool) -> None:
    plays = days_from(MONDAY, 0, 1, 1 + days_without + 1)

    assert ("comeback" in awards_of(plays)) == earned
    assert "comeback" not in awards_of(plays[:-1])


# Sums, and the order of arrival


plays_of_a_player = st.lists(
    st.builds(
        PlayCompleted,
        game=st.sampled_from(["chess", "go", "tetris"]),
        score=st.integers(0, 3),
        # From a leap February on, so close together that days, rows and equal moments are common.
        played_at=st.tuples(st.integers(0, 75), st.sampled_from([0, 4, 5, 12, 23])).map(
            lambda at: (datetime(2024, 2, 1, at[1], tzinfo=UTC) + timedelta(days=at[0])).isoformat()
        ),
    ),
    max_size=40,
)


def moment(of: PlayCompleted) -> datetime:
    return datetime.fromisoformat(of.played_at)


def days_of(plays: Iterable[PlayCompleted]) -> set[int]:
    return {moment(each).date().toordinal() for each in plays}


def longest_row(days: set[int]) -> int:
    return max((next(n for n in range(1, 100) if day + n not in days) for day in days), default=0)


def held(text: str) -> set[int]:
    return {day for first, last in Days(text).intervals for day in range(first, last + 1)}


def best_was_beaten(plays: Sequence[PlayCompleted]) -> bool:
    def earlier(each: PlayCompleted) -> list[int]:
        return [other.score for other in plays if moment(other) < moment(each)]

    return any(earlier(each) and max(earlier(each)) < each.score for each in plays)


@given(plays_of_a_player.flatmap(lambda plays: st.tuples(st.just(plays), st.permutations(plays))))
def test_the_tally_is_what_all_plays_at_once_add_up_to_in_whichever_order_they_came(
    plays: tuple[list[PlayCompleted], list[PlayCompleted]],
) -> None:
    """FAULTS row 32: out of order, two on a day, late by weeks."""
    known, arriving = plays

    tally = tally_of(arriving)

    assert tally == tally_of(known)
    assert held(tally["days"]) == days_of(known)
    assert tally["longest_streak"] == longest_row(days_of(known))
    assert tally["weekends"] == sum(day % 7 == 6 and day + 1 in days_of(known) for day in days_of(known))
    assert tally["night_plays"] == sum(moment(each).hour < 5 for each in known)
    assert tally["games"].keys() == {each.game for each in known}
    for game, of_game in tally["games"].items():
        mine = [each for each in known if each.game == game]
        assert of_game["plays"] == len(mine)
        assert held(of_game["days"]) == days_of(mine)
        assert of_game["longest_streak"] == longest_row(days_of(mine))
        assert of_game["best"] == max(each.score for each in mine)
        assert (of_game["best"] > of_game["first_score"]) == best_was_beaten(mine)


#: Badges that a later arrival can neither give nor take away once the same plays are there.
WHATEVER_THE_ORDER = {badge.id for badge in BADGES} - {"personal-best", "comeback"}


@given(plays_of_a_player.flatmap(lambda plays: st.tuples(st.just(plays), st.permutations(plays))))
def test_the_order_of_arrival_decides_which_play_earns_a_badge_but_not_whether(
    plays: tuple[list[PlayCompleted], list[PlayCompleted]],
) -> None:
    known, arriving = (awards_of(each).keys() for each in plays)

    assert {key for key in known if key.partition(":")[0] in WHATEVER_THE_ORDER} == {
        key for key in arriving if key.partition(":")[0] in WHATEVER_THE_ORDER
    }


@given(plays_of_a_player)
def test_each_award_is_for_the_first_play_after_which_a_recomputation_says_so(plays: list[PlayCompleted]) -> None:
    """Incremental decisions are those of a version that looks at all plays each time."""
    due: dict[str, str] = {}
    for number, latest in enumerate(plays, start=1):
        tally = tally_of(plays[:number])
        facts = Facts(tally, tally["games"][latest.game], utc_day(latest.played_at))
        for badge in BADGES:
            if badge.rule(facts).earned:
                due.setdefault(badge.key(latest.game), f"play-{number}")

    assert awards_of(plays) == due


def test_recording_a_play_leaves_the_progress_before_it_as_it_was() -> None:
    before, _ = history(days_from(MONDAY, 0, 1))
    kept = repr(before)

    record_play(before, on(MONDAY + timedelta(days=2)), "play-3")

    assert repr(before) == kept


def test_progress_stays_small_and_flat() -> None:
    """Ten thousand plays of four games within three years, a day in seven without: numbers grow, not their number."""
    progress = no_progress()
    for number in range(10_000):
        day = MONDAY + timedelta(days=number // 9)
        if day.isoweekday() != 4:
            progress, _ = record_play(progress, on(day, f"game-{number % 4}", number), f"play-{number}")

    assert len(repr(progress)) < 3500
    assert len(progress["games"]) == 4


# A badge is one function


def three_games_on_one_tally(facts: Facts) -> Standing:
    return Standing(len(facts.player["games"]), 3)


def test_a_badge_is_one_rule_and_one_line() -> None:
    """The README's recipe: the rule, and the badge in the registry; who has come that far earns it at the next play."""
    trio = Badge(id="trio", title="Trio", description="Three games.", rule=three_games_on_one_tally, per_game=False)
    progress, _ = history([on(MONDAY, "a"), on(MONDAY, "b")])
    badges = [*BADGES, trio]

    assert [goal["have"] for goal in goals(progress, {"first-play-ever"}, MONDAY.toordinal(), badges)][:1] == [2]
    progress, awards = record_play(progress, on(MONDAY, "c"), "play-3", badges)

    assert awards["trio"]["game"] is None
    assert awards["trio"]["play_event_id"] == "play-3"
    assert record_play(progress, on(MONDAY, "d"), "play-4", badges)[1].keys() == {"first-play:d"}


def test_a_badge_added_later_reaches_who_has_earned_it_at_the_next_play() -> None:
    progress, _ = history(days_from(MONDAY, *range(5)), [badge for badge in BADGES if "three" not in badge.id])

    _, awards = record_play(progress, on(MONDAY + timedelta(days=9)), "play-6")

    assert {"three-days-in-a-row:chess", "three-days-of-play"} <= awards.keys()


def test_ids_are_unique_fit_into_an_aggregate_id_and_ladders_lead_somewhere() -> None:
    ids = [badge.id for badge in BADGES]

    assert len(set(ids)) == len(ids)
    assert all(id_.replace("-", "").isalnum() for id_ in ids)
    for badge in BADGES:
        if badge.follows:
            below = BADGES[ids.index(badge.follows)]
            assert below.per_game == badge.per_game
            assert ids.index(below.id) < ids.index(badge.id)


# What a player is told


def test_streaks_are_those_up_to_today_and_the_longest_there_were() -> None:
    plays = [*days_from(MONDAY, 0, 1, 2, 5, 6), on(MONDAY + timedelta(days=6), "go")]
    tally, sunday = tally_of(plays), MONDAY.toordinal() + 6

    both = Streak(current=2, longest=3)
    assert streaks(tally, sunday) == Streaks(overall=both, games={"chess": both, "go": Streak(current=1, longest=1)})
    assert streaks(tally, sunday + 1)["overall"] == both
    assert streaks(tally, sunday + 2)["overall"] == Streak(current=0, longest=3)
    assert streaks(no_tally(), sunday) == Streaks(overall=Streak(current=0, longest=0), games={})


def test_goals_say_how_far_a_player_has_come_nearest_first_and_the_next_rung_alone() -> None:
    progress, awards = history(days_from(MONDAY, *range(7)))

    told = goals(progress, awards, MONDAY.toordinal() + 6)

    assert [(goal["badge"], goal["game"], goal["have"], goal["need"]) for goal in told] == [
        ("ten-days-in-a-row", "chess", 7, 10),
        ("ten-days-of-play", None, 7, 10),
        ("ten-plays", "chess", 7, 10),
        ("weekend-player", None, 1, 4),
        ("all-rounder", None, 1, 5),
        ("personal-best", "chess", 0, 1),
        ("night-owl", None, 0, 10),
        ("comeback", None, 0, 1),
    ]
    assert told[0]["description"] == "Played the same game on ten days in a row (UTC)."


def test_a_row_that_broke_counts_no_more() -> None:
    progress, awards = history(days_from(MONDAY, *range(7)))

    told = {goal["badge"]: goal["have"] for goal in goals(progress, awards, MONDAY.toordinal() + 8)}

    assert (told["ten-days-in-a-row"], told["ten-days-of-play"], told["ten-plays"]) == (0, 0, 7)


def test_a_badge_whose_award_is_on_its_way_is_no_goal() -> None:
    tally = tally_of([on(MONDAY)])

    assert not {"first-play", "first-play-ever"} & {goal["badge"] for goal in goals(tally, [], MONDAY.toordinal())}


def test_who_has_played_nothing_is_told_of_badges_that_need_no_game() -> None:
    assert {goal["badge"] for goal in goals(no_tally(), [], MONDAY.toordinal())} == {
        badge.id for badge in BADGES if not badge.per_game and badge.follows is None
    }


def test_a_badge_that_is_no_longer_awarded_has_no_description() -> None:
    assert description("first-play") == "Played a game for the first time."
    assert description("retired") is None


def tally_of(plays: Iterable[PlayCompleted]) -> Tally:
    tally = no_tally()
    for each in plays:
        tally = count(tally, each)
    return tally
