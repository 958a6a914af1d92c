"""The export for dashboards, with its objects in memory."""

import json
from collections.abc import Callable
from copy import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater.archive import bi_export
from headwater.archive.bi_export import COLUMNS, MANIFEST, BiExport
from headwater.archive.growing_objects import ObjectChangedError
from headwater.change_stream import cloud_events
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.records import MalformedRecordError
from headwater.dead_letters.parked import NotParkedError
from headwater.dead_letters.patience import Patience
from headwater.dead_letters.triage import Triage
from headwater.domain.events import MalformedEventError, PlayCompleted, RecordedEvent, UserRegistered
from headwater.event_store import codec
from tests.fakes.events import EVENT_TYPES, recorded
from tests.fakes.first_failures import InMemoryFirstFailures
from tests.fakes.growing_objects import InMemoryGrowingObjects
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore, kinesis_record
from tests.fakes.parking_lot import InMemoryParkingLot, parking

DAY = "bi/events/dt=2026-03-01-1.json"
SCHEMAS = Path(__file__).parents[3] / "schemas"


def play(version: int, occurred_at: str = "2026-03-01T12:00:00.000Z") -> RecordedEvent:
    payload = PlayCompleted(game="chess", score=42, played_at="2026-03-01T11:59:00.000Z")
    return recorded("player#0199-a", version, payload, occurred_at=occurred_at)


class Bench:
    def __init__(self) -> None:
        self.objects = InMemoryGrowingObjects()
        self.claims = InMemoryClaimStore()
        self.lot = InMemoryParkingLot()
        self.aside = InMemoryParkingLot()
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.incidents = RecordedIncidents()
        patience = Patience("bi_export", InMemoryFirstFailures(), RecordedIncidents(), lambda: self.now)
        triage = Triage("kinesis", parking(self.lot, "bi_export", aside=self.aside), patience)
        self.export = BiExport(
            self.objects, self.claims, "archive", triage, self.incidents, types=EVENT_TYPES, sleep=lambda _: None
        )

    def deliver(self, *records: dict[str, Any]) -> BatchOutcome:
        return self.export.export(records)

    def lines(self, key: str = DAY) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.objects.read(key)[0].splitlines()]


def test_an_event_becomes_one_flat_line_that_names_no_person() -> None:
    bench, event = Bench(), play(1)
    registered = recorded("user#0199-a", 1, UserRegistered(name="Ada", email="ada@example.org"))

    bench.deliver(kinesis_record(event, 1), kinesis_record(registered, 2))

    first, second = bench.lines()
    assert first == {
        "event_id": event.event_id,
        "type": "PlayCompleted",
        "aggregate_type": "player",
        "aggregate_id": "player#0199-a",
        "version": 1,
        "occurred_at": event.occurred_at,
        "correlation_id": None,
        "user_id": "0199-a",
        "game": "chess",
        "score": 42,
        "played_at": "2026-03-01T11:59:00.000Z",
        "badge": None,
        "kind": None,
    }
    assert second.keys() == first.keys()
    assert "Ada" not in json.dumps(second)
    assert "example.org" not in json.dumps(second)


def test_no_column_is_personal_in_any_schema() -> None:
    schemas = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    personal = {
        name
        for schema in schemas
        for name, described in schema.get("properties", {}).items()
        if described.get("x-personal")
    }

    assert personal
    assert personal.isdisjoint(COLUMNS)


def test_row_4_what_comes_again_with_whichever_bounds_is_in_the_export_once() -> None:
    """FAULTS row 4, for the export: also from another shard, the next day, and as a replay."""
    bench, events = Bench(), [play(version) for version in range(1, 7)]
    records = [kinesis_record(event, number) for number, event in enumerate(events)]

    for start, end in ((0, 4), (0, 4), (2, 6), (1, 2), (0, 6)):
        assert not bench.deliver(*records[start:end]).failures
    moved = records[0] | {"eventID": "shardId-000000000007:9"}
    moved["kinesis"] = {**moved["kinesis"], "approximateArrivalTimestamp": 1772500000.0}
    replayed = cloud_events.encode(codec.encode(events[1]), EVENT_TYPES, replay=True)
    bench.deliver(moved, kinesis_record(events[1], 10, body=replayed.body))

    assert [line["version"] for line in bench.lines()] == [1, 2, 3, 4, 5, 6]
    assert bench.objects.writes == [MANIFEST, DAY, DAY]


def test_events_of_two_aggregates_that_have_one_id_are_both_in_the_export() -> None:
    """A program that counts its events for each aggregate gives them such ids."""
    bench = Bench()
    payload = PlayCompleted(game="chess", score=42, played_at="2026-03-01T11:59:00.000Z")
    ada, bob, eve = (recorded(f"player#{name}", 1, payload, event_id="1") for name in ("ada", "bob", "eve"))

    bench.deliver(kinesis_record(ada, 1), kinesis_record(bob, 2))
    bench.deliver(kinesis_record(bob, 2), kinesis_record(eve, 3))

    assert [line["aggregate_id"] for line in bench.lines()] == ["player#ada", "player#bob", "player#eve"]


def test_each_day_has_its_own_object() -> None:
    bench = Bench()
    times = ["2026-03-01T23:59:59.999Z", "2026-03-02T00:00:00.000Z", "2026-03-02T01:30:00.000+02:00"]

    bench.deliver(*(kinesis_record(play(number, at), number) for number, at in enumerate(times, start=1)))

    assert [line["version"] for line in bench.lines()] == [1, 3]
    assert [line["version"] for line in bench.lines(DAY.replace("-01-1", "-02-1"))] == [2]


def test_a_full_object_is_left_and_what_it_holds_is_not_added_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bi_export, "OBJECT_BYTES", 300)
    bench = Bench()
    records = [kinesis_record(play(version), version) for version in (1, 2, 3)]

    for record in [*records, *records]:
        bench.deliver(record)

    parts = [DAY.replace("-1.json", f"-{part}.json") for part in (1, 2, 3)]
    assert [[line["version"] for line in bench.lines(part)] for part in parts] == [[1], [2], [3]]


def test_a_claim_check_is_followed() -> None:
    """FAULTS row 13, the consumer's half."""
    bench = Bench()

    bench.deliver(kinesis_record(play(1), 1, claims=bench.claims))

    assert [(line["version"], line["game"]) for line in bench.lines()] == [(1, "chess")]


def test_row_1_a_record_that_cannot_be_read_is_parked_alone() -> None:
    """FAULTS row 1, for the export."""
    bench = Bench()
    records = [
        kinesis_record(play(1), 1),
        kinesis_record(play(2), 2, body=b"{"),
        kinesis_record(play(3, "yesterday"), 3),
        kinesis_record(play(4), 4),
    ]

    outcome = bench.deliver(*records)

    assert outcome == BatchOutcome(4, parked=2)
    # Of one aggregate and alike: one dead letter.
    assert [(parked.consumer, parked.aggregate_id, parked.raw) for parked in bench.lot.parked] == [
        ("bi_export", "player#0199-a", [records[1], records[2]]),
    ]
    assert [line["version"] for line in bench.lines()] == [1, 4]


def test_what_cannot_be_parked_or_still_cannot_be_read_fails_alone() -> None:
    bench = Bench()
    bench.lot.faults = [NotParkedError("SQS is down")]
    records = [kinesis_record(play(1), 1), kinesis_record(play(2), 2, body=b"{")]

    delivered, redriven = bench.deliver(*records), bench.export.redrive(records)

    assert [type(failure.error) for failure in delivered.failures] == [NotParkedError]
    assert [(failure.identifier, type(failure.error)) for failure in redriven.failures] == [("2", MalformedEventError)]
    assert bench.lot.parked == []
    assert [line["version"] for line in bench.lines()] == [1]


def test_a_record_without_a_sequence_number_fails_the_batch_before_anything_is_written() -> None:
    bench = Bench()

    with pytest.raises(MalformedRecordError):
        bench.deliver(kinesis_record(play(1), 1), kinesis_record(play(2), 2) | {"kinesis": {}})

    assert bench.objects.writes == []


@pytest.mark.parametrize(
    ("damaged", "in_the_next"),
    [
        pytest.param(lambda body: body[:-1], [3], id="one byte short"),
        pytest.param(lambda body: body[:-40], [2, 3], id="cut within the last line"),
        pytest.param(lambda body: body + b"remember the milk\n", [3], id="a line of somebody's"),
        pytest.param(lambda body: body + b"[]\n", [3], id="a line that is no object"),
        pytest.param(lambda body: body + b'{"event_id":7}\n', [3], id="a line that is no event"),
        pytest.param(lambda _: b"\x1f\x8b\x08\x00", [1, 2, 3], id="gzip"),
    ],
)
def test_a_damaged_object_is_named_once_and_its_day_goes_on_in_the_next(
    damaged: Callable[[bytes], bytes], in_the_next: list[int]
) -> None:
    bench = Bench()
    records = [kinesis_record(play(version), version) for version in (1, 2, 3)]
    bench.deliver(*records[:2])
    body, tag = bench.objects.read(DAY)
    bench.objects.write(DAY, damaged(body), tag)

    for _ in range(2):
        assert not bench.deliver(*records).failures

    assert bench.objects.read(DAY)[0] == damaged(body)
    assert [line["version"] for line in bench.lines(DAY.replace("-1.json", "-2.json"))] == in_the_next
    ((incident, facts),) = bench.incidents.reports
    assert (incident, facts["object"]) == ("DamagedObjects", DAY)


def test_an_object_that_somebody_else_wrote_meanwhile_is_read_again() -> None:
    bench = Bench()
    bench.deliver(kinesis_record(play(1), 1))
    read = bench.objects.read
    met: list[str] = []

    def overtaken(key: str) -> tuple[bytes, str | None]:
        found = read(key)
        if key == DAY and not met:
            met.append(key)
            bench.objects.write(
                key, found[0] + b'{"event_id":"redriven","aggregate_id":"player#ada","version":9}\n', found[1]
            )
        return found

    bench.objects.read = overtaken  # type: ignore[method-assign]
    bench.deliver(kinesis_record(play(2), 2))

    assert [line["version"] for line in bench.lines()] == [1, 9, 2]


def test_an_object_that_never_rests_fails_its_day_alone() -> None:
    bench = Bench()
    write = bench.objects.write

    def refuse(key: str, body: bytes, tag: str | None) -> None:
        if key == DAY:
            raise ObjectChangedError(key)
        write(key, body, tag)

    bench.objects.write = refuse  # type: ignore[method-assign]

    outcome = bench.deliver(
        kinesis_record(play(1), 1),
        kinesis_record(play(2, "2026-03-02T12:00:00.000Z"), 2),
        kinesis_record(play(3), 3),
    )

    assert [(failure.identifier, type(failure.error)) for failure in outcome.failures] == [
        ("1", ObjectChangedError),
        ("3", ObjectChangedError),
    ]
    assert [line["version"] for line in bench.lines("bi/events/dt=2026-03-02-1.json")] == [2]
    assert bench.lot.parked == []


def test_what_nobody_foresaw_holds_up_its_aggregate_for_thirty_seconds_and_nobody_else() -> None:
    bench = Bench()
    others = play(2, "2026-03-02T12:00:00.000Z")
    records = [kinesis_record(play(1), 1), kinesis_record(replace(others, aggregate_id="player#0199-b"), 2)]
    read = bench.objects.read

    def fail(key: str) -> tuple[bytes, str | None]:
        if key == DAY:
            raise RuntimeError("nobody wrote this into any table")
        return read(key)

    bench.objects.read = fail  # type: ignore[method-assign]

    first = bench.deliver(*records)
    bench.now += timedelta(seconds=30)
    later = bench.deliver(*records)

    assert [failure.identifier for failure in first.failures] == ["1"]
    assert later == BatchOutcome(2, parked=1)
    assert [(run.aggregate_id, run.reason, run.raw) for run in bench.aside.parked] == [
        ("player#0199-a", "unforeseen", [records[0]])
    ]
    assert [line["version"] for line in bench.lines("bi/events/dt=2026-03-02-1.json")] == [2]


def test_the_manifest_is_quicksights_over_all_days() -> None:
    bench = Bench()

    bench.deliver(kinesis_record(play(1), 1))
    bench.deliver(kinesis_record(play(2), 2))

    assert json.loads(bench.objects.read(MANIFEST)[0]) == {
        "fileLocations": [{"URIPrefixes": ["s3://archive/bi/events/"]}],
        "globalUploadSettings": {"format": "JSON"},
    }
    assert bench.objects.writes.count(MANIFEST) == 1
