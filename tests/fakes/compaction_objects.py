"""The archive's objects in memory, by file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from headwater.archive.compaction import ArchivedObject


class InMemoryArchive:
    """Implements `headwater.archive.compaction.ArchiveObjects`; stops before the call that is named."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects: dict[str, bytes] = {} if objects is None else objects
        self.calls = 0
        self.stop_before: int | None = None

    def listed(self, prefix: str, after: str = "") -> Iterator[ArchivedObject]:
        self._called()
        for key, body in sorted(self.objects.items()):
            if key.startswith(prefix) and key > after:
                yield ArchivedObject(key, str(hash(body)), len(body))

    def download(self, key: str, path: Path) -> None:
        self._called()
        path.write_bytes(self.objects[key])

    def upload(self, path: Path, key: str) -> None:
        self._called()
        self.objects[key] = path.read_bytes()

    def copy(self, key: str, to: str) -> None:
        self._called()
        self.objects[to] = self.objects[key]

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._called()
            self.objects.pop(key, None)

    def _called(self) -> None:
        self.calls += 1
        if self.stop_before is not None and self.calls >= self.stop_before:
            raise KeyboardInterrupt
