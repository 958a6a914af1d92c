"""Athena's tables and views over an archive on this machine."""

import dataclasses
import gc
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from backports import zstd

from headwater.archive import curated
from headwater.archive.archiver import Archiver
from headwater.archive.boundary import Boundary
from headwater.archive.compaction import Compaction
from headwater.archive.day_claims import DayClaims
from headwater.archive.envelope import change_record
from headwater.archive.objects import ObjectNotFoundError
from headwater.change_stream.dynamodb import parse
from operations.archive import saved_sql
from operations.archive.local_sql import GivenUpError, LocalSql, LocalSqlError, TooManyRowsError
from operations.archive.tables import TABLES
from tests.fakes import duckdb_engine
from tests.fakes.archived_objects import InMemoryObjects
from tests.fakes.compaction_objects import InMemoryArchive
from tests.fakes.growing_objects import InMemoryGrowingObjects
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.queries import ENDLESS
from tests.fakes.stream_records import play_image, play_records, stream_record

PAGE = "raw/source=events/dt=2026-03-01/{}.jsonl.zst"
DAY = curated.key("events", "2026-03-01")
LIST = "curated-days/events-2026-03.jsonl"


@pytest.fixture
def store() -> InMemoryObjectStore:
    return InMemoryObjectStore()


@pytest.fixture
def objects(store: InMemoryObjectStore) -> InMemoryObjects:
    return InMemoryObjects(store.objects)


@pytest.fixture
def sql(objects: InMemoryObjects) -> Iterator[LocalSql]:
    with LocalSql(objects) as opened:
        yield opened


def archive(store: InMemoryObjectStore, records: list[dict[str, Any]]) -> None:
    Archiver(store, RecordedIncidents()).archive(records)


def april() -> datetime:
    return datetime(2026, 4, 1, tzinfo=UTC)


def compact(store: InMemoryObjectStore) -> None:
    """Compacts the archive's days."""
    lists = InMemoryGrowingObjects()
    claims = DayClaims(InMemoryGrowingObjects(), april)
    compaction = Compaction(InMemoryArchive(store.objects), Boundary(lists), claims, april)
    for day in compaction.find("events").due:
        compaction.compact(day)
    store.objects |= {key: body for key, (body, _) in lists.objects.items()}


def parquet(folder: Path, sql: str) -> bytes:
    with duckdb_engine.engine() as engine:
        engine.execute(f"COPY ({sql}) TO '{folder / 'x.parquet'}' (FORMAT parquet, COMPRESSION zstd)")
    return (folder / "x.parquet").read_bytes()


def with_payload(number: int, payload: str) -> dict[str, Any]:
    return stream_record(number, play_image(number) | {"data": {"S": payload}})


def test_objects_are_one_table_with_their_partitions(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, play_records(1, 3, at="2026-02-28T12:00:00Z") + play_records(4, 5, at="2026-03-01T12:00:00Z"))

    answer = sql.query("SELECT source, dt, count(*) AS records, max(version) FROM events_raw GROUP BY 1, 2 ORDER BY dt")

    assert answer.columns == ("source", "dt", "records", "_col3")
    assert answer.rows == [("events", "2026-02-28", 3, 3), ("events", "2026-03-01", 2, 5)]


def test_the_database_that_athena_names_may_be_named(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, play_records(1, 2))

    answer = sql.query('SELECT count(*) FROM "awsdatacatalog"."headwater_dev"."events_raw" e WHERE e.version > 1')

    assert answer.rows == [(1,)]


def test_an_empty_archive_is_empty_tables(sql: LocalSql) -> None:
    assert sql.query("SELECT dt, payload FROM events_raw").rows == []
    assert sql.query("SELECT count(*) FROM events_all").rows == [(0,)]
    assert sql.query("SELECT count(*) FROM application_statuses").rows == [(0,)]


def test_views_read_what_they_are_made_of(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, play_records(1, 3))

    assert sql.query("SELECT user_id, game, sum(score) FROM plays GROUP BY 1, 2").rows == [("0199-a", "chess", 6)]


def test_a_second_query_downloads_only_what_is_new(
    store: InMemoryObjectStore, objects: InMemoryObjects, sql: LocalSql
) -> None:
    archive(store, play_records(1, 3))
    sql.query("SELECT 1 FROM events_raw")
    first = list(objects.downloads)
    archive(store, play_records(4, 5))

    answer = sql.query("SELECT count(*) FROM events_raw")

    assert answer.rows == [(5,)]
    assert len(first) == 1
    assert sorted(objects.downloads) == sorted(store.objects)


def test_a_query_downloads_only_the_tables_that_it_reads(
    store: InMemoryObjectStore, objects: InMemoryObjects, sql: LocalSql
) -> None:
    archive(store, play_records(1, 3))

    sql.query("SELECT 1 FROM applications_all")

    assert objects.downloads == []


def test_an_object_that_is_gone_is_forgotten(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, play_records(1, 3))
    sql.query("SELECT 1 FROM events_raw")
    store.objects.clear()

    assert sql.query("SELECT count(*) FROM events_raw").rows == [(0,)]


def test_only_the_archives_own_keys_become_files(objects: InMemoryObjects, sql: LocalSql) -> None:
    foreign = {
        "raw/source=events/../../outside.jsonl.zst": b"",
        "raw/source=events/dt=2026-03-01/../x.jsonl.zst": b"",
        "raw/source=events/dt=2026-03-01/_SUCCESS": b"",
        "raw/source=events/dt=2026-99-99/x.jsonl.zst": b"",
        "raw/source=events/dt=2026-03-01/": b"",
    }
    objects.objects |= foreign

    assert sql.query("SELECT count(*) FROM events_raw").rows == [(0,)]
    assert objects.downloads == []
    assert [each.key for each in sql.foreign] == sorted(foreign)
    assert (sql.damaged, sql.incomplete) == ([], False)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not Zstandard", "not Zstandard"),
        (zstd.compress(b'{"stream_event_id": "1"}\n')[:-4], "the object is incomplete"),
        (zstd.compress(b'{"stream_event_id": "1"}\n{"stream_event'), "line 2 is none of the archive's"),
        (zstd.compress(b"[1]\n"), "line 1 is none of the archive's: Expected `object`"),
        (zstd.compress(b'{"hello": "world"}\n'), "missing required field `stream_event_id`"),
        (zstd.compress(b'{"stream_event_id": "1", "version": "2"}\n'), "got `str` - at `$.version`"),
        (zstd.compress(b'{"stream_event_id": "1", "payload": {"a": 1}}\n'), "got `object` - at `$.payload`"),
        (zstd.compress(b'{"stream_event_id": "1", "captured_at": "yesterday"}\n'), "at `$.captured_at`"),
        (zstd.compress(b'{"stream_event_id": "1", "captured_at": "2026-03-01"}\n'), "at `$.captured_at`"),
        (
            zstd.compress(b'{"stream_event_id": "1", "version": 9223372036854775808}\n'),
            "<= 9223372036854775807 - at `$.version`",
        ),
        (
            zstd.compress(b'{"stream_event_id": "1", "schema_version": 2147483648}\n'),
            "<= 2147483647 - at `$.schema_version`",
        ),
    ],
)
def test_a_corrupt_object_is_named_and_left_out(
    store: InMemoryObjectStore, sql: LocalSql, body: bytes, reason: str
) -> None:
    archive(store, play_records(1, 3))
    store.objects[PAGE.format("corrupt")] = body

    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert [each.key for each in sql.damaged] == [PAGE.format("corrupt")]
    assert reason in sql.damaged[0].reason

    # When it was put right
    store.objects[PAGE.format("corrupt")] = zstd.compress(orjson.dumps({"stream_event_id": "1"}))
    assert sql.query("SELECT count(*) FROM events_all").rows == [(4,)]
    assert sql.damaged == []


@pytest.mark.parametrize(
    ("sql_of", "reason"),
    [
        ("SELECT 1 AS a", "no column stream_event_id"),
        ("SELECT 1 AS stream_event_id, '2026-02-01' AS dt", "stream_event_id is of type integer"),
        ("SELECT 'x' AS stream_event_id, '2026-02-01' AS dt, 'two' AS version", "version is of type varchar"),
        ("SELECT unnest(['x', 'y']) AS stream_event_id, '2026-02-02' AS dt", "2 of its 2 rows are of other days"),
    ],
)
def test_foreign_parquet_is_named_and_left_out(
    store: InMemoryObjectStore, sql: LocalSql, tmp_path: Path, sql_of: str, reason: str
) -> None:
    archive(store, play_records(1, 3))
    compact(store)
    # Under a name that the archive may give, though no list has it
    foreign = curated.key("events", "2026-02-01")
    store.objects[foreign] = parquet(tmp_path, sql_of)

    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert sql.query("SELECT count(*) FROM events").rows == [(3,)]
    assert [(each.key, reason in each.reason) for each in sql.damaged] == [(foreign, True)]


def test_damage_within_a_compacted_day_is_named(store: InMemoryObjectStore, sql: LocalSql, tmp_path: Path) -> None:
    rows = (
        "SELECT i::VARCHAR AS stream_event_id, '2026-02-01' AS dt, hash(i)::VARCHAR AS payload FROM range(20000) t(i)"
    )
    damaged = bytearray(parquet(tmp_path, rows))
    # The footer, which tells the columns and the number of rows, is as it was.
    damaged[40_000:40_100] = bytes(100)
    key = curated.key("events", "2026-02-01")
    store.objects[key] = bytes(damaged)

    assert sql.query("SELECT count(*), max(payload) FROM events_all").rows == [(0, None)]
    assert [each.key for each in sql.damaged] == [key]
    assert "no Parquet that can be read" in sql.damaged[0].reason
    assert str(sql._root) not in sql.damaged[0].reason


def test_a_month_that_is_not_the_days_is_foreign(store: InMemoryObjectStore, sql: LocalSql) -> None:
    store.objects["curated/source=events/month=2026-03/2026-02-01.parquet"] = b"PAR1"

    assert sql.query("SELECT count(*) FROM events").rows == [(0,)]
    assert "its name is none" in sql.foreign[0].reason


def test_a_compacted_day_that_is_gone_is_named_and_answered_from_raw(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, play_records(1, 3))
    compact(store)
    body = store.objects.pop(DAY)

    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert sql.query("SELECT dt FROM curated_days").rows == []
    (damaged,) = sql.damaged
    assert damaged.key == DAY
    assert "missing; the list of compacted days has 3 change(s) of 2026-03-01" in damaged.reason
    assert "the day is answered from raw, and `headwater archive compact` mends it" in damaged.reason
    assert not sql.incomplete

    store.objects[DAY] = body
    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert sql.query("SELECT dt FROM curated_days").rows == [("2026-03-01",)]
    assert sql.damaged == []


def test_who_asks_for_compacted_days_alone_is_told_that_one_is_gone(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, play_records(1, 3))
    compact(store)
    del store.objects[DAY]

    assert sql.query("SELECT count(*) FROM events").rows == [(0,)]
    assert [each.key for each in sql.damaged] == [DAY]
    assert sql.incomplete


def test_a_compacted_day_that_raw_does_not_have_either_is_answered_from_what_is_left(
    store: InMemoryObjectStore, sql: LocalSql
) -> None:
    archive(store, play_records(1, 3))
    archive(store, play_records(4, 5))
    compact(store)
    first, second = sorted(key for key in store.objects if key.startswith("raw/"))
    store.objects[DAY] = store.objects[DAY][:-1]
    store.objects[second] = b""

    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert [each.key for each in sql.damaged] == [DAY, second]
    assert "raw has not all of the day" in sql.damaged[0].reason
    assert sql.incomplete

    del store.objects[first], store.objects[second]
    assert sql.query("SELECT count(*) FROM events_all").rows == [(0,)]
    assert sql.incomplete


def test_raw_that_is_damaged_takes_nothing_from_a_day_that_is_compacted(
    store: InMemoryObjectStore, sql: LocalSql
) -> None:
    archive(store, play_records(1, 3))
    compact(store)
    (key,) = (key for key in store.objects if key.startswith("raw/"))
    store.objects[key] = store.objects[key][:-1]

    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert [each.key for each in sql.damaged] == [key]
    assert not sql.incomplete
    assert sql.query("SELECT count(*) FROM events_raw").rows == [(0,)]
    assert sql.incomplete


def test_a_compacted_day_that_holds_too_little_is_named(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, play_records(1, 2))
    compact(store)
    less = store.objects[DAY]
    archive(store, play_records(3, 5))
    compact(store)
    store.objects[DAY] = less

    assert sql.query("SELECT count(*) FROM events_all").rows == [(5,)]
    (damaged,) = sql.damaged
    assert damaged.key == DAY
    assert "it is not the object that was published" in damaged.reason

    # As of a day that Athena made
    store.objects[LIST] = re.sub(rb'"digests":\[[^]]*\]', b'"digests":[]', store.objects[LIST])
    assert sql.query("SELECT count(*) FROM events_all").rows == [(5,)]
    (damaged,) = sql.damaged
    assert "the list of compacted days has 5 change(s) of 2026-03-01, its objects hold 2" in damaged.reason


def test_a_compacted_day_that_is_another_than_was_published_is_answered_from_raw(
    store: InMemoryObjectStore, sql: LocalSql
) -> None:
    """As after a run that was stopped between its two writes."""
    archive(store, play_records(1, 2))
    compact(store)
    before = store.objects[LIST]
    archive(store, play_records(3, 5))
    compact(store)
    store.objects[LIST] = before

    assert sql.query("SELECT count(*) FROM events_all").rows == [(5,)]
    (damaged,) = sql.damaged
    assert damaged.reason.startswith("it is not the object that was published")
    assert not sql.incomplete


@pytest.mark.parametrize("line", [b'{"dt":5}', b'{"dt":"2026-02-30"}', b'{"records":3}', b'{"dt":', b"[]"])
def test_a_list_of_days_that_is_foreign_is_named(store: InMemoryObjectStore, sql: LocalSql, line: bytes) -> None:
    archive(store, play_records(1, 3))
    store.objects[LIST] = line + b"\n"

    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert [each.key for each in sql.damaged] == [LIST]


@pytest.mark.parametrize("moment", [LIST, DAY])
def test_a_day_that_leaves_the_list_while_it_is_read_is_read_from_raw(store: InMemoryObjectStore, moment: str) -> None:
    archive(store, play_records(1, 3))
    compact(store)

    class Withdrawing(InMemoryObjects):
        """The day goes when it has been listed, or as soon as the list has been read."""

        def read(self, key: str) -> bytes:
            listed = self.objects[LIST]
            if key == moment:
                self.objects.pop(DAY, None)
                self.objects[LIST] = b""
            return listed if key == LIST else super().read(key)

    with LocalSql(Withdrawing(store.objects)) as sql:
        assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
        assert sql.damaged == []


def test_an_archive_that_never_rests_is_an_error(store: InMemoryObjectStore) -> None:
    archive(store, play_records(1, 3))
    compact(store)

    class Restless(InMemoryObjects):
        """Whatever is listed is gone when it is to be read."""

        def read(self, key: str) -> bytes:
            raise ObjectNotFoundError(key)

    with LocalSql(Restless(store.objects)) as sql, pytest.raises(LocalSqlError, match="changed all 5 times"):
        sql.query("SELECT count(*) FROM events_all")


def test_a_column_that_no_compacted_day_has_yet_is_null(
    store: InMemoryObjectStore, objects: InMemoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hot field is there, and NULL, until days are compacted again."""
    archive(store, play_records(1, 3))
    compact(store)
    columns = {**TABLES["events"].columns, "title": "string", "stars": "bigint"}
    monkeypatch.setitem(TABLES, "events", dataclasses.replace(TABLES["events"], columns=columns))

    with LocalSql(objects) as sql:
        assert sql.query("SELECT count(*), count(title), sum(stars) FROM events").rows == [(3, 0, None)]
        assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
        assert sql.damaged == []


def test_a_record_can_be_rebuilt_from_what_a_query_gives(store: InMemoryObjectStore, sql: LocalSql) -> None:
    """FAULTS row 17: through DuckDB too, which knows nothing of sets, binary or 38 digits."""
    strange = play_image(1) | {
        "set": {"SS": ["b", "a"]},
        "numbers": {"NS": ["1.50", "12345678901234567890123456789012345678"]},
        "binary": {"B": "AAH/"},
        "empty": {"S": ""},
        "deep": {"L": [{"M": {"🎲": {"NULL": True}}}, {"BOOL": False}]},
    }
    record = stream_record(1, strange, play_image(1), operation="MODIFY")
    archive(store, [record])

    answer = sql.query("SELECT * FROM events_all")

    columns = dict(zip(answer.columns, answer.rows[0], strict=True))
    assert change_record(columns) == parse(record)


def test_an_event_that_a_restored_table_archives_again_counts_once(store: InMemoryObjectStore, sql: LocalSql) -> None:
    """FAULTS row 4: also under another stream record's id."""
    (again,) = play_records(2, 2)
    archive(store, [*play_records(1, 3), {**again, "eventID": "of the restored table's stream"}])
    queries = saved_sql.queries()

    assert [row[2:] for row in sql.query(queries["plays-by-game-and-day"].sql()).rows] == [(3, 1)]
    assert [row[1:] for row in sql.query(queries["duplicates"].sql()).rows] == [(4, 0, 1)]


def test_an_unreadable_line_is_found_and_disturbs_no_query(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, [*play_records(1, 2), {"eventID": "bad", "eventName": "INSERT", "dynamodb": "no object"}])
    queries = saved_sql.queries()

    (found,) = sql.query(queries["unreadable-records"].sql()).rows
    assert "bad" in found
    assert [row[2:] for row in sql.query(queries["plays-by-game-and-day"].sql()).rows] == [(2, 1)]


def test_a_version_that_is_missing_is_found(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, [*play_records(1, 2), *play_records(4, 5)])

    missing = sql.query(saved_sql.queries()["missing-versions"].sql())

    assert missing.rows == [("player#0199-a", 4, 1, 5)]


def test_a_column_of_tomorrow_disturbs_nobody(store: InMemoryObjectStore, sql: LocalSql) -> None:
    store.objects[PAGE.format("1")] = zstd.compress(b'{"stream_event_id": "1", "mood": {"good": true}}\n')

    assert sql.query("SELECT stream_event_id FROM events_raw").rows == [("1",)]
    assert sql.damaged == []


@pytest.mark.parametrize(
    ("payload", "path", "text"),
    [
        ('{"a":"x"}', "$.a", "x"),
        ('{"a":5}', "$.a", "5"),
        ('{"a":2.5}', "$.a", "2.5"),
        ('{"a":12345678901234567890123456789012345678}', "$.a", "12345678901234567890123456789012345678"),
        ('{"a":true}', "$.a", "true"),
        ('{"a":""}', "$.a", ""),
        ('{"a":"🎲\\n"}', "$.a", "🎲\n"),
        ('{"a b":{"c":["x","y"]}}', '$["a b"].c[1]', "y"),
        ('{"a":null}', "$.a", None),
        ('{"a":{"b":1}}', "$.a", None),
        ('{"a":[1]}', "$.a", None),
        ('{"b":1}', "$.a", None),
        ("5", "$.a", None),
        ("not json", "$.a", None),
        ("", "$.a", None),
    ],
)
def test_json_extract_scalar_gives_text_or_null_as_trino_does(
    store: InMemoryObjectStore, sql: LocalSql, payload: str, path: str, text: str | None
) -> None:
    archive(store, [with_payload(1, payload)])

    assert sql.query(f"SELECT json_extract_scalar(payload, '{path}') FROM events_raw").rows == [(text,)]


def test_json_functions_nest(store: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(store, [with_payload(1, '{"inner":"{\\"score\\":7}"}'), with_payload(2, "not json")])

    answer = sql.query(
        "SELECT sum(CAST(json_extract_scalar(json_extract_scalar(payload, '$.inner'), '$.score') AS bigint)) "
        "FROM events_raw"
    )

    assert answer.rows == [(7,)]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DROP VIEW events_raw", "one SELECT"),
        ("SELECT colour FROM events_raw", "colour"),
        ("SELECT * FROM events_cooked", "events_cooked"),
        ("SELECT url_extract_host(payload) FROM events_raw", "url_extract_host"),
        ("SELECT CAST(payload AS bigint) FROM events_raw", "is no whole number"),
        ("SELECT * FROM read_csv('/etc/hostname')", "read_csv"),
    ],
)
def test_what_cannot_be_answered_is_an_error_that_says_why(
    store: InMemoryObjectStore, sql: LocalSql, statement: str, named: str
) -> None:
    archive(store, play_records(1, 1))

    with pytest.raises(LocalSqlError, match=f"(?i){named}"):
        sql.query(statement)
    assert sql.query("SELECT count(*) FROM events_raw").rows == [(1,)]


def test_nothing_is_left_on_disk(store: InMemoryObjectStore, objects: InMemoryObjects) -> None:
    archive(store, play_records(1, 1))
    with LocalSql(objects) as sql:
        sql.query("SELECT 1 FROM events_raw")
        folder = sql._root
        assert list(folder.rglob("*.zst"))
    gc.collect()

    assert not folder.exists()


@pytest.mark.parametrize("compacted", [False, True])
def test_the_largest_numbers_break_no_view_and_no_query(
    store: InMemoryObjectStore, sql: LocalSql, compacted: bool
) -> None:
    """Any program may append them."""
    largest = {"N": str(2**63 - 1)}
    activity = {"type": {"S": "ActivityRecorded"}, "expires_at": largest}
    images = [play_image(1), play_image(1) | {"version": {"N": "-1"}}, play_image(1) | {"version": largest} | activity]
    records = [stream_record(number, image) for number, image in enumerate(images, start=1)]
    for record in records:
        record["dynamodb"]["Keys"]["version"] = record["dynamodb"]["NewImage"]["version"]
    archive(store, records)
    if compacted:
        compact(store)

    assert sql.query("SELECT expires_at FROM activity").rows == [(None,)]
    missing = sql.query(saved_sql.queries()["missing-versions"].sql()).rows
    assert [row[1:] for row in missing] == [(3, -1, 2**63 - 1)]


def test_a_query_without_an_end_ends_when_it_is_given_up(sql: LocalSql) -> None:
    looks = iter([False, False])

    with pytest.raises(GivenUpError):
        sql.query(ENDLESS, gives_up=lambda: next(looks, True))

    assert sql.query("SELECT 1").rows == [(1,)]


def test_an_answer_of_more_rows_than_may_be_is_refused_and_not_cut_off(sql: LocalSql) -> None:
    three = "SELECT * FROM (VALUES 3, 1, 2) AS t(x) ORDER BY x"

    assert sql.query(three, most_rows=3).rows == [(1,), (2,), (3,)]
    with pytest.raises(TooManyRowsError, match="more than 2 rows"):
        sql.query(three, most_rows=2)
