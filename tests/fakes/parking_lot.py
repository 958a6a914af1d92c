"""A queue of parked records in memory."""

from collections.abc import Iterable

from headwater.dead_letters.parked import ParkedRecords


class InMemoryParkingLot:
    """Implements `ParkingLot`; ``faults`` are raised one a call, before (None: not) anything is parked."""

    def __init__(self) -> None:
        self.parked: list[ParkedRecords] = []
        self.faults: list[Exception | None] = []

    def park(self, parked: Iterable[ParkedRecords]) -> None:
        if self.faults and (error := self.faults.pop(0)):
            raise error
        self.parked += parked
