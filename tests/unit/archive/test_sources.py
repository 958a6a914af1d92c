"""One archiver for several tables: each batch to its own source, and what names no table not left out."""

from typing import Any

import pytest

from headwater.archive.archiver import Archiver
from headwater.archive.sources import ArchiverOfSources
from tests.fakes.applications import action, record
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/{}/stream/2026-01-01T00:00:00.000"


@pytest.mark.parametrize(
    ("arn", "source"),
    [
        (ARN.format("applications"), "applications"),
        (ARN.format("events"), "events"),
        (ARN.format("applications-of-others"), "events"),
        ("", "events"),
        (None, "events"),
        (7, "events"),
    ],
)
def test_a_batch_goes_to_the_source_of_its_table(arn: Any, source: str) -> None:
    objects = InMemoryObjectStore()
    archivers = {name: Archiver(objects, RecordedIncidents(), source=name) for name in ("events", "applications")}
    both = ArchiverOfSources({"applications": archivers["applications"]}, otherwise=archivers["events"])

    outcome = both.archive([{**record(action()), "eventSourceARN": arn}])

    assert outcome.failures == ()
    assert [key.split("/")[1] for key in objects.objects] == [f"source={source}"]


def test_no_records_are_no_object() -> None:
    objects = InMemoryObjectStore()

    ArchiverOfSources({}, otherwise=Archiver(objects, RecordedIncidents())).archive([])

    assert objects.objects == {}
