"""One suite against objects in memory and on S3 (the simulator's and moto's), so that no fake can rot."""

from collections.abc import Callable, Iterator

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from headwater.archive.objects import ObjectExistsError, ObjectNotFoundError, ObjectStore, S3ObjectStore
from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws
from tests.fakes.object_store import InMemoryObjectStore

KEY = "raw/source=events/dt=2026-03-01/0001-a.jsonl.zst"


def in_memory() -> ObjectStore:
    return InMemoryObjectStore()


def simulated() -> ObjectStore:
    return S3ObjectStore(FakeAws().s3, "archive")


def on_s3() -> ObjectStore:
    client = boto3.client("s3")
    client.create_bucket(Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.put_bucket_versioning(Bucket="archive", VersioningConfiguration={"Status": "Enabled"})
    return S3ObjectStore(client, "archive")


@pytest.fixture(params=[in_memory, simulated, on_s3])
def objects(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    build: Callable[[], ObjectStore] = request.param
    with mock_aws():
        yield build()


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"x" * 1_000_000])
def test_an_object_comes_back_as_it_went_in(objects: ObjectStore, body: bytes) -> None:
    objects.put_new(KEY, body)

    assert objects.get(KEY) == body


def test_a_key_that_is_taken_is_refused_and_its_object_left_alone(objects: ObjectStore) -> None:
    objects.put_new(KEY, b"first")

    with pytest.raises(ObjectExistsError, match="0001-a"):
        objects.put_new(KEY, b"second")

    assert objects.get(KEY) == b"first"


def test_what_is_not_there_is_told(objects: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError, match="0001-a"):
        objects.get(KEY)


def test_objects_are_listed_by_prefix_in_the_order_of_their_keys(objects: ObjectStore) -> None:
    for key in ("raw/b", "raw/a", "other/c"):
        objects.put_new(key, b"x")

    listed = list(objects.listed("raw/"))

    assert [key for key, _ in listed] == ["raw/a", "raw/b"]
    assert all(written_at.tzinfo for _, written_at in listed)
    assert list(objects.listed("nothing/")) == []


@pytest.mark.parametrize(("code", "status"), [("PreconditionFailed", 412), ("ConditionalRequestConflict", 409)])
def test_s3_says_in_two_ways_that_a_key_is_taken(code: str, status: int) -> None:
    client = boto3.client("s3")
    with Stubber(client) as s3:
        request = {"Bucket": "archive", "Key": KEY, "Body": b"x", "IfNoneMatch": "*", "ContentType": ANY}
        s3.add_client_error("put_object", code, http_status_code=status, expected_params=request)

        with pytest.raises(ObjectExistsError):
            S3ObjectStore(client, "archive").put_new(KEY, b"x")


def test_any_other_error_of_s3_is_raised_as_it_is() -> None:
    client = boto3.client("s3")
    with Stubber(client) as s3:
        s3.add_client_error("put_object", "AccessDenied", http_status_code=403)
        s3.add_client_error("get_object", "AccessDenied", http_status_code=403)

        with pytest.raises(ClientError, match="AccessDenied"):
            S3ObjectStore(client, "archive").put_new(KEY, b"x")
        with pytest.raises(ClientError, match="AccessDenied"):
            S3ObjectStore(client, "archive").get(KEY)
