"""Publishes events to the Kinesis stream, in order per aggregate."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.failures import name_of
from headwater.fan_out.publisher import PublishError, fitted
from headwater.limits import KinesisLimits
from headwater.sending import RetryPolicy, send_with_retries, split

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


class KinesisPublisher:
    """Implements `headwater.fan_out.publisher.Publisher`. The partition key is the aggregate's id.

    PutRecords promises no order: it goes on after a record that failed. From an aggregate's first refused record on,
    all its records are therefore sent again, also those that were taken; other aggregates' are not.
    """

    def __init__(
        self,
        client: "KinesisClient",
        stream: str,
        claims: ClaimStore,
        *,
        limits: KinesisLimits | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._client = client
        self._stream = stream
        self._claims = claims
        self._limits = limits or KinesisLimits()
        self._retry = retry or RetryPolicy()

    def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, PublishError]:
        ready: dict[int, OutgoingEvent] = {}
        refused: dict[int, PublishError] = {}
        stopped: dict[str, PublishError] = {}
        for position, event in enumerate(events):
            try:
                if event.aggregate_id not in stopped:
                    ready[position] = self._fitted(event)
            except PublishError as error:
                stopped[event.aggregate_id] = error
            if event.aggregate_id in stopped:
                refused[position] = stopped[event.aggregate_id]
        return refused | send_with_retries(list(ready), lambda pending: self._send(ready, pending), self._retry)

    def _fitted(self, event: OutgoingEvent) -> OutgoingEvent:
        if len(event.aggregate_id) > self._limits.partition_key_characters:
            raise PublishError(
                f"an aggregate id of {len(event.aggregate_id)} characters; "
                f"a partition key has {self._limits.partition_key_characters}",
                transient=False,
            )
        return fitted(event, _size, self._limits.record_bytes, self._claims)

    def _send(self, events: Mapping[int, OutgoingEvent], pending: Sequence[int]) -> dict[int, PublishError]:
        refused: dict[int, PublishError] = {}
        stopped: dict[str, PublishError] = {}
        outage: PublishError | None = None
        sizes = {position: _size(events[position]) for position in pending}
        for request in split(pending, sizes, self._limits.records, self._limits.request_bytes):
            sent = [position for position in request if events[position].aggregate_id not in stopped]
            errors: dict[int, PublishError] = {}
            if sent and not outage:
                try:
                    errors = self._put(events, sent)
                except (BotoCoreError, ClientError) as error:
                    # The SDK has tried several times: leave the rest to Lambda's retry rather than to a timeout.
                    outage = PublishError(f"Kinesis: {name_of(error)}", transient=False)
            if outage:
                errors = dict.fromkeys(sent, outage)
            for position in request:
                aggregate_id = events[position].aggregate_id
                if position in errors:
                    stopped.setdefault(aggregate_id, errors[position])
                if aggregate_id in stopped:
                    refused[position] = stopped[aggregate_id]
        return refused

    def _put(self, events: Mapping[int, OutgoingEvent], positions: Sequence[int]) -> dict[int, PublishError]:
        answer = self._client.put_records(
            StreamName=self._stream,
            Records=[
                {"Data": events[position].body, "PartitionKey": events[position].aggregate_id} for position in positions
            ],
        )
        return {
            position: PublishError(f"Kinesis: {result['ErrorCode']}", transient=True)
            for position, result in zip(positions, answer["Records"], strict=True)
            if result.get("ErrorCode")
        }


def _size(event: OutgoingEvent) -> int:
    return len(event.body) + len(event.aggregate_id.encode())
