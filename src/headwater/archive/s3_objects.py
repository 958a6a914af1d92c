"""The archive's objects in S3, by file, and their compaction."""

from collections.abc import Iterator, Sequence
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.archive.boundary import Boundary
from headwater.archive.compaction import ArchivedObject, Compaction
from headwater.archive.day_claims import DayClaims
from headwater.archive.growing_objects import S3GrowingObjects
from headwater.clock import utc_now

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: DeleteObjects takes so many keys.
_DELETED_AT_ONCE = 1_000


def compaction(client: "S3Client", bucket: str) -> Compaction:
    """Compaction of a bucket's days."""
    growing = S3GrowingObjects(client, bucket)
    return Compaction(S3ArchiveObjects(client, bucket), Boundary(growing), DayClaims(growing, utc_now), utc_now)


class S3ArchiveObjects:
    """Implements `headwater.archive.compaction.ArchiveObjects`."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def listed(self, prefix: str, after: str = "") -> Iterator[ArchivedObject]:
        pages = self._client.get_paginator("list_objects_v2").paginate
        for page in pages(Bucket=self._bucket, Prefix=prefix, StartAfter=after):
            for found in page.get("Contents", ()):
                yield ArchivedObject(found["Key"], found["ETag"], found["Size"])

    def download(self, key: str, path: Path) -> None:
        body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
        with path.open("wb") as file:
            for chunk in body.iter_chunks(1024 * 1024):
                file.write(chunk)

    def upload(self, path: Path, key: str) -> None:
        with path.open("rb") as file:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=file, ContentType="application/vnd.apache.parquet"
            )

    def copy(self, key: str, to: str) -> None:
        # The managed copy: in parts above 5 GB, where CopyObject ends.
        self._client.copy({"Bucket": self._bucket, "Key": key}, self._bucket, to)

    def delete(self, keys: Sequence[str]) -> None:
        for batch in batched(keys, _DELETED_AT_ONCE, strict=False):
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
            )
            if refused := answer.get("Errors"):
                first = refused[0]
                raise OSError(
                    f"{len(refused)} object(s) of s3://{self._bucket} could not be deleted, first "
                    f"{first.get('Key')}: {first.get('Code')} {first.get('Message')}"
                )
