"""Parked records: what a consumer could not apply, whole, on a queue where it waits for a person."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from headwater.change_stream.claim_checks import ClaimStore

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_MESSAGE_BYTES: Final = 1024 * 1024
_ENTRIES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRecords:
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


class MalformedParkedError(ValueError):
    pass


class ParkingLot(Protocol):
    def park(self, parked: Iterable[ParkedRecords]) -> None: ...


def encode(parked: ParkedRecords) -> bytes:
    return orjson.dumps(parked)


def decode(body: bytes | str, claims: ClaimStore) -> ParkedRecords:
    try:
        message = orjson.loads(body)
        if "dataref" in message:
            message = orjson.loads(claims.get(message["dataref"]))
        return ParkedRecords(**message)
    except (TypeError, ValueError) as error:
        raise MalformedParkedError(str(error)) from error


class SqsParkingLot:
    def __init__(self, client: "SQSClient", queue_url: str, claims: ClaimStore) -> None:
        self._client = client
        self._queue_url = queue_url
        self._claims = claims

    def park(self, parked: Iterable[ParkedRecords]) -> None:
        batch: list[str] = []
        size = 0
        for each in parked:
            body = encode(each)
            if len(body) > _MESSAGE_BYTES:
                ref = self._claims.put(hashlib.sha256(body).hexdigest(), body)
                body = orjson.dumps({"dataref": ref})
            if batch and (len(batch) == _ENTRIES or size + len(body) > _MESSAGE_BYTES):
                self._send(batch)
                batch, size = [], 0
            batch.append(body.decode())
            size += len(body)
        if batch:
            self._send(batch)

    def _send(self, bodies: list[str]) -> None:
        entries: list[Any] = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
        if failed := answer.get("Failed"):
            raise RuntimeError(f"{len(failed)} not taken: {failed[0]}")
