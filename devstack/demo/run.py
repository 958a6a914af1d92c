"""The demo's course: start the stack, let the users live, wait for quiet, show and count."""

import itertools
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli import chart, saved_sql
from cli.archive_objects import BucketObjects
from cli.local_sql import LocalSql
from devstack.demo import accounting, applications, poison, report, traffic
from devstack.demo.accounting import Station, TopicProbe
from devstack.demo.lag import LagRecorder
from devstack.stack import LocalStack
from headwater.clock import timestamp, utc_now

#: Of the saved queries, those whose answers are shown, and the one that is drawn; beneath the project's folder.
_SHOWN = ("badge-funnel", "streak-lengths", "user-as-of")
_DRAWN = "plays-by-game-and-day"
_OF_APPLICATIONS = "applications-by-status"
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
    piped = applications.PipedRecords()

    def succeeded(function: str, event: Any) -> None:
        lags.record(function, event)
        piped.record(function, event)

    with console.status("Starting the local stack"):
        stack = LocalStack(root, on_success=succeeded).start()
    try:
        ready = time.monotonic()
        console.print(f"The local stack is up after {ready - started:.1f} s: {stack.url}")
        probe = TopicProbe(stack.client("sns"), stack.client("sqs"), stack.outputs["EventsTopicArn"])
        people = traffic.cast(users, plays)
        _live(console, stack, people)
        with console.status("Carrying applications to their endings"):
            carried = applications.carry(traffic.Api(stack.url), traffic.Api(stack.receiver_url))
        if poisons:
            poison.strew(stack, people, poisons)
        with console.status("Waiting until every consumer is quiet"):
            stack.wait_until_quiet(_QUIET_SECONDS)
        quiet = time.monotonic()
        _show(console, stack, root, people)
        application_differences = _show_applications(console, stack, carried, piped)
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
            *application_differences,
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
            report.show_answer(console, queries[name].title, sql.query(queries[name].asked(values.get(name, {}))))
        drawn = queries[_DRAWN]
        if drawn.chart is not None:
            chart.draw(sql.query(drawn.sql()), drawn.chart, drawn.title, root / _CHART)
            console.print(f"Query: {drawn.title}, as a chart: {_CHART}")


def _show_applications(
    console: Console, stack: LocalStack, carried: list[applications.Carried], piped: applications.PipedRecords
) -> list[str]:
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    changes = list(accounting.archive_lines(s3, bucket, "applications"))
    report.show_tracking_page(console, traffic.Api(stack.receiver_url).send(carried[0].page_request(), ""))
    report.show_applications(console, applications.tally(carried, changes, piped))
    with LocalSql(BucketObjects(s3, bucket)) as sql:
        query = saved_sql.queries()[_OF_APPLICATIONS]
        report.show_answer(console, query.title, sql.query(query.sql()))
    return applications.differences(carried, changes, piped)


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
