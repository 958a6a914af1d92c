"""Log lines of a function, here and in CloudWatch Logs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.console.logs import DeployedLogs, LocalLogs


class Searched:
    """CloudWatch Logs, with some pages of lines."""

    def __init__(self, *pages: list[str]) -> None:
        self._pages = pages
        self.asked: dict[str, Any] = {}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "filter_log_events"
        return self

    def paginate(self, **asked: Any) -> Any:
        self.asked = asked
        return [{"events": [{"message": f"{line}\n"} for line in page]} for page in self._pages]


@pytest.mark.parametrize(
    ("since", "asked"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), (1_772_366_400_000, 1_772_370_000_000)),
        (datetime.max.replace(tzinfo=UTC), (253_402_300_799_999, 253_402_304_399_999)),
        (datetime.min.replace(tzinfo=UTC), (0, 3_600_000)),
    ],
)
def test_the_hour_of_an_event_is_searched_whatever_its_year(since: datetime, asked: tuple[int, int]) -> None:
    client = Searched(["a line"])
    lines = DeployedLogs(client, {"Board": "/aws/lambda/board"}).about("id", ["Board"], since)

    assert lines == [("Board", "a line")]
    assert (client.asked["startTime"], client.asked["endTime"]) == asked


def test_the_last_lines_are_those_of_the_last_page() -> None:
    client = Searched([f"old {number}" for number in range(300)], [], ["new"])

    lines = DeployedLogs(client, {"Board": "/aws/lambda/board"}).last("Board")

    assert (lines[0], lines[-2:], len(lines)) == ("old 261", ["old 299", "new"], 40)


def test_a_log_that_vanishes_while_it_is_looked_up_has_no_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Board.log").write_text("a line\n", encoding="utf-8")
    assert LocalLogs(tmp_path).last("Board") == ["a line"]
    (tmp_path / "Board.log").unlink()
    monkeypatch.setattr(Path, "is_file", lambda _: True)

    assert LocalLogs(tmp_path).last("Board") == []
