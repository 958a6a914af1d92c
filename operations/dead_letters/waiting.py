"""What waits for a person, wherever it waits, in one shape: parked records, pointers, e-mails, archiver's batches."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from botocore.exceptions import ClientError

from headwater.change_stream.batch import records_of
from headwater.change_stream.claim_checks import ClaimStore
from headwater.clock import read_timestamp
from headwater.dead_letters import parked, pointers
from headwater.dead_letters.parked import MalformedParkedError
from headwater.dead_letters.pointers import UnknownPointerError
from headwater.dead_letters.unresolved import REASON
from operations.dead_letters.queues import HOLD_SECONDS, Message

PARKED: Final = "ParkedRecordsQueue"
UNRESOLVED: Final = "UnresolvedPointersQueue"
ARCHIVER: Final = "FailedBatchesBucket"
FAILED: Final = "FailedBatchesQueue"
UNKNOWN: Final = "unknown shape"
_VERSIONS: Final = range(2**64)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One row of the table.

    ``place`` is the queue or bucket that holds it, ``key`` its message id or object key. ``aggregate`` is empty where
    there are several, or nobody knows. ``events`` are the parsed events, None for one that cannot be read; ``raw`` is
    what a consumer was given. ``expires_at`` is None for what stays. ``message`` is the SQS message that is held.
    """

    place: str
    key: str
    consumer: str
    reason: str
    aggregate: str
    versions: Sequence[int]
    records: int
    failed_at: datetime
    expires_at: datetime | None
    error: str | None
    attempts: int | None
    events: Sequence[Any]
    raw: Any
    message: Message | None = None

    @property
    def handle(self) -> str:
        """What its id is cut from: the message's id; of an object, made from its key, since keys begin alike."""
        return self.key if self.message else hashlib.sha256(self.key.encode()).hexdigest()


def of_parked(message: Message, claims: ClaimStore) -> DeadLetter:
    """A message of ParkedRecordsQueue."""
    try:
        found = parked.decode(message.body, claims)
    except (MalformedParkedError, ClientError) as error:
        # A claim that cannot be had must not keep the other rows from being seen.
        return unknown(PARKED, "", message, str(error))
    return DeadLetter(
        place=PARKED,
        key=message.id,
        consumer=found.consumer,
        reason=found.reason,
        aggregate=found.aggregate_id,
        versions=found.versions,
        records=len(found.raw),
        failed_at=read_timestamp(found.failed_at),
        expires_at=message.expires_at,
        error=found.error,
        attempts=found.attempts,
        events=found.parsed,
        raw=found.raw,
        message=message,
    )


def whole(event: Any, claims: ClaimStore) -> Any:
    """An event with its data: one that was too large for its stream carries a claim check in their place."""
    if not (isinstance(event, dict) and isinstance(event.get("dataref"), str)):
        return event
    try:
        return {**event, "data": orjson.loads(claims.get(event["dataref"]))["data"]}
    except (ClientError, KeyError, TypeError, ValueError) as error:
        return {**event, "data": f"cannot be had: {error}"}


def of_pointer(message: Message) -> DeadLetter:
    """A message of UnresolvedPointersQueue."""
    try:
        pointer = pointers.parse(message.body)
    except UnknownPointerError as error:
        return unknown(UNRESOLVED, "", message, message.attributes.get(REASON, str(error)))
    return DeadLetter(
        place=UNRESOLVED,
        key=message.id,
        consumer=pointer.consumer,
        reason="records not found",
        aggregate="",
        versions=(),
        records=pointer.records,
        failed_at=read_timestamp(pointer.failed_at),
        expires_at=message.expires_at,
        error=pointer.reason,
        attempts=pointer.attempts,
        events=(),
        raw=orjson.loads(message.body),
        message=message,
    )


def of_event(message: Message, queue: str, consumer: str) -> DeadLetter:
    """A message of a consumer's dead-letter queue: an outgoing event."""
    try:
        envelope = orjson.loads(message.body)
        aggregate, version = str(envelope["subject"]), int(envelope["sequence"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        return unknown(queue, consumer, message, f"no event: {type(error).__name__}")
    if version not in _VERSIONS:
        return unknown(queue, consumer, message, "no event: its version has more than 64 bits")
    return DeadLetter(
        place=queue,
        key=message.id,
        consumer=consumer,
        reason="undelivered" if "Subscription" in queue else "receives exhausted",
        aggregate=aggregate,
        versions=(version,),
        records=1,
        failed_at=message.sent_at,
        expires_at=message.expires_at,
        error=None,
        attempts=message.receives,
        events=(envelope,),
        raw=envelope,
        message=message,
    )


def of_object(key: str, body: bytes) -> DeadLetter:
    """An object of FailedBatchesBucket: the archiver's batch, whole. It does not expire."""
    try:
        pointer = pointers.parse(body.decode())
        payload = orjson.loads(body)["payload"]
        records = records_of(orjson.loads(payload) if isinstance(payload, str) else payload)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return DeadLetter(
            place=ARCHIVER,
            key=key,
            consumer="archiver",
            reason=UNKNOWN,
            aggregate="",
            versions=(),
            records=0,
            failed_at=datetime.now(UTC),
            expires_at=None,
            error=str(error),
            attempts=None,
            events=(),
            raw=body.decode(errors="replace"),
        )
    return DeadLetter(
        place=ARCHIVER,
        key=key,
        consumer=pointer.consumer,
        reason=pointer.reason,
        aggregate="",
        versions=(),
        records=len(records),
        failed_at=read_timestamp(pointer.failed_at),
        expires_at=None,
        error=pointer.error,
        attempts=pointer.attempts,
        events=(),
        raw=records,
    )


def unknown(place: str, consumer: str, message: Message, error: str) -> DeadLetter:
    """A message that cannot be read, whatever it is: it is kept, counted and shown as it came."""
    return DeadLetter(
        place=place,
        key=message.id,
        consumer=consumer,
        reason=UNKNOWN,
        aggregate="",
        versions=(),
        records=0,
        failed_at=message.sent_at,
        expires_at=message.expires_at,
        error=error,
        attempts=None,
        events=(),
        raw=message.body,
        message=message,
    )


def on_their_way(place: str) -> str:
    """Why messages of a place cannot be looked at, and what becomes of them."""
    if place == FAILED:
        return "failed batches that are on their way to be parked; it may take two hours."
    if place in {PARKED, UNRESOLVED} or place.endswith("DeadLetterQueue"):
        minutes = HOLD_SECONDS // 60
        return f"being looked at by somebody else, or sent a moment ago. They show again within {minutes} minutes."
    if place == ARCHIVER:
        return "they came a moment ago: list again."
    return "they are tried again by themselves, and parked if that does not help."
