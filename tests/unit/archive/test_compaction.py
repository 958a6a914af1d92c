"""Compaction with its objects in memory, and stopped wherever it can be."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from backports import zstd

from headwater.archive import curated
from headwater.archive.boundary import Boundary, PublishedDay
from headwater.archive.compaction import (
    CLAIMED_FOR,
    ChangedDayError,
    Compaction,
    Counts,
    Day,
    MiscountedDayError,
    UnreadableDayError,
)
from headwater.archive.day_claims import DayClaims, DayTakenError
from headwater.archive.growing_objects import ObjectChangedError
from tests.fakes import duckdb_engine
from tests.fakes.compaction_objects import InMemoryArchive
from tests.fakes.growing_objects import InMemoryGrowingObjects

DAY = "2026-03-01"
KEY = "curated/source=events/month=2026-03/2026-03-01.parquet"
LIST = "curated-days/events-2026-03.jsonl"


def asked(sql: str) -> list[tuple[Any, ...]]:
    with duckdb_engine.engine() as engine:
        return engine.execute(sql).fetchall()


class Bench:
    def __init__(self, now: str = "2026-03-05T12:00:00+00:00") -> None:
        self.archive = InMemoryArchive()
        self.lists = InMemoryGrowingObjects()
        self.now = datetime.fromisoformat(now)
        self.boundary = Boundary(self.lists)
        self.compaction = self.another()

    def another(self) -> Compaction:
        """Another process over the same archive."""
        claims = DayClaims(self.lists, lambda: self.now)
        return Compaction(self.archive, self.boundary, claims, lambda: self.now)

    def archived(self, name: str, *lines: dict[str, Any], day: str = DAY) -> None:
        body = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        self.archive.objects[f"raw/source=events/dt={day}/{name}.jsonl.zst"] = zstd.compress(body)

    def compact(self) -> list[str]:
        return [self.compaction.compact(day).dt for day in self.compaction.find("events").due]

    def rows(self, tmp_path: Path, names: str = "*") -> list[tuple[Any, ...]]:
        path = tmp_path / "day.parquet"
        path.write_bytes(self.archive.objects[KEY])
        return asked(f"SELECT {names} FROM read_parquet('{path}')")


def line(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "stream_event_id": f"id-{number:03d}",
        "sequence_number": str(number),
        "captured_at": f"{DAY}T12:00:00.000Z",
        "operation": "INSERT",
        "aggregate_id": f"player#{number % 3}",
        "version": number,
        "type": "PlayCompleted",
        "payload": '{"game":"chess","score":42}',
        **columns,
    }


def test_a_day_is_compacted_into_one_sorted_object_each_change_once(tmp_path: Path) -> None:
    """FAULTS row 4: what was delivered again, with other bounds, is there once."""
    bench = Bench()
    bench.archived("a", *(line(number) for number in range(1, 6)))
    bench.archived("b", *(line(number) for number in range(4, 9)), line(9, type="BadgeEarned"))

    assert bench.compact() == [DAY]

    rows = bench.rows(tmp_path, "type, aggregate_id, version, dt, game, score")
    assert rows == sorted(rows)
    assert [row[2] for row in rows if row[1] == "player#0" and row[0] == "PlayCompleted"] == [3, 6]
    assert {row[3:] for row in rows} == {(DAY, "chess", 42)}
    (published,) = bench.boundary.days("events", "2026-03").values()
    assert (published.records, published.raw_objects, published.objects) == (9, 2, [KEY])
    assert len(rows) == 9


def test_the_columns_of_the_object_are_those_that_athena_reads(tmp_path: Path) -> None:
    bench = Bench()
    bench.archived("a", line(1))
    bench.compact()
    path = tmp_path / "day.parquet"
    path.write_bytes(bench.archive.objects[KEY])

    described = asked(f"DESCRIBE SELECT * FROM read_parquet('{path}')")

    kinds = {"VARCHAR": "string", "BIGINT": "bigint", "INTEGER": "int"}
    assert {name: kinds[kind] for name, kind, *_ in described} == dict(curated.ROW)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"game":"go","score":7,"user_id":"u","badge":"b"}', ("u", "go", 7, "b")),
        ('{"game":5,"score":"8"}', (None, "5", 8, None)),
        ('{"game":{"name":"go"},"score":[1]}', (None, None, None, None)),
        ('{"score":2.5}', (None, None, None, None)),
        ('{"score":1e3}', (None, None, None, None)),
        ('{"score":9223372036854775808}', (None, None, None, None)),
        ('{"game":', (None, None, None, None)),
        ("[]", (None, None, None, None)),
        (None, (None, None, None, None)),
    ],
)
def test_hot_fields_are_plain_values_or_nothing(payload: str | None, expected: tuple[Any, ...], tmp_path: Path) -> None:
    bench = Bench()
    bench.archived("a", line(1, payload=payload))

    bench.compact()

    assert bench.rows(tmp_path, "user_id, game, score, badge") == [expected]


def test_days_that_are_open_or_done_are_not_due_and_those_that_changed_are() -> None:
    bench = Bench("2026-03-03T01:59:00+00:00")
    for day in ("2026-03-01", "2026-03-02"):
        bench.archived("a", line(1), day=day)

    assert bench.compact() == ["2026-03-01"]
    bench.now = datetime(2026, 3, 3, 2, tzinfo=UTC)
    assert bench.compact() == ["2026-03-02"]
    assert bench.compact() == []

    bench.archived("late", line(2))
    assert [day.dt for day in bench.compaction.find("events", since="2026-03-02").due] == []
    assert bench.compact() == ["2026-03-01"]
    assert bench.boundary.days("events", "2026-03")[DAY].records == 2


def test_stopped_at_every_step_and_run_again_it_gives_the_same_answer(tmp_path: Path) -> None:
    """Nothing is published that is not there, and nothing that was published goes away."""

    def fresh() -> Bench:
        bench = Bench()
        bench.archived("a", *(line(number) for number in range(1, 6)))
        bench.archived("b", *(line(number) for number in range(4, 9)))
        return bench

    whole = fresh()
    whole.compact()
    expected, steps = whole.rows(tmp_path), whole.archive.calls
    assert steps >= 5

    for step in range(1, steps + 1):
        bench = fresh()
        bench.archive.stop_before = step
        with pytest.raises(KeyboardInterrupt):
            bench.compact()
        assert bench.boundary.days("events", "2026-03") == {}
        bench.archive.stop_before = None
        assert bench.compact() == [DAY]
        assert bench.rows(tmp_path) == expected


def test_stopped_before_it_is_published_a_changed_day_is_what_it_was_or_what_it_will_be(tmp_path: Path) -> None:
    bench = Bench()
    bench.archived("a", line(1))
    bench.compact()
    bench.archived("late", line(2))

    def refuse(key: str, body: bytes, tag: str | None) -> None:
        if key == LIST:
            raise KeyboardInterrupt
        write(key, body, tag)

    write, bench.lists.write = bench.lists.write, refuse  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.compact()
    assert len(bench.rows(tmp_path)) == 2

    bench.lists.write = write  # type: ignore[method-assign]
    assert bench.compact() == [DAY]
    assert bench.compact() == []


@pytest.mark.parametrize("body", [b"not zstd", zstd.compress(b'{"stream_event_id": "x"}\n{broken\n')])
def test_an_object_that_cannot_be_read_is_named_and_the_day_stays_unpublished(body: bytes) -> None:
    bench = Bench()
    bench.archived("a", line(1))
    bench.archive.objects[f"raw/source=events/dt={DAY}/foreign.jsonl.zst"] = body

    with pytest.raises(UnreadableDayError, match=r"foreign\.jsonl\.zst") as caught:
        bench.compact()

    assert "/a.jsonl" not in str(caught.value)
    assert bench.boundary.days("events", "2026-03") == {}


def test_a_line_without_an_id_keeps_the_day_unpublished() -> None:
    bench = Bench()
    bench.archived("a", line(1), {"operation": "INSERT"})

    with pytest.raises(UnreadableDayError, match=r"/a\.jsonl\.zst: line 2 .* missing required field `stream_event_id`"):
        bench.compact()


def test_a_day_that_changes_while_it_is_compacted_is_not_published() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    (day,) = bench.compaction.find("events").due
    bench.archived("late", line(2))

    with pytest.raises(ChangedDayError, match=DAY):
        bench.compaction.compact(day)

    assert KEY not in bench.archive.objects
    assert bench.compact() == [DAY]


@pytest.mark.parametrize("damage", [None, b"", b"PAR1", b"longer than before"], ids=["gone", "empty", "cut", "other"])
def test_a_compacted_day_that_is_damaged_is_due_and_made_anew_from_raw(damage: bytes | None, tmp_path: Path) -> None:
    bench = Bench()
    bench.archived("a", line(1), line(2))
    bench.compact()
    rows = bench.rows(tmp_path)
    del bench.archive.objects[KEY]
    if damage is not None:
        bench.archive.objects[KEY] = damage

    assert bench.compact() == [DAY]
    assert bench.rows(tmp_path) == rows
    assert bench.compact() == []


def test_a_compacted_object_that_nobody_published_makes_its_day_due_and_goes() -> None:
    """Athena reads whatever lies there: its rows would count twice."""
    bench = Bench()
    bench.archived("a", line(1))
    bench.compact()
    bench.archive.objects[curated.key("events", DAY, 7)] = bench.archive.objects[KEY]

    assert bench.compact() == [DAY]
    assert list(curated_objects(bench)) == [f"{DAY}.parquet"]


def test_foreign_objects_beside_compacted_days_stay_and_stop_nothing() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    foreign = [
        f"curated/source=events/month=2026-03/{DAY}{name}" for name in ("", "/", " copy.parquet", ".parquet.bak")
    ]
    bench.archive.objects |= dict.fromkeys(foreign, b"somebody's")

    assert [each.key for each in bench.compaction.find("events").foreign] == sorted(foreign)
    assert bench.compact() == [DAY]
    assert bench.compact() == []
    day = begun(bench)
    published(bench, day, RUN, bench.compaction.place(day, RUN), counted(1))
    assert bench.archive.objects.keys() >= set(foreign)


def test_days_of_before_tags_were_noted_are_compacted_once_more() -> None:
    """They were counted by DuckDB alone, which takes an incomplete object for an empty one."""
    bench = Bench()
    bench.archived("a", line(1))
    bench.compact()
    body, tag = bench.lists.read(LIST)
    noted = {name: value for name, value in orjson.loads(body).items() if name not in ("tags", "digests")}
    bench.lists.write(LIST, orjson.dumps(noted), tag)

    assert bench.compact() == [DAY]
    assert bench.compact() == []


def test_a_list_that_is_damaged_keeps_its_month_as_it_is_and_no_other() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    bench.archived("a", line(1), day="2026-02-28")
    bench.lists.write(LIST, b'{"source":"events","dt":', None)

    found = bench.compaction.find("events")

    assert [day.dt for day in found.due] == ["2026-02-28"]
    (reason,) = found.left_out
    assert LIST in reason


def test_what_duckdb_drops_is_noticed_by_our_own_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB takes an incomplete frame for an empty one, without an error."""
    bench = Bench()
    bench.archived("a", line(1))
    bench.archived("b", line(2), line(3))
    key = f"raw/source=events/dt={DAY}/b.jsonl.zst"
    bench.archive.objects[key] = bench.archive.objects[key][:-4]
    # As if our own reader took it for whole.
    counted = iter([1, 2])
    monkeypatch.setattr("headwater.archive.reader.count", lambda _chunks: next(counted))

    with pytest.raises(MiscountedDayError, match="3 lines are raw, and DuckDB has read 1"):
        bench.compact()

    assert bench.boundary.days("events", "2026-03") == {}


def test_what_duckdb_refuses_is_named_by_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.archived("a", line(1))
    bench.archive.objects[f"raw/source=events/dt={DAY}/b.jsonl.zst"] = zstd.compress(b'{"stream_event_id": oops}\n')
    monkeypatch.setattr("headwater.archive.reader.count", lambda chunks: 1)

    with pytest.raises(UnreadableDayError, match=rf"raw/source=events/dt={DAY}/b\.jsonl\.zst"):
        bench.compact()


def test_two_that_publish_at_once_lose_nothing() -> None:
    bench = Bench()
    for day in ("2026-03-01", "2026-03-02"):
        bench.archived("a", line(1), day=day)
    first, second = bench.compaction.find("events").due
    read = bench.lists.read
    met: list[str] = []

    def overtaken(key: str) -> tuple[bytes, str | None]:
        found = read(key)
        if key == LIST and not met:
            met.append(key)
            bench.another().compact(second)
        return found

    bench.lists.read = overtaken  # type: ignore[method-assign]
    bench.compaction.compact(first)

    assert set(bench.boundary.days("events", "2026-03")) == {"2026-03-01", "2026-03-02"}


def test_a_list_that_never_rests_is_given_up() -> None:
    bench = Bench()
    bench.archived("a", line(1))

    def refuse(key: str, body: bytes, tag: str | None) -> None:
        if key == LIST:
            raise ObjectChangedError(key)
        write(key, body, tag)

    write, bench.lists.write = bench.lists.write, refuse  # type: ignore[method-assign]
    attempt: Callable[[], object] = bench.compact
    with pytest.raises(ObjectChangedError):
        attempt()


RUN = "night-1"


def begun(bench: Bench, *, objects: int = 2, run: str = RUN) -> Day:
    """A day that Athena unloaded."""
    day = bench.compaction.begin("events", DAY, run)
    for number in range(objects):
        name = f"{curated.run_prefix('events', DAY, run)}{number}-of-athenas-own-naming"
        bench.archive.objects[name] = f"part {number}".encode()
    return day


def by_athena(bench: Bench, changes: int, *, objects: int = 2) -> PublishedDay:
    """A day that Athena unloaded and counted, published."""
    day = begun(bench, objects=objects)
    return published(bench, day, RUN, bench.compaction.place(day, RUN), counted(changes))


def published(bench: Bench, day: Day, run: str, placed: dict[str, str], counts: Counts) -> PublishedDay:
    return bench.compaction.publish(day, run, placed, bench.compaction.lines(day), counts)


def counted(changes: int) -> Counts:
    return Counts(lines=changes, changes=changes, placed=changes)


def curated_objects(bench: Bench) -> dict[str, bytes]:
    return {key.rsplit("/", 1)[1]: body for key, body in bench.archive.objects.items() if key.startswith("curated/")}


def test_a_large_day_is_left_to_athena(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.archived("a", line(1))
    (day,) = bench.compaction.find("events").due
    assert not day.is_large

    monkeypatch.setattr("headwater.archive.compaction.LARGE_DAY", day.bytes - 1)

    assert day.is_large


def test_what_athena_wrote_gets_the_days_names_is_counted_and_then_published() -> None:
    bench = Bench()
    bench.archived("a", line(1), line(2))
    bench.archive.objects[f"{curated.run_prefix('events', DAY, RUN)}left-by-a-try-that-failed"] = b"half"

    day = begun(bench)
    keys = bench.compaction.place(day, RUN)
    assert bench.boundary.days("events", "2026-03") == {}
    assert curated_objects(bench) == {f"{DAY}-1.parquet": b"part 0", f"{DAY}-2.parquet": b"part 1"}

    published(bench, day, RUN, keys, counted(2))

    assert not [key for key in bench.archive.objects if key.startswith("compaction-runs/")]
    (listed,) = bench.boundary.days("events", "2026-03").values()
    assert listed.records == 2
    assert [key.rsplit("/", 1)[1] for key in listed.objects] == [f"{DAY}-1.parquet", f"{DAY}-2.parquet"]
    assert bench.compaction.find("events").due == []


@pytest.mark.parametrize(
    "counts",
    [
        Counts(lines=2, changes=2, placed=1),
        Counts(lines=2, changes=1, placed=2),
        # What an incomplete object looks like to whoever takes it for empty
        Counts(lines=1, changes=1, placed=1),
        Counts(lines=3, changes=2, placed=2),
    ],
)
def test_a_large_day_that_does_not_hold_what_raw_holds_stays_unpublished(counts: Counts) -> None:
    bench = Bench()
    bench.archived("a", line(1), line(2))
    day = begun(bench)
    keys = bench.compaction.place(day, RUN)

    with pytest.raises(MiscountedDayError, match=DAY):
        published(bench, day, RUN, keys, counts)

    assert bench.boundary.days("events", "2026-03") == {}
    assert [day.dt for day in bench.compaction.find("events").due] == [DAY]


def test_a_day_that_changed_while_athena_read_it_is_noticed() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    day = bench.compaction.day("events", DAY)
    assert bench.compaction.unchanged("events", DAY, day.digest) == day
    bench.archived("late", line(2))

    with pytest.raises(ChangedDayError, match=DAY):
        bench.compaction.unchanged("events", DAY, day.digest)


@pytest.mark.parametrize("grew", [True, False], ids=["grew", "shrank"])
def test_stopped_at_every_step_a_day_whose_objects_change_names_is_never_read_in_part(*, grew: bool) -> None:
    """While it is in the list its objects are the old ones or the new ones, all of them; else it is read from raw."""

    def fresh() -> tuple[Bench, Callable[[], object]]:
        bench = Bench()
        bench.archived("a", line(1))
        if grew:
            bench.compact()
        else:
            by_athena(bench, 1, objects=3)
        bench.archived("late", line(2))
        if grew:
            return bench, lambda: by_athena(bench, 2)
        return bench, bench.compact

    def listed(bench: Bench) -> list[str] | None:
        day = bench.boundary.days("events", "2026-03").get(DAY)
        return None if day is None else sorted(key.rsplit("/", 1)[1] for key in day.objects)

    whole, again = fresh()
    old = curated_objects(whole)
    before = whole.archive.calls
    again()
    new, steps = curated_objects(whole), whole.archive.calls - before
    assert listed(whole) == sorted(new)
    assert not old.keys() & new.keys()

    withdrawn = 0
    for step in range(1, steps + 1):
        bench, again = fresh()
        bench.archive.stop_before = bench.archive.calls + step
        with pytest.raises(KeyboardInterrupt):
            again()
        if listed(bench) is None:
            withdrawn += 1
        else:
            assert curated_objects(bench) in (old, new)
            assert listed(bench) == sorted(curated_objects(bench))
        bench.archive.stop_before = None
        again()
        assert listed(bench) == sorted(new)
        assert curated_objects(bench) == new
    assert withdrawn > 0


def test_all_closed_days_are_compacted_again_if_asked() -> None:
    bench = Bench()
    for day in ("2026-03-01", "2026-03-02"):
        bench.archived("a", line(1), day=day)
    bench.compact()

    assert bench.compaction.find("events").due == []
    assert [day.dt for day in bench.compaction.find("events", again=True).due] == ["2026-03-01", "2026-03-02"]
    assert [day.dt for day in bench.compaction.find("events", "2026-03-02", again=True).due] == ["2026-03-02"]


def test_what_another_run_placed_meanwhile_is_not_published_for_ones_own() -> None:
    """A claim does not outlive a query: what Athena counted is published only if it lies there still."""
    bench = Bench()
    bench.archived("a", line(1))
    day = begun(bench)
    placed = bench.compaction.place(day, RUN)
    bench.now += CLAIMED_FOR
    by_other = begun(bench, run="night-2")
    for key in bench.archive.objects:
        if key.startswith("compaction-runs/") and "night-2" in key:
            bench.archive.objects[key] += b" of the other"
    others = bench.compaction.place(by_other, "night-2")
    bench.compaction.release("events", DAY, "night-2")

    assert others.keys() == placed.keys()
    with pytest.raises(MiscountedDayError, match="2 are there, or others"):
        published(bench, day, RUN, placed, counted(1))
    assert bench.boundary.days("events", "2026-03") == {}


def test_placed_again_because_the_answer_was_lost_it_is_the_same() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    day = begun(bench)

    once = bench.compaction.place(day, RUN)
    objects = curated_objects(bench)

    assert bench.compaction.place(day, RUN) == once
    assert curated_objects(bench) == objects
    counts = counted(1)
    assert published(bench, day, RUN, once, counts) == published(bench, day, RUN, once, counts)


def test_a_day_that_is_being_compacted_is_left_to_whoever_does() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    day = begun(bench)
    attempts: list[Callable[[], object]] = [bench.compact, lambda: begun(bench, run="night-2")]

    for attempt in attempts:
        with pytest.raises(DayTakenError, match=f"{DAY} is being compacted by {RUN}.* until 2026-03-05T12:16:00"):
            attempt()
    assert curated_objects(bench) == {}

    published(bench, day, RUN, bench.compaction.place(day, RUN), counted(1))
    bench.archived("late", line(2))
    assert bench.compact() == [DAY]


def test_a_run_that_stopped_has_its_day_for_some_minutes_and_then_no_more() -> None:
    """What it does then is refused, however far it is."""
    bench = Bench()
    bench.archived("a", line(1))
    day = begun(bench)
    keys = bench.compaction.place(day, RUN)
    bench.now += CLAIMED_FOR

    by_other = begun(bench, objects=3, run="night-2")

    with pytest.raises(DayTakenError, match="night-2"):
        published(bench, day, RUN, keys, counted(1))
    with pytest.raises(DayTakenError, match="night-2"):
        bench.compaction.place(day, RUN)
    published(bench, by_other, "night-2", bench.compaction.place(by_other, "night-2"), counted(1))
    assert len(bench.boundary.days("events", "2026-03")[DAY].objects) == 3


def test_one_that_took_too_long_does_not_put_its_object_over_a_newer_one(tmp_path: Path) -> None:
    bench = Bench()
    bench.archived("a", line(1))
    (day,) = bench.compaction.find("events").due
    download = bench.archive.download

    def slow(key: str, path: Path) -> None:
        download(key, path)
        bench.archive.download = download  # type: ignore[method-assign]
        bench.now += timedelta(hours=1)
        bench.archived("late", line(2))
        bench.another().compact(bench.compaction.day("events", DAY))

    bench.archive.download = slow  # type: ignore[method-assign]
    with pytest.raises(ChangedDayError):
        bench.compaction.compact(day)

    assert len(bench.rows(tmp_path)) == 2
    assert bench.compaction.find("events").due == []


def test_one_that_lost_its_day_to_a_run_under_way_does_not_put_its_object_there() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    (day,) = bench.compaction.find("events").due
    download = bench.archive.download

    def slow(key: str, path: Path) -> None:
        download(key, path)
        bench.now += timedelta(hours=1)
        by_other = begun(bench)
        bench.compaction.place(by_other, RUN)

    bench.archive.download = slow  # type: ignore[method-assign]
    with pytest.raises(DayTakenError, match=RUN):
        bench.compaction.compact(day)

    assert list(curated_objects(bench)) == [f"{DAY}-1.parquet", f"{DAY}-2.parquet"]


def test_what_else_lies_under_the_days_name_is_not_published() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    day = begun(bench)
    keys = bench.compaction.place(day, RUN)
    bench.archive.objects[KEY] = b"of somebody else"

    with pytest.raises(MiscountedDayError, match="2 objects were placed, 3 are there"):
        published(bench, day, RUN, keys, counted(1))

    assert bench.boundary.days("events", "2026-03") == {}


def test_two_who_claim_a_day_at_once_do_not_both_have_it() -> None:
    bench = Bench()
    claims = DayClaims(bench.lists, lambda: bench.now)
    read, hour = bench.lists.read, timedelta(hours=1)

    def overtaken(key: str) -> tuple[bytes, str | None]:
        found = read(key)
        bench.lists.read = read  # type: ignore[method-assign]
        claims.take("events", DAY, "faster", hour)
        return found

    bench.lists.read = overtaken  # type: ignore[method-assign]
    with pytest.raises(DayTakenError):
        claims.take("events", DAY, "slower", hour)

    claims.release("events", DAY, "slower")
    with pytest.raises(DayTakenError, match="faster"):
        claims.take("events", DAY, "slower", hour)
    claims.release("events", DAY, "faster")
    claims.take("events", DAY, "slower", hour)


def test_a_claim_left_by_a_killed_run_is_over_minutes_later() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    DayClaims(bench.lists, lambda: bench.now).take("events", DAY, "killed", CLAIMED_FOR)

    bench.now += CLAIMED_FOR - timedelta(seconds=1)
    with pytest.raises(DayTakenError, match="killed"):
        bench.compact()
    bench.now += timedelta(seconds=1)

    assert bench.compact() == [DAY]
    assert timedelta(minutes=15) < CLAIMED_FOR < timedelta(minutes=30)


def test_a_day_can_be_taken_over_at_once_and_who_had_it_changes_nothing_any_more() -> None:
    bench = Bench()
    bench.archived("a", line(1))
    (day,) = bench.compaction.find("events").due
    athenas = begun(bench)
    keys = bench.compaction.place(athenas, RUN)
    claims = DayClaims(bench.lists, lambda: bench.now)

    bench.compaction.compact(day, take_over=True)
    claims.take("events", DAY, "the next", CLAIMED_FOR)

    with pytest.raises(DayTakenError, match="the next"):
        published(bench, athenas, RUN, keys, counted(1))
    assert list(curated_objects(bench)) == [f"{DAY}.parquet"]


def test_a_day_that_takes_long_stays_claimed() -> None:
    """Renewed well before it ends, also where one renewal fails."""
    bench = Bench()
    reached, goes_on, finishing = threading.Semaphore(0), threading.Semaphore(0), threading.Event()

    def wait(ended: threading.Event, seconds: float) -> bool:
        if finishing.is_set():
            return ended.wait()
        assert seconds * 3 < CLAIMED_FOR.total_seconds()
        reached.release()
        while not goes_on.acquire(timeout=0.01):
            # Should the test fail above, nobody lets it go on.
            if ended.is_set():
                return True
        bench.now += timedelta(seconds=seconds)
        return ended.is_set()

    claims = DayClaims(bench.lists, lambda: bench.now, wait)
    others = DayClaims(bench.lists, lambda: bench.now)
    with claims.held("events", DAY, "slow", CLAIMED_FOR):
        write = bench.lists.write
        for turn in range(12):
            reached.acquire()
            bench.lists.write = _refusing if turn % 4 == 1 else write  # type: ignore[method-assign]
            with pytest.raises(DayTakenError, match="slow"):
                others.take("events", DAY, "other", CLAIMED_FOR)
            goes_on.release()
        reached.acquire()
        bench.lists.write = write  # type: ignore[method-assign]
        with pytest.raises(DayTakenError, match="slow"):
            others.take("events", DAY, "other", CLAIMED_FOR)
        finishing.set()
        goes_on.release()
    others.take("events", DAY, "other", CLAIMED_FOR)


def _refusing(key: str, body: bytes, tag: str | None) -> None:
    raise OSError("S3 is away for a moment")


def test_a_renewal_at_the_same_moment_takes_the_day_from_nobody() -> None:
    bench = Bench()
    claims = DayClaims(bench.lists, lambda: bench.now)
    claims.take("events", DAY, "mine", CLAIMED_FOR)
    read = bench.lists.read

    def overtaken(key: str) -> tuple[bytes, str | None]:
        found = read(key)
        bench.lists.read = read  # type: ignore[method-assign]
        claims.take("events", DAY, "mine", CLAIMED_FOR)
        return found

    bench.lists.read = overtaken  # type: ignore[method-assign]
    claims.take("events", DAY, "mine", CLAIMED_FOR)

    with pytest.raises(DayTakenError, match="mine"):
        claims.take("events", DAY, "other", CLAIMED_FOR)


@pytest.mark.parametrize(
    "claim",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"run":"x"}',
        b'{"until":5}',
        b'{"run":"x","until":null}',
        b'{"run":"x","until":"soon"}',
    ],
)
def test_a_claim_that_is_none_holds_nobody_up(claim: bytes) -> None:
    bench = Bench()
    bench.archived("a", line(1))
    bench.lists.write(f"{curated.runs_prefix('events', DAY)}claim.json", claim, None)

    assert bench.compact() == [DAY]
