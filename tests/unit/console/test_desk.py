"""SQL that somebody writes into a page: the pages of all others go on."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli.console import desk as desks
from cli.console.desk import Desk
from operations.errors import QueryError
from tests.fakes.archived_objects import InMemoryObjects
from tests.fakes.queries import ENDLESS


@pytest.fixture
def desk() -> Iterator[Desk]:
    opened = Desk(cast("Any", SimpleNamespace(running=object())), cast("Any", None), changes=True)
    opened.__dict__["objects"] = InMemoryObjects({})
    yield opened
    opened.close()


def test_a_query_without_an_end_is_stopped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as hurried:
        hurried.setattr(desks, "QUERY_SECONDS", 0.3)
        with pytest.raises(QueryError, match="was stopped: have it read less"):
            desk.query(ENDLESS)

    assert desk.query("SELECT 1").answer.rows == [(1,)]


def test_a_query_does_not_wait_for_another_for_ever(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "TURN_SECONDS", 0.1)
    desk._sql_lock.acquire()

    try:
        with pytest.raises(QueryError, match="another query is being answered"):
            desk.query("SELECT 1")
    finally:
        desk._sql_lock.release()


def test_a_console_that_stops_waits_for_no_query(desk: Desk) -> None:
    desk.stopping = asyncio.Event()
    threading.Timer(0.5, desk.stopping.set).start()

    with pytest.raises(QueryError, match="the console stops"):
        desk.query(ENDLESS)


def test_an_answer_that_would_fill_the_memory_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "MOST_ROWS", 2)

    with pytest.raises(QueryError, match="more than 2 rows: group them, or add a LIMIT"):
        desk.query("SELECT * FROM (VALUES 1, 2, 3) AS t(x)")
