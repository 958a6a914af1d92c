"""Athena's SQL over the archive on this machine."""

import datetime
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from cli.local_sql import LocalSql, LocalSqlError
from headwater.archive.archiver import Archiver
from tests.fakes.archive_bucket import ArchiveBucket
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.stream_records import play_image, play_records, stream_record

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

COLUMNS = {
    "stream_event_id": "string",
    "operation": "string",
    "aggregate_id": "string",
    "version": "bigint",
    "schema_version": "int",
    "event_id": "string",
    "occurred_at": "string",
    "payload": "string",
    "expires_at": "bigint",
    "parse_error": "string",
}


@pytest.fixture
def objects() -> InMemoryObjectStore:
    return InMemoryObjectStore()


@pytest.fixture
def bucket(objects: InMemoryObjectStore) -> ArchiveBucket:
    return ArchiveBucket(objects.objects)


@pytest.fixture
def sql(bucket: ArchiveBucket) -> Iterator[LocalSql]:
    with LocalSql(cast("S3Client", bucket), "archive", COLUMNS | {"source": "string", "dt": "string"}) as opened:
        yield opened


def archive(objects: InMemoryObjectStore, records: list[dict[str, Any]]) -> None:
    Archiver(objects, RecordedIncidents()).archive(records)


def with_payload(number: int, payload: str) -> dict[str, Any]:
    return stream_record(number, play_image(number) | {"data": {"S": payload}})


def test_objects_are_one_table_with_their_partitions(objects: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(objects, play_records(1, 3, at="2026-02-28T12:00:00Z") + play_records(4, 5, at="2026-03-01T12:00:00Z"))

    answer = sql.query("SELECT source, dt, count(*) AS records, max(version) FROM events_raw GROUP BY 1, 2 ORDER BY dt")

    assert answer.columns[:3] == ("source", "dt", "records")
    assert answer.rows == [("events", "2026-02-28", 3, 3), ("events", "2026-03-01", 2, 5)]


def test_the_database_that_athena_names_may_be_named(objects: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(objects, play_records(1, 2))

    answer = sql.query('SELECT count(*) FROM "awsdatacatalog"."headwater_dev"."events_raw" e WHERE e.version > 1')

    assert answer.rows == [(1,)]


def test_an_empty_archive_is_an_empty_table(sql: LocalSql) -> None:
    assert sql.query("SELECT dt, payload FROM events_raw").rows == []
    assert sql.query("SELECT count(*) FROM events_raw").rows == [(0,)]


def test_a_second_query_downloads_only_what_is_new(
    objects: InMemoryObjectStore, bucket: ArchiveBucket, sql: LocalSql
) -> None:
    archive(objects, play_records(1, 3))
    sql.query("SELECT 1 FROM events_raw")
    first = list(bucket.downloads)
    archive(objects, play_records(4, 5))

    answer = sql.query("SELECT count(*) FROM events_raw")

    assert answer.rows == [(5,)]
    assert len(first) == 1
    assert sorted(bucket.downloads) == sorted(objects.objects)


def test_an_object_that_is_gone_is_forgotten(objects: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(objects, play_records(1, 3))
    sql.query("SELECT 1 FROM events_raw")
    objects.objects.clear()

    assert sql.query("SELECT count(*) FROM events_raw").rows == [(0,)]


def test_only_the_archives_own_keys_become_files(
    objects: InMemoryObjectStore, bucket: ArchiveBucket, sql: LocalSql
) -> None:
    objects.objects |= {
        "raw/../../outside.jsonl.zst": b"",
        "raw/source=events/dt=2026-03-01/../x.jsonl.zst": b"",
        "raw/source=events/dt=2026-03-01/_SUCCESS": b"",
    }

    assert sql.query("SELECT count(*) FROM events_raw").rows == [(0,)]
    assert bucket.downloads == []


@pytest.mark.parametrize(
    ("payload", "path", "text"),
    [
        ('{"a":"x"}', "$.a", "x"),
        ('{"a":5}', "$.a", "5"),
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
    objects: InMemoryObjectStore, sql: LocalSql, payload: str, path: str, text: str | None
) -> None:
    archive(objects, [with_payload(1, payload)])

    assert sql.query(f"SELECT json_extract_scalar(payload, '{path}') FROM events_raw").rows == [(text,)]


def test_json_functions_nest(objects: InMemoryObjectStore, sql: LocalSql) -> None:
    archive(objects, [with_payload(1, '{"inner":"{\\"score\\":7}"}'), with_payload(2, "not json")])

    answer = sql.query(
        "SELECT sum(CAST(json_extract_scalar(json_extract_scalar(payload, '$.inner'), '$.score') AS bigint)) "
        "FROM events_raw"
    )

    assert answer.rows == [(7,)]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # Whole days, where DuckDB's own function counts midnights.
        ("max(date_diff('day', TIMESTAMP '2026-01-01 23:00:00', TIMESTAMP '2026-01-02 01:00:00'))", 0),
        ("max(date_diff('hour', TIMESTAMP '2026-01-01 23:00:00', TIMESTAMP '2026-01-02 01:00:00'))", 2),
        ("approx_percentile(version, 0.5)", 2),
        ("max(from_iso8601_timestamp(occurred_at))", datetime.datetime(2026, 3, 1, 12)),  # noqa: DTZ001
        ("max(date(from_iso8601_timestamp('2026-03-01T23:30:00-01:00')))", datetime.date(2026, 3, 2)),
        ("count_if(version > 1)", 3),
        ("max_by(version, event_id)", 4),
        ("max(TRY_CAST(payload AS bigint))", None),
    ],
)
def test_functions_of_athena_answer_as_there(
    objects: InMemoryObjectStore, sql: LocalSql, expression: str, value: object
) -> None:
    archive(objects, play_records(1, 4))

    assert sql.query(f"SELECT {expression} FROM events_raw").rows == [(value,)]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("SELEC 1", "translated|one SELECT"),
        ("SELECT (1", "translated"),
        ("", "one SELECT"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("CREATE TABLE t AS SELECT 1", "one SELECT"),
        ("DROP VIEW events_raw", "one SELECT"),
        ("SELECT colour FROM events_raw", "colour"),
        ("SELECT * FROM events_cooked", "events_cooked"),
        ("SELECT url_extract_host(payload) FROM events_raw", "url_extract_host"),
        ("SELECT CAST(payload AS bigint) FROM events_raw", "cast|convert"),
        ("SELECT * FROM read_csv('/etc/hostname')", "hostname"),
    ],
)
def test_what_cannot_be_answered_is_an_error_that_says_why(
    objects: InMemoryObjectStore, sql: LocalSql, statement: str, named: str
) -> None:
    archive(objects, play_records(1, 1))

    with pytest.raises(LocalSqlError, match=f"(?i){named}"):
        sql.query(statement)
    assert sql.query("SELECT count(*) FROM events_raw").rows == [(1,)]


def test_a_hive_type_that_is_unknown_is_an_error(bucket: ArchiveBucket) -> None:
    with (
        LocalSql(cast("S3Client", bucket), "archive", {"a": "uniontype<int,"}) as sql,
        pytest.raises(LocalSqlError, match="uniontype"),
    ):
        sql.query("SELECT 1 FROM events_raw")


def test_nothing_is_left_on_disk(bucket: ArchiveBucket, objects: InMemoryObjectStore) -> None:
    archive(objects, play_records(1, 1))
    with LocalSql(cast("S3Client", bucket), "archive", COLUMNS) as sql:
        sql.query("SELECT 1 FROM events_raw")
        folder = sql._root
        assert list(folder.rglob("*.zst"))
    gc.collect()

    assert not folder.exists()
