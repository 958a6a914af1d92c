"""What the demo shows: its verdict, then one screen of what is worth seeing; all the rest on demand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.json import JSON
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from devstack.demo.accounting import Mails, Station
from devstack.demo.applications import Tally
from devstack.demo.lag import Lag
from devstack.demo.traffic import DAYS, User
from operations.archive.local_sql import Answer
from operations.mailbox import Mail
from operations.output import counted

#: Rows of a query's answer that fit on a screen beside everything else.
_ROWS_SHOWN = 8
_GOALS_SHOWN = 5
_DIFFERENCES_SHOWN = 10


@dataclass(kw_only=True)
class Outcome:
    """What came of a demo. ``tried_again`` are invocations that failed and came again, as they do on AWS."""

    people: Sequence[User]
    stations: Sequence[Station]
    mails: Sequence[Mails]
    differences: Sequence[str]
    profile: Mapping[str, Any]
    leaderboard: Mapping[str, Any]
    tally: Tally
    tracking_page: Mapping[str, Any]
    mail: Mail | None
    chart: Path
    lags: Sequence[Lag] = ()
    tried_again: int = 0
    seconds: float = 0.0


def show(console: Console, outcome: Outcome) -> None:
    """The verdict, and one screen: at most 60 lines of 80 columns."""
    for difference in outcome.differences[:_DIFFERENCES_SHOWN]:
        console.print(Text(f"differs: {difference}", style="bold red"))
    if (more := len(outcome.differences) - _DIFFERENCES_SHOWN) > 0:
        console.print(Text(f"and {more} more", style="bold red"))
    if not outcome.differences:
        console.print("Every event is at every station, and every e-mail was sent, once.", style="bold green")
    stories = sum(request.path.endswith("/plays") for person in outcome.people for request in person.story)
    console.print(
        f"{counted(len(outcome.people), 'user')}, {counted(stories, 'play')} in {DAYS} simulated days: "
        f"done after {outcome.seconds:.1f} s."
    )
    if outcome.tried_again:
        batches = counted(outcome.tried_again, "batch was", "batches were")
        they = "it" if outcome.tried_again == 1 else "they"
        console.print(f"{batches} tried again, as {they} would be on AWS.")
    console.print()
    show_accounting(console, outcome.stations)
    console.print()
    _highlights(console, outcome)


def _highlights(console: Console, outcome: Outcome) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in _rows(outcome):
        # Names are what somebody chose, and no markup.
        table.add_row(Text(name), Text(value))
    console.print(table)


def _rows(outcome: Outcome) -> Iterator[tuple[str, str]]:
    profile = outcome.profile
    longest, badges = profile["streaks"]["overall"]["longest"], profile["badges"]
    days = f"{counted(longest, 'day')} in a row"
    yield "a profile", f"{profile['name']}: {days}, {counted(len(badges), 'badge')}"
    if badges:
        game = f" ({badges[-1]['game']})" if badges[-1]["game"] else ""
        yield "a badge", f"{badges[-1]['title']}{game}: {badges[-1]['description']}"
    if profile["progress"]:
        goal = profile["progress"][0]
        yield "the next one", f"{goal['title']}: {goal['have']} of {goal['need']}"
    best = [f"{each['rank']}. {each['name']} {each['score']}" for each in outcome.leaderboard["entries"][:3]]
    yield f"best at {outcome.leaderboard['game']}", ", ".join(best) or "nobody yet"
    if outcome.mail is not None:
        yield "an e-mail", f"“{outcome.mail.subject}” to {outcome.mail.to[0]}"
    yield "e-mails", ", ".join(f"{each.sent} “{each.subject}”" for each in outcome.mails)
    tally = outcome.tally
    endings = ", ".join(f"{count} {status}" for status, count in tally.endings.items())
    yield "applications", f"{endings}; on the tracking page {tally.p99:.2f} s after a status (p99)"
    if outcome.lags:
        slowest = max(outcome.lags, key=lambda each: each.p99)
        yield "slowest", f"{slowest.consumer}: {slowest.p99:.2f} s from append to effect (p99)"
    yield "a chart", str(outcome.chart)
    yield "all of it", "make demo ARGS=--verbose"
    yield "try it", "make run: its first line is the console's address"


def show_all(console: Console, outcome: Outcome) -> None:
    """What else there is to see of it."""
    console.print()
    show_profile(console, outcome.profile)
    show_leaderboard(console, outcome.leaderboard)
    if outcome.mail is not None:
        show_mail(console, outcome.mail)
    show_mails(console, outcome.mails)
    show_tracking_page(console, outcome.tracking_page)
    show_applications(console, outcome.tally)
    show_lags(console, outcome.lags)


def show_profile(console: Console, profile: Mapping[str, Any]) -> None:
    """The profile as the API tells it, with its longer parts as tables."""
    parts = {"streaks", "badges", "progress"}
    told = JSON.from_data({name: value for name, value in profile.items() if name not in parts})
    console.print(Panel(told, title="A profile, from the read models", title_align="left"))
    console.print(_streaks(profile["streaks"]))
    console.print(_badges(profile["badges"]))
    console.print(_goals(profile["progress"][:_GOALS_SHOWN]))


def _streaks(streaks: Mapping[str, Any]) -> Table:
    table = Table(title="Its streaks, in days", title_justify="left")
    table.add_column("game")
    table.add_column("current", justify="right")
    table.add_column("longest", justify="right")
    for game, streak in {"any": streaks["overall"], **streaks["games"]}.items():
        table.add_row(game, str(streak["current"]), str(streak["longest"]))
    return table


def _badges(badges: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Its badges, when and why", title_justify="left")
    for column in ("badge", "game", "earned on", "for"):
        table.add_column(column)
    for badge in badges:
        table.add_row(badge["title"], badge["game"] or "", badge["earned_at"][:10], badge["description"] or "")
    return table


def _goals(goals: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="The nearest badges that it has not earned", title_justify="left")
    table.add_column("badge")
    table.add_column("game")
    table.add_column("so far", justify="right")
    for goal in goals:
        table.add_row(goal["title"], goal["game"] or "", f"{goal['have']} of {goal['need']}")
    return table


def show_leaderboard(console: Console, leaderboard: Mapping[str, Any]) -> None:
    table = Table(title=f"The leaderboard of {leaderboard['game']}", title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("player")
    table.add_column("score", justify="right")
    table.add_column("achieved at")
    for entry in leaderboard["entries"]:
        table.add_row(str(entry["rank"]), entry["name"], str(entry["score"]), entry["achieved_at"])
    console.print(table)


def show_mail(console: Console, mail: Mail) -> None:
    text = Group(Text(f"To: {', '.join(mail.to)}"), Text(f"Subject: {mail.subject}"), "", Text(mail.text.strip()))
    console.print(Panel(text, title="An e-mail", title_align="left"))


def show_tracking_page(console: Console, page: Mapping[str, Any]) -> None:
    """One application as the account domain shows it to its applicant."""
    progress = page["progress"]
    lines = [
        Text(f"{page['title']} ({page['kind']}): {page['status']}, step {progress['step']} of {progress['of']}"),
        *(Text(f"{step['occurred_at']}  {step['status']:<10} {step['note'] or ''}") for step in page["history"]),
    ]
    console.print(Panel(Group(*lines), title="A tracking page, from the account domain", title_align="left"))


def show_applications(console: Console, tally: Tally) -> None:
    """How applications ended, how fast pages followed, and what the Pipe's filter saved."""
    table = Table(title="Applications", title_justify="left")
    for column in ("ending", "applications"):
        table.add_column(column)
    for status, count in tally.endings.items():
        table.add_row(status, str(count))
    console.print(table)
    console.print(
        f"From status change to tracking page, seconds: p50 {tally.p50:.2f}, p99 {tally.p99:.2f}, "
        f"longest {tally.longest:.2f} of {tally.changes}."
    )
    console.print(
        f"Of {tally.records} records of the applications' stream the Pipe's filter dropped {tally.filtered}, with no "
        f"invocation; {tally.enriched} actions went through in {tally.batches} batches."
    )


def show_mails(console: Console, mails: Sequence[Mails]) -> None:
    table = Table(title="E-mails", title_justify="left")
    table.add_column("subject")
    for column in ("due", "sent"):
        table.add_column(column, justify="right")
    for each in mails:
        table.add_row(each.subject, str(each.due), str(each.sent))
    console.print(table)


def show_archive_line(console: Console, line: Mapping[str, Any]) -> None:
    filled = {name: value for name, value in line.items() if value is not None}
    console.print(Panel(JSON.from_data(filled), title="A line of the archive", title_align="left"))


def show_answer(console: Console, title: str, answer: Answer) -> None:
    table = Table(title=f"Query: {title}", title_justify="left")
    shown = [["" if value is None else str(value) for value in row] for row in answer.rows[:_ROWS_SHOWN]]
    if len(shown) == 1:
        # One row of many columns is read downwards.
        table.show_header = False
        shown = [list(each) for each in zip(answer.columns, shown[0], strict=True)]
        table.add_column()
        table.add_column(overflow="fold")
    else:
        for column in answer.columns:
            table.add_column(column, overflow="fold")
    for row in shown:
        table.add_row(*row)
    if len(answer.rows) > _ROWS_SHOWN:
        table.caption = f"{_ROWS_SHOWN} of {len(answer.rows)} rows"
    console.print(table)


def show_lags(console: Console, lags: Sequence[Lag]) -> None:
    table = Table(title="From append to effect, seconds", title_justify="left")
    table.add_column("consumer")
    for column in ("events", "p50", "p99", "longest"):
        table.add_column(column, justify="right")
    for lag in lags:
        table.add_row(lag.consumer, str(lag.events), f"{lag.p50:.2f}", f"{lag.p99:.2f}", f"{lag.longest:.2f}")
    console.print(table)


def show_accounting(console: Console, stations: Sequence[Station]) -> None:
    """One row a station; a dash where a type of aggregate is not meant for it."""
    table = Table(title="Events, counted where they lie", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    kinds = sorted(set().union(*(station.events for station in stations)))
    table.add_column("station")
    for column in (*kinds, "all"):
        table.add_column(column, justify="right")
    for station in stations:
        cells = ("-" if _skips(station, kind) else str(station.events[kind]) for kind in kinds)
        copies = f" (+{station.copies} copies)" if station.copies else ""
        table.add_row(station.name, *cells, f"{station.events.total()}{copies}")
    console.print(table)


def _skips(station: Station, kind: str) -> bool:
    return station.reads is not None and kind not in station.reads
