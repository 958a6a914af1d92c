"""What every asynchronous function's entry shares: logs, metrics and the batch answer.

Metrics are EMF log lines in the namespace Headwater, by function and source: RecordsSucceeded, RecordsFailed
(counts) and ProcessingTime (milliseconds a batch).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from headwater.change_stream.batch import BatchOutcome, records_of

type Source = Literal["dynamodb", "kinesis", "sqs"]
type Records = list[Mapping[str, Any]]
type Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]

logger = Logger()


def batch_handler(function: str, source: Source, process: Callable[[Any], BatchOutcome]) -> Handler:
    """The Lambda handler that gives ``process`` a batch's records and answers for it.

    A failed record is logged by its identifier and error, never by its content: records hold personal data.
    An exception that escapes ``process`` fails the whole batch, which Lambda then retries.
    """

    def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        records = records_of(event)
        started = time.perf_counter()
        outcome = BatchOutcome(len(records))
        try:
            outcome = process(records)
        except Exception:
            _report(function, source, 0, len(records), started)
            raise
        for failure in outcome.failures:
            logger.error(
                "record failed",
                function=function,
                identifier=failure.identifier,
                error=type(failure.error).__name__,
                reason=str(failure.error),
                request_id=context.aws_request_id,
            )
        _report(function, source, outcome.received - len(outcome.failures), len(outcome.failures), started)
        return outcome.queue_response() if source == "sqs" else outcome.stream_response()

    return handler


def _report(function: str, source: Source, succeeded: int, failed: int, started: float) -> None:
    # One Metrics object a report: functions that share a process must not share dimensions.
    metrics = Metrics()
    metrics.add_dimension(name="function", value=function)
    metrics.add_dimension(name="source", value=source)
    metrics.add_metric(name="RecordsSucceeded", unit=MetricUnit.Count, value=succeeded)
    metrics.add_metric(name="RecordsFailed", unit=MetricUnit.Count, value=failed)
    metrics.add_metric(
        name="ProcessingTime", unit=MetricUnit.Milliseconds, value=(time.perf_counter() - started) * 1000
    )
    metrics.flush_metrics()
