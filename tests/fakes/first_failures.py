"""First failures in memory. tests/contract holds it to the same behaviour as the DynamoDB one."""

from datetime import datetime, timedelta


class InMemoryFirstFailures:
    """Implements `headwater.dead_letters.patience.FirstFailures`; ``faults`` are raised one a call."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], datetime] = {}
        self.faults: list[Exception] = []

    def since(self, consumer: str, record: str, now: datetime) -> datetime:
        if self.faults:
            raise self.faults.pop(0)
        first = self.first.get((consumer, record))
        if first is None or first + timedelta(days=1) <= now:
            self.first[consumer, record] = first = now
        return first
