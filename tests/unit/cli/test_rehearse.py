"""`headwater rehearse` with ids that a foreign producer has chosen."""

from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from cli import rehearse

ODD = "player#[/x]\x1b[2J"
STARTED = {"id": "poison-1", "since": "now", "did": f"version 3 of {ODD} says something", "lasts": True}


class Door:
    def get(self, _: str) -> Any:
        return {"known": [], "running": [STARTED]}

    def post(self, _: str, __: Any) -> Any:
        return STARTED

    def delete(self, _: str) -> Any:
        return {"undone": ["poison-1"], "next": {"poison": "Its event is mended. Redrive then."}}


@pytest.mark.parametrize("command", [["list"], ["start", "poison"]])
def test_an_odd_aggregate_is_named_and_moves_no_cursor(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse, "_control", lambda _: Door())

    told = CliRunner().invoke(rehearse.rehearse, command, obj=SimpleNamespace, env={"COLUMNS": "200"})

    assert told.exit_code == 0, told.exception
    assert "version 3 of player#[/x]\\x1b[2J says something" in told.stdout
    assert "\x1b" not in told.stdout


def test_an_undoing_says_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse, "_control", lambda _: Door())

    told = CliRunner().invoke(rehearse.rehearse, ["undo", "poison"], obj=SimpleNamespace)

    assert told.stdout == "Undone: poison-1.\nIts event is mended. Redrive then.\n"
