"""Athena's tables and views over an archive on this machine."""

import gc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from backports import zstd

from cli import saved_sql
from cli.local_sql import LocalSql, LocalSqlError
from headwater.archive.archiver import Archiver
from headwater.archive.envelope import change_record
from headwater.change_stream.dynamodb import parse
from tests.fakes.archived_objects import InMemoryObjects
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.stream_records import play_image, play_records, stream_record

PAGE = "raw/source=events/dt=2026-03-01/{}.jsonl.zst"


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
    }
    # And a folder that a console made, which is no data.
    objects.objects |= foreign | {"raw/source=events/dt=2026-03-01/": b""}

    assert sql.query("SELECT count(*) FROM events_raw").rows == [(0,)]
    assert objects.downloads == []
    assert [each.key for each in sql.skipped] == sorted(foreign)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not Zstandard", "not Zstandard"),
        (zstd.compress(b'{"stream_event_id": "1"}\n')[:-4], "not Zstandard"),
        (zstd.compress(b'{"stream_event_id": "1"}\n{"stream_event'), "line 2 is not JSON"),
        (zstd.compress(b"[1]\n"), "line 1 is not a JSON object"),
        (zstd.compress(b'{"hello": "world"}\n'), "line 1 has no stream_event_id"),
        (zstd.compress(b'{"stream_event_id": "1", "version": "2"}\n'), "version is no number"),
        (zstd.compress(b'{"stream_event_id": "1", "payload": {"a": 1}}\n'), "payload is no text"),
    ],
)
def test_a_corrupt_object_is_named_and_left_out(
    store: InMemoryObjectStore, sql: LocalSql, body: bytes, reason: str
) -> None:
    archive(store, play_records(1, 3))
    store.objects[PAGE.format("corrupt")] = body

    assert sql.query("SELECT count(*) FROM events_all").rows == [(3,)]
    assert [each.key for each in sql.skipped] == [PAGE.format("corrupt")]
    assert reason in sql.skipped[0].reason

    # When it was put right
    store.objects[PAGE.format("corrupt")] = zstd.compress(orjson.dumps({"stream_event_id": "1"}))
    assert sql.query("SELECT count(*) FROM events_all").rows == [(4,)]
    assert sql.skipped == []


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
    assert sql.skipped == []


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
