"""Log lines of a function, here and in CloudWatch Logs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cli.console.logs import DeployedLogs


class Searched:
    """CloudWatch Logs, with one line."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        return {"events": [{"message": "a line\n"}]}


@pytest.mark.parametrize(
    ("since", "asked"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), (1_772_366_400_000, 1_772_370_000_000)),
        (datetime.max.replace(tzinfo=UTC), (253_402_300_799_999, 253_402_304_399_999)),
        (datetime.min.replace(tzinfo=UTC), (0, 3_600_000)),
    ],
)
def test_the_hour_of_an_event_is_searched_whatever_its_year(since: datetime, asked: tuple[int, int]) -> None:
    client = Searched()
    lines = DeployedLogs(client, {"Board": "/aws/lambda/board"}).about("id", ["Board"], since)

    assert lines == [("Board", "a line")]
    assert (client.asked["startTime"], client.asked["endTime"]) == asked
