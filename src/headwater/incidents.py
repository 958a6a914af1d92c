"""What an operator must hear of although nothing failed: a line in the log, and a metric that an alarm can watch.

Metrics are EMF log lines in the namespace Headwater/<stack>, one count an incident for the whole stack, so that one
alarm watches it; the log names the function:

- ``IllegalChanges``: an event's item was modified, or removed by something other than the table's TTL.
- ``UnconfirmedEffects``: an effect was claimed and never confirmed; whether it happened is unknown.
- ``Outages``: a right, key, table or queue that a function needs is missing; its records come again until it is there.
- ``RefusedEffects``: an effect was refused for good, such as an e-mail to an address that SES does not take.
- ``OutdatedEffects``: a replayed event is older than what the effect ledger remembers; it was not acted upon.
- ``UnarchivedBatches``: batches that the archiver gave up wait in FailedBatchesBucket; told once a night.
- ``UnknownPointers``: a message on FailedBatchesQueue has a shape that nobody knows; it is kept as it came.
- ``SystemicFailures``: nearly all aggregates of a consumer fail alike; nothing is parked, and its shard waits.
- ``ForeignObjects``: objects whose names the archive did not give lie among its own; readers pass over them.
- ``DamagedObjects``: an object that is the archive's by name cannot be read; what it holds is left out, or done anew.
- ``UnreadableRows``: a read model holds what is no row, or no place in a ranking; readers leave it out.
- ``HeldBackRecords``: a consumer acknowledged what it did not apply, because aggregates stand still; until a redrive.
- ``UnreadableRecords``: a stream record did not have the shape that AWS documents; the archive holds it as it came.
"""

from typing import Literal, Protocol

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

type Incident = Literal[
    "IllegalChanges",
    "UnconfirmedEffects",
    "RefusedEffects",
    "Outages",
    "OutdatedEffects",
    "UnarchivedBatches",
    "UnknownPointers",
    "ForeignObjects",
    "DamagedObjects",
    "UnreadableRecords",
    "SystemicFailures",
    "UnreadableRows",
    "HeldBackRecords",
]

logger = Logger()


class Incidents(Protocol):
    """Takes reports. ``facts`` identify what it happened to; they never hold content, which may be personal."""

    def report(self, incident: Incident, message: str, **facts: str) -> None: ...


class LoggedIncidents:
    """Writes each report to the log of ``function`` and counts it."""

    def __init__(self, function: str) -> None:
        self._function = function

    def report(self, incident: Incident, message: str, **facts: str) -> None:
        logger.error(message, extra={"function": self._function, "incident": incident, **facts})
        # Metrics would share its dimensions with whatever else runs in this process at the moment.
        metrics = EphemeralMetrics()
        metrics.add_metadata(key="function", value=self._function)
        metrics.add_metric(name=incident, unit=MetricUnit.Count, value=1)
        metrics.flush_metrics()
