"""The demo's course: start the stack, let the users live, wait for quiet, show and count."""

import itertools
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli import chart, saved_sql
from cli.archive_objects import BucketObjects
from cli.local_sql import LocalSql
from devstack.demo import accounting, poison, report, traffic
from devstack.demo.accounting import Station, TopicProbe
from devstack.demo.lag import LagRecorder
from devstack.stack import LocalStack
from headwater.clock import timestamp, utc_now

#: Of the saved queries, those whose answers are shown, and the one that is drawn; beneath the project's folder.
_SHOWN = ("badge-funnel", "streak-lengths", "user-as-of")
_DRAWN = "plays-by-game-and-day"
_CHART = Path(".devstack") / f"{_DRAWN}.png"
_QUIET_SECONDS = 600


def run(root: Path, users: int, plays: int, poisons: int = 0) -> int:
    """Runs the demo over a fresh local stack, with so many events that no consumer can read until it is repaired.

    Returns
    -------
    int
        0 if every station holds the same events and nothing waits, 1 if not; what differs is printed.
    """
    console = Console()
    started = time.monotonic()
    lags = LagRecorder()
    with console.status("Starting the local stack"):
        stack = LocalStack(root, on_success=lags.record).start()
    try:
        ready = time.monotonic()
        console.print(f"The local stack is up after {ready - started:.1f} s: {stack.url}")
        probe = TopicProbe(stack.client("sns"), stack.client("sqs"), stack.outputs["EventsTopicArn"])
        people = traffic.cast(users, plays)
        _live(console, stack, people)
        if poisons:
            poison.strew(stack, people, poisons)
        with console.status("Waiting until every consumer is quiet"):
            stack.wait_until_quiet(_QUIET_SECONDS)
        quiet = time.monotonic()
        _show(console, stack, root, people)
        redriven = poison.resolve(console, stack, _QUIET_SECONDS) if poisons else True
        stations = _stations(stack, probe)
        report.show_lags(console, lags.lags())
        report.show_accounting(console, stations)
        mails, mail_differences = accounting.mails(people, stack.sent_mails())
        report.show_mails(console, mails)
        differences = [
            *accounting.differences(stations),
            *accounting.unlike_the_log(
                stack.client("dynamodb"),
                stack.outputs["EventsTableName"],
                stack.client("s3"),
                stack.outputs["ArchiveBucketName"],
            ),
            *mail_differences,
        ]
        for difference in differences:
            console.print(f"[bold red]differs:[/] {difference}")
        if not differences:
            console.print("[bold green]Every event is at every station, and every e-mail was sent, once.[/]")
        console.print(
            f"{users} users, {plays} plays: ready after {ready - started:.1f} s, quiet after {quiet - started:.1f} s, "
            f"done after {time.monotonic() - started:.1f} s. `make run` keeps the stack up to try it yourself."
        )
        return 1 if differences or not redriven else 0
    finally:
        stack.stop()


def _live(console: Console, stack: LocalStack, people: list[traffic.User]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{traffic.DAYS} simulated days over HTTP", total=traffic.requests_in(people))
        traffic.play_out(traffic.Api(stack.url), people, lambda: progress.advance(task), threading.Event())


def _show(console: Console, stack: LocalStack, root: Path, people: list[traffic.User]) -> None:
    person = people[0]
    report.show_profile(
        console, traffic.Api(stack.url).send(traffic.Request("GET", "/users/{user_id}"), person.user_id)
    )
    report.show_leaderboard(
        console, traffic.Api(stack.url).send(traffic.Request("GET", f"/games/{traffic.GAMES[0]}/leaderboard?limit=5"))
    )
    report.show_mail(console, stack.sent_mails()[0])
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    for line in itertools.islice(accounting.archive_lines(s3, bucket), 1):
        report.show_archive_line(console, line)
    queries = saved_sql.queries()
    values = {"user-as-of": {"user": person.user_id, "at": timestamp(utc_now())}}
    with LocalSql(BucketObjects(s3, bucket)) as sql:
        for name in _SHOWN:
            report.show_answer(console, queries[name].title, sql.query(queries[name].sql(values.get(name, {}))))
        drawn = queries[_DRAWN]
        if drawn.chart is not None:
            chart.draw(sql.query(drawn.sql()), drawn.chart, drawn.title, root / _CHART)
            console.print(f"Query: {drawn.title}, as a chart: {_CHART}")


def _stations(stack: LocalStack, probe: TopicProbe) -> list[Station]:
    outputs, dynamodb = stack.outputs, stack.client("dynamodb")
    return [
        accounting.appended(dynamodb, outputs["EventsTableName"]),
        accounting.archived(stack.client("s3"), outputs["ArchiveBucketName"]),
        accounting.on_kinesis(stack.client("kinesis"), outputs["EventsStreamName"]),
        probe.station(),
        accounting.exported(stack.client("s3"), outputs["ArchiveBucketName"]),
        *accounting.applied(dynamodb, outputs["ReadModelsTableName"]),
    ]
