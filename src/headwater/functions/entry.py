"""What every asynchronous function's entry shares: logs, metrics and the batch answer.

Metrics are EMF log lines in the namespace Headwater/<stack>, by function and source: RecordsSucceeded, RecordsFailed,
and RecordsParked where there are any (acknowledged and not applied, until a redrive) as counts; ProcessingTime
(milliseconds a batch). The log names the aggregates that stand still. The HTTP API's entry reports through the same
`report`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from headwater.change_stream.batch import BatchOutcome, records_of
from headwater.change_stream.source_kinds import SourceKind
from headwater.failures import FailureKind, kind_of, loggable
from headwater.incidents import LoggedIncidents

type Records = Sequence[Mapping[str, Any]]
type Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]

logger = Logger()


def batch_handler(
    function: str, source: SourceKind | Callable[[Records], str], process: Callable[[Any], BatchOutcome]
) -> Handler:
    """The Lambda handler that gives ``process`` a batch's records and answers for it.

    ``source`` is what the function reads; or what tells it of a batch, where the function reads several.

    A failed record is logged by its identifier and error, never by its content: records hold personal data.
    An exception that escapes ``process`` fails the whole batch, which Lambda then retries.
    """

    def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        records = records_of(event)
        started = time.perf_counter()
        named = source if isinstance(source, str) else source(records)
        outcome = BatchOutcome(len(records))
        try:
            outcome = process(records)
        except Exception as error:
            report(function, named, started, RecordsSucceeded=0, RecordsFailed=len(records))
            tell_outage(function, [error])
            raise
        log_failures(function, outcome, context)
        if outcome.stopped:
            # Their parked records say so too, and expire.
            LoggedIncidents(function).report(
                "HeldBackRecords", "aggregates stand still", aggregates=", ".join(outcome.stopped)
            )
        parked: dict[str, Any] = {"RecordsParked": outcome.parked} if outcome.parked else {}
        failed = len(outcome.failures)
        report(function, named, started, RecordsSucceeded=outcome.succeeded, RecordsFailed=failed, **parked)
        return outcome.queue_response() if source == "sqs" else outcome.stream_response()

    return handler


def log_failures(function: str, outcome: BatchOutcome, context: Any) -> None:
    """A line for each record that failed: its identifier and the error, never its content. Outages are counted."""
    for failure in outcome.failures:
        logger.error(
            "record failed",
            function=function,
            identifier=failure.identifier,
            error=type(failure.error).__name__,
            reason=loggable(failure.error),
            request_id=context.aws_request_id,
        )
    tell_outage(function, [failure.error for failure in outcome.failures])


def tell_outage(function: str, errors: Sequence[Exception]) -> None:
    """Reports, once a batch, that the place is at fault: nothing is parked for that, so that nobody else would hear."""
    outages = [error for error in errors if kind_of(error) is FailureKind.OUTAGE]
    if outages:
        LoggedIncidents(function).report(
            "Outages",
            "something that this function needs is missing or forbidden; its records come again",
            cause=loggable(outages[0]),
            records=str(len(outages)),
        )


def report(function: str, source: str, started: float, *, route: str | None = None, **counts: int) -> None:
    """Writes counts, and the time since ``started`` (`time.perf_counter`), as one EMF line; by ``route``, if any."""
    # Ephemeral: Powertools' Metrics shares its state within the process, and functions may share a process.
    metrics = EphemeralMetrics()
    metrics.add_dimension(name="function", value=function)
    metrics.add_dimension(name="source", value=source)
    if route is not None:
        metrics.add_dimension(name="route", value=route)
    for name, value in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
    metrics.add_metric(
        name="ProcessingTime", unit=MetricUnit.Milliseconds, value=(time.perf_counter() - started) * 1000
    )
    metrics.flush_metrics()
