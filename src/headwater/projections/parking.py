"""Rule 6 of the delivery rules, a gated consumer's half: what is parked, and what of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from headwater.change_stream import kinesis
from headwater.change_stream.records import MalformedRecordError
from headwater.dead_letters.parked import ParkedRecords, ParkingLot
from headwater.domain.events import MalformedEventError, UnknownEventError

#: Errors that trying again cannot help: the record itself, or this code, has to change. All others are transient:
#: reported to Lambda, which retries them and at last points FailedBatchesQueue to them.
PERMANENT: Final = (MalformedRecordError, MalformedEventError, UnknownEventError)


class Parking:
    """Parks what ``consumer`` cannot apply. ``consumer`` is the function's name, as in its metrics."""

    def __init__(self, consumer: str, lot: ParkingLot, now: Callable[[], datetime]) -> None:
        self._consumer = consumer
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
                    parsed=[_parsed(raw) for raw in records],
                    raw=records,
                )
            ]
        )


def _parsed(raw: Mapping[str, Any]) -> Any:
    try:
        return orjson.loads(kinesis.body(raw))
    except (MalformedRecordError, orjson.JSONDecodeError):
        return None
