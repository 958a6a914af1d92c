"""An archive's objects in memory. tests/contract holds it to the same behaviour as those in S3 and in a folder."""

from collections.abc import Iterator
from datetime import UTC, datetime

from headwater.archive.objects import ObjectNotFoundError
from operations.archive.objects import StoredObject

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class InMemoryObjects:
    """Implements `operations.archive.objects.Objects` over objects by key; ``downloads`` lists what was read."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.downloads: list[str] = []

    def listed(self, prefix: str) -> Iterator[StoredObject]:
        for key, body in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield StoredObject(key, str(hash(body)), len(body), NOON)

    def read(self, key: str) -> bytes:
        self.downloads.append(key)
        if key not in self.objects:
            raise ObjectNotFoundError(f"{key} is gone")
        return self.objects[key]
