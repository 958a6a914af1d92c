"""Failed batches found in the archive, once their stream has forgotten them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater.archive.archiver import Archiver
from headwater.archive.lookup import ArchivedRecords, NotArchivedError
from headwater.change_stream import cloud_events, dynamodb, kinesis
from headwater.change_stream.source_kinds import StreamKind
from headwater.clock import timestamp
from headwater.dead_letters.pointers import Pointer, parse
from tests.fakes.events import EVENT_TYPES
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.parked_spans import InMemoryParkedSpans
from tests.fakes.pointers import TABLE_STREAM, from_lambda, from_pipe
from tests.fakes.stream_records import BY_TTL, play_image, play_records, stream_record

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=2)
EVERYTHING = range(2**128)


class Archived:
    """An archive that real batches went into."""

    def __init__(self, hash_keys: range | None = EVERYTHING) -> None:
        self.objects, self.given_up = InMemoryObjectStore(), InMemoryObjectStore()
        #: Keys of the objects that were read.
        self.read: list[str] = []
        get = self.objects.get
        self.objects.get = lambda key: self.read.append(key) or get(key)  # type: ignore[func-returns-value,method-assign]
        self.now = NOON + timedelta(days=7)
        self._archiver = Archiver(self.objects, RecordedIncidents())
        self.lookup = ArchivedRecords(
            self.objects,
            self.given_up,
            lambda _arn, _shard: hash_keys,
            InMemoryParkedSpans(),
            EVENT_TYPES,
            now=lambda: self.now,
        )

    def give_up(self, at: datetime) -> None:
        self.given_up.now = at
        self.given_up.put_new("aws/lambda/uuid/shardId-1/2026/03/01/batch", b"{}")

    def write(self, *batches: list[dict[str, Any]], at: datetime = NOON) -> None:
        self.objects.now = at
        for batch in batches:
            self._archiver.archive(batch)

    def found(self, pointer: Pointer) -> list[dict[str, Any]]:
        return [raw for page in self.lookup.records(pointer) for raw in page]


def number(position: int) -> str:
    return str(stream_record(position, play_image())["dynamodb"]["SequenceNumber"])


def pointer(kind: StreamKind, first: str, last: str, records: int, **info: Any) -> Pointer:
    noon = NOON.timestamp()
    return parse(json.dumps(from_lambda(kind, first, last, records=records, **({"arrived": (noon, noon)} | info))))


def test_row_22_a_tables_batch_comes_back_by_its_sequence_numbers_as_lambda_had_delivered_it() -> None:
    """FAULTS row 22."""
    archive = Archived()
    archive.write(play_records(1, 4), play_records(5, 8), play_records(9, 12))

    found = archive.found(pointer("dynamodb", number(3), number(6), 4))

    assert [dynamodb.parse(raw) for raw in found] == [dynamodb.parse(raw) for raw in play_records(3, 6)]
    assert {raw["eventSourceARN"] for raw in found} == {TABLE_STREAM}


def test_row_22_expiries_and_unreadable_records_come_back_too() -> None:
    """FAULTS row 22."""
    archive = Archived()
    expired = stream_record(2, old=play_image(2), operation="REMOVE", userIdentity=BY_TTL)
    unreadable = stream_record(3, play_image(3)) | {"eventName": "EXPLODE"}
    archive.write([stream_record(1, play_image(1)), expired, unreadable])

    found = archive.found(pointer("dynamodb", number(1), number(3), 3))

    assert dynamodb.parse(found[1]) == dynamodb.parse(expired)
    assert found[2] == unreadable


def test_a_line_that_is_archived_twice_comes_back_once() -> None:
    archive = Archived()
    archive.write(play_records(1, 4), play_records(2, 5))

    assert len(archive.found(pointer("dynamodb", number(1), number(5), 5))) == 5


def test_a_batch_over_midnight_is_looked_for_on_both_days() -> None:
    archive = Archived()
    late, early = "2026-03-01T23:59:59Z", "2026-03-02T00:00:01Z"
    archive.write(
        [stream_record(1, play_image(1), at=late), stream_record(2, play_image(2), at=early)],
        at=datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=1),
    )
    arrived = (datetime.fromisoformat(late).timestamp(), datetime.fromisoformat(early).timestamp())

    assert len(archive.found(pointer("dynamodb", number(1), number(2), 2, arrived=arrived))) == 2


@pytest.mark.parametrize(("first", "last"), [(0, 3), (3, 9), (20, 30)])
def test_row_22_a_tables_batch_that_is_not_there_whole_is_told(first: int, last: int) -> None:
    """FAULTS row 22: parking a part would let the pointer go."""
    archive = Archived()
    archive.write(play_records(1, 8))

    with pytest.raises(NotArchivedError, match="the archive lacks"):
        archive.found(pointer("dynamodb", number(first), number(last), 1))


def test_row_22_a_hole_in_the_middle_is_told_by_the_batchs_size() -> None:
    """FAULTS row 22."""
    archive = Archived()
    archive.write(play_records(1, 2), play_records(4, 5))

    with pytest.raises(NotArchivedError, match="holds 4 of 5 records"):
        archive.found(pointer("dynamodb", number(1), number(5), 5))


def test_objects_that_cannot_hold_the_batch_are_not_read() -> None:
    archive = Archived()
    archive.write(play_records(1, 2), at=NOON - timedelta(minutes=10))
    archive.write(play_records(3, 4))
    archive.write(play_records(5, 6))

    archive.found(pointer("dynamodb", number(3), number(4), 2))

    assert len(archive.read) == 1


def plays(*players: str, at: str = "2026-03-01T11:59:58Z") -> list[dict[str, Any]]:
    return [
        stream_record(position, play_image(1, player=player, event_id=f"event-{player}"), at=at)
        for position, player in enumerate(players, start=1)
    ]


def test_row_22_a_kinesis_batch_is_published_anew_from_the_changes_before_it() -> None:
    """FAULTS row 22."""
    archive = Archived()
    archive.write([*plays("a", "b"), stream_record(3, old=play_image(9), operation="REMOVE", userIdentity=BY_TTL)])
    shard = "shardId-000000000001"

    found = archive.found(pointer("kinesis", "495", "499", 2, shard_id=shard))

    assert [kinesis.partition_key(raw) for raw in found] == ["player#a", "player#b"]
    assert [kinesis.body(raw) for raw in found] == [
        cloud_events.encode(play_image(1, player=player, event_id=f"event-{player}"), EVENT_TYPES).body
        for player in "ab"
    ]
    assert [kinesis.sequence_number(raw) for raw in found] == ["495", "496"]
    assert {raw["eventID"].partition(":")[0] for raw in found} == {shard}


def test_row_22_of_a_kinesis_batch_only_the_shards_hash_keys_come_back() -> None:
    """FAULTS row 22. The MD5 of player#a … is what Kinesis routes by."""
    lower, upper = range(2**127), range(2**127, 2**128)
    found = []
    for keys in (lower, upper, None):
        archive = Archived(keys)
        archive.write(plays(*"abcdefgh"))
        found.append({kinesis.partition_key(raw) for raw in archive.found(pointer("kinesis", "495", "499", 1))})

    assert found[0]
    assert found[1]
    assert found[0] & found[1] == set()
    # A shard that the stream has forgotten: all of them may be its.
    assert found[0] | found[1] == found[2] == {f"player#{player}" for player in "abcdefgh"}


@pytest.mark.parametrize(
    ("captured", "comes_back"),
    [
        ("2026-02-28T14:05:00Z", True),  # the fan-out tried for most of a day
        ("2026-02-28T13:50:00Z", False),
        ("2026-03-01T12:04:00Z", True),  # clocks differ
        ("2026-03-01T12:06:00Z", False),
    ],
)
def test_of_a_kinesis_batch_the_changes_come_back_that_can_have_arrived_with_it(
    captured: str, comes_back: bool
) -> None:
    archive = Archived()
    archive.write(plays("a", at=captured), at=NOON)

    found = archive.found(pointer("kinesis", "495", "499", 0))

    assert bool(found) is comes_back


def test_a_kinesis_batch_may_have_had_more_than_there_is_as_what_was_sent_again_stands_twice() -> None:
    """FAULTS row 22: that nothing is missing is proven by what the archiver gave up, not by a count."""
    archive = Archived()
    archive.write(plays("a"))

    assert len(archive.found(pointer("kinesis", "495", "499", 2))) == 1


def test_row_22_what_others_wrote_before_does_not_stand_for_what_the_archiver_gave_up() -> None:
    """FAULTS row 22: counted, there are plenty."""
    archive = Archived()
    archive.write(plays(*"abcdefgh", at="2026-03-01T09:00:00Z"), at=NOON - timedelta(hours=3))
    archive.give_up(NOON + timedelta(hours=22))

    with pytest.raises(NotArchivedError, match="redrive aws/lambda/uuid/shardId-1/2026/03/01/batch first"):
        archive.found(pointer("kinesis", "495", "499", 3))

    # As a redrive of the archiver's batches leaves it
    archive.given_up.objects.clear()
    archive.write([stream_record(9, play_image(9))])
    assert len(archive.found(pointer("kinesis", "495", "499", 3))) == 9


@pytest.mark.parametrize(("hours", "holes"), [(-23, False), (-22, True), (24, True), (25, False)])
@pytest.mark.parametrize("kind", ["dynamodb", "kinesis"])
def test_only_what_the_archiver_gave_up_of_that_time_makes_holes(kind: StreamKind, hours: int, holes: bool) -> None:
    archive = Archived()
    archive.write(play_records(1, 4))
    archive.give_up(NOON + timedelta(hours=hours))
    wanted = pointer(kind, number(1), number(4), 4)

    if holes and not (kind == "dynamodb" and hours < 0):
        with pytest.raises(NotArchivedError, match="gave up a batch of that time"):
            archive.found(wanted)
    else:
        assert len(archive.found(wanted)) == 4


def test_row_22_a_kinesis_batch_is_not_taken_from_an_archive_that_may_still_get_some_of_it() -> None:
    """FAULTS row 22: a table's batch may be, as the archive has its last record."""
    archive = Archived()
    archive.write(play_records(1, 4))
    archive.now = NOON + timedelta(hours=24)

    with pytest.raises(NotArchivedError, match="nobody can tell before 2026-03-02T12:05:00"):
        archive.found(pointer("kinesis", "495", "499", 4))
    assert len(archive.found(pointer("dynamodb", number(1), number(4), 4))) == 4
    archive.now += timedelta(minutes=5)
    assert len(archive.found(pointer("kinesis", "495", "499", 4))) == 4


def test_what_is_parked_for_one_batch_of_a_shard_no_other_one_brings_again() -> None:
    """The first may have had all that the next one had: hundreds of them would park hundreds of times as much."""
    archive = Archived()
    late = stream_record(2, play_image(1, player="late", event_id="event-late"), at="2026-03-01T13:00:00Z")
    archive.write(plays("early", at="2026-03-01T11:00:00Z"), [late], at=LATER)
    noon = NOON.timestamp()
    first = pointer("kinesis", "495", "499", 1, arrived=(noon, noon + 60))
    second = pointer("kinesis", "500", "501", 1, arrived=(noon + 3600, noon + 3660))

    before = [len(archive.found(each)) for each in (first, second)]
    # Whichever comes first: what the later one had of the time of the earlier one is parked too.
    other_way_round = Archived()
    other_way_round.write(plays("early", at="2026-03-01T11:00:00Z"), at=LATER)
    other_way_round.lookup.parked(second)
    archive.lookup.parked(first)

    assert before == [1, 2]
    assert other_way_round.found(first) == []
    assert list(map(kinesis.partition_key, archive.found(second))) == ["player#late"]
    assert archive.found(first) == []
    assert len(archive.found(replace(second, consumer="achievements"))) == 2
    assert len(archive.found(replace(second, shard_id="shardId-2"))) == 2


def test_what_one_batch_of_a_shard_has_read_the_next_one_does_not_read_again() -> None:
    """Each may have any change of a day: hundreds of them would read a day's objects hundreds of times."""
    archive = Archived()
    batches = []
    for place in range(1, 7):
        at = NOON + timedelta(minutes=10 * place)
        captured = timestamp(at - timedelta(seconds=2))
        image = play_image(1, player=str(place), event_id=f"event-{place}")
        archive.write([stream_record(place, image, at=captured)], at=at)
        arrived = at.timestamp(), at.timestamp() + 1
        batches.append(pointer("kinesis", str(place), str(place), 1, arrived=arrived))

    brought: list[str] = []
    for each in batches:
        brought += map(kinesis.partition_key, archive.found(each))
        archive.lookup.parked(each)

    assert brought == [f"player#{place}" for place in range(1, 7)]
    assert len(archive.read) <= 2 * len(batches)


def test_row_22_the_pipes_batch_is_looked_for_among_the_applications() -> None:
    """FAULTS row 22."""
    objects = InMemoryObjectStore()
    Archiver(objects, RecordedIncidents(), source="applications").archive(play_records(1, 4))
    lookup = ArchivedRecords(
        objects,
        InMemoryObjectStore(),
        lambda _arn, _shard: EVERYTHING,
        InMemoryParkedSpans(),
        EVENT_TYPES,
        sources={"application_status": "applications"},
    )
    noon = NOON.timestamp()
    info: dict[str, Any] = {"records": 2, "arrived": (noon, noon)}
    given = {
        name: parse(json.dumps(message("dynamodb", number(2), number(3), name, **info)))
        for name, message in (("ApplicationStatusPipe", from_pipe), ("FanOutFunction", from_lambda))
    }

    assert len([raw for page in lookup.records(given["ApplicationStatusPipe"]) for raw in page]) == 2
    with pytest.raises(NotArchivedError):
        list(lookup.records(given["FanOutFunction"]))
