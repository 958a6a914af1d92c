"""The benchmarks compare like with like, and count what they say they count."""

from typing import cast

import pytest
from rich.progress import Progress

from benchmarks import archive, compaction, decoding
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


def test_the_archiver_and_the_least_that_it_could_do_are_fed_the_same() -> None:
    cost = archive.measure(50, 1, records=200)

    assert cost.puts == 1
    assert 50 < cost.bytes < 200
    assert cost.ours_us > 0 < cost.least_us


def test_what_both_versions_parse_is_left_out_of_one_ratio_alone() -> None:
    cost = archive.Cost(parsing_us=2.0, ours_us=6.0, least_us=2.0, bytes=100.0, puts=1.0)

    assert (cost.ratio, cost.ratio_without_parsing) == (2.0, 3.0)


def test_a_users_month_is_read_in_part_from_what_was_compacted_and_whole_from_raw() -> None:
    told = compaction.run(3_000, 2, Progress(disable=True))

    assert told["records"] == 3_000
    assert told["shown"] < told["all columns"] <= told["curated"] + told["shown"]
    assert told["shown"] < told["raw"]
    assert told["memory"] > 10_000_000


def test_reading_is_measured_for_the_fan_out_and_for_each_projection() -> None:
    costs = decoding.measured(records=100)

    assert costs.keys() == {
        *("encode", "decode", "load", "fan_out"),
        *("player_profiles", "leaderboard", "achievements", "badges"),
    }
    assert min(costs.values()) > 0
