"""A consumer that is broken for days, or new: the template's own mappings, on the machine that delivers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from devstack.event_source_mapping import (
    Invoke,
    InvokeResult,
    SendToDestination,
    StreamMappingSettings,
    StreamRecord,
    StreamShardMachine,
)
from devstack.mappings.settings import stream_settings
from devstack.simulator.graph import Blueprint

HOUR: Final = 3600.0
NOW: Final = 1_700_000_000.0
RETENTION: Final = {"kinesis": 168 * HOUR, "dynamodb": 24 * HOUR}
MAPPINGS: Final = {
    # What a filter drops is delivered to nobody, whatever its age.
    mapping.title: replace(stream_settings(mapping, RETENTION[mapping.kind]), accepts=None)
    for mapping in Blueprint.load().hosted.mappings
    if mapping.kind in RETENTION
}
#: What DeadLettersFunction needs to read from the stream what was given up.
LEFT: Final = 2 * HOUR

DONE: Final = InvokeResult({"batchItemFailures": []})
type Function = Callable[[list[StreamRecord], float], InvokeResult]


def hourly(settings: StreamMappingSettings) -> list[StreamRecord]:
    """A shard full of records, the oldest as old as the stream keeps any, the newest of now; ten an hour."""
    count = int(settings.retention / 360)
    return [
        StreamRecord(f"{number:05d}", f"player#{number % 7}", NOW - settings.retention + number * 360.0, 500, number)
        for number in range(count)
    ]


def delivered(
    settings: StreamMappingSettings, records: list[StreamRecord], function: Function, seconds_each: float = 0.1
) -> tuple[list[int], list[SendToDestination], float]:
    """Numbers of the records that a call succeeded with, what was given up, and when all was settled."""
    machine = StreamShardMachine(settings)
    position, now = {record.sequence_number: record for record in records}, NOW
    waiting, settled, given_up = list(records), list[int](), list[SendToDestination]()
    open_calls: list[Invoke] = []

    def did(actions: list[object]) -> None:
        open_calls.extend(action for action in actions if isinstance(action, Invoke))
        given_up.extend(action for action in actions if isinstance(action, SendToDestination))

    while waiting or not machine.idle:
        if waiting and (room := machine.room):
            taken, waiting = waiting[:room], waiting[room:]
            did([*machine.receive(taken, now)])
        elif open_calls:
            call = open_calls.pop(0)
            batch = [position[record.sequence_number] for record in call.records]
            now += seconds_each
            result = function(batch, now)
            if result.error is None and not (result.response or {}).get("batchItemFailures"):
                settled += [int(record.sequence_number) for record in batch]
            did([*machine.complete(call.batch_id, result, now)])
        else:
            due = machine.next_time
            assert due is not None
            now = max(now, due)
            did([*machine.tick(now)])
    return settled, given_up, now


@pytest.mark.parametrize("title", sorted(MAPPINGS))
def test_a_new_reader_catches_up_over_the_whole_retention_and_parks_nothing_of_it(title: str) -> None:
    """FAULTS row 48: also one whose function was renamed, since its mapping is new and begins at TRIM_HORIZON."""
    settings = replace(MAPPINGS[title], batching_window=0)
    records = [record for record in hourly(settings) if record.arrived_at > NOW - settings.retention + LEFT + 60]
    assert len(records) * 360 > settings.retention - LEFT - 2 * 360

    caught_up, given_up, _ = delivered(settings, records, lambda batch, now: DONE)

    assert given_up == []
    assert caught_up == [int(record.sequence_number) for record in records]


@pytest.mark.parametrize("title", sorted(MAPPINGS))
def test_what_is_about_to_be_forgotten_is_reported_and_not_lost(title: str) -> None:
    """The oldest two hours that a new reader finds: given up untried, so that somebody can still read them."""
    settings = replace(MAPPINGS[title], batching_window=0)
    records = hourly(settings)

    caught_up, given_up, _ = delivered(settings, records, lambda batch, now: DONE)

    reported = [int(record.sequence_number) for action in given_up for record in action.records]
    assert sorted(reported + caught_up) == [int(record.sequence_number) for record in records]
    assert {action.condition for action in given_up} == {"RecordAgeExceeded"}
    assert LEFT / 360 - 1 <= len(reported) <= LEFT / 360 + 1


@pytest.mark.parametrize("title", sorted(MAPPINGS))
def test_an_outage_that_ends_before_the_stream_forgets_parks_nothing(title: str) -> None:
    """FAULTS row 48: five days for the readers of EventsStream, seventeen hours for those of a table."""
    settings = MAPPINGS[title]
    lasts = 0.8 * (settings.retention - LEFT)
    records = [
        StreamRecord(f"{number:05d}", f"player#{number % 7}", NOW, 500, number)
        for number in range(3 * settings.batch_size + 1)
    ]

    def function(batch: list[StreamRecord], now: float) -> InvokeResult:
        return InvokeResult(error="Unhandled") if now < NOW + lasts else DONE

    caught_up, given_up, ended = delivered(settings, records, function, seconds_each=20.0)

    assert given_up == []
    assert caught_up == [int(record.sequence_number) for record in records]
    assert ended < NOW + settings.retention - LEFT


def test_a_record_that_kills_the_function_holds_its_shard_until_it_is_given_up_and_harms_no_neighbour() -> None:
    """FAULTS row 49, what -1 costs with bisect: nobody can answer for the record, and halving spends no retry."""
    settings = MAPPINGS["LeaderboardFunction.EventsStream"]
    records = [StreamRecord(f"{number:05d}", "player#a", NOW + 60.0 * number, 500, number) for number in range(500)]

    def function(batch: list[StreamRecord], now: float) -> InvokeResult:
        if any(record.body == 123 for record in batch):
            return InvokeResult(error="Unhandled")
        return DONE

    applied, given_up, ended = delivered(settings, records, function, seconds_each=60.0)

    assert applied == [number for number in range(500) if number != 123]
    (action,) = given_up
    assert ([record.body for record in action.records], action.condition) == ([123], "RecordAgeExceeded")
    stood = ended - records[123].arrived_at
    assert settings.age_limit <= stood < settings.age_limit + HOUR


def test_the_operator_lets_such_a_shard_go_by_allowing_no_retries_for_a_moment() -> None:
    """FAULTS row 49, and docs/runbook.md, "A shard that stands": the record is reported, and all behind it flow."""
    settings = replace(MAPPINGS["LeaderboardFunction.EventsStream"], maximum_retry_attempts=0)
    records = [StreamRecord(f"{number:05d}", "player#a", NOW, 500, number) for number in range(500)]

    def function(batch: list[StreamRecord], now: float) -> InvokeResult:
        return InvokeResult(error="Unhandled") if any(record.body == 123 for record in batch) else DONE

    applied, given_up, ended = delivered(settings, records, function, seconds_each=60.0)

    assert applied == [number for number in range(500) if number != 123]
    assert [[record.body for record in action.records] for action in given_up] == [[123]]
    assert ended - NOW < HOUR
