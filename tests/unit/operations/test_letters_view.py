"""What a dead letter is said to have left, wherever that is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.console.pages.shared import environment
from operations.dead_letters.view import age, left

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def letter(failed: timedelta, expires: timedelta | None) -> Any:
    class Letter:
        failed_at = NOW - failed
        expires_at = None if expires is None else NOW + expires

    return Letter()


@pytest.mark.parametrize(
    ("expires", "said"),
    [
        (timedelta(days=14) - timedelta(seconds=5), "13 d"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (-timedelta(minutes=1), "0 min"),
        (None, "never expires"),
    ],
)
def test_no_more_time_is_told_than_is_left(expires: timedelta | None, said: str) -> None:
    one = letter(timedelta(), expires)

    assert left(one, NOW) == said
    # The console says the same.
    assert environment().from_string("{{ one|left(now) }}").render(one=one, now=NOW) == said


def test_an_age_is_rounded_down() -> None:
    one = letter(timedelta(hours=1, minutes=59), None)

    assert age(one, NOW) == "1 h"
    assert environment().from_string("{{ one|age(now) }}").render(one=one, now=NOW) == "1 h"
