"""A queue of parked records in memory."""

from collections.abc import Iterable
from datetime import datetime

from headwater.change_stream.source_kinds import StreamKind
from headwater.dead_letters.parked import NotParkedError, ParkedRecords, ParkingLot
from headwater.dead_letters.parking import Parking
from tests.fakes.events import AT, EVENT_TYPES


class InMemoryParkingLot:
    """Implements `ParkingLot`; ``faults`` are raised one a call, before (None: not) anything is parked.

    A ``closed`` one takes nothing at all.
    """

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self.parked: list[ParkedRecords] = []
        self.faults: list[Exception | None] = []

    def park(self, parked: Iterable[ParkedRecords]) -> None:
        if self.faults and (error := self.faults.pop(0)):
            raise error
        if self.closed:
            raise NotParkedError("nothing is taken")
        self.parked += parked


def parking(
    lot: ParkingLot | None = None,
    consumer: str = "tests",
    kind: StreamKind = "kinesis",
    aside: ParkingLot | None = None,
) -> Parking:
    """Parks a stream's records; without a lot nothing, so that what fails for good fails its test.

    Without ``aside`` nothing is set aside, either.
    """
    closed = InMemoryParkingLot(closed=True)
    return Parking(
        consumer, kind, lot or closed, EVENT_TYPES, lambda: datetime.fromisoformat(AT), aside=aside or closed
    )
