"""The archive's bucket as a reader sees it."""

from collections.abc import Iterator
from typing import Any


class ArchiveBucket:
    """The calls of an S3 client that reading the archive takes, over objects by key."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.downloads: list[str] = []

    def get_paginator(self, _operation: str) -> "ArchiveBucket":
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        listed = [{"Key": key, "ETag": str(hash(body))} for key, body in self.objects.items() if key.startswith(Prefix)]
        # Pages of one, and a last one that says nothing.
        yield from ({"Contents": [entry]} for entry in listed)
        yield {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self.downloads.append(Key)
        return {"Body": _Body(self.objects[Key])}


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content
