"""Reading an archive: in S3, in a folder, and the fake; all tell the same."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from headwater.archive.objects import ObjectNotFoundError
from operations.archive.objects import BucketObjects, FolderObjects, Objects
from tests.fakes.archived_objects import InMemoryObjects
from tests.fakes.moto import mock_aws

type Put = Callable[[str, bytes], None]


@pytest.fixture(params=["memory", "folder", "bucket"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Objects, Put]]:
    match request.param:
        case "memory":
            fake = InMemoryObjects({})
            yield fake, fake.objects.__setitem__
        case "folder":

            def write(key: str, body: bytes) -> None:
                (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / key).write_bytes(body)

            yield FolderObjects(tmp_path), write
        case _:
            with mock_aws():
                s3 = boto3.client("s3", region_name="us-east-1")
                s3.create_bucket(Bucket="archive")

                def put(key: str, body: bytes) -> None:
                    s3.put_object(Bucket="archive", Key=key, Body=body)

                yield BucketObjects(s3, "archive"), put


def test_what_lies_under_a_prefix_is_listed(archive: tuple[Objects, Put]) -> None:
    objects, put = archive
    put("raw/source=events/dt=2026-03-01/b.jsonl.zst", b"12345")
    put("raw/source=events/dt=2026-03-01/a.jsonl.zst", b"1")
    put("curated/x", b"")

    listed = list(objects.listed("raw/source=events/"))

    assert [(each.key, each.size) for each in listed] == [
        ("raw/source=events/dt=2026-03-01/a.jsonl.zst", 1),
        ("raw/source=events/dt=2026-03-01/b.jsonl.zst", 5),
    ]
    assert all(each.modified.tzinfo is not None and each.modified <= datetime.now(UTC) for each in listed)
    assert list(objects.listed("bi/")) == []


def test_an_objects_bytes_are_read(archive: tuple[Objects, Put]) -> None:
    objects, put = archive
    put("raw/x", b"\x00\n\xff")

    assert objects.read("raw/x") == b"\x00\n\xff"


def test_an_object_that_is_gone_is_named(archive: tuple[Objects, Put]) -> None:
    objects, _ = archive

    with pytest.raises(ObjectNotFoundError, match="curated/x is gone"):
        objects.read("curated/x")


def test_the_tag_tells_that_the_content_is_another(archive: tuple[Objects, Put]) -> None:
    objects, put = archive
    put("raw/x", b"1")
    (before,) = objects.listed("raw/")
    put("raw/x", b"22")
    (after,) = objects.listed("raw/")

    assert before.tag != after.tag
