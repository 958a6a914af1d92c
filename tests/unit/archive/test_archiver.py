"""Batches to objects: names, days, retries and what is never replaced."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.archive import reader
from headwater.archive.archiver import Archiver
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.stream_records import play_records, stream_record

PREFIX = "raw/source=events/dt=2026-03-01/"
NIGHT, MORNING = "2026-02-28T23:59:59.9Z", "2026-03-01T00:00:00Z"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def archiver(objects: InMemoryObjectStore, incidents: RecordedIncidents | None = None) -> Archiver:
    return Archiver(objects, incidents or RecordedIncidents(), now=lambda: NOW)


def name(*numbers: int) -> str:
    first, *last = numbers
    parts = [f"0000000000000000000{441_800_000_000_000_000_000 + first}-{first:032x}"]
    return PREFIX + "-".join(parts + [str(441_800_000_000_000_000_000 + number) for number in last]) + ".jsonl.zst"


def archived(objects: InMemoryObjectStore) -> Counter[int]:
    """How often each record is in the archive, by its number."""
    return Counter(
        int(columns["stream_event_id"], 16) for body in objects.objects.values() for columns in reader.lines(body)
    )


def numbers(body: bytes) -> list[int]:
    return [int(columns["stream_event_id"], 16) for columns in reader.lines(body)]


def test_a_thousand_records_are_one_put() -> None:
    objects = InMemoryObjectStore()

    outcome = archiver(objects).archive(play_records(1, 1000))

    assert outcome.stream_response() == {"batchItemFailures": []}
    assert outcome.received == 1000
    assert objects.puts == [name(1)]
    assert numbers(objects.objects[name(1)]) == list(range(1, 1001))


def test_a_thousand_records_across_midnight_are_two_puts_each_named_by_its_own_first_record() -> None:
    objects = InMemoryObjectStore()

    archiver(objects).archive(play_records(1, 600, at=NIGHT) + play_records(601, 1000, at=MORNING))

    yesterday = name(1).replace("2026-03-01", "2026-02-28")
    assert objects.puts == [yesterday, name(601)]
    assert numbers(objects.objects[yesterday]) == list(range(1, 601))
    assert numbers(objects.objects[name(601)]) == list(range(601, 1001))


def test_an_empty_batch_writes_nothing() -> None:
    objects = InMemoryObjectStore()

    assert archiver(objects).archive([]).received == 0
    assert objects.puts == []


def test_names_sort_as_sequence_numbers_do() -> None:
    objects = InMemoryObjectStore()
    for sequence_number in ("999", "1000", "1" + "0" * 39):
        record = play_records(1, 1)[0]
        record["dynamodb"]["SequenceNumber"] = sequence_number
        archiver(objects).archive([record])

    assert sorted(objects.objects) == objects.puts


def test_the_same_batch_again_is_a_no_op() -> None:
    """FAULTS row 4: the whole batch is delivered again."""
    objects = InMemoryObjectStore()
    archiver(objects).archive(play_records(1, 10))
    before = dict(objects.objects)

    archiver(objects).archive(play_records(1, 10))

    assert objects.objects == before


def test_a_batch_that_ends_sooner_the_second_time_is_a_no_op() -> None:
    """FAULTS row 4: with other bounds."""
    objects = InMemoryObjectStore()
    archiver(objects).archive(play_records(1, 10))

    archiver(objects).archive(play_records(1, 4))

    assert list(objects.objects) == [name(1)]


def test_a_batch_that_ends_later_the_second_time_writes_only_what_is_missing() -> None:
    """FAULTS row 4: with other bounds."""
    objects = InMemoryObjectStore()
    archiver(objects).archive(play_records(1, 10))
    first = objects.objects[name(1)]

    archiver(objects).archive(play_records(1, 15))
    archiver(objects).archive(play_records(1, 15))

    assert objects.objects[name(1)] == first
    assert numbers(objects.objects[name(1, 15)]) == [11, 12, 13, 14, 15]
    assert set(archived(objects).values()) == {1}


def test_a_name_for_what_was_missing_that_is_taken_too_is_extended_again() -> None:
    """FAULTS row 4: other bounds, and another batch's remainder under the name."""
    objects = InMemoryObjectStore()
    archiver(objects).archive(play_records(1, 2))
    archiver(objects).archive([*play_records(1, 1), *play_records(3, 3), *play_records(6, 6)])
    before = dict(objects.objects)

    archiver(objects).archive(play_records(1, 6))

    assert before.items() <= objects.objects.items()
    assert numbers(objects.objects[name(1, 6, 5)]) == [4, 5]
    assert archived(objects) == Counter(range(1, 7))


@given(
    deliveries=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2)), min_size=1, max_size=8)
)
def test_whatever_the_bounds_nothing_is_lost_or_replaced_and_ids_tell_copies_apart(
    deliveries: list[tuple[int, int, int]],
) -> None:
    """FAULTS row 4: the archive holds each record once after compaction, which keeps one line a stream event id."""
    objects = InMemoryObjectStore()
    delivered: set[int] = set()
    for start, length, failures in deliveries:
        records = play_records(start, start + length - 1)
        before = dict(objects.objects)
        objects.after_effect = [TimeoutError() for _ in range(failures)]
        deliver(archiver(objects), records)
        delivered |= set(range(start, start + length))

        assert before.items() <= objects.objects.items()
        assert archived(objects).keys() == delivered


def deliver(under_test: Archiver, records: Sequence[dict[str, Any]]) -> None:
    """The mapping: the same batch again until it is accepted."""
    for _ in range(20):
        try:
            under_test.archive(records)
        except OSError:
            continue
        return
    raise AssertionError("the batch was never accepted")


def test_a_store_that_is_down_fails_the_whole_batch_and_the_retry_leaves_one_object() -> None:
    """FAULTS row 16: S3 503."""
    objects = InMemoryObjectStore()
    objects.faults = [ConnectionError("503 Slow Down")]

    with pytest.raises(ConnectionError):
        archiver(objects).archive(play_records(1, 10))
    archiver(objects).archive(play_records(1, 10))

    assert objects.puts == [name(1), name(1)]
    assert archived(objects) == Counter(range(1, 11))


def test_an_answer_that_is_lost_after_the_write_leaves_one_object() -> None:
    """FAULTS row 16: a timeout after the write."""
    objects = InMemoryObjectStore()
    objects.after_effect = [TimeoutError()]

    with pytest.raises(TimeoutError):
        archiver(objects).archive(play_records(1, 10))
    archiver(objects).archive(play_records(1, 10))

    assert list(objects.objects) == [name(1)]
    assert archived(objects) == Counter(range(1, 11))


def test_a_crash_between_two_days_leaves_each_day_once() -> None:
    """FAULTS rows 16 and 40: the first day is written, the second is not."""
    objects = InMemoryObjectStore()
    batch = play_records(1, 5, at=NIGHT) + play_records(6, 9, at=MORNING)
    objects.after_effect = [TimeoutError()]

    deliver(archiver(objects), batch)

    assert len(objects.objects) == 2
    assert archived(objects) == Counter(range(1, 10))


@pytest.mark.parametrize("foreign", [b"", b"not zstandard", b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00x"])
def test_an_object_that_is_not_ours_is_left_alone_and_costs_nothing(foreign: bytes) -> None:
    objects = InMemoryObjectStore()
    objects.objects[name(1)] = foreign

    archiver(objects).archive(play_records(1, 3))

    assert objects.objects[name(1)] == foreign
    assert numbers(objects.objects[name(1, 3)]) == [1, 2, 3]


def test_unreadable_records_are_archived_among_their_neighbours_and_reported_once() -> None:
    """FAULTS rows 1 and 17: bad data is isolated, and an operator hears of it."""
    objects, incidents = InMemoryObjectStore(), RecordedIncidents()
    good = play_records(1, 4, at=NIGHT)
    bad: list[Any] = [{"eventID": "x/../y", "dynamodb": "?"}, None]

    outcome = archiver(objects, incidents).archive([*good[:2], *bad, *good[2:]])

    (key,) = objects.objects
    assert "dt=2026-02-28" in key
    assert outcome.stream_response() == {"batchItemFailures": []}
    lines = list(reader.lines(objects.objects[key]))
    assert [("raw_record" in line) for line in lines] == [False, False, True, True, False, False]
    ((incident, facts),) = incidents.reports
    assert incident == "UnreadableRecords"
    assert (facts["object"], facts["records"]) == (key, "2")


def test_a_batch_of_nothing_readable_is_archived_on_the_day_it_came() -> None:
    objects = InMemoryObjectStore()
    batch: list[Any] = [{"eventID": "x/../y", "dynamodb": {}}]

    archiver(objects).archive(batch)
    archiver(objects).archive(batch)

    assert list(objects.objects) == [f"raw/source=events/dt=2026-03-02/{'0' * 40}-x____y.jsonl.zst"]


def test_each_view_type_is_archived() -> None:
    objects = InMemoryObjectStore()
    for number, view in enumerate(("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"), start=1):
        archiver(objects).archive(play_records(number, number, view=view))

    records = [record for body in objects.objects.values() for record in reader.change_records(body)]
    assert [record.new_image is None for record in records] == [True, False, True, False]


def test_changes_of_one_item_are_lines_of_their_own() -> None:
    objects = InMemoryObjectStore()
    item = {"aggregate_id": {"S": "a"}, "version": {"N": "1"}}

    archiver(objects).archive(
        [
            stream_record(1, item),
            stream_record(2, item | {"x": {"S": ""}}, item, operation="MODIFY"),
            stream_record(3, old=item, operation="REMOVE"),
        ]
    )

    (body,) = objects.objects.values()
    assert [columns["operation"] for columns in reader.lines(body)] == ["INSERT", "MODIFY", "REMOVE"]
