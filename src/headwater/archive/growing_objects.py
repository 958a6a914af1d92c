"""Objects of an S3 bucket that are read, added to and written again, each version only over the one that was read."""

from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from headwater.failures import TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: 412 when another version is there, 409 when another conditional write is under way, 404 when the version is gone
#: (S3 API reference, PutObject, If-Match).
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})


class ObjectChangedError(TransientError):
    """Somebody else wrote the object since it was read."""


class GrowingObjects(Protocol):
    """Objects that are read, added to and written again."""

    def read(self, key: str) -> tuple[bytes, str | None]:
        """The object's bytes and a tag of this version of it; empty and None if there is none."""
        ...

    def write(self, key: str, body: bytes, tag: str | None) -> None:
        """Stores the object in place of the version with the tag; with None, where none is.

        Raises
        ------
        ObjectChangedError
            Another version is there, or is being written.
        """
        ...


class S3GrowingObjects:
    """Implements `GrowingObjects`; the tag is the ETag."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def read(self, key: str) -> tuple[bytes, str | None]:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
        except self._client.exceptions.NoSuchKey:
            return b"", None
        return answer["Body"].read(), answer["ETag"]

    def write(self, key: str, body: bytes, tag: str | None) -> None:
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", **condition
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _CHANGED:
                raise ObjectChangedError(f"s3://{self._bucket}/{key} was written by somebody else") from error
            raise
