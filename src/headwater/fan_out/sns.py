"""Publishes events to the SNS topic, ten a request and many requests at once."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.fan_out.publisher import fitted
from headwater.limits import SnsLimits
from headwater.sending import RetryPolicy, SendError, narrowed, queue_text, refusals, send_with_retries, split

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import PublishBatchRequestEntryTypeDef

#: Requests side by side: a batch of the stream takes a hundred.
SENDERS = 16


class SnsPublisher:
    """Implements `headwater.fan_out.publisher.Publisher`. A standard topic promises no order, so none is kept.

    Filter policies match the message attributes ``type`` and ``aggregate_type``.
    """

    def __init__(
        self,
        client: "SNSClient",
        topic: str,
        claims: ClaimStore,
        *,
        limits: SnsLimits | None = None,
        retry: RetryPolicy | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._client = client
        self._topic = topic
        self._claims = claims
        self._limits = limits or SnsLimits()
        self._retry = retry or RetryPolicy()
        self._executor = executor or ThreadPoolExecutor(SENDERS, thread_name_prefix="sns")
        client.meta.events.register("before-call.sns.PublishBatch", encode_once, unique_id="headwater-encode-once")

    def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, SendError]:
        ready: dict[int, OutgoingEvent] = {}
        refused: dict[int, SendError] = {}
        for position, event in enumerate(events):
            try:
                ready[position] = fitted(event, _size, self._limits.request_bytes, self._claims)
            except SendError as error:
                refused[position] = error
        return refused | send_with_retries(list(ready), lambda pending: self._send(ready, pending), self._retry)

    def _send(self, events: Mapping[int, OutgoingEvent], pending: Sequence[int]) -> dict[int, SendError]:
        elsewhere: list[SendError] = []

        def publish_batch(request: Sequence[int]) -> dict[int, SendError]:
            if not elsewhere:
                try:
                    return narrowed("SNS", request, lambda positions: self._publish_batch(events, positions))
                except Exception as error:  # noqa: BLE001  # only what is no event's fault
                    # The SDK has tried several times: leave the rest to Lambda's retry rather than to a timeout.
                    elsewhere.append(SendError.of("SNS", error))
            return dict.fromkeys(request, elsewhere[0])

        sizes = {position: _size(events[position]) for position in pending}
        requests = split(pending, sizes, self._limits.entries, self._limits.request_bytes)
        refused: dict[int, SendError] = {}
        for answer in self._executor.map(publish_batch, requests):
            refused |= answer
        return refused

    def _publish_batch(self, events: Mapping[int, OutgoingEvent], positions: Sequence[int]) -> dict[int, SendError]:
        answer = self._client.publish_batch(
            TopicArn=self._topic,
            PublishBatchRequestEntries=[_entry(str(position), events[position]) for position in positions],
        )
        return refusals("SNS", positions, answer)


def encode_once(params: dict[str, Any], **_: object) -> None:
    """Form-encodes a request's body, which botocore does once to sign it and again to send it: half of all its work."""
    if isinstance(params["body"], dict):
        params["body"] = urlencode(params["body"]).encode()


def _entry(identifier: str, event: OutgoingEvent) -> "PublishBatchRequestEntryTypeDef":
    return {
        "Id": identifier,
        "Message": queue_text(event.body),
        "MessageAttributes": {
            "type": {"DataType": "String", "StringValue": event.type},
            "aggregate_type": {"DataType": "String", "StringValue": event.aggregate_type},
        },
    }


#: Names and data types of the two attributes count too.
_ATTRIBUTE_BYTES = len("type" + "String" + "aggregate_type" + "String")


def _size(event: OutgoingEvent) -> int:
    return len(event.body) + len(event.type.encode()) + len(event.aggregate_type.encode()) + _ATTRIBUTE_BYTES
