"""The accounting says where stations differ, and says nothing where they do not."""

from collections import Counter

from devstack.demo.accounting import Station, differences, mails
from devstack.demo.traffic import Request, User
from headwater.notifications import change_notice, welcome_email
from operations.mailbox import Mail

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


def _mail(subject: str, to: str) -> Mail:
    return Mail(message_id="m", sender="x", to=(to,), subject=subject, text="", html="")


def test_e_mails_are_those_that_the_stories_lead_to() -> None:
    mover, leaver = User(1, "Ada", "ada@example.org"), User(2, "Eve", "eve@example.org")
    rename = Request("PUT", "/users/{user_id}/profile", {"name": "A"})
    mover.story = [rename, Request("PUT", "/users/{user_id}/email", {"email": "ada@example.com"})]
    leaver.story = [rename, Request("DELETE", "/users/{user_id}")]
    sent = [
        _mail(welcome_email.SUBJECT, "ada@example.org"),
        _mail(welcome_email.SUBJECT, "eve@example.org"),
        _mail(change_notice.ADDRESS_CHANGED, "ada@example.org"),
        _mail(change_notice.ADDRESS_CHANGED, "ada@example.com"),
        _mail(change_notice.PROFILE_CHANGED, "ada@example.com"),
    ]
    farewell = _mail(change_notice.PROFILE_CHANGED, "eve@example.org")

    rows, differences = mails([mover, leaver], sent)

    assert differences == []
    assert [(row.due, row.sent) for row in rows] == [(2, 2), (1, 1), (2, 2)]
    assert mails([mover, leaver], [*sent, farewell])[1] == []
    assert mails([mover, leaver], sent[1:])[1] == ["0 e-mail(s) instead of 1: Welcome to Headwater, to ada@example.org"]
    assert mails([mover, leaver], [*sent, farewell, farewell])[1] == [
        "3 e-mail(s) instead of 1: Your profile was changed"
    ]
