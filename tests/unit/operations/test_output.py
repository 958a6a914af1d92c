"""What every command prints with."""

import io

import pytest

from operations.output import counted, fitted, nearest, none_called, say, shortened
from tests.fakes.terminal import Terminal


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")


def test_a_sentence_is_wrapped_between_words_on_a_terminal_alone() -> None:
    text = "It stays: an-id-that-is-longer-than-a-line, and more."

    assert fitted(text, io.StringIO()) == text
    assert fitted(text, Terminal()) == "It stays:\nan-id-that-is-longer-than-a-line,\nand more."


def test_a_command_to_copy_stays_one_line() -> None:
    text = "Do it so, if you have to:\n  headwater dead-letters redrive --all\n"

    assert fitted(text, Terminal()) == "Do it so, if you\nhave to:\n  headwater dead-letters redrive --all\n"


def test_what_is_said_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    say("one two three four five")
    say("five four three two one", err=True)

    assert (out.getvalue(), err.getvalue()) == ("one two three four\nfive\n", "five four three two\none\n")


def test_a_number_comes_with_its_noun() -> None:
    assert [counted(count, "retry", "retries") for count in (0, 1, 2_000)] == ["0 retries", "1 retry", "2,000 retries"]
    assert [counted(count, "row") for count in (1, 2)] == ["1 row", "2 rows"]


def test_what_was_probably_meant_is_named() -> None:
    assert nearest("LEADERBORD", ["badges", "Leaderboard"]) == "Leaderboard"
    assert nearest("zzz", ["badges"]) is None
    assert none_called("table play", "play", ["plays", "x"]) == (
        "there is no table play: did you mean plays? There are: plays, x"
    )
    assert none_called("table q", "q", ["plays"]) == "there is no table q; there are: plays"


def test_ids_are_as_short_as_they_can_be() -> None:
    ids = ["0123456789a", "0123456789b", "fedcba9876543"]

    assert list(shortened(ids).values()) == ["0123456789a", "0123456789b", "fedcba98"]
    assert shortened([]) == {}
