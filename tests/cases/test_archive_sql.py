"""Whatever anybody appended lies in the archive, and no analyst's query stops at it."""

from collections.abc import Iterator

import pytest

from headwater.archive.archiver import Archiver
from operations.archive import saved_sql
from operations.archive.local_sql import LocalSql
from tests.cases.odd import KEY, odd_items, sound_item
from tests.fakes.archived_objects import InMemoryObjects
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.stream_records import stream_record
from tests.unit.operations.test_saved_queries import compact


@pytest.fixture(scope="module", params=["raw", "compacted"])
def sql(request: pytest.FixtureRequest) -> Iterator[LocalSql]:
    items = [item for _, _, item in odd_items()] + [sound_item(event_id="e-sound")]
    store = InMemoryObjectStore()
    archiver = Archiver(store, RecordedIncidents())
    archiver.archive([stream_record(number, item) for number, item in enumerate(items, start=1)])
    if request.param == "compacted":
        compact(store, "events")
    with LocalSql(InMemoryObjects(store.objects)) as opened:
        yield opened


@pytest.mark.parametrize("name", saved_sql.views())
def test_a_view_answers_whatever_lies_in_the_archive(sql: LocalSql, name: str) -> None:
    rows = sql.query(f"SELECT * FROM {name}").rows

    assert name not in {"events_all", "plays"} or len(list(rows)) > 100
    assert sql.damaged == []


@pytest.mark.parametrize("name", saved_sql.queries())
def test_a_saved_query_answers_whatever_lies_in_the_archive(sql: LocalSql, name: str) -> None:
    assert sql.query(saved_sql.queries()[name].sql()).columns


def test_what_no_engine_reads_alike_is_null_and_the_rest_of_its_row_is_there(sql: LocalSql) -> None:
    """A score of Arabic digits is a number to Athena alone; a moment as text of digits is a year to it."""
    (sound,) = sql.query("SELECT user_id, score, played_at FROM plays WHERE event_id = 'e-sound'").rows
    assert (sound[0], sound[1]) == (KEY, 7)
    (nothing,) = sql.query(
        "SELECT count(score), count(played_at) FROM plays WHERE score IS NULL AND played_at IS NULL"
    ).rows
    assert nothing == (0, 0)
