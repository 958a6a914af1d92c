"""What is written between marks, and all else kept."""

import pytest

from cli.wiring.regions import MarkError, by_hand, stale, written

TEXT = """\
kept: 1
  # >>> queues: written from src/
  old: 2
  # <<< queues
kept: 3
<!-- >>> table: written -->
| old |
<!-- <<< table -->
kept: 4
"""
WRITERS = {"queues": lambda: "  new: 2\n", "table": lambda: "| new |\n"}


def test_what_stands_between_the_marks_is_written_and_nothing_else() -> None:
    assert written(TEXT, WRITERS, "file") == TEXT.replace("old", "new")


def test_to_write_again_changes_nothing() -> None:
    once = written(TEXT, WRITERS, "file")

    assert written(once, WRITERS, "file") == once


def test_a_region_that_is_not_as_written_is_named() -> None:
    half = TEXT.replace("| old |", "| new |")

    assert stale(half, written(half, WRITERS, "file")) == ["queues"]
    assert stale(TEXT, written(TEXT, WRITERS, "file")) == ["queues", "table"]
    assert stale(written(TEXT, WRITERS, "file"), written(TEXT, WRITERS, "file")) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (TEXT.replace("# <<< queues", "# <<< tables"), "'>>> queues' must be followed by its '<<< queues'"),
        (TEXT.replace("<!-- <<< table -->\n", ""), "'>>> table' is without its other mark"),
        (TEXT.replace("  # <<< queues\n", ""), "'>>> queues' must be followed by"),
        (TEXT.replace("queues", "topics"), "queues, topics must be written"),
        (TEXT + TEXT.partition("kept: 3")[0], "queues must be written, and have its marks once"),
        ("kept: 1\n", "queues, table must be written"),
    ],
)
def test_marks_that_are_not_the_regions_are_told(text: str, says: str) -> None:
    with pytest.raises(MarkError, match=f"^file: .*{says}"):
        written(text, WRITERS, "file")


def test_what_is_written_by_hand_is_read_whatever_stands_in_the_regions() -> None:
    """A merge may leave anything there, and the wiring must be able to write it anew."""
    assert by_hand(TEXT.replace("  old: 2", "<<<<<<< HEAD")) == by_hand(TEXT)
    assert [line for line in by_hand(TEXT).splitlines() if line.startswith("kept")] == [f"kept: {n}" for n in (1, 3, 4)]
