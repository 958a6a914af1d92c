"""Rule 6 of the delivery rules, the handlers' half: what is parked at once, and what of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import orjson
from msgspec import structs

from headwater.attribute_values import AttributeMap, unmarshal_item
from headwater.change_stream import cloud_events, dynamodb, kinesis
from headwater.change_stream.records import ChangeRecord
from headwater.change_stream.source_kinds import StreamKind
from headwater.clock import timestamp
from headwater.dead_letters.parked import ParkedRecords, ParkingLot
from headwater.domain.events import EventTypes, UnknownEventError
from headwater.event_store import codec
from headwater.failures import JudgedError, name_of

#: The reason of what was set aside, as long as that, and once it is parked at last.
UNFORESEEN: Final = "unforeseen"
#: `Parking.park`, or `Parking.set_aside`.
type PutAway = Callable[[str, Sequence[int], Sequence[Mapping[str, Any]], Exception], None]


class Parking:
    """Parks what ``consumer`` cannot apply of a stream's records: its function's name, as in its metrics."""

    def __init__(
        self,
        consumer: str,
        kind: StreamKind,
        lot: ParkingLot,
        types: EventTypes,
        now: Callable[[], datetime],
        *,
        aside: ParkingLot,
    ) -> None:
        self._consumer = consumer
        self._kind = kind
        self._lot = lot
        self._types = types
        self._now = now
        self._aside = aside

    def park(
        self, aggregate_id: str, versions: Sequence[int], records: Sequence[Mapping[str, Any]], error: Exception
    ) -> None:
        """Returns once one run of an aggregate's records is on the queue; twice does no harm."""
        self._lot.park([self._run(aggregate_id, versions, records, error, reason=name_of(error), attempts=1)])

    def set_aside(
        self, aggregate_id: str, versions: Sequence[int], records: Sequence[Mapping[str, Any]], error: Exception
    ) -> None:
        """As `park`, for an error that nobody foresaw: the run is redriven by itself, until it is parked at last."""
        self._aside.park([self._run(aggregate_id, versions, records, error, reason=UNFORESEEN, attempts=None)])

    def _run(
        self,
        aggregate_id: str,
        versions: Sequence[int],
        records: Sequence[Mapping[str, Any]],
        error: Exception,
        *,
        reason: str,
        attempts: int | None,
    ) -> ParkedRecords:
        at = timestamp(self._now())
        return ParkedRecords(
            consumer=self._consumer,
            # The handler is not told its own ARN.
            mapping=self._consumer,
            source_arn=str(records[0].get("eventSourceARN", "")),
            aggregate_id=aggregate_id,
            # A foreign producer's may have more digits; the record itself has them all.
            versions=[version for version in versions if version in _VERSIONS],
            reason=reason,
            error=_told(error),
            attempts=attempts,
            failed_at=at,
            parked_at=at,
            parsed=[parsed(self._kind, raw, self._types) for raw in records],
            raw=records,
        )


#: What every reader of JSON can hold; a message has no other.
_VERSIONS: Final = range(-(2**63), 2**63)


def _told(error: Exception) -> str:
    detail = error.detail if isinstance(error, JudgedError) else ""
    return f"{type(error).__name__}: {error}" + (f" ({detail})" if detail else "")


def parsed(kind: StreamKind, raw: Mapping[str, Any], types: EventTypes) -> dict[str, Any] | None:
    """The event in a record, or another table's item, in values that JSON has; None if it cannot be read."""
    return _readable(lambda: _contents(kind, raw, types))


def item_of(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """The item that a record of a table's stream shows, in values that JSON has; None if it cannot be read."""
    return _readable(lambda: unmarshal_item(_image(dynamodb.parse(raw))))


def _contents(kind: StreamKind, raw: Mapping[str, Any], types: EventTypes) -> dict[str, Any]:
    if kind == "kinesis":
        body = kinesis.body(raw)
        try:
            delivery = cloud_events.decode(body, types)
        except UnknownEventError:
            message = orjson.loads(body)
            return {**message, "aggregate_id": message["subject"], "version": int(message["sequence"])}
        event = structs.asdict(delivery.event)
        return event if delivery.dataref is None else {**event, "data": None, "dataref": delivery.dataref}
    change = dynamodb.parse(raw)
    if "aggregate_id" in change.keys:
        # What newer code wrote is shown as it stands: its item is one, whoever can read its data.
        with suppress(UnknownEventError):
            return structs.asdict(codec.decode(_image(change), types))
    return unmarshal_item(_image(change))


def _image(change: ChangeRecord) -> AttributeMap:
    return change.new_image or change.old_image or {}


def _readable(read: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        shown: dict[str, Any] = _shown(read())
        # As deep as it will lie in its message: orjson reads what is nested more deeply than it writes.
        orjson.dumps({"parsed": [shown]})
    except Exception:  # noqa: BLE001  # for people's eyes alone: whatever it meets, the record itself is parked
        return None
    return shown


def _shown(value: Any) -> Any:
    match value:
        case dict():
            return {name: _shown(member) for name, member in value.items()}
        case list():
            return [_shown(member) for member in value]
        case set():
            return sorted(map(_shown, value), key=str)
        # JSON has no limit here, but those who read it have one: 64 bits.
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case str() | int() | float() | None:
            return value
    return str(value)
