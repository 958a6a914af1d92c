"""Fixtures in events/ for `sam local invoke`: what a consumer's function may get, of the events' own examples.

A fixture that is there is kept as it is: whoever knows a better story writes it down.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cli.wiring.facts import Consumer, EffectConsumer, Facts
from headwater.application import function_of
from headwater.change_stream import cloud_events, kinesis
from headwater.domain.constraints import annotations, example_of
from headwater.domain.events import DomainEvent, NewEvent, RecordedEvent
from headwater.event_store import codec

_REGION: Final = "eu-west-1"
_ACCOUNT: Final = "123456789012"
_STREAM: Final = f"arn:aws:kinesis:{_REGION}:{_ACCOUNT}:stream/headwater-events"
_KEY: Final = "019930c2-6d1e-7a40-9c35-5be0f1a2c3d4"
_AT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
_FIRST_SEQUENCE_NUMBER: Final = 49590338271490256608559692538361571095921575989136588898


def missing(facts: Facts, folder: Path) -> Iterator[tuple[Path, str]]:
    """The fixtures that are not there, with what is to be in them."""
    consumers: list[Consumer[Any]] = [*facts.projections, *facts.effects]
    for consumer in consumers:
        path = folder / f"{function_of(consumer.name)}.json"
        if not path.exists():
            yield path, json.dumps({"Records": _records(consumer, facts)}, indent=2, ensure_ascii=False) + "\n"


def _records(consumer: Consumer[Any], facts: Facts) -> list[dict[str, Any]]:
    if isinstance(consumer, EffectConsumer):
        (event,) = _events(consumer.declared.on[:1])
        return [_message(consumer, _encoded(event, facts))]
    # After a deletion nothing more would be seen of the row.
    taken = [each for each in consumer.declared.declared if each not in consumer.declared.deleted_by]
    return [
        kinesis.event_record(
            _encoded(event, facts).body,
            partition_key=event.aggregate_id,
            sequence_number=str(_FIRST_SEQUENCE_NUMBER + number),
            arrived_at=_AT.timestamp() + number,
            stream_arn=_STREAM,
            shard_id="shardId-000000000000",
        )
        for number, event in enumerate(_events(taken))
    ]


def _events(types: Iterable[type[DomainEvent]]) -> Iterator[RecordedEvent]:
    """One event of each type, the versions of each aggregate without gaps."""
    versions = Counter[str]()
    for number, kind in enumerate(types, start=1):
        payload = kind(**{name: example_of(kind, name) for name in annotations(kind)})
        aggregate_id = f"{kind.aggregate_type}#{_KEY}"
        versions[aggregate_id] += 1
        new = NewEvent(
            event_id=f"019930c2-7000-7000-8000-{number:012x}",
            payload=payload,
            occurred_at=f"2026-03-01T11:{number % 60:02d}:00.000Z",
        )
        yield new.recorded(aggregate_id, versions[aggregate_id])


def _encoded(event: RecordedEvent, facts: Facts) -> cloud_events.OutgoingEvent:
    return cloud_events.encode(codec.encode(event), facts.application.events)


def _message(consumer: Consumer[Any], event: cloud_events.OutgoingEvent) -> dict[str, Any]:
    """An SQS message as SNS delivers it raw."""
    sent = str(int(_AT.timestamp() * 1000))

    def attribute(value: str) -> dict[str, Any]:
        return {"stringValue": value, "stringListValues": [], "binaryListValues": [], "dataType": "String"}

    return {
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0aUXQ",
        "body": event.body.decode(),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": sent,
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": sent,
        },
        "messageAttributes": {"type": attribute(event.type), "aggregate_type": attribute(event.aggregate_type)},
        "md5OfBody": hashlib.md5(event.body, usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:headwater-{consumer.kebab}",
        "awsRegion": _REGION,
    }
