"""The events that came last, as the archive has them: read from its objects, which nothing else waits for.

The console is one more reader of the archive, so that no stream and no function has more to do for it. What it shows is
as late as the archive: a second or two on the local stack, the archiver's batching window on a deployed one.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from headwater.archive import curated, reader
from headwater.archive.inventory import Names, sorted_out
from headwater.archive.objects import ObjectNotFoundError
from operations.archive.objects import Objects

#: Events that are remembered, and objects that are read of what lies there already when the console starts.
_REMEMBERED: Final = 50_000
_OBJECTS_AT_FIRST: Final = 2_000
_DAYS_AT_FIRST: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One archived event, without its data. ``number`` counts what this console has seen, in order."""

    number: int
    event_id: str
    aggregate_id: str
    version: int
    type: str
    occurred_at: str
    captured_at: str
    object: str
    causation_id: str
    correlation_id: str


class RecentEvents:
    """Follows the archive of events; safe to ask from any thread."""

    def __init__(self, objects: Objects, every: float) -> None:
        self._objects = objects
        self._every = every
        self._lock = threading.Lock()
        self._by_id: OrderedDict[str, Seen] = OrderedDict()
        self._keys: set[str] = set()
        self._numbers = 0
        self._asked = float("-inf")
        self._reading = threading.Lock()
        self.trouble: str | None = None
        """Why the archive cannot be read now."""

    def refresh(self) -> None:
        """Reads what is new, unless that was done a moment ago, or somebody is at it."""
        if time.monotonic() - self._asked < self._every or not self._reading.acquire(blocking=False):
            return
        try:
            self._read()
            self.trouble = None
        except (BotoCoreError, ClientError, OSError) as error:
            self.trouble = f"the archive cannot be read now: {error}"
        finally:
            self._asked = time.monotonic()
            self._reading.release()

    def after(self, number: int, most: int) -> Sequence[Seen]:
        """What was seen after a number, oldest first, and of that the newest."""
        with self._lock:
            found: deque[Seen] = deque(maxlen=most)
            for seen in reversed(self._by_id.values()):
                if seen.number <= number or len(found) == most:
                    break
                found.appendleft(seen)
            return list(found)

    def newest(self) -> Iterator[Seen]:
        """All that is remembered, newest first."""
        with self._lock:
            seen = list(self._by_id.values())
        return reversed(seen)

    def find(self, event_id: str) -> Seen | None:
        with self._lock:
            return self._by_id.get(event_id)

    def caused_by(self, event_id: str) -> Sequence[Seen]:
        """The events that an event caused, as their metadata say."""
        with self._lock:
            return [seen for seen in self._by_id.values() if seen.causation_id == event_id]

    def types(self) -> Sequence[str]:
        return sorted({seen.type for seen in self.newest()})

    def _read(self) -> None:
        today = datetime.now(UTC).date()
        first = not self._keys
        listed = []
        for back in range(_DAYS_AT_FIRST if first else 1, -1, -1):
            day = (today - timedelta(days=back)).isoformat()
            prefix = f"{curated.raw_prefix('events')}dt={day}/"
            listed += sorted_out(self._objects.listed(prefix), Names.RAW).own
        new = sorted(
            (each for each in listed if each.key not in self._keys), key=lambda each: (each.modified, each.key)
        )
        for each in new[-_OBJECTS_AT_FIRST:]:
            try:
                lines = list(reader.lines(self._objects.read(each.key)))
            except (ObjectNotFoundError, reader.UnreadableObjectError):
                lines = []
            self._remember(each.key, lines)
        self._keys = {each.key for each in listed}

    def _remember(self, key: str, lines: Sequence[Mapping[str, Any]]) -> None:
        with self._lock:
            for line in lines:
                if line.get("operation") != "INSERT" or not line.get("event_id") or line["event_id"] in self._by_id:
                    continue
                self._numbers += 1
                metadata = _json_object(line.get("metadata"))
                seen = Seen(
                    number=self._numbers,
                    event_id=str(line["event_id"]),
                    aggregate_id=str(line.get("aggregate_id")),
                    version=int(line.get("version") or 0),
                    type=str(line.get("type")),
                    occurred_at=str(line.get("occurred_at")),
                    captured_at=str(line.get("captured_at")),
                    object=key,
                    causation_id=str(metadata.get("causation_id") or ""),
                    correlation_id=str(metadata.get("correlation_id") or ""),
                )
                self._by_id[seen.event_id] = seen
            while len(self._by_id) > _REMEMBERED:
                self._by_id.popitem(last=False)


def _json_object(text: Any) -> Mapping[str, Any]:
    try:
        found = orjson.loads(text or "{}")
    except (TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
