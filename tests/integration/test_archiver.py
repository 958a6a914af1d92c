"""The archiver function with its fixture, against S3 (moto)."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError

from headwater import bootstrap
from headwater.archive import reader
from headwater.change_stream.dynamodb import parse
from headwater.event_store import codec
from tests.fakes.events import EVENT_TYPES
from tests.fakes.schemas import demand_valid
from tests.fakes.stream_records import play_records
from tests.integration.stream_functions import Invoke, fixture, handler, stack

__all__ = ["stack"]

DONE: dict[str, Any] = {"batchItemFailures": []}


@pytest.fixture
def invoke(stack: None) -> Invoke:
    return handler("archiver")


def archived() -> dict[str, list[dict[str, Any]]]:
    """The archive's objects, key to lines."""
    listed = bootstrap.s3().list_objects_v2(Bucket="archive").get("Contents", [])
    return {entry["Key"]: list(reader.lines(body(entry["Key"]))) for entry in listed}


def body(key: str) -> bytes:
    return bootstrap.s3().get_object(Bucket="archive", Key=key)["Body"].read()


@pytest.fixture
def requests(stack: None) -> Iterator[Counter[str]]:
    """Requests to S3, by operation."""
    counts: Counter[str] = Counter()

    def count(event_name: str, **_: Any) -> None:
        counts[event_name.rpartition(".")[2]] += 1

    bootstrap.s3().meta.events.register("before-send.s3", count)
    yield counts
    bootstrap.s3().meta.events.unregister("before-send.s3", count)


def test_the_fixture_becomes_one_object_a_day(invoke: Invoke) -> None:
    """FAULTS rows 4 and 19."""
    for _ in range(2):
        assert invoke(fixture("ArchiverFunction")) == DONE

    records = fixture("ArchiverFunction")["Records"]
    first, fifth = (f"{int(record['dynamodb']['SequenceNumber']):040d}-{record['eventID']}" for record in records[:5:4])
    objects = archived()
    assert list(objects) == [
        f"raw/source=events/dt=2026-02-28/{first}.jsonl.zst",
        f"raw/source=events/dt=2026-03-01/{fifth}.jsonl.zst",
    ]
    night, morning = objects.values()
    assert [line["operation"] for line in night] == ["INSERT", "INSERT", "INSERT", "EXPIRE"]
    assert [line["operation"] for line in morning] == ["INSERT", "INSERT", "INSERT", "MODIFY"]


def test_the_fixture_comes_back_without_a_loss(invoke: Invoke) -> None:
    """FAULTS row 17."""
    invoke(fixture("ArchiverFunction"))

    read = [record for key in archived() for record in reader.change_records(body(key))]

    assert read == [parse(record) for record in fixture("ArchiverFunction")["Records"]]


def test_the_fixtures_events_are_what_the_contract_says() -> None:
    for record in map(parse, fixture("ArchiverFunction")["Records"]):
        for image in filter(None, (record.new_image, record.old_image)):
            event = codec.decode(image, EVENT_TYPES)
            demand_valid(event)
            assert image["aggregate_type"] == {"S": event.aggregate_type}


def test_a_thousand_records_are_one_request(invoke: Invoke, requests: Counter[str]) -> None:
    invoke({"Records": play_records(1, 1000)})

    assert requests == {"PutObject": 1}


def test_a_thousand_records_across_midnight_are_two_requests(invoke: Invoke, requests: Counter[str]) -> None:
    night, morning = "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z"

    invoke({"Records": play_records(1, 400, at=night) + play_records(401, 1000, at=morning)})

    assert requests == {"PutObject": 2}


def lost(request: AWSRequest, **_: Any) -> AWSResponse:
    raise ReadTimeoutError(endpoint_url=str(request.url))


def unavailable(request: AWSRequest, **_: Any) -> AWSResponse:
    return AWSResponse(str(request.url), 503, HTTPHeaders(), NoContent())


class NoContent:
    def stream(self, **_: Any) -> Iterator[bytes]:
        return iter(())


@pytest.mark.parametrize("written", [True, False], ids=["after the write", "before the write"])
def test_a_put_without_an_answer_leaves_one_object(invoke: Invoke, written: bool) -> None:
    """FAULTS row 16: a timeout; the SDK's own second try meets the object of the first."""
    fail_once(lost, last=written)

    assert invoke({"Records": play_records(1, 10)}) == DONE

    (lines,) = archived().values()
    assert len(lines) == 10


def test_a_put_answered_503_although_it_was_written_leaves_one_object(invoke: Invoke) -> None:
    """FAULTS row 16: S3 503."""
    fail_once(unavailable, last=False)

    assert invoke({"Records": play_records(1, 10)}) == DONE

    (lines,) = archived().values()
    assert len(lines) == 10


def fail_once(fault: Any, *, last: bool) -> None:
    """Makes the next PUT fail. Handlers run in order, moto's among them: what the last one raises comes too late."""
    faults = [fault]

    def hook(**arguments: Any) -> AWSResponse | None:
        return faults.pop()(**arguments) if faults else None

    events: Any = bootstrap.s3().meta.events
    (events.register_last if last else events.register_first)("before-send.s3.PutObject", hook)
