"""The object store in memory. tests/contract holds it to the same behaviour as the one on S3."""

from collections.abc import Iterator
from datetime import UTC, datetime

from headwater.archive.objects import Listed, ObjectExistsError, ObjectNotFoundError


class InMemoryObjectStore:
    """Implements `headwater.archive.objects.ObjectStore`.

    ``puts`` lists the key of every write tried. ``faults`` are raised one a write, in order: before the write takes
    effect or, for those in ``after_effect``, after it, as when an answer is lost. Each object is written at ``now``.
    """

    now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written_at: dict[str, datetime] = {}
        self.puts: list[str] = []
        self.faults: list[Exception] = []
        self.after_effect: list[Exception] = []

    def put_new(self, key: str, body: bytes) -> None:
        self.puts.append(key)
        if self.faults:
            raise self.faults.pop(0)
        if key in self.objects:
            raise ObjectExistsError(key)
        self.objects[key] = body
        self.written_at[key] = self.now
        if self.after_effect:
            raise self.after_effect.pop(0)

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectNotFoundError(key) from None

    def listed(self, prefix: str) -> Iterator[Listed]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield Listed(key, self.written_at[key])
