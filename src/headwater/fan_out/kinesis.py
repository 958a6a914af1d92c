"""Publishes events to the Kinesis stream, in order per aggregate."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.failures import BLAMELESS, FOR_GOOD, FailureKind, kind_of_code
from headwater.fan_out.publisher import UnfitEventError, fitted
from headwater.limits import KinesisLimits
from headwater.sending import RetryPolicy, SendError, send_with_retries, split

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


class KinesisPublisher:
    """Implements `headwater.fan_out.publisher.Publisher`. The partition key is the aggregate's id.

    PutRecords promises no order: it goes on after a record that failed. From an aggregate's first record on that is to
    be tried again, all its records are therefore sent again, also those that were taken; other aggregates' are not.
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

    def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, SendError]:
        ready: dict[int, OutgoingEvent] = {}
        refused: dict[int, SendError] = {}
        stopped: dict[str, SendError] = {}
        for position, event in enumerate(events):
            if event.aggregate_id in stopped:
                refused[position] = stopped[event.aggregate_id]
                continue
            try:
                ready[position] = self._fitted(event)
            except SendError as error:
                refused[position] = error
                if error.kind not in FOR_GOOD:
                    stopped[event.aggregate_id] = error
        return refused | send_with_retries(list(ready), lambda pending: self._send(ready, pending), self._retry)

    def _fitted(self, event: OutgoingEvent) -> OutgoingEvent:
        if len(event.aggregate_id) > self._limits.partition_key_characters:
            raise UnfitEventError(
                f"an aggregate id of {len(event.aggregate_id)} characters; "
                f"a partition key has {self._limits.partition_key_characters}"
            )
        return fitted(event, _size, self._limits.record_bytes, self._claims)

    def _send(self, events: Mapping[int, OutgoingEvent], pending: Sequence[int]) -> dict[int, SendError]:
        refused: dict[int, SendError] = {}
        stopped: dict[str, SendError] = {}
        elsewhere: SendError | None = None
        sizes = {position: _size(events[position]) for position in pending}
        requests = deque(split(pending, sizes, self._limits.records, self._limits.request_bytes))
        while requests:
            request = requests.popleft()
            sent = [position for position in request if events[position].aggregate_id not in stopped]
            errors: dict[int, SendError] = {}
            if sent and not elsewhere:
                try:
                    errors = self._put(events, sent)
                except Exception as error:  # noqa: BLE001  # whatever one event meets, its neighbours flow
                    met = SendError.of("Kinesis", error)
                    if met.kind in BLAMELESS:
                        # The SDK has tried several times: leave the rest to Lambda's retry rather than to a timeout.
                        elsewhere = met
                    elif len(sent) > 1:
                        # Refused as a whole: halved until the events at fault stand alone, in their order.
                        requests.extendleft((request[len(request) // 2 :], request[: len(request) // 2]))
                        continue
                    else:
                        errors = {sent[0]: met}
            if elsewhere:
                errors = dict.fromkeys(sent, elsewhere)
            for position in request:
                aggregate_id = events[position].aggregate_id
                if position in errors:
                    refused[position] = errors[position]
                    if errors[position].kind not in FOR_GOOD:
                        stopped.setdefault(aggregate_id, errors[position])
                if aggregate_id in stopped:
                    refused[position] = stopped[aggregate_id]
        return refused

    def _put(self, events: Mapping[int, OutgoingEvent], positions: Sequence[int]) -> dict[int, SendError]:
        answer = self._client.put_records(
            StreamName=self._stream,
            Records=[
                {"Data": events[position].body, "PartitionKey": events[position].aggregate_id} for position in positions
            ],
        )
        return {
            position: _entry_error(result["ErrorCode"])
            for position, result in zip(positions, answer["Records"], strict=True)
            if result.get("ErrorCode")
        }


def _entry_error(code: str) -> SendError:
    # "PutRecords", Kinesis API reference: a record inside of an answer fails for throttling or an internal failure.
    kind = kind_of_code(code, 500)
    return SendError(f"Kinesis: {code}", kind, code=code, again=kind is FailureKind.TRANSIENT)


def _size(event: OutgoingEvent) -> int:
    return len(event.body) + len(event.aggregate_id.encode())
