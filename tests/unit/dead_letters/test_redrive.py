"""Redriving: by name, in order, and no later one before one that failed."""

import pytest

from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.dead_letters.redrive import HeldUpError, Redrive, StillFailingError, in_order


def test_records_run_through_the_consumer_of_that_name() -> None:
    seen: list[object] = []

    def process(records: object) -> BatchOutcome:
        seen.append(records)
        return BatchOutcome(1)

    redrive = Redrive({"badges": process}, {}, {})

    redrive.run("badges", [{"a": 1}])

    assert seen == [[{"a": 1}]]


def test_what_fails_again_says_why() -> None:
    redrive = Redrive({"badges": lambda _: BatchOutcome(1, [Failure("1", OSError("no route"))])}, {}, {})

    with pytest.raises(StillFailingError, match="OSError: no route"):
        redrive.run("badges", [{}])
    with pytest.raises(StillFailingError, match="no consumer is called 'nobody': badges are"):
        redrive.run("nobody", [{}])


def test_past_a_failure_the_lane_is_held_up_and_others_go_on() -> None:
    letters = [("badges", "a", 1), ("badges", "a", 2), ("badges", "b", 1), ("leaderboard", "a", 1), ("badges", "", 1)]
    tried: list[tuple[str, str, int]] = []

    def redrive(letter: tuple[str, str, int]) -> str:
        tried.append(letter)
        if letter[1] in ("a", "") and letter[0] == "badges":
            raise OSError("no route")
        return "applied"

    done = dict(in_order([*letters, ("badges", "", 2)], lambda letter: letter[:2], redrive))

    assert tried == [letters[0], *letters[2:], ("badges", "", 2)]
    assert isinstance(done[letters[1]], HeldUpError)
    assert done[letters[2]] == done[letters[3]] == "applied"
    assert isinstance(done["badges", "", 2], OSError), "where nobody knows the aggregate, nothing is held up"
