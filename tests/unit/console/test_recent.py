"""The events that came last, out of the archive's objects."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from cli.console.recent import RecentEvents
from headwater.archive import envelope
from headwater.domain.events import PlayCompleted
from headwater.event_store import codec
from operations.archive.objects import FolderObjects
from tests.fakes.events import AT, recorded
from tests.fakes.stream_records import stream_record

PLAY = PlayCompleted(game="chess", score=1, played_at=AT)


class Archive:
    """A folder as the bucket, and who follows it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written = 0
        self.recent = RecentEvents(FolderObjects(folder), every=0)

    def add(self, *versions: int, days_ago: int = 0, body: bytes | None = None, **metadata: str) -> list[str]:
        """An object with events of one player; gives their ids."""
        events = [recorded("player#p", version, PLAY, metadata=metadata) for version in versions]
        lines = [envelope.line(stream_record(number, codec.encode(each))) for number, each in enumerate(events)]
        day = (datetime.now(UTC) - timedelta(days=days_ago)).date().isoformat()
        path = self._folder / "raw" / "source=events" / f"dt={day}" / f"{self._written:05d}.jsonl.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zstd.compress(envelope.text(lines)) if body is None else body)
        # Files of one moment have no order: the objects that a day gets are seconds apart.
        os.utime(path, (self._written, self._written))
        self._written += 1
        return [each.event_id for each in events]

    def seen(self) -> list[int]:
        self.recent.refresh()
        return [each.version for each in self.recent.newest()]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_what_lies_there_is_seen_newest_first_and_then_what_comes(archive: Archive) -> None:
    archive.add(1, 2, days_ago=1)
    archive.add(3)
    assert archive.seen() == [3, 2, 1]

    archive.add(4)
    assert archive.seen() == [4, 3, 2, 1]


def test_a_follower_gets_each_event_once_in_order(archive: Archive) -> None:
    archive.add(1, 2)
    archive.recent.refresh()
    first = archive.recent.after(0, 50)
    archive.add(3)
    archive.recent.refresh()

    assert [each.version for each in first] == [1, 2]
    assert [each.version for each in archive.recent.after(first[-1].number, 50)] == [3]
    assert [each.version for each in archive.recent.after(0, 2)] == [2, 3]


def test_an_event_is_found_by_its_id_with_the_object_that_it_lies_in(archive: Archive) -> None:
    (event_id,) = archive.add(1)
    archive.recent.refresh()

    seen = archive.recent.find(event_id)
    assert seen is not None
    assert seen.object.endswith("00000.jsonl.zst")
    assert archive.recent.find("another") is None


def test_what_an_event_caused_is_known(archive: Archive) -> None:
    (cause,) = archive.add(1)
    (effect,) = archive.add(2, causation_id=cause)
    archive.recent.refresh()

    assert [each.event_id for each in archive.recent.caused_by(cause)] == [effect]
    assert archive.recent.caused_by(effect) == []


def test_an_event_that_was_archived_twice_is_one(archive: Archive, tmp_path: Path) -> None:
    archive.add(1)
    (written,) = tmp_path.rglob("*.zst")
    archive.add(1, body=written.read_bytes())

    assert archive.seen() == [1]


@pytest.mark.parametrize("body", [b"", b"no archive", zstd.compress(b"[1]\n"), zstd.compress(b"{}\n")])
def test_a_damaged_object_hides_no_other(archive: Archive, body: bytes) -> None:
    archive.add(1, body=body)
    archive.add(2)

    assert archive.seen() == [2]


def test_an_archive_that_cannot_be_read_now_is_said_until_it_can(tmp_path: Path) -> None:
    class Unreadable(FolderObjects):
        broken = True

        def listed(self, prefix: str) -> Any:
            if self.broken:
                raise OSError("no route")
            return super().listed(prefix)

    objects = Unreadable(tmp_path)
    recent = RecentEvents(objects, every=0)
    recent.refresh()
    assert recent.trouble == "the archive cannot be read now: no route"

    objects.broken = False
    recent.refresh()
    assert recent.trouble is None


def test_many_askers_read_the_archive_once(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(_: FolderObjects, key: str) -> bytes:
        read.append(key)
        return b""

    monkeypatch.setattr(FolderObjects, "read", noted)
    archive.add(1)
    patient = RecentEvents(FolderObjects(archive._folder), every=3600)
    for _ in range(3):
        patient.refresh()

    assert len(read) == 1
