"""docs/faults.md claims no more than the tests show: each row marked as held is named by one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _rows() -> dict[int, str]:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    return {int(number): now.strip() for number, now in re.findall(r"^\| (\d+) \|.*\|([^|]*)\|$", text, re.MULTILINE)}


def _named() -> set[int]:
    named: set[int] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for numbers in re.findall(r"FAULTS rows? (\d+(?:(?:, | and |, and )\d+)*)", path.read_text(encoding="utf-8")):
            named |= {int(number) for number in re.findall(r"\d+", numbers)}
    return named


def test_every_row_is_there_and_says_how_it_stands() -> None:
    rows = _rows()

    assert len(rows) >= 40
    assert sorted(rows) == list(range(1, len(rows) + 1))
    assert not {number: now for number, now in rows.items() if not re.match(r"held$|in part: |to come$", now)}


def test_a_row_that_is_held_has_a_test_that_names_it() -> None:
    claimed = {number for number, now in _rows().items() if now != "to come"}

    assert not claimed - _named()


def test_a_row_that_a_test_names_is_not_said_to_be_to_come() -> None:
    to_come = {number for number, now in _rows().items() if now == "to come"}

    assert not to_come & _named()
