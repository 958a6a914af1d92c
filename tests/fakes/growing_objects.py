"""Growing objects in memory. tests/contract holds them to the same behaviour as S3's."""

from headwater.archive.growing_objects import ObjectChangedError


class InMemoryGrowingObjects:
    """Implements `headwater.archive.growing_objects.GrowingObjects`; ``writes`` counts them by key."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.writes: list[str] = []

    def read(self, key: str) -> tuple[bytes, str | None]:
        return self.objects.get(key, (b"", None))

    def write(self, key: str, body: bytes, tag: str | None) -> None:
        if self.read(key)[1] != tag:
            raise ObjectChangedError(key)
        self.writes.append(key)
        self.objects[key] = (body, f"tag-{len(self.writes)}")
