"""The stack that runs for a project, found from within it."""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from operations.running import running_stack

type Start = Callable[[Path, str, str], None]


@pytest.fixture
def start() -> Iterator[Start]:
    """Marks a run of a project as alive, by its lock, and announces the URL of its API."""
    with ExitStack() as locks:

        def started(project: Path, name: str, url: str) -> None:
            dead(project, name, url)
            lock = locks.enter_context((project / ".devstack" / name / "alive").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)

        yield started


def dead(project: Path, name: str, url: str) -> None:
    run = project / ".devstack" / name
    run.mkdir(parents=True)
    (run / "stack.json").write_text(json.dumps({"url": url, "endpoint_url": "http://127.0.0.1:1"}), encoding="utf-8")


def url(folder: Path) -> str | None:
    found = running_stack(folder)
    return found.url if found is not None else None


def test_it_is_found_from_each_folder_of_the_project(tmp_path: Path, start: Start) -> None:
    within = tmp_path / "project" / "src" / "deep"
    within.mkdir(parents=True)
    start(tmp_path / "project", "run-1", "http://one")

    assert (url(tmp_path / "project"), url(within)) == ("http://one", "http://one")
    assert url(tmp_path) is None


def test_the_nearest_comes_first_and_of_one_project_the_youngest(tmp_path: Path, start: Start) -> None:
    start(tmp_path, "run-1", "http://outer")
    start(tmp_path / "inner", "run-1", "http://older")
    start(tmp_path / "inner", "run-2", "http://younger")

    assert url(tmp_path / "inner") == "http://younger"


def test_a_run_that_stops_while_it_is_looked_up_is_none(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tmp_path, "run-1", "http://one")

    def alive(run: Path) -> bool:
        (run / "stack.json").unlink()
        return True

    monkeypatch.setattr("operations.running.is_alive", alive)

    assert url(tmp_path) is None


def test_a_run_whose_process_is_gone_is_none(tmp_path: Path, start: Start) -> None:
    start(tmp_path, "run-1", "http://outer")
    dead(tmp_path / "inner", "run-1", "http://gone")

    assert url(tmp_path / "inner") == "http://outer"
