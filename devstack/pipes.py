"""What EventBridge Pipes does otherwise than Lambda's event source mappings; pure, like the machine that both share.

Sources: Amazon EventBridge User Guide, "Amazon EventBridge Pipes batching and concurrency", "Event enrichment in Amazon
EventBridge Pipes", "Amazon EventBridge Pipes error handling and troubleshooting". docs/delivery-semantics.md has each
rule's words and its test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from devstack.event_source_mapping import SendToDestination, batch_info, instant


def payload(bodies: Iterable[bytes]) -> bytes:
    """What a Pipe gives its enrichment, or its target if it has none: a bare list, without an envelope."""
    return b"[" + b",".join(bodies) + b"]"


def skips_target(answer: object) -> bool:
    """Whether a Pipe leaves its target out after this answer of its enrichment, and takes the batch for delivered."""
    return answer is None or answer in ("", {}, [])


def in_sequence_numbers(answer: object, records: Sequence[Any]) -> object:
    """A target's partial answer with its identifiers as the machine knows them.

    A target names records of a stream by their ``eventID``; ``records`` are the batch's, as JSON or decoded. What names
    none of them stays, so that the machine takes the batch for failed.
    """
    failures = answer.get("batchItemFailures") if isinstance(answer, Mapping) else None
    if not isinstance(failures, list):
        return answer
    numbers = dict(_identity(record) for record in records)
    return {
        "batchItemFailures": [
            {"itemIdentifier": numbers.get(failure["itemIdentifier"], failure["itemIdentifier"])}
            if isinstance(failure, Mapping) and isinstance(failure.get("itemIdentifier"), str)
            else failure
            for failure in failures
        ]
    }


def dead_letter(
    action: SendToDestination,
    *,
    pipe_arn: str,
    stream_arn: str,
    shard_id: str,
    now: float,
) -> dict[str, Any]:
    """What a Pipe sends to its dead-letter queue: `context`, not `requestContext`, and no word of an error."""
    return {
        "context": {"partnerResourceArn": pipe_arn, "condition": action.condition},
        "version": "1.0",
        "timestamp": instant(now),
        **batch_info(action, kind="dynamodb", stream_arn=stream_arn, shard_id=shard_id),
    }


def _identity(record: Any) -> tuple[str, str]:
    """A record's eventID and its sequence number."""
    shown = orjson.loads(record) if isinstance(record, bytes) else record
    return shown["eventID"], shown["dynamodb"]["SequenceNumber"]
