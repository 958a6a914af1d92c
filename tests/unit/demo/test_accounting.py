"""The accounting says where stations differ, and says nothing where they do not."""

from collections import Counter

from devstack.demo.accounting import Station, differences

UNREAD = frozenset({"activity"})


def test_equal_stations_differ_in_nothing() -> None:
    events = Counter(user=3, activity=2)
    stations = [Station("appended", events), Station("archived", events), Station("applied", Counter(user=3))]

    assert differences(stations, UNREAD) == []


def test_a_lost_event_is_named_with_its_station() -> None:
    stations = [
        Station("appended", Counter(user=3)),
        Station("archived", Counter(user=2)),
        Station("applied", Counter(user=3)),
    ]

    assert differences(stations, UNREAD) == ["archived holds 2 events of user, appended 3"]


def test_an_event_from_nowhere_is_a_difference_too() -> None:
    stations = [Station("appended", Counter()), Station("applied", Counter(badge=1))]

    assert differences(stations, UNREAD) == ["applied holds 1 events of badge, appended 0"]


def test_only_the_read_models_may_leave_a_type_out() -> None:
    stations = [Station("appended", Counter(activity=1)), Station("archived", Counter()), Station("applied", Counter())]

    assert differences(stations, UNREAD) == ["archived holds 0 events of activity, appended 1"]
