"""The accounting says where stations differ, and says nothing where they do not."""

from collections import Counter

from devstack.demo.accounting import Station, differences

PLAYS_ALONE = frozenset({"player"})


def test_equal_stations_differ_in_nothing() -> None:
    events = Counter(player=3, activity=2)
    applied = Station("leaderboard", Counter(player=3), reads=PLAYS_ALONE)
    stations = [Station("appended", events), Station("archived", events), applied]

    assert differences(stations) == []


def test_a_lost_event_is_named_with_its_station() -> None:
    stations = [
        Station("appended", Counter(user=3)),
        Station("archived", Counter(user=2)),
        Station("player_profiles", Counter(user=3)),
    ]

    assert differences(stations) == ["archived holds 2 events of user, appended 3"]


def test_an_event_from_nowhere_is_a_difference_too() -> None:
    stations = [Station("appended", Counter()), Station("achievements", Counter(badge=1))]

    assert differences(stations) == ["achievements holds 1 events of badge, appended 0"]


def test_each_station_owes_the_types_that_are_meant_for_it() -> None:
    stations = [
        Station("appended", Counter(activity=1, player=2)),
        Station("archived", Counter(player=2)),
        Station("player_profiles", Counter(player=2), reads=PLAYS_ALONE),
        Station("leaderboard", Counter(player=1), reads=PLAYS_ALONE),
    ]

    assert differences(stations) == [
        "archived holds 0 events of activity, appended 1",
        "leaderboard holds 1 events of player, appended 2",
    ]
