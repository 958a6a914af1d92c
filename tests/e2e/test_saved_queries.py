"""The saved queries over the archive that the local stack wrote of the demo's traffic.

Their answers are worked out in Python from the event table, by the same code as for the made-up history of
tests/unit/operations/test_saved_queries.py, which has what the demo has not: duplicates, removals, other months.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from devstack.demo import traffic
from devstack.stack import LocalStack
from headwater.domain.events import DomainEvent, RecordedEvent
from headwater.event_store import codec
from operations.archive import saved_sql
from operations.archive.local_sql import LocalSql
from operations.archive.objects import BucketObjects
from tests.fakes.events import EVENT_TYPES
from tests.unit.operations import test_saved_queries as worked_out

#: A stack of its own and half a minute; tests/unit/operations/test_saved_queries.py works them out without one.
pytestmark = pytest.mark.slow

USERS, PLAYS = 15, 300
#: Queries whose answers say that something is wrong, or tell of what the demo does not do.
EMPTY = ("duplicates", "missing-versions", "unreadable-records", "expired-and-deleted")


class Log:
    """The event table, read whole; what `worked_out.History` tells of a made-up one."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        events = (codec.decode(item, EVENT_TYPES) for item in items)
        self.events: list[RecordedEvent] = sorted(events, key=lambda event: event.event_id)

    def of(self, kind: type[DomainEvent]) -> list[RecordedEvent]:
        return [event for event in self.events if event.type == kind.__name__]


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[LocalStack]:
    with LocalStack(folder) as stack:
        traffic.play_out(traffic.Api(stack.url), traffic.cast(USERS, PLAYS), lambda: None, threading.Event())
        stack.wait_until_quiet(120)
        yield stack


@pytest.fixture(scope="module")
def log(stack: LocalStack) -> Log:
    pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["EventsTableName"])
    return Log([item for page in pages for item in page["Items"]])


@pytest.fixture(scope="module")
def sql(stack: LocalStack) -> Iterator[LocalSql]:
    with LocalSql(BucketObjects(stack.client("s3"), stack.outputs["ArchiveBucketName"])) as sql:
        yield sql


@pytest.mark.parametrize(
    "check",
    [
        worked_out.test_the_archive_holds_what_the_log_holds,
        worked_out.test_daily_actives,
        worked_out.test_plays_by_game_and_day,
        worked_out.test_badge_funnel,
        worked_out.test_top_players,
        worked_out.test_activity_by_kind,
    ],
)
def test_an_answer_is_what_the_event_table_says(check: Callable[..., None], sql: LocalSql, log: Log) -> None:
    check(sql, log)


@pytest.mark.parametrize(
    "check", [worked_out.test_new_users, worked_out.test_retention_cohorts, worked_out.test_streak_lengths]
)
def test_an_answer_from_a_day_on_is_what_the_event_table_says(
    check: Callable[..., None], sql: LocalSql, log: Log
) -> None:
    check(sql, log, "2025-01-01")


@pytest.mark.parametrize("name", ["plays", "registrations", "badges", "activity"])
def test_a_view_has_the_event_tables_rows(name: str, sql: LocalSql, log: Log) -> None:
    check: Callable[..., None] = worked_out.test_a_typed_view_has_a_row_for_each_event
    check(sql, log, name)


def test_each_aggregates_history_and_state_are_told(sql: LocalSql, log: Log) -> None:
    for user in {event.aggregate_id for event in log.events if event.aggregate_type == "user"}:
        mine = [event for event in log.events if event.aggregate_id == user]
        told = worked_out.ask(sql, "aggregate-history", aggregate=user)
        (state,) = worked_out.ask(sql, "user-as-of", user=user.removeprefix("user#"), at="2999-01-01T00:00:00Z")

        assert [(row[0], row[1], row[2], row[5]) for row in told] == [
            (event.version, "INSERT", event.type, orjson.dumps(event.data).decode())
            for event in sorted(mine, key=lambda event: event.version)
        ]
        assert state[1] == ("deleted" if "UserDeleted" in {event.type for event in mine} else "registered")


def test_nothing_is_wrong_with_the_archive(sql: LocalSql, log: Log) -> None:
    assert {name: worked_out.ask(sql, name) for name in EMPTY} == {name: [] for name in EMPTY}
    assert sum(row[1] for row in worked_out.ask(sql, "archive-freshness")) == len(log.events)


def test_every_query_runs_here(sql: LocalSql) -> None:
    given = {"aggregate-history": {"aggregate": "user#x"}, "user-as-of": {"user": "x", "at": "2026-01-01T00:00:00Z"}}
    for name, query in saved_sql.queries().items():
        assert sql.query(query.sql(given.get(name, {}))).columns
    assert sql.damaged == []
