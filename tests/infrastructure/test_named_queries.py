"""The saved queries, run as an analyst would, on an engine that answers the same SQL without an account."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import pytest
import sqlglot
from backports import zstd

from cli.local_sql import LocalSql
from tests.fakes.archive_bucket import ArchiveBucket
from tests.infrastructure.expansion import Node

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ANN: Final = "player#01997c3a-6f1e-7c55-9d0b-000000000001"
BEN: Final = "player#01997c3a-6f1e-7c55-9d0b-000000000002"


class Archive:
    """An archive of single lines, and the engine that answers queries over it."""

    def __init__(self, template: Node) -> None:
        table = template["Resources"]["EventsRawTable"]["Properties"]["TableInput"]
        listed = table["StorageDescriptor"]["Columns"] + table["PartitionKeys"]
        self._objects: dict[str, bytes] = {}
        bucket = cast("S3Client", ArchiveBucket(self._objects))
        self.sql = LocalSql(bucket, "archive", {column["Name"]: column["Type"] for column in listed})

    def add(self, **line: Any) -> None:
        key = f"raw/source=events/dt=2026-03-05/{len(self._objects)}.jsonl.zst"
        self._objects[key] = zstd.compress(orjson.dumps({"operation": "INSERT"} | line))


@pytest.fixture
def archive(template: Node) -> Iterator[Archive]:
    archive = Archive(template)
    with archive.sql:
        yield archive


def played(archive: Archive, player: str, version: int, game: str, played_at: str, **line: Any) -> None:
    payload = json.dumps({"game": game, "score": 7, "played_at": played_at})
    event = f"{player}-{version}"
    archive.add(
        **{"stream_event_id": f"record-{event}", "event_id": f"event-{event}", "type": "PlayCompleted"}
        | {"aggregate_id": player, "aggregate_type": "player", "version": version, "payload": payload}
        | line,
    )


def answer(archive: Archive, template: Node, query: str, aggregate: str = "") -> list[tuple[Any, ...]]:
    sql = template["Resources"][query]["Properties"]["QueryString"].replace("user#EDIT-ME", aggregate)
    return list(archive.sql.query(sql).rows)


def test_daily_actives_counts_people_by_the_day_they_played(archive: Archive, template: Node) -> None:
    # Given Ann twice and Ben once on one UTC day, Ann once more just after midnight
    played(archive, ANN, 1, "chess", "2026-03-04T10:00:00.000Z")
    played(archive, ANN, 2, "go", "2026-03-04T23:59:59.999Z")
    played(archive, BEN, 1, "go", "2026-03-04T12:00:00.000Z")
    played(archive, ANN, 3, "go", "2026-03-05T00:00:00.000Z")
    # and what is no play: another event, and the removal of one
    archive.add(stream_event_id="r", aggregate_id="user#x", type="UserRegistered", payload='{"name": "x"}')
    played(archive, "player#gone", 1, "go", "2026-03-04T12:00:00.000Z", operation="REMOVE")

    assert answer(archive, template, "DailyActivesQuery") == [("2026-03-04", 2), ("2026-03-05", 1)]


def test_plays_are_counted_once_however_often_they_were_archived(archive: Archive, template: Node) -> None:
    """FAULTS row 4."""
    # Given a line that was archived twice, and once more by a restored table's own stream
    played(archive, ANN, 1, "chess", "2026-03-04T10:00:00.000Z")
    played(archive, ANN, 1, "chess", "2026-03-04T10:00:00.000Z")
    played(archive, ANN, 1, "chess", "2026-03-04T10:00:00.000Z", stream_event_id="of the restored table")
    played(archive, ANN, 2, "chess", "2026-03-04T11:00:00.000Z")
    played(archive, BEN, 1, "chess", "2026-03-04T11:00:00.000Z")
    played(archive, BEN, 2, "archery", "2026-03-05T11:00:00.000Z")

    assert answer(archive, template, "PlaysByGameAndDayQuery") == [
        ("archery", "2026-03-05", 1, 1),
        ("chess", "2026-03-04", 3, 2),
    ]


def test_a_history_is_in_order_and_tells_of_changes(archive: Archive, template: Node) -> None:
    # Given an aggregate archived out of order, with a duplicate, an illegal change, and a neighbour
    played(archive, ANN, 2, "go", "2026-03-04T11:00:00.000Z", captured_at="2026-03-05T08:00:01.000Z")
    played(archive, ANN, 1, "go", "2026-03-04T10:00:00.000Z", captured_at="2026-03-05T08:00:00.000Z")
    played(archive, ANN, 1, "go", "2026-03-04T10:00:00.000Z", captured_at="2026-03-05T08:00:00.000Z")
    changed = {"stream_event_id": "change", "operation": "MODIFY", "captured_at": "2026-03-05T09:00:00.000Z"}
    played(archive, ANN, 1, "go", "2026-03-04T10:00:00.000Z", **changed)
    played(archive, BEN, 1, "go", "2026-03-04T10:00:00.000Z")

    history = answer(archive, template, "AggregateHistoryQuery", ANN)

    assert [row[:2] for row in history] == [(1, "INSERT"), (1, "MODIFY"), (2, "INSERT")]


def test_a_line_that_could_not_be_read_disturbs_no_query(archive: Archive, template: Node) -> None:
    archive.add(stream_event_id="bad", operation=None, parse_error="no image", raw_record="{}")

    assert answer(archive, template, "DailyActivesQuery") == []
    assert answer(archive, template, "PlaysByGameAndDayQuery") == []


@pytest.mark.parametrize("query", ["DailyActivesQuery", "PlaysByGameAndDayQuery", "AggregateHistoryQuery"])
def test_each_query_reads_partitions_and_not_the_bucket(template: Node, query: str) -> None:
    sql = template["Resources"][query]["Properties"]["QueryString"]
    (tree,) = sqlglot.parse(sql, read="athena")
    assert tree is not None
    filtered = {column.name for column in tree.find_all(sqlglot.exp.Column)}

    assert {"source", "dt"} <= filtered


def test_a_projected_partition_is_where_the_archiver_writes(template: Node) -> None:
    table = template["Resources"]["EventsRawTable"]["Properties"]["TableInput"]
    location = table["Parameters"]["storage.location.template"]["Fn::Sub"]

    assert location == "s3://${ArchiveBucket}/raw/source=${!source}/dt=${!dt}/"
    assert table["Parameters"]["projection.enabled"] == "true"
    assert {key["Name"] for key in table["PartitionKeys"]} == {"source", "dt"}
    for key in table["PartitionKeys"]:
        assert table["Parameters"][f"projection.{key['Name']}.type"] in {"enum", "date"}
