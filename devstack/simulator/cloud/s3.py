"""S3 buckets without versions.

Sources: PutObject ("conditional writes"), GetObject and ListObjectsV2 in the S3 API reference.
"""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NamedTuple

from botocore.response import StreamingBody

from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from devstack.simulator.cloud.errors import parameter_error

KEY_BYTES: Final = 1024
PAGE_KEYS: Final = 1000
DELETED_KEYS: Final = 1000


class StoredObject(NamedTuple):
    """``modified_at`` is in epoch seconds."""

    body: bytes
    content_type: str
    modified_at: float

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


class Bucket:
    """Objects by key."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects: dict[str, StoredObject] = {}
        self._sorted: list[str] | None = None

    def put(self, key: str, stored: StoredObject) -> None:
        if key not in self.objects:
            self._sorted = None
        self.objects[key] = stored

    def delete(self, key: str) -> None:
        """Removes an object; one that is not there is none."""
        if self.objects.pop(key, None) is not None:
            self._sorted = None

    def keys(self) -> list[str]:
        """All keys in the order of their UTF-8 bytes, which is also that of Python's text."""
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        return self._sorted


class S3(Client):
    """The client, and the buckets that it reaches."""

    service = "s3"
    pages: ClassVar = {"list_objects_v2": ("list_objects_v2", "ContinuationToken", "NextContinuationToken")}

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.buckets: dict[str, Bucket] = {}

    @operation("PutObject", ("Bucket", "Key"), ("Body", "ContentType", "IfMatch", "IfNoneMatch"))
    def put_object(self, params: Parameters) -> Answer:
        bucket = self._bucket("PutObject", params["Bucket"])
        key, condition = params["Key"], params.get("IfNoneMatch")
        if not key:
            raise parameter_error("Invalid length for parameter Key, value: 0, valid min length: 1")
        if len(key.encode()) > KEY_BYTES:
            raise self.error("PutObject", "KeyTooLongError", "Your key is too long")
        if condition is not None and condition != "*":
            raise self.error(
                "PutObject",
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
                status=501,
            )
        if condition and key in bucket.objects:
            raise self.error(
                "PutObject",
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold",
                status=412,
            )
        if "IfMatch" in params:
            if key not in bucket.objects:
                raise self.error("PutObject", "NoSuchKey", "The specified key does not exist.", status=404)
            if bucket.objects[key].etag != params["IfMatch"]:
                raise self.error(
                    "PutObject",
                    "PreconditionFailed",
                    "At least one of the pre-conditions you specified did not hold",
                    status=412,
                )
        stored = StoredObject(
            _bytes(params.get("Body", b"")),
            params.get("ContentType", "binary/octet-stream"),
            self.surroundings.clock(),
        )
        bucket.put(key, stored)
        return {"ETag": stored.etag}

    @operation("GetObject", ("Bucket", "Key"))
    def get_object(self, params: Parameters) -> Answer:
        stored = self._bucket("GetObject", params["Bucket"]).objects.get(params["Key"])
        if stored is None:
            raise self.error("GetObject", "NoSuchKey", "The specified key does not exist.", status=404)
        length = len(stored.body)
        return {
            "Body": StreamingBody(io.BytesIO(stored.body), length),
            "ContentLength": length,
            "ContentType": stored.content_type,
            "ETag": stored.etag,
            "LastModified": _moment(stored.modified_at),
        }

    @operation("DeleteObjects", ("Bucket", "Delete"))
    def delete_objects(self, params: Parameters) -> Answer:
        bucket = self._bucket("DeleteObjects", params["Bucket"])
        wanted = params["Delete"]["Objects"]
        if len(wanted) > DELETED_KEYS:
            raise self.error("DeleteObjects", "MalformedXML", "The XML you provided was not well-formed")
        for each in wanted:
            bucket.delete(each["Key"])
        return {} if params["Delete"].get("Quiet") else {"Deleted": [{"Key": each["Key"]} for each in wanted]}

    @operation("CopyObject", ("Bucket", "Key", "CopySource"))
    def copy_object(self, params: Parameters) -> Answer:
        source = params["CopySource"]
        stored = self._bucket("CopyObject", source["Bucket"]).objects.get(source["Key"])
        if stored is None:
            raise self.error("CopyObject", "NoSuchKey", "The specified key does not exist.", status=404)
        copied = stored._replace(modified_at=self.surroundings.clock())
        self._bucket("CopyObject", params["Bucket"]).put(params["Key"], copied)
        return {"CopyObjectResult": {"ETag": copied.etag}}

    def copy(self, source: dict[str, str], bucket: str, key: str) -> None:
        """boto3's managed copy."""
        self.copy_object(Bucket=bucket, Key=key, CopySource=source)

    @operation("ListObjectsV2", ("Bucket",), ("ContinuationToken", "MaxKeys", "Prefix", "StartAfter"))
    def list_objects_v2(self, params: Parameters) -> Answer:
        bucket = self._bucket("ListObjectsV2", params["Bucket"])
        prefix, limit = params.get("Prefix", ""), min(params.get("MaxKeys", PAGE_KEYS), PAGE_KEYS)
        keys = bucket.keys()
        start = bisect_left(keys, prefix)
        if after := params.get("ContinuationToken") or params.get("StartAfter"):
            start = max(start, bisect_right(keys, after))
        page: list[str] = []
        truncated = False
        for key in keys[start : start + limit + 1]:
            if not key.startswith(prefix):
                break
            if len(page) == limit:
                truncated = True
                break
            page.append(key)
        answer: Answer = {
            "Name": bucket.name,
            "Prefix": prefix,
            "MaxKeys": limit,
            "KeyCount": len(page),
            "IsTruncated": truncated,
        }
        if page:
            answer["Contents"] = [_listed(key, bucket.objects[key]) for key in page]
        if truncated:
            answer["NextContinuationToken"] = page[-1]
        return answer

    def _bucket(self, operation_name: str, name: str) -> Bucket:
        bucket = self.buckets.get(name)
        if bucket is None:
            raise self.error(operation_name, "NoSuchBucket", "The specified bucket does not exist", status=404)
        return bucket


def _bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if hasattr(body, "read"):
        return bytes(body.read())
    raise parameter_error(f"Invalid type for parameter Body, type: {type(body)}")


def _listed(key: str, stored: StoredObject) -> dict[str, Any]:
    return {
        "Key": key,
        "Size": len(stored.body),
        "ETag": stored.etag,
        "LastModified": _moment(stored.modified_at),
        "StorageClass": "STANDARD",
    }


def _moment(epoch_seconds: float) -> datetime:
    # S3 keeps whole seconds.
    return datetime.fromtimestamp(int(epoch_seconds), UTC)
