"""The object store behind the archive: objects are written once and never replaced."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: 412 when the key is taken; 409 when another conditional write to it is under way (S3 API reference, PutObject).
_TAKEN = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})

#: Where Lambda puts the batches that a mapping gives up, in FailedBatchesBucket ("Retaining discarded batch records").
GIVEN_UP: Final = "aws/lambda/"


class ObjectExistsError(Exception):
    """The key is taken, or is being taken by a write under way."""


class ObjectNotFoundError(Exception):
    """There is no such object (yet)."""


class Listed(NamedTuple):
    """An object's key and when it was written, to the second."""

    key: str
    written_at: datetime


class ObjectStore(Protocol):
    """Whole objects by key. Whatever else goes wrong raises the adapter's own errors."""

    def put_new(self, key: str, body: bytes) -> None:
        """Stores an object under a key that is free.

        Raises
        ------
        ObjectExistsError
            The key is taken; the object there is left as it is.
        """
        ...

    def get(self, key: str) -> bytes:
        """The object's bytes.

        Raises
        ------
        ObjectNotFoundError
            Nothing is stored under the key.
        """
        ...

    def listed(self, prefix: str) -> Iterator[Listed]:
        """The objects whose keys begin so, in the order of their keys."""
        ...


class S3ObjectStore:
    """Objects of one bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put_new(self, key: str, body: bytes) -> None:
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ContentType="application/zstd"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _TAKEN:
                raise ObjectExistsError(f"s3://{self._bucket}/{key} is taken") from error
            raise

    def get(self, key: str) -> bytes:
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey as error:
            raise ObjectNotFoundError(f"s3://{self._bucket}/{key} does not exist") from error

    def listed(self, prefix: str) -> Iterator[Listed]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield Listed(entry["Key"], entry["LastModified"])
