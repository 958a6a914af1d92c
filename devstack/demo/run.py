"""The demo's course: start the stack, let the users live, wait for quiet, show and count."""

import itertools
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.local_sql import LocalSql
from devstack.demo import accounting, poison, report, traffic
from devstack.demo.accounting import Station, TopicProbe
from devstack.demo.lag import LagRecorder
from devstack.stack import LocalStack
from devstack.template import Template

#: What the analyst puts in place of the placeholder in the query for the history of one aggregate.
_PLACEHOLDER = "user#EDIT-ME"
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
    template = Template.load(root / "template.yaml")
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
        _show(console, stack, template, people)
        redriven = poison.resolve(console, stack, _QUIET_SECONDS) if poisons else True
        stations = _stations(stack, probe)
        report.show_lags(console, lags.lags())
        report.show_accounting(console, stations)
        differences = accounting.differences(stations) + _mail_differences(stack, users)
        for difference in differences:
            console.print(f"[bold red]differs:[/] {difference}")
        if not differences:
            console.print("[bold green]Every event is at every station, once.[/]")
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


def _show(console: Console, stack: LocalStack, template: Template, people: list[traffic.User]) -> None:
    person = people[0]
    report.show_profile(
        console, traffic.Api(stack.url).send(traffic.Request("GET", "/users/{user_id}"), person.user_id)
    )
    report.show_leaderboard(
        console, traffic.Api(stack.url).send(traffic.Request("GET", f"/games/{traffic.GAMES[0]}/leaderboard?limit=5"))
    )
    mails = stack.sent_mails()
    if mails:
        report.show_mail(console, mails[0], len(mails))
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    for line in itertools.islice(accounting.archive_lines(s3, bucket), 1):
        report.show_archive_line(console, line)
    with LocalSql(s3, bucket, template.glue_columns("EventsRawTable")) as sql:
        for query in template.named_queries():
            statement = query.sql.replace(_PLACEHOLDER, f"user#{person.user_id}")
            report.show_answer(console, query.name, sql.query(statement))


def _stations(stack: LocalStack, probe: TopicProbe) -> list[Station]:
    outputs, dynamodb = stack.outputs, stack.client("dynamodb")
    return [
        accounting.appended(dynamodb, outputs["EventsTableName"]),
        accounting.archived(stack.client("s3"), outputs["ArchiveBucketName"]),
        accounting.on_kinesis(stack.client("kinesis"), outputs["EventsStreamName"]),
        probe.station(),
        *accounting.applied(dynamodb, outputs["ReadModelsTableName"]),
    ]


def _mail_differences(stack: LocalStack, users: int) -> list[str]:
    sent = len(stack.sent_mails())
    return [] if sent == users else [f"{sent} welcome mails were sent to {users} users"]
