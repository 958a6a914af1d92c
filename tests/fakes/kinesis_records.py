"""Records as Lambda delivers them from the events stream (AWS's documented shape), and a mapping that redelivers."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from headwater.change_stream import cloud_events
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.domain.events import MalformedEventError, RecordedEvent, UnknownEventError
from headwater.event_store import codec
from tests.fakes.events import EVENT_TYPES


class InMemoryClaimStore:
    """Implements `headwater.change_stream.claim_checks.ClaimStore`; ``gets`` lists what was fetched."""

    def __init__(self) -> None:
        self.claims: dict[str, bytes] = {}
        self.gets: list[str] = []

    def put(self, name: str, body: bytes) -> str:
        dataref = f"memory://claims/{name}"
        self.claims[dataref] = body
        return dataref

    def get(self, dataref: str) -> bytes:
        self.gets.append(dataref)
        if dataref not in self.claims:
            raise MalformedEventError(f"dataref {dataref!r} is not a claim")
        return self.claims[dataref]


def outgoing(event: RecordedEvent) -> OutgoingEvent:
    """The event as it is published; one that our code would not publish, as other code does."""
    try:
        return cloud_events.encode(codec.encode(event), EVENT_TYPES)
    except (MalformedEventError, UnknownEventError):
        return published_by_others(event)


def published_by_others(event: RecordedEvent) -> OutgoingEvent:
    """The event as a message whose producer checks nothing."""
    metadata = {name.replace("_", ""): value for name, value in event.metadata.items()}
    message = {
        "specversion": "1.0",
        "id": event.event_id,
        "type": event.type,
        "source": cloud_events.SOURCE,
        "subject": event.aggregate_id,
        "time": event.occurred_at,
        "datacontenttype": "application/json",
        "dataschema": f"urn:headwater:schema:{event.type}:{event.schema_version}",
        "sequence": f"{event.version:020d}",
        "partitionkey": event.aggregate_id,
        **metadata,
        "data": event.data,
    }
    return OutgoingEvent(
        event_id=event.event_id,
        type=event.type,
        aggregate_id=event.aggregate_id,
        aggregate_type=event.aggregate_type,
        body=json.dumps(message).encode(),
    )


def kinesis_record(
    event: RecordedEvent, sequence_number: int, *, body: bytes | None = None, claims: ClaimStore | None = None
) -> dict[str, Any]:
    """One record; ``body`` replaces the event's own, and ``claims`` takes the event in, leaving a claim check."""
    message = outgoing(event)
    if claims is not None:
        message = cloud_events.without_data(message, claims.put(event.event_id, message.body))
    data = message.body if body is None else body
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": event.aggregate_id,
            "sequenceNumber": str(sequence_number),
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": 1772366400.0,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/headwater",
        "awsRegion": "eu-west-1",
        "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/events",
    }


def kinesis_batch(events: Iterable[RecordedEvent], first: int = 1) -> list[dict[str, Any]]:
    return [kinesis_record(event, number) for number, event in enumerate(events, start=first)]


def failed(outcome: BatchOutcome) -> list[int]:
    return sorted(int(failure.identifier) for failure in outcome.failures)


def deliver(
    records: Sequence[Mapping[str, Any]],
    process: Callable[[Sequence[Mapping[str, Any]]], BatchOutcome],
    sizes: Sequence[int] = (100,),
    attempts: int = 100,
) -> None:
    """A mapping with ReportBatchItemFailures: batches of the given sizes, again from the lowest failure on."""
    position = 0
    for attempt in range(attempts):
        if position == len(records):
            return
        batch = records[position : position + sizes[attempt % len(sizes)]]
        answer = process(batch).stream_response()["batchItemFailures"]
        numbers = [record["kinesis"]["sequenceNumber"] for record in batch]
        position += numbers.index(answer[0]["itemIdentifier"]) if answer else len(batch)
    raise AssertionError(f"{len(records) - position} records were not accepted in {attempts} attempts")
