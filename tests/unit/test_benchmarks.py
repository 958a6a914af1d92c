"""The benchmark compares like with like: both versions decide the same, and pay what is said."""

from typing import cast

import pytest

from benchmarks.badges import added_up, history, measure, newly_earned
from headwater.domain.badges import count, no_progress, no_tally, record_play
from headwater.domain.events import PlayCompleted


def test_both_versions_add_up_to_the_same_and_award_the_same() -> None:
    plays = list(history(400))

    progress, tally = no_progress(), no_tally()
    for number, event in enumerate(plays, start=1):
        play = cast(PlayCompleted, event.payload)
        tally = count(tally, play)
        progress, awards = record_play(progress, play, event.event_id)
        if awards or number % 50 == 0:
            assert added_up(plays[:number]) == tally
            assert [badge.key(play.game) for badge in newly_earned(plays[:number], event)] == list(awards)


@pytest.mark.parametrize(("variant", "writes"), [("ours", 1), ("read everything", 0)])
def test_a_measurement_counts_what_went_over_the_wire(variant: str, writes: int) -> None:
    cost = measure(variant, 30, decisions=2, warm_up=1)

    assert (cost.reads, cost.writes, cost.write_units) == (1, writes, writes)
    assert cost.read_units >= 1
    assert cost.cpu_ms > cost.sums_ms > 0


def test_ours_reads_the_same_at_any_history_and_the_other_reads_all_of_it() -> None:
    """One row of up to 4 KB, one read unit; events of about 370 bytes, eleven a read unit."""
    ours = [measure("ours", plays, decisions=1, warm_up=0).read_units for plays in (10, 1_000)]
    other = [measure("read everything", plays, decisions=1, warm_up=0).read_units for plays in (10, 1_000)]

    assert ours == [1, 1]
    assert other[0] < 3
    assert other[1] > 50
