"""Parked records: what a consumer could not apply, whole, on a queue where it waits for a person.

A message holds one run of records of one aggregate. Above SQS's limit it carries a claim check in their place.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from headwater.change_stream.claim_checks import ClaimStore
from headwater.clock import read_timestamp
from headwater.failures import FailureKind, PermanentError, TransientError
from headwater.limits import SqsLimits
from headwater.sending import QueueSender, RetryPolicy, queue_text

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_DATAREF: Final = "dataref"


class MalformedParkedError(PermanentError):
    """A message on the queue that is none of ours."""


class NotParkedError(TransientError):
    """SQS kept refusing messages; all others are parked. Never the records' fault: they come again, to be parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRecords:
    """One run of records. ``raw`` is what the consumer was given, ``parsed`` the event in each, None if unreadable.

    ``mapping`` is the ARN of the function or pipe, ``source_arn`` its stream. ``aggregate_id`` is empty where a record
    does not tell it. ``error`` and ``attempts`` are None where nobody told them. Times are ISO 8601 in UTC.
    """

    consumer: str
    mapping: str
    source_arn: str
    aggregate_id: str
    versions: Sequence[int]
    reason: str
    error: str | None
    attempts: int | None
    failed_at: str
    parked_at: str
    parsed: Sequence[Any]
    raw: Sequence[Any]


class ParkingLot(Protocol):
    """Where parked records wait."""

    def park(self, parked: Iterable[ParkedRecords]) -> None:
        """Returns once all are there. If it raises, some may be; to park them again does no harm."""
        ...


def encode(parked: ParkedRecords) -> bytes:
    """The message's body."""
    return queue_text(orjson.dumps(parked)).encode()


def decode(body: bytes | str, claims: ClaimStore) -> ParkedRecords:
    """Reads a message back, following its claim check.

    Raises
    ------
    MalformedParkedError
        It is no message of ours.
    """
    try:
        message = orjson.loads(body)
        if isinstance(message, dict) and _DATAREF in message:
            message = orjson.loads(claims.get(_typed(_DATAREF, message[_DATAREF], str)))
        return _checked(ParkedRecords(**message))
    except (TypeError, ValueError) as error:
        raise MalformedParkedError(f"not a message of parked records: {error}") from error


def _checked(parked: ParkedRecords) -> ParkedRecords:
    for name in ("consumer", "mapping", "source_arn", "aggregate_id", "reason", "failed_at", "parked_at"):
        _typed(name, getattr(parked, name), str)
    for name in ("versions", "parsed", "raw"):
        _typed(name, getattr(parked, name), list)
    if not parked.raw:
        # Whoever redrove it would be told that it was done.
        raise ValueError("its 'raw' holds no record")
    for version in parked.versions:
        _typed("versions", version, int)
    _typed("error", parked.error, str, type(None))
    _typed("attempts", parked.attempts, int, type(None))
    try:
        read_timestamp(parked.failed_at)
    except ValueError as error:
        raise ValueError(f"its 'failed_at' is not a time: {error}") from error
    return parked


def _typed(name: str, value: Any, *types: type) -> Any:
    if not isinstance(value, types):
        raise TypeError(f"its {name!r} is not of type {types[0].__name__}")
    return value


class SqsParkingLot:
    """Implements `ParkingLot` on a queue."""

    def __init__(
        self,
        client: "SQSClient",
        queue_url: str,
        claims: ClaimStore,
        *,
        limits: SqsLimits | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._limits = limits or SqsLimits()
        self._queue = QueueSender(client, queue_url, limits=self._limits, retry=retry)
        self._claims = claims

    def park(self, parked: Iterable[ParkedRecords]) -> None:
        # What is refused must not keep the rest from people's eyes: it is told when all others are parked.
        refused = self._queue.send(self._body(each) for each in parked)
        if refused:
            reasons = sorted({str(error) for error in refused.values()})
            failure = NotParkedError(f"SQS kept refusing {len(refused)} messages: {reasons}")
            if any(error.kind is FailureKind.OUTAGE for error in refused.values()):
                failure.kind = FailureKind.OUTAGE
            raise failure

    def _body(self, parked: ParkedRecords) -> str:
        body = encode(parked)
        if len(body) > self._limits.request_bytes:
            # Named by its content, so that parking it again puts the same object.
            body = orjson.dumps({_DATAREF: self._claims.put(hashlib.sha256(body).hexdigest(), body)})
        return body.decode()
