"""The events as flat JSON for dashboards: an object a day under ``bi/``, and QuickSight's manifest over them.

QuickSight reads few files at a time (see docs/quicksight.md), so that an object grows through the day instead of one
being written for each batch. It is the day on which the event occurred: wherever and whenever the event comes again,
from another shard, after midnight or in a replay, it meets the object that has it, and is not added once more.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from headwater.archive.growing_objects import GrowingObjects, ObjectChangedError
from headwater.change_stream import claim_checks, kinesis
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.claim_checks import ClaimStore
from headwater.dead_letters.triage import Triage
from headwater.domain.events import EventTypes, RecordedEvent
from headwater.incidents import Incidents

PREFIX: Final = "bi/events/"
MANIFEST: Final = "bi/manifest.json"
#: Of an event's data, what becomes columns: values that can be counted and compared, none that tells who a person is.
COLUMNS: Final = ("user_id", "game", "score", "played_at", "badge", "kind")
#: A fuller object is left as it is and the next one begun: a batch reads and writes its object whole.
OBJECT_BYTES: Final = 32 * 1024 * 1024

#: The shards' functions write the same object, each once in a batching window.
_WRITE_ATTEMPTS: Final = 8
_WRITE_BASE_SECONDS: Final = 0.05

#: Whose a line is: event id, aggregate id and version, as nothing keeps programs from giving two events one id.
type _Identity = tuple[str, str, int]


class BiExport:
    """Adds each event to the object of its day (UTC), once."""

    def __init__(
        self,
        objects: GrowingObjects,
        claims: ClaimStore,
        bucket: str,
        triage: Triage,
        incidents: Incidents,
        *,
        types: EventTypes,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._objects = objects
        self._claims = claims
        self._bucket = bucket
        self._triage = triage
        self._incidents = incidents
        self._types = types
        self._damaged: set[str] = set()
        self._sleep = sleep
        self._has_manifest = False

    def export(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Exports one batch of Kinesis records; parks those that cannot be read.

        Raises
        ------
        MalformedRecordError
            A record has no sequence number, so that no answer could name it; nothing was written.
        """
        kinesis.sequence_numbers(records)
        return self._triage.settle(records, *self._export(records))

    def redrive(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Exports parked records. One that still cannot be read fails, and is not parked a second time."""
        numbers = kinesis.sequence_numbers(records)
        _, errors = self._export(records)
        return BatchOutcome.of(numbers, errors)

    def _export(self, records: Sequence[Mapping[str, Any]]) -> tuple[list[str], dict[int, Exception]]:
        """The aggregates of which something was exported, and what records met, by their place in the batch."""
        self._publish_manifest()
        exported: list[str] = []
        errors: dict[int, Exception] = {}
        by_day: dict[str, dict[_Identity, bytes]] = {}
        places: dict[str, list[int]] = {}
        for index, raw in enumerate(records):
            try:
                event = claim_checks.resolve(kinesis.body(raw), self._claims, self._types).event
                day, line = _day(event), _line(event)
            except Exception as error:  # noqa: BLE001  # whatever one record meets, the others are exported
                errors[index] = error
            else:
                by_day.setdefault(day, {})[event.event_id, event.aggregate_id, event.version] = line
                places.setdefault(day, []).append(index)
        for day, lines in by_day.items():
            try:
                self._add(day, lines)
            except Exception as error:  # noqa: BLE001  # whatever one day meets, the others are exported
                errors |= dict.fromkeys(places[day], error)
            else:
                exported += [kinesis.partition_key(records[index]) for index in places[day]]
        return exported, errors

    def _add(self, day: str, lines: Mapping[_Identity, bytes]) -> None:
        for attempt in range(1, _WRITE_ATTEMPTS + 1):
            key, body, tag, missing = self._room(day, lines)
            if not missing:
                return
            try:
                self._objects.write(key, b"".join([body, *missing.values()]), tag)
            except ObjectChangedError:
                if attempt == _WRITE_ATTEMPTS:
                    raise
                self._sleep(random.uniform(0, _WRITE_BASE_SECONDS * 2**attempt))  # noqa: S311  # jitter
            else:
                return

    def _room(
        self, day: str, lines: Mapping[_Identity, bytes]
    ) -> tuple[str, bytes, str | None, Mapping[_Identity, bytes]]:
        """The object with room for more, its content and tag, and the lines that none of the day's objects has.

        One that is damaged has no room: it stays as it is for whoever repairs it, and its whole lines count.
        """
        missing = dict(lines)
        part = 1
        while True:
            key = f"{PREFIX}dt={day}-{part}.json"
            body, tag = self._objects.read(key)
            identities, whole = _identities(body)
            for identity in identities:
                missing.pop(identity, None)
            if not whole:
                self._report_damaged(key)
            elif len(body) < OBJECT_BYTES:
                return key, body, tag, missing
            part += 1

    def _report_damaged(self, key: str) -> None:
        if key not in self._damaged:
            # Each batch meets it again: it is named once by each instance of the function.
            self._damaged.add(key)
            self._incidents.report(
                "DamagedObjects", "an object of the export is damaged; its day goes on in another", object=key
            )

    def _publish_manifest(self) -> None:
        if self._has_manifest:
            return
        prefix = f"s3://{self._bucket}/{PREFIX}"
        manifest = {
            "fileLocations": [{"URIPrefixes": [prefix]}],
            "globalUploadSettings": {"format": "JSON"},
        }
        body = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
        stored, tag = self._objects.read(MANIFEST)
        if stored != body:
            # Another shard's function may be faster, with the same text.
            with suppress(ObjectChangedError):
                self._objects.write(MANIFEST, body, tag)
        self._has_manifest = True


def _day(event: RecordedEvent) -> str:
    return f"{datetime.fromisoformat(event.occurred_at).astimezone(UTC):%Y-%m-%d}"


def _line(event: RecordedEvent) -> bytes:
    """The event as one flat object; each line has every column, so that a dashboard sees the same ones every day."""
    line: dict[str, Any] = {
        "event_id": event.event_id,
        "type": event.type,
        "aggregate_type": event.aggregate_type,
        "aggregate_id": event.aggregate_id,
        "version": event.version,
        "occurred_at": event.occurred_at,
        "correlation_id": event.metadata.get("correlation_id"),
        **{name: event.data.get(name) for name in COLUMNS},
    }
    if line["user_id"] is None and event.aggregate_type in {"user", "player"}:
        line["user_id"] = event.aggregate_key
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _identities(body: bytes) -> tuple[list[_Identity], bool]:
    """Whose an object's lines are, and whether each is one that the export writes, to the last."""
    found: list[_Identity] = []
    # A line is added behind the last one's end.
    whole = not body or body.endswith(b"\n")
    for line in filter(None, body.split(b"\n")):
        try:
            columns = orjson.loads(line)
            identity = columns["event_id"], columns["aggregate_id"], columns["version"]
        except (ValueError, TypeError, KeyError):
            whole = False
            continue
        if tuple(map(type, identity)) == (str, str, int):
            found.append(identity)
        else:
            whole = False
    return found, whole
