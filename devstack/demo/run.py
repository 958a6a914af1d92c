"""The demo's course: start the stack, let the users live, wait for quiet, show and count."""

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from devstack.demo import accounting, applications, poison, report, traffic
from devstack.demo.accounting import Station, TopicProbe
from devstack.demo.lag import LagRecorder
from devstack.demo.report import Outcome
from devstack.errors import DevstackError
from devstack.stack import LocalStack
from headwater.clock import timestamp, utc_now
from operations.archive import saved_sql
from operations.archive.local_sql import LocalSql
from operations.archive.objects import BucketObjects
from operations.running import RUN_VARIABLE, STACK_NAME

#: Of the saved queries, those whose answers are shown, and the one that is drawn; beneath the project's folder.
_SHOWN = ("badge-funnel", "streak-lengths", "user-as-of", "applications-by-status")
_DRAWN = "plays-by-game-and-day"
_CHART = Path(".devstack") / f"{_DRAWN}.png"
_QUIET_SECONDS = 600


def run(root: Path, users: int, plays: int, poisons: int = 0, *, verbose: bool = False) -> int:
    """Runs the demo over a fresh local stack, with so many events that no consumer can read until it is repaired.

    Prints whether every event is at every station, then one screen of what came of it; all of it if ``verbose``.

    Returns
    -------
    int
        0 if every station holds the same events and nothing waits, 1 if not; what differs is printed.
    """
    console = Console(highlight=False)
    started = time.monotonic()
    lags = LagRecorder()
    piped = applications.PipedRecords()

    def succeeded(function: str, event: Any) -> None:
        lags.record(function, event)
        piped.record(function, event)

    with console.status("Starting the local stack"):
        stack = LocalStack(root, on_success=succeeded, quiet=not verbose).start()
    try:
        probe = TopicProbe(stack.client("sns"), stack.client("sqs"), stack.outputs["EventsTopicArn"])
        people = traffic.cast(users, plays)
        _live(console, stack, people)
        with console.status("Carrying applications to their endings"):
            carried = applications.carry(traffic.Api(stack.url), traffic.Api(stack.receiver_url))
        if poisons:
            poison.strew(stack, people, poisons)
        with console.status("Waiting until every consumer is quiet"):
            stack.wait_until_quiet(_QUIET_SECONDS)
        redriven = poison.resolve(console, stack, _QUIET_SECONDS) if poisons else True
        with console.status("Counting every event at every station"):
            outcome = _outcome(stack, root, people, carried, piped, probe)
        outcome.lags = lags.lags()
        outcome.seconds = time.monotonic() - started
        outcome.tried_again = stack.tried_again
        report.show(console, outcome)
        if verbose:
            _show_all(console, stack, outcome)
        return 1 if outcome.differences or not redriven else 0
    finally:
        stack.stop()


def _live(console: Console, stack: LocalStack, people: list[traffic.User]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Where nothing can be taken back, as in a file, there is none: the verdict is the first line there too.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"{traffic.DAYS} simulated days over HTTP", total=traffic.requests_in(people))
        traffic.play_out(traffic.Api(stack.url), people, lambda: progress.advance(task), threading.Event())


def _outcome(  # noqa: PLR0917 - all that a run has brought about
    stack: LocalStack,
    root: Path,
    people: list[traffic.User],
    carried: list[applications.Carried],
    piped: applications.PipedRecords,
    probe: TopicProbe,
) -> Outcome:
    """What came of it, counted where it lies."""
    chart = _Chart(stack, root)
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    log = accounting.log_items(stack.client("dynamodb"), stack.outputs["EventsTableName"])
    lines = list(accounting.archive_lines(s3, bucket))
    stations = _stations(stack, log, lines, probe)
    sent = stack.sent_mails()
    mails, mail_differences = accounting.mails(people, sent)
    changes = list(accounting.archive_lines(s3, bucket, "applications"))
    api = traffic.Api(stack.url)
    return Outcome(
        people=people,
        stations=stations,
        mails=mails,
        differences=[
            *accounting.differences(stations),
            *accounting.unlike_the_log(log, lines),
            *mail_differences,
            *applications.differences(carried, changes, piped),
        ],
        profile=api.send(traffic.Request("GET", "/users/{user_id}"), people[0].user_id),
        leaderboard=api.send(traffic.Request("GET", f"/games/{traffic.GAMES[0]}/leaderboard?limit=5")),
        tally=applications.tally(carried, changes, piped),
        tracking_page=traffic.Api(stack.receiver_url).send(carried[0].page_request(), ""),
        mail=next(iter(sent), None),
        chart=chart.drawn(),
    )


class _Chart:
    """Has the operator's command draw the chart, in a process of its own: the other core is idle while this counts."""

    def __init__(self, stack: LocalStack, root: Path) -> None:
        arguments = ["--stack", STACK_NAME, "archive", "query", "--name", _DRAWN, "--plot", str(root / _CHART)]
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "cli.main", *arguments],
            env={**os.environ, RUN_VARIABLE: str(stack.run_folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def drawn(self) -> Path:
        """The chart's path, once it is there."""
        _, said = self._process.communicate()
        if self._process.returncode:
            raise DevstackError(f"the chart was not drawn: {said.strip()}")
        return _CHART


def _show_all(console: Console, stack: LocalStack, outcome: Outcome) -> None:
    """Whatever else there is to see."""
    report.show_all(console, outcome)
    s3, bucket = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    for line in itertools.islice(accounting.archive_lines(s3, bucket), 1):
        report.show_archive_line(console, line)
    queries = saved_sql.queries()
    values = {"user-as-of": {"user": outcome.people[0].user_id, "at": timestamp(utc_now())}}
    with LocalSql(BucketObjects(s3, bucket)) as sql:
        for name in _SHOWN:
            report.show_answer(console, queries[name].title, sql.query(queries[name].asked(values.get(name, {}))))


def _stations(
    stack: LocalStack, log: list[dict[str, Any]], lines: list[dict[str, Any]], probe: TopicProbe
) -> list[Station]:
    outputs, dynamodb = stack.outputs, stack.client("dynamodb")
    projections = stack.target().application().projections.values()
    return [
        accounting.appended(log),
        accounting.archived(lines),
        accounting.on_kinesis(stack.client("kinesis"), outputs["EventsStreamName"]),
        probe.station(),
        accounting.exported(stack.client("s3"), outputs["ArchiveBucketName"]),
        *accounting.applied(dynamodb, outputs["ReadModelsTableName"], projections),
    ]
