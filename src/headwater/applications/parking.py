"""Elements that the account domain cannot be told of: parked as all records are, and told again by a redrive."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from headwater.applications.elements import Element
from headwater.applications.enrichment import Enrichment
from headwater.applications.target import Inbox, Target
from headwater.change_stream import dynamodb
from headwater.change_stream.batch import BatchOutcome
from headwater.clock import timestamp
from headwater.dead_letters.parked import ParkedRecords, ParkingLot
from headwater.dead_letters.parking import item_of

#: The Pipe's name among the consumers, as its dead letters have it too (`headwater.dead_letters.pointers.consumer_of`).
CONSUMER: Final = "application_status"


class UntellableError(Exception):
    """An element that still cannot be told; the message says why."""


class ElementParking:
    """Implements `headwater.applications.target.Parking`: one run of one record an element."""

    def __init__(self, lot: ParkingLot, now: Callable[[], datetime]) -> None:
        self._lot = lot
        self._now = now

    def park(self, element: Element) -> None:
        now = timestamp(self._now())
        record = element.record if isinstance(element.record, dict) else {}
        self._lot.park(
            [
                ParkedRecords(
                    consumer=CONSUMER,
                    # A Pipe does not tell its functions its ARN.
                    mapping=CONSUMER,
                    source_arn=str(record.get("eventSourceARN", "")),
                    aggregate_id=dynamodb.aggregate_id(record),
                    versions=[],
                    reason=str(element.error),
                    error=f"{element.error}: {element.reason}",
                    attempts=None,
                    failed_at=now,
                    parked_at=now,
                    parsed=[item_of(record)],
                    raw=[element.record],
                )
            ]
        )


class PipeRedrive:
    """Does once more, at an operator's word, what the Pipe does: enrich, and tell."""

    def __init__(self, enrichment: Enrichment, inbox: Inbox) -> None:
        self._enrichment = enrichment
        self._target = Target(inbox, _Refusing())

    def redrive(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Tells parked records. One that still cannot be told fails, and is not parked a second time."""
        return self._target.deliver(self._enrichment.enrich(records))


class _Refusing:
    def park(self, element: Element) -> None:
        raise UntellableError(f"{element.error}: {element.reason}")
