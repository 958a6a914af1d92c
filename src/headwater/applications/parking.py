"""Elements that the account domain cannot be told of: parked as all records are."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from headwater.applications.elements import Element
from headwater.change_stream import dynamodb
from headwater.clock import timestamp
from headwater.dead_letters.parked import ParkedRecords, ParkingLot
from headwater.dead_letters.parking import UNFORESEEN, item_of

#: The Pipe's name among the consumers, as its dead letters have it too (`headwater.dead_letters.pointers.consumer_of`).
CONSUMER: Final = "application_status"


class ElementParking:
    """Implements `headwater.applications.target.Parking`: one run of one record an element."""

    def __init__(self, lot: ParkingLot, now: Callable[[], datetime], *, aside: ParkingLot) -> None:
        self._lot = lot
        self._now = now
        self._aside = aside

    def park(self, element: Element) -> None:
        self._lot.park([self._run(element, str(element.error))])

    def set_aside(self, element: Element) -> None:
        self._aside.park([self._run(element, UNFORESEEN)])

    def _run(self, element: Element, reason: str) -> ParkedRecords:
        now = timestamp(self._now())
        record = element.record if isinstance(element.record, dict) else {}
        return ParkedRecords(
            consumer=CONSUMER,
            # A Pipe does not tell its functions its ARN.
            mapping=CONSUMER,
            source_arn=str(record.get("eventSourceARN", "")),
            aggregate_id=dynamodb.aggregate_id(record),
            versions=[],
            reason=reason,
            error=f"{element.error}: {element.reason}",
            attempts=None,
            failed_at=now,
            parked_at=now,
            parsed=[item_of(record)],
            raw=[element.record],
        )
