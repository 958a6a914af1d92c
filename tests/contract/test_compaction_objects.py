"""The archive's objects by file: in memory and in S3, and both do the same."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from headwater.archive.compaction import ArchiveObjects
from headwater.archive.s3_objects import S3ArchiveObjects
from tests.fakes.compaction_objects import InMemoryArchive
from tests.fakes.moto import mock_aws

DAY = "raw/source=events/dt=2026-03-01/"


@pytest.fixture(params=["memory", "s3"])
def objects(request: pytest.FixtureRequest) -> Iterator[ArchiveObjects]:
    if request.param == "memory":
        yield InMemoryArchive()
        return
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="archive")
        yield S3ArchiveObjects(client, "archive")


def put(objects: ArchiveObjects, folder: Path, key: str, body: bytes) -> None:
    path = folder / "body"
    path.write_bytes(body)
    objects.upload(path, key)


def keys(objects: ArchiveObjects, prefix: str, after: str = "") -> list[str]:
    return [each.key for each in objects.listed(prefix, after)]


def test_objects_are_listed_in_order_from_behind_a_key_on(objects: ArchiveObjects, tmp_path: Path) -> None:
    for name in ("c", "a", "b"):
        put(objects, tmp_path, DAY + name, b"12")
    put(objects, tmp_path, "raw/source=other/x", b"")

    assert [(each.key, each.size) for each in objects.listed(DAY)] == [(DAY + name, 2) for name in "abc"]
    assert keys(objects, "raw/source=events/", DAY + "a") == [DAY + "b", DAY + "c"]
    assert keys(objects, "raw/source=events/", DAY) == [DAY + name for name in "abc"]
    assert keys(objects, "curated/") == []


def test_a_tag_changes_with_the_content(objects: ArchiveObjects, tmp_path: Path) -> None:
    put(objects, tmp_path, "x", b"1")
    (before,) = objects.listed("x")
    put(objects, tmp_path, "x", b"2")
    (after,) = objects.listed("x")

    assert before.tag != after.tag


def test_a_copy_replaces_what_is_there_and_leaves_its_source(objects: ArchiveObjects, tmp_path: Path) -> None:
    put(objects, tmp_path, "run/1", b"new")
    put(objects, tmp_path, "day", b"old")

    objects.copy("run/1", "day")

    objects.download("day", tmp_path / "day")
    assert (tmp_path / "day").read_bytes() == b"new"
    assert keys(objects, "run/") == ["run/1"]


def test_objects_are_deleted_many_at_once_and_it_is_no_error_if_they_are_gone(
    objects: ArchiveObjects, tmp_path: Path
) -> None:
    names = [f"run/{number:04d}" for number in range(1_001)]
    for name in names:
        put(objects, tmp_path, name, b"")
    put(objects, tmp_path, "stays", b"")

    objects.delete(names)
    objects.delete([*names[:1], "never-there"])
    objects.delete([])

    assert keys(objects, "") == ["stays"]


def test_what_s3_refuses_to_delete_is_named() -> None:
    client = boto3.client("s3", region_name="us-east-1")
    with Stubber(client) as stub:
        refusal = {"Key": "run/1", "Code": "AccessDenied", "Message": "Access Denied"}
        stub.add_response("delete_objects", {"Errors": [refusal]}, {"Bucket": "archive", "Delete": ANY})

        with pytest.raises(OSError, match="run/1: AccessDenied"):
            S3ArchiveObjects(client, "archive").delete(["run/1"])


def test_a_missing_object_is_an_error(objects: ArchiveObjects, tmp_path: Path) -> None:
    with pytest.raises((KeyError, ClientError)):
        objects.download("never", tmp_path / "x")
