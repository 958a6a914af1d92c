"""What the template says of a mapping, as the machines take it."""

from __future__ import annotations

from devstack.event_source_mapping import (
    QueueMappingSettings,
    StreamMappingSettings,
)
from devstack.template import EventSourceMapping


def stream_settings(mapping: EventSourceMapping, retention: float) -> StreamMappingSettings:
    """The machine's settings for a mapping of the template; ``retention`` is the stream's, in seconds."""
    return StreamMappingSettings(
        batch_size=mapping.batch_size,
        batching_window=mapping.batching_window,
        parallelization_factor=mapping.parallelization_factor,
        maximum_retry_attempts=mapping.maximum_retry_attempts,
        maximum_record_age=mapping.maximum_record_age,
        bisect_on_function_error=mapping.bisect_on_function_error,
        report_batch_item_failures=mapping.report_batch_item_failures,
        retention=retention,
        accepts=mapping.filters.accepts if mapping.filters else None,
    )


def queue_settings(mapping: EventSourceMapping) -> QueueMappingSettings:
    """The machine's settings for a queue's mapping of the template."""
    return QueueMappingSettings(
        batch_size=mapping.batch_size,
        batching_window=mapping.batching_window,
        report_batch_item_failures=mapping.report_batch_item_failures,
        maximum_concurrency=mapping.maximum_concurrency,
        accepts=mapping.filters.accepts if mapping.filters else None,
    )
