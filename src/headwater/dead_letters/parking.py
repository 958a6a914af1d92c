"""Rule 6 of the delivery rules, the handlers' half: what is parked at once, and what of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from headwater.attribute_values import MalformedAttributeError, unmarshal_item
from headwater.change_stream import cloud_events, dynamodb, kinesis
from headwater.change_stream.records import MalformedRecordError
from headwater.dead_letters.parked import ParkedRecords, ParkingLot
from headwater.dead_letters.pointers import StreamKind
from headwater.domain.events import MalformedEventError, UnknownEventError
from headwater.event_store import codec

#: Errors that trying again cannot help: the record itself, or this code, has to change. All others are transient:
#: reported to Lambda, which retries them and at last points FailedBatchesQueue to them.
PERMANENT: Final = (MalformedRecordError, MalformedEventError, UnknownEventError)


class Parking:
    """Parks what ``consumer`` cannot apply of a stream's records: its function's name, as in its metrics."""

    def __init__(self, consumer: str, kind: StreamKind, lot: ParkingLot, now: Callable[[], datetime]) -> None:
        self._consumer = consumer
        self._kind = kind
        self._lot = lot
        self._now = now

    def park(
        self, aggregate_id: str, versions: Sequence[int], records: Sequence[Mapping[str, Any]], error: Exception
    ) -> None:
        """Returns once one run of an aggregate's records is on the queue; twice does no harm."""
        at = self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._lot.park(
            [
                ParkedRecords(
                    consumer=self._consumer,
                    # The handler is not told its own ARN.
                    mapping=self._consumer,
                    source_arn=str(records[0].get("eventSourceARN", "")),
                    aggregate_id=aggregate_id,
                    versions=versions,
                    reason=type(error).__name__,
                    error=f"{type(error).__name__}: {error}",
                    attempts=1,
                    failed_at=at,
                    parked_at=at,
                    parsed=[parsed(self._kind, raw) for raw in records],
                    raw=records,
                )
            ]
        )


def parsed(kind: StreamKind, raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """The event in a record, or another table's item, for a person to read; None if nothing in it can be read."""
    try:
        if kind == "kinesis":
            return asdict(cloud_events.decode(kinesis.body(raw)).event)
        change = dynamodb.parse(raw)
        if "aggregate_id" not in change.keys:
            return item_of(raw)
        return asdict(codec.decode(change.new_image or change.old_image or {}))
    except (MalformedRecordError, MalformedEventError):
        return None


def item_of(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """The item that a record of a table's stream shows, in values that JSON has; None if it cannot be read."""
    try:
        change = dynamodb.parse(raw)
        item = unmarshal_item(change.new_image or change.old_image or {})
    except (MalformedRecordError, MalformedAttributeError):
        return None
    shown: dict[str, Any] = orjson.loads(orjson.dumps(item, default=_shown))
    return shown


def _shown(value: object) -> Any:
    return sorted(value, key=str) if isinstance(value, set) else str(value)
