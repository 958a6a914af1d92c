"""The demo's screen: the verdict first, and never more than a screen."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from devstack.demo import report
from devstack.demo.accounting import Mails, Station
from devstack.demo.applications import Tally
from devstack.demo.lag import Lag
from devstack.demo.report import Outcome
from devstack.demo.traffic import cast
from operations.mailbox import Mail

VERDICT = "Every event is at every station, and every e-mail was sent, once."
LONG_NAME = "Wolfeschlegelsteinhausenbergerdorff the Bold, of the upper lake"
EVENTS = Counter(activity=10_000, badge=78_900, player=200_000, user=6_200)
STATIONS = ("appended", "archived", "on Kinesis", "on SNS", "exported", "player_profiles", "badges", "achievements")


def badge(title: str) -> dict[str, Any]:
    return {
        "badge": title,
        "title": title,
        "game": "backgammon",
        "earned_at": "2026-03-01T12:00:00.000Z",
        "description": "Played the same game on thirty days in a row (UTC).",
    }


def outcome(**changes: Any) -> Outcome:
    """A demo that went well, with names as long as people have them."""
    usual = Outcome(
        people=cast(50, 2000),
        stations=[*(Station(name, EVENTS, copies=12) for name in STATIONS), Station("leaderboard", Counter(user=62))],
        mails=[
            Mails("Welcome to Headwater", 50, 50),
            Mails("Your profile was changed", 7, 7),
            Mails("Your e-mail address was changed", 8, 8),
        ],
        differences=[],
        profile={
            "name": LONG_NAME,
            "streaks": {"overall": {"current": 30, "longest": 30}, "games": {}},
            "badges": [badge(f"Thirty days in a row {number}") for number in range(18)],
            "progress": [{"title": "A hundred plays", "game": "chess", "have": 33, "need": 100}] * 20,
        },
        leaderboard={
            "game": "backgammon",
            "entries": [{"rank": rank, "name": f"{LONG_NAME} {rank}", "score": 9_000} for rank in range(1, 6)],
        },
        tally=Tally({"Approved": 10, "Rejected": 5, "Withdrawn": 5}, 60, 0.1, 0.2, 0.3, 120, 60, 60, 14),
        tracking_page={},
        mail=Mail(
            message_id="m",
            sender="x",
            to=("ada.lovelace.of.the.analytical.engine@mail.example.org",),
            subject="Welcome to Headwater",
            text="",
            html="",
        ),
        chart=Path(".devstack/plays-by-game-and-day.png"),
        lags=[Lag("BadgesFunction", 2861, 1.1, 1.64, 1.72), Lag("ApplicationEnrichmentFunction", 9, 0.1, 0.2, 0.3)],
        seconds=38.7,
    )
    return replace(usual, **changes)


def screen(result: Outcome) -> list[str]:
    text = io.StringIO()
    report.show(Console(file=text, width=80, highlight=False), result)
    return text.getvalue().splitlines()


def mails_missing(count: int) -> Sequence[str]:
    return [
        f"0 e-mail(s) instead of 1: Your e-mail address was changed, to moved{number:04d}@example.org"
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "result",
    [
        outcome(),
        outcome(differences=mails_missing(30), tried_again=7),
        outcome(differences=mails_missing(30), lags=[], mail=None, mails=[]),
    ],
    ids=["well", "differs", "nothing"],
)
def test_all_fits_on_a_screen(result: Outcome) -> None:
    lines = screen(result)

    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    assert "make demo ARGS=--verbose" in "\n".join(lines[-3:])


def test_the_verdict_comes_first() -> None:
    assert screen(outcome())[0] == VERDICT


def test_what_differs_comes_first_and_all_did_not_go_well_then() -> None:
    lines = screen(outcome(differences=["archived holds 1 events of user, appended 2"]))

    assert lines[0] == "differs: archived holds 1 events of user, appended 2"
    assert VERDICT not in lines
    assert not any("more" in line for line in lines[:3])


@pytest.mark.parametrize(("count", "counted"), [(10, None), (11, "and 1 more"), (30, "and 20 more")])
def test_differences_beyond_ten_are_counted(count: int, counted: str | None) -> None:
    lines = screen(outcome(differences=[f"difference {number:02d}" for number in range(count)]))

    assert lines[:10] == [f"differs: difference {number:02d}" for number in range(10)]
    assert lines[10].startswith("50 users") if counted is None else lines[10] == counted


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (0, None),
        (1, "1 batch was tried again, as it would be on AWS."),
        (3, "3 batches were tried again, as they would be on AWS."),
    ],
)
def test_what_was_tried_again_is_counted(times: int, told: str | None) -> None:
    assert [line for line in screen(outcome(tried_again=times)) if "tried again" in line] == ([told] if told else [])


def test_a_consumer_is_the_slowest_by_its_p99() -> None:
    (line,) = [line for line in screen(outcome()) if line.startswith("slowest")]

    assert "BadgesFunction: 1.64 s" in line


def test_who_has_nothing_yet_is_shown_with_nothing() -> None:
    profile = {"name": "Ada", "streaks": {"overall": {"longest": 1}}, "badges": [], "progress": []}

    text = "\n".join(screen(outcome(profile=profile, leaderboard={"game": "chess", "entries": []}, lags=[], mail=None)))

    assert "Ada: 1 day in a row, 0 badges" in text
    assert "nobody yet" in text
    for row in ("a badge", "the next one", "an e-mail ", "slowest"):
        assert row not in text


def test_a_name_is_no_markup() -> None:
    profile = {**outcome().profile, "name": "[bold]Ada[/red]"}

    assert "[bold]Ada[/red]: 30 days" in "\n".join(screen(outcome(profile=profile)))
