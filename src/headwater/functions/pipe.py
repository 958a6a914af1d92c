"""The entries of a Pipe's functions: logs and metrics as every asynchronous function has them.

A Pipe hands its functions a bare list, not an event with Records, and takes the enrichment's answer for the target's
list. Metrics are those of `headwater.functions.entry`, by the source "pipe"; an element that was parked counts as
succeeded, because nothing is to be retried.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from headwater.applications.elements import Element, parse_batch
from headwater.change_stream.batch import BatchOutcome
from headwater.failures import FailureKind, loggable
from headwater.functions import entry
from headwater.functions.entry import log_failures, report, tell_outage

type PipeHandler = Callable[[Any, Any], Any]


def enrichment_handler(function: str, enrich: Callable[[Sequence[Any]], Sequence[Element]]) -> PipeHandler:
    """The Lambda handler that gives ``enrich`` a batch, and answers one element for each of its records."""

    def handler(event: Any, context: Any) -> list[dict[str, Any]]:
        started = time.perf_counter()
        if not isinstance(event, list):
            raise TypeError("a Pipe's enrichment takes a list of records: invoke this function through its Pipe")
        try:
            # Strictly one for each: a Pipe would drop the rest without a word.
            elements = [element for element, _ in zip(enrich(event), event, strict=True)]
        except Exception as error:
            _batch_failed(function, error, context)
            report(function, "pipe", started, RecordsSucceeded=0, RecordsFailed=len(event))
            raise
        report(function, "pipe", started, RecordsSucceeded=len(event), RecordsFailed=0)
        return [element.to_json() for element in elements]

    return handler


def target_handler(function: str, deliver: Callable[[Sequence[Element]], BatchOutcome]) -> PipeHandler:
    """The Lambda handler that gives ``deliver`` a batch's elements and answers for it, by their ``eventID``."""

    def handler(event: Any, context: Any) -> dict[str, Any]:
        started = time.perf_counter()
        received = len(event) if isinstance(event, list) else 0
        try:
            elements = parse_batch(event)
            outcome = deliver(elements)
        except Exception as error:
            _batch_failed(function, error, context)
            report(function, "pipe", started, RecordsSucceeded=0, RecordsFailed=received)
            raise
        again = {failure.identifier for failure in outcome.failures}
        for element in elements:
            if element.status is None and element.event_id not in again:
                entry.logger.error(
                    "record parked",
                    function=function,
                    identifier=element.event_id,
                    error=element.error,
                    # What was not foreseen may quote the record.
                    reason=element.reason if element.kind is FailureKind.PERMANENT else "",
                    request_id=context.aws_request_id,
                )
        log_failures(function, outcome, context)
        failed = len(outcome.failures)
        report(function, "pipe", started, RecordsSucceeded=outcome.received - failed, RecordsFailed=failed)
        return outcome.queue_response()

    return handler


def _batch_failed(function: str, error: Exception, context: Any) -> None:
    # A Pipe's dead letter names no reason: it is here, under the function's name.
    entry.logger.error(
        "batch failed",
        function=function,
        error=type(error).__name__,
        reason=loggable(error),
        request_id=context.aws_request_id,
    )
    tell_outage(function, [error])
