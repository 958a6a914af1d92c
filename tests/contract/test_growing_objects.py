"""One suite against growing objects in memory and on S3 (the simulator's and moto's), so that no fake can rot."""

from collections.abc import Callable, Iterator

import boto3
import pytest

from headwater.archive.growing_objects import GrowingObjects, ObjectChangedError, S3GrowingObjects
from tests.fakes.cloud import FakeAws
from tests.fakes.growing_objects import InMemoryGrowingObjects
from tests.fakes.moto import mock_aws


def in_memory() -> GrowingObjects:
    return InMemoryGrowingObjects()


def simulated() -> GrowingObjects:
    return S3GrowingObjects(FakeAws().s3, "archive")


def on_s3() -> GrowingObjects:
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="archive")
    return S3GrowingObjects(client, "archive")


@pytest.fixture(params=[in_memory, simulated, on_s3])
def objects(request: pytest.FixtureRequest) -> Iterator[GrowingObjects]:
    build: Callable[[], GrowingObjects] = request.param
    with mock_aws():
        yield build()


def test_an_object_grows_over_the_version_that_was_read(objects: GrowingObjects) -> None:
    assert objects.read("bi/a.json") == (b"", None)

    objects.write("bi/a.json", b"1\n", None)
    body, tag = objects.read("bi/a.json")
    objects.write("bi/a.json", body + b"2\n", tag)

    assert objects.read("bi/a.json")[0] == b"1\n2\n"


def test_a_version_that_nobody_read_is_not_overwritten(objects: GrowingObjects) -> None:
    objects.write("bi/a.json", b"1\n", None)
    _, first = objects.read("bi/a.json")
    objects.write("bi/a.json", b"1\n2\n", first)

    for tag in (None, first):
        with pytest.raises(ObjectChangedError):
            objects.write("bi/a.json", b"lost", tag)

    assert objects.read("bi/a.json")[0] == b"1\n2\n"


def test_an_object_that_is_gone_is_not_grown(objects: GrowingObjects) -> None:
    with pytest.raises(ObjectChangedError):
        objects.write("bi/gone.json", b"1\n", '"0123456789abcdef0123456789abcdef"')
