"""Counts what is parked, by consumer and reason.

The metric ``ParkedRecords`` is an EMF log line in the namespace Headwater/<stack>, with dimensions ``consumer`` and
``reason``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from headwater.dead_letters.parked import ParkedRecords, ParkingLot


class CountedParkingLot:
    """Implements `ParkingLot` over another one. What failed half-way is not counted: it is parked again."""

    def __init__(self, lot: ParkingLot) -> None:
        self._lot = lot

    def park(self, parked: Iterable[ParkedRecords]) -> None:
        counts: Counter[tuple[str, str]] = Counter()

        def passing() -> Iterator[ParkedRecords]:
            # Not a list: thousands of them never lie in memory together.
            for each in parked:
                counts[each.consumer, each.reason] += len(each.raw)
                yield each

        self._lot.park(passing())
        for (consumer, reason), count in counts.items():
            metrics = EphemeralMetrics()
            metrics.add_dimension(name="consumer", value=consumer)
            metrics.add_dimension(name="reason", value=reason)
            metrics.add_metric(name="ParkedRecords", unit=MetricUnit.Count, value=count)
            metrics.flush_metrics()
