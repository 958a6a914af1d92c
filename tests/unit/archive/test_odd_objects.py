"""Foreign and damaged objects, before every reader of the archive: all have the same idea of what is theirs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.demo import accounting
from headwater.archive import reader
from headwater.archive.archiver import Archiver
from headwater.archive.boundary import Boundary
from headwater.archive.compaction import Compaction, UnreadableDayError
from headwater.archive.day_claims import DayClaims
from headwater.archive.inventory import Names, is_day, sorted_out
from headwater.archive.lookup import ArchivedRecords, NotArchivedError
from headwater.dead_letters.pointers import parse
from operations.archive.local_sql import LocalSql
from tests.fakes.archived_objects import InMemoryObjects
from tests.fakes.cloud import FakeAws
from tests.fakes.compaction_objects import InMemoryArchive
from tests.fakes.events import EVENT_TYPES
from tests.fakes.growing_objects import InMemoryGrowingObjects
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.odd_objects import DAMAGE, DAY, FOREIGN
from tests.fakes.parked_spans import InMemoryParkedSpans
from tests.fakes.pointers import from_lambda
from tests.fakes.stream_records import play_records, stream_record

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

type Objects = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader answers: the versions in the rows (None: it refuses), what it says of damage, what was foreign."""

    versions: list[int] | None
    damage: str = ""
    foreign: tuple[str, ...] | None = None


def archive() -> Objects:
    """Six plays in two objects of three."""
    store = InMemoryObjectStore()
    archiver = Archiver(store, RecordedIncidents())
    archiver.archive(play_records(1, 3))
    archiver.archive(play_records(4, 6))
    return store.objects


def by_compaction(objects: Objects) -> Told:
    lists = InMemoryGrowingObjects()
    compaction = _compaction(objects, lists)
    found = compaction.find("events")
    foreign = tuple(each.key for each in found.foreign)
    (day,) = found.due
    try:
        compaction.compact(day)
    except UnreadableDayError as error:
        assert Boundary(lists).days("events", DAY[:7]) == {}
        assert not [key for key in objects if key.startswith("curated/")]
        return Told(None, str(error), foreign)
    assert set(Boundary(lists).days("events", DAY[:7])) == {DAY}
    with LocalSql(InMemoryObjects(objects)) as sql:
        return Told(_versions(sql.query("SELECT version FROM events").rows), "", foreign)


def by_athena(objects: Objects) -> Told:
    """What is asked before Athena is."""
    compaction = _compaction(objects, InMemoryGrowingObjects())
    found = compaction.find("events")
    (day,) = found.due
    try:
        lines = compaction.lines(day)
    except UnreadableDayError as error:
        return Told(None, str(error))
    return Told(list(range(1, lines + 1)), "", tuple(each.key for each in found.foreign))


def by_local_sql(objects: Objects) -> Told:
    with LocalSql(InMemoryObjects(objects)) as sql:
        rows = sql.query("SELECT version FROM events_all").rows
        assert sql.incomplete is bool(sql.damaged)
        damage = "; ".join(f"{each.key}: {each.reason}" for each in sql.damaged)
        return Told(_versions(rows), damage, tuple(each.key for each in sql.foreign))


def by_dead_letters(objects: Objects) -> Told:
    store = InMemoryObjectStore()
    for key, body in objects.items():
        store.put_new(key, body)
    lookup = ArchivedRecords(
        store,
        InMemoryObjectStore(),
        lambda _arn, _shard: None,
        InMemoryParkedSpans(),
        EVENT_TYPES,
        now=lambda: NOON + timedelta(days=7),
    )
    first, last = (stream_record(number)["dynamodb"]["SequenceNumber"] for number in (1, 6))
    noon = NOON.timestamp()
    pointer = parse(json.dumps(from_lambda("dynamodb", first, last, records=6, arrived=(noon, noon))))
    try:
        records = [raw for page in lookup.records(pointer) for raw in page]
    except NotArchivedError as error:
        return Told(None, str(error))
    return Told([int(raw["dynamodb"]["Keys"]["version"]["N"]) for raw in records])


def by_accounting(objects: Objects) -> Told:
    """Through the simulator's S3."""
    aws = FakeAws()
    for key, body in objects.items():
        aws.s3.put_object(Bucket="archive", Key=key, Body=body)
    try:
        return Told([line["version"] for line in accounting.archive_lines(aws.s3, "archive")])
    except reader.UnreadableObjectError as error:
        return Told(None, str(error))


READERS = (by_compaction, by_athena, by_local_sql, by_dead_letters, by_accounting)


def _compaction(objects: Objects, lists: InMemoryGrowingObjects) -> Compaction:
    def later() -> datetime:
        return NOON + timedelta(days=30)

    return Compaction(InMemoryArchive(objects), Boundary(lists), DayClaims(InMemoryGrowingObjects(), later), later)


def _versions(rows: object) -> list[int]:
    assert isinstance(rows, list)
    return sorted(version for (version,) in rows)


@pytest.fixture(params=READERS, ids=lambda each: each.__name__)
def ask(request: pytest.FixtureRequest) -> Callable[[Objects], Told]:
    found: Callable[[Objects], Told] = request.param
    return found


def test_foreign_objects_are_passed_over_by_each_reader_and_named(ask: Callable[[Objects], Told]) -> None:
    """FAULTS row 46."""
    objects = archive() | dict.fromkeys(FOREIGN, b"not the archive's")

    told = ask(objects)

    assert (told.versions, told.damage) == ([1, 2, 3, 4, 5, 6], "")
    # The others say nothing of it: compaction names them every night.
    assert told.foreign in (None, tuple(sorted(FOREIGN)))


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_by_each_reader_and_what_is_whole_is_not(ask: Callable[[Objects], Told], damage: str) -> None:
    """FAULTS row 47."""
    objects = archive()
    whole, damaged = sorted(objects)
    objects[damaged] = DAMAGE[damage](objects[damaged])

    told = ask(objects)

    assert damaged in told.damage
    assert whole not in told.damage
    # Whoever can answer in part gives the rows of what is whole; the others refuse.
    assert told.versions in (None, [1, 2, 3])


@pytest.mark.parametrize("damage", DAMAGE)
def test_all_that_is_damaged_is_named_at_once(damage: str) -> None:
    objects = archive()
    objects = {key: DAMAGE[damage](body) for key, body in objects.items()}

    told = by_compaction(objects)

    assert all(key in told.damage for key in objects if key.startswith("raw/"))


def test_two_whole_frames_are_a_whole_object(ask: Callable[[Objects], Told]) -> None:
    """Nobody can tell that a third is missing; the archiver writes one."""
    first, second = sorted((objects := archive()).items())
    del objects[second[0]]
    objects[first[0]] = first[1] + second[1]

    assert ask(objects).versions == [1, 2, 3, 4, 5, 6]


def test_the_archiver_archives_anew_what_lies_damaged_under_its_name() -> None:
    store = InMemoryObjectStore()
    archiver = Archiver(store, RecordedIncidents())
    archiver.archive(play_records(1, 3))
    ((key, body),) = store.objects.items()
    store.objects[key] = body[:-1]

    archiver.archive(play_records(1, 3))

    (again,) = store.objects.keys() - {key}
    assert [columns["version"] for columns in reader.lines(store.objects[again])] == [1, 2, 3]


BODY = archive()[min(archive())]
LINES = reader.whole(BODY)


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def read(body: bytes, size: int) -> list[dict[str, object]] | None:
    try:
        found = list(reader.checked(pieces(body, size)))
    except reader.UnreadableObjectError:
        return None
    assert reader.whole(body) == found
    return found


@given(st.integers(0, len(BODY) - 1), st.integers(1, len(BODY) + 1))
@settings(max_examples=300)
def test_an_object_that_is_cut_anywhere_is_damaged_however_it_is_read(end: int, size: int) -> None:
    assert read(BODY[:end], size) is None
    assert read(BODY, size) == LINES


@given(st.integers(0, len(BODY) * 8 - 1), st.integers(1, len(BODY)))
@settings(max_examples=300)
def test_no_flipped_bit_changes_a_line_unnoticed(bit: int, size: int) -> None:
    flipped = bytearray(BODY)
    flipped[bit // 8] ^= 1 << bit % 8

    # One in the frame's header means nothing.
    assert read(bytes(flipped), size) in (None, LINES)


@given(st.binary(min_size=1, max_size=40), st.integers(1, 1000))
@settings(max_examples=300)
def test_whatever_is_behind_the_last_frame_is_damage(tail: bytes, size: int) -> None:
    assert read(BODY + tail, size) is None


@given(st.text(max_size=60))
@settings(max_examples=500)
def test_a_name_is_ours_only_if_the_archive_may_give_it(name: str) -> None:
    class Entry:
        key = f"raw/source=events/dt={name}"

    stock = sorted_out([Entry], Names.RAW)

    day, _, rest = name.partition("/")
    ours = is_day(day) and rest.endswith(".jsonl.zst") and rest.removesuffix(".jsonl.zst").isascii() and "/" not in rest
    assert bool(stock.own) <= ours
    assert bool(stock.own) != bool(stock.foreign)


def test_the_archivers_own_names_are_ours() -> None:
    strange = play_records(1, 2)
    strange[0]["eventID"] = "Ünïcode / and\nmore"
    store = InMemoryObjectStore()
    archiver = Archiver(store, RecordedIncidents())
    batches: list[list[dict[str, Any]]] = [strange, play_records(1, 3), [{"eventID": "no number"}], [{}]]
    for batch in batches:
        archiver.archive(batch)

    assert len(store.objects) == 4
    assert all(map(Names.RAW.owns, store.objects))


def test_an_object_that_unpacks_to_more_than_fits_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.archive.curated.LINE_BYTES", 100_000)
    monkeypatch.setattr("headwater.archive.reader._PIECE_BYTES", 1_000)
    line = orjson.dumps({"stream_event_id": "x", "payload": "y" * 90_000})
    longer = orjson.dumps({"stream_event_id": "x", "payload": "y" * 120_000})

    assert reader.count([zstd.compress((line + b"\n") * 50)]) == 50
    with pytest.raises(reader.UnreadableObjectError, match="longer than 100000 bytes"):
        reader.count([zstd.compress(line + b"\n" + longer)])
