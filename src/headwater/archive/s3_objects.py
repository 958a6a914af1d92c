"""The archive's objects in S3, by file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.archive.compaction import ArchivedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3ArchiveObjects:
    """Implements `headwater.archive.compaction.ArchiveObjects`."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def listed(self, prefix: str) -> Iterator[ArchivedObject]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
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
