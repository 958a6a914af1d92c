"""What is wrong with a command line is said in one line, before a stack is looked for."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.given import picture
from cli.main import main

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()


@pytest.fixture(autouse=True)
def _no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> None:
        raise AssertionError("a stack was looked for")

    monkeypatch.setattr("operations.target.resolve", resolve)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["events", "show", "ada"], "'ada' has no type; write it as <type>#<id>, in quotes: 'user#ada'"),
        (["events", "show", ""], "'' has no type"),
        (["events", "show", "user#"], "'user#' has no id after the #"),
        (["events", "show", " #ada"], "' #ada' has no type before the #"),
        (["events", "mend", "ada", "1", "--reason", "r"], "'ada' has no type"),
        (["events", "mend", "user#ada", "0", "--reason", "r"], "0 is not in the range x>=1"),
        (["events", "mend", "user#ada", "1", "--reason", " "], "say why"),
        (
            ["events", "mend", "user#ada", "1", "--reason", "r", "--data", "@nowhere.json"],
            "nowhere.json cannot be read",
        ),
        (["mail", "show", ""], "'MESSAGE_ID': it is empty"),
        (["dead-letters", "list", "--consumer", ""], "'--consumer': it is empty"),
        (["dead-letters", "redrive", "--aggregate", " "], "'--aggregate': it is empty"),
        (["dead-letters", "redrive"], "say what to redrive"),
        (["dead-letters", "show", ""], "'ID': it is empty"),
        (["dead-letters", "discard", " ", "--reason", "r"], "'ID': it is empty"),
        (["dead-letters", "release", "--consumer", "", "--aggregate", "user#ada", "--reason", "r"], "it is empty"),
        (["dead-letters", "release", "--consumer", "badges", "--aggregate", "ada", "--reason", "r"], "has no type"),
        (["processes", "stop", "--reason", "r"], "say which"),
        (["rehearse", "undo"], "say which"),
        (["rehearse", "undo", " "], "'[ID]': it is empty"),
        (["rehearse", "undo", "\udcff"], "'\\udcff' holds bytes that are no UTF-8"),
        (["events", "show", "user#\udcff"], "'user#\\udcff' holds bytes that are no UTF-8"),
        (["dead-letters", "discard", "x", "--reason", "\udcff"], "'\\udcff' holds bytes that are no UTF-8"),
        (["archive", "query", "--name", "top-players", "-p", "game=\udcff"], "holds bytes that are no UTF-8"),
        (["--stack", "\udcff", "status"], "'\\udcff' holds bytes that are no UTF-8"),
        (["rehearse", "start", ""], "'NAME': it is empty"),
        (["archive", "stats", "--since", TOMORROW], f"{TOMORROW} is in the future"),
        (["archive", "compact", "--since", TOMORROW], f"{TOMORROW} is in the future"),
        (["archive", "compact", "--since", "1.3.2026"], "'1.3.2026' is no day: write it as in 2026-03-01"),
        (["archive", "query", ""], "'[SQL]': it is empty"),
        (["archive", "query", "--list", "SELECT 1"], "give it neither SQL nor --name"),
        (["archive", "query", "--json", "--format", "csv", "SELECT 1"], "either --json or --format csv"),
        (["archive", "query", "--show", "--plot", "x.png", "SELECT 1"], "nothing for --plot to draw"),
        (["archive", "query", "--plot", "gone/x.png", "SELECT 1"], "the folder gone does not exist"),
        (["archive", "query", "--plot", "x.jpg", "SELECT 1"], "x.jpg is no picture"),
        (["archive", "query", "--name", "new-users", "-p", f"since={TOMORROW}"], "is in the future"),
        (["archive", "query", "--name", "top-players", "-p", "game=go", "-p", "game=chess"], "game is given twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_at_once(command: list[str], message: str) -> None:
    told = CliRunner().invoke(main, command, env={"COLUMNS": "200"})

    assert told.exit_code == 2, told.output
    assert message in " ".join(told.stderr.split())


@pytest.mark.parametrize("command", [["stats"], ["query", "SELECT 1 AS a"]], ids=" ".join)
def test_a_folder_that_holds_no_archive_is_refused(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "raw").mkdir()

    above = CliRunner().invoke(main, ["archive", *command, "--folder", str(tmp_path)], env={"COLUMNS": "300"})
    right = CliRunner().invoke(main, ["archive", *command, "--folder", str(tmp_path / "downloads")])

    assert above.exit_code == 2
    assert "has none of bi, curated, curated-days, raw in it: name the folder that has" in " ".join(
        above.stderr.split()
    )
    assert right.exit_code == 0, right.output


def test_today_is_a_day_to_begin_with(tmp_path: Path) -> None:
    today = datetime.now(UTC).date().isoformat()

    told = CliRunner().invoke(main, ["archive", "stats", "--folder", str(tmp_path), "--since", today])

    assert told.exit_code == 0, told.output


def test_a_picture_that_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == tmp_path and mode == os.W_OK))

    with pytest.raises(click.BadParameter, match="cannot be written"):
        picture(click.Context(main), main.params[0], tmp_path / "x.png")
