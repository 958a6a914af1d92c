"""Destinations in memory: Kinesis and SNS as their clients answer, with faults to order, and a whole publisher.

tests/contract holds the two clients to what moto's do.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import orjson
from botocore.exceptions import ClientError

from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.failures import FailureKind
from headwater.limits import KinesisLimits, SnsLimits
from headwater.sending import RetryPolicy, SendError

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_sns import SNSClient

#: Retries as deployed, without the waiting.
AT_ONCE = RetryPolicy(sleep=lambda _: None)


def client_error(code: str, operation: str, status: int = 400) -> ClientError:
    """What boto3 raises when a call is refused as a whole."""
    answer: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


class FakeKinesis:
    """PutRecords: keeps to the limits, goes on after a record that fails, and answers 200 even if all do.

    ``records`` holds (partition key, data) in the order in which the stream has them; ``calls`` the data of each
    call. ``fails(data, call)`` makes a record of that call (1, 2, …) fail; ``spoils(data)`` makes the whole call that
    holds it fail; ``down`` refuses calls as a whole, and ``refusals`` counts those.
    """

    def __init__(self, limits: KinesisLimits | None = None) -> None:
        self.records: list[tuple[str, bytes]] = []
        self.calls: list[list[bytes]] = []
        self.fails: Callable[[bytes, int], bool] = lambda _data, _call: False
        self.spoils: Callable[[bytes], bool] = lambda _data: False
        self.down = False
        self.refusals = 0
        self._limits = limits or KinesisLimits()

    @property
    def client(self) -> "KinesisClient":
        return cast("KinesisClient", self)

    def put_records(self, *, StreamName: str, Records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        sizes = [len(record["Data"]) + len(record["PartitionKey"].encode()) for record in Records]
        if self.down:
            self.refusals += 1
            raise client_error("ProvisionedThroughputExceededException", "PutRecords")
        if not 1 <= len(Records) <= self._limits.records:
            raise client_error("ValidationException", "PutRecords")
        if any(self.spoils(record["Data"]) for record in Records):
            self.refusals += 1
            raise client_error("ValidationException", "PutRecords")
        if max(sizes) > self._limits.record_bytes or sum(sizes) > self._limits.request_bytes:
            raise client_error("InvalidArgumentException", "PutRecords")
        self.calls.append([record["Data"] for record in Records])
        results = [self._put(record, len(self.calls)) for record in Records]
        return {"FailedRecordCount": sum("ErrorCode" in result for result in results), "Records": results}

    def _put(self, record: Mapping[str, Any], call: int) -> dict[str, str]:
        if self.fails(record["Data"], call):
            return {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
        self.records.append((record["PartitionKey"], record["Data"]))
        return {"SequenceNumber": f"{len(self.records):056d}", "ShardId": "shardId-000000000000"}


class FakeSns:
    """PublishBatch: keeps to the limits and answers 200 with the entries that failed.

    ``messages`` holds (message, its attributes) as published. ``fails(event)`` gives the entry's error code, or None;
    codes of `SENDER_FAULTS` are the sender's. ``spoils(event)`` makes the whole call that holds it fail; ``down``
    refuses calls as a whole, and ``refusals`` counts those.
    """

    SENDER_FAULTS = ("InvalidParameter",)

    def __init__(self, limits: SnsLimits | None = None) -> None:
        self.messages: list[tuple[str, dict[str, str]]] = []
        self.calls: list[int] = []
        self.fails: Callable[[Mapping[str, Any]], str | None] = lambda _event: None
        self.spoils: Callable[[Mapping[str, Any]], bool] = lambda _event: False
        self.down = False
        self.refusals = 0
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))
        self._limits = limits or SnsLimits()
        self._lock = threading.Lock()

    @property
    def client(self) -> "SNSClient":
        return cast("SNSClient", self)

    def publish_batch(
        self,
        *,
        TopicArn: str,  # noqa: N803
        PublishBatchRequestEntries: Sequence[Mapping[str, Any]],  # noqa: N803
    ) -> dict[str, Any]:
        entries = PublishBatchRequestEntries
        with self._lock:
            if self.down:
                self.refusals += 1
                raise client_error("InternalError", "PublishBatch", 500)
            if not 1 <= len(entries) <= self._limits.entries:
                raise client_error("TooManyEntriesInBatchRequest", "PublishBatch")
            if len({entry["Id"] for entry in entries}) < len(entries):
                raise client_error("BatchEntryIdsNotDistinct", "PublishBatch")
            if sum(_entry_bytes(entry) for entry in entries) > self._limits.request_bytes:
                raise client_error("BatchRequestTooLong", "PublishBatch")
            if any(self.spoils(orjson.loads(entry["Message"])) for entry in entries):
                self.refusals += 1
                raise client_error("InvalidParameter", "PublishBatch")
            self.calls.append(len(entries))
            answer: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
            for entry in entries:
                if code := self.fails(orjson.loads(entry["Message"])):
                    fault = code in self.SENDER_FAULTS
                    answer["Failed"].append({"Id": entry["Id"], "Code": code, "SenderFault": fault})
                else:
                    attributes = {name: item["StringValue"] for name, item in entry["MessageAttributes"].items()}
                    self.messages.append((entry["Message"], attributes))
                    answer["Successful"].append({"Id": entry["Id"], "MessageId": f"message-{len(self.messages)}"})
            return answer


def _entry_bytes(entry: Mapping[str, Any]) -> int:
    attributes = entry["MessageAttributes"].items()
    texts = [entry["Message"], *(text for name, item in attributes for text in (name, *item.values()))]
    return sum(len(text.encode()) for text in texts)


class InMemoryPublisher:
    """Implements `headwater.fan_out.publisher.Publisher`; takes everything but what ``refuses`` names by event id.

    ``kind`` is why it refuses them.
    """

    def __init__(self, refuses: Collection[str] = (), kind: FailureKind = FailureKind.TRANSIENT) -> None:
        self.taken: list[OutgoingEvent] = []
        self.refuses = set(refuses)
        self.kind = kind

    def publish(self, events: Sequence[OutgoingEvent]) -> Mapping[int, SendError]:
        self.taken += [event for event in events if event.event_id not in self.refuses]
        return {
            position: SendError("not taken", self.kind, code="Refusal")
            for position, event in enumerate(events)
            if event.event_id in self.refuses
        }
