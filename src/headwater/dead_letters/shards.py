"""Reads a failed batch's records from its shard, in the shape in which Lambda had delivered them.

Sources: GetShardIterator and GetRecords in the DynamoDB Streams and the Kinesis API references. Both answer empty pages
before the records that are asked for; a shard that was split or merged ends without a next iterator.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import ClientError

from headwater.change_stream import dynamodb, kinesis
from headwater.dead_letters.pointers import Pointer
from headwater.failures import FailureKind, kind_of, name_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_kinesis import KinesisClient

type Raw = dict[str, Any]

#: What both services answer for records, shards and streams that are no longer there: here, and here alone, an answer
#: to what was asked, and no failure.
_GONE: Final = frozenset(
    {"TrimmedDataAccessException", "ResourceNotFoundException", "InvalidArgumentException", "ValidationException"}
)
_EXPIRED: Final = "ExpiredIteratorException"
#: DynamoDB Streams answers at most so many; for Kinesis it bounds what lies in memory at once.
_PAGE_RECORDS: Final = 1000
#: A shard gives five reads a second to all its readers together (Kinesis Data Streams quotas).
_PAUSE_SECONDS: Final = 0.2
_THROTTLED_SECONDS: Final = 1.0


class RecordsGoneError(Exception):
    """The shard no longer gives these records: trimmed, or the shard or the stream is gone."""


class Shards(Protocol):
    """One service's shards. What they raise beside is the adapter's own."""

    def records(self, pointer: Pointer) -> Iterator[list[Raw]]:
        """The records from ``first`` to ``last``, page by page, none empty, as Lambda's event shows them.

        Raises
        ------
        RecordsGoneError
            Not all of them can be read any more. Pages given before are then to be forgotten.
        """
        ...


class _Service(Protocol):
    """What differs between the two services."""

    def iterator(self, pointer: Pointer, sequence_number: str, *, after: bool) -> str: ...

    def page(self, pointer: Pointer, iterator: str) -> tuple[list[Raw], str | None, bool]:
        """Records, the next iterator, and whether this was the newest that the shard has."""
        ...

    def sequence_number(self, raw: Mapping[str, Any]) -> str: ...


class StreamShards:
    """Implements `Shards` over a service's client.

    ``patience`` is how many seconds it goes on through pages that bring nothing, and through throttling.
    """

    def __init__(
        self,
        service: _Service,
        *,
        patience: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service = service
        self._patience = patience
        self._sleep = sleep

    def records(self, pointer: Pointer) -> Iterator[list[Raw]]:
        number, last = self._service.sequence_number, int(pointer.last)
        reached: str | None = None
        iterator: str | None = self._start(pointer, reached)
        waited = 0.0
        while iterator is not None:
            try:
                page, iterator, newest = self._service.page(pointer, iterator)
            except ClientError as error:
                code = name_of(error)
                if code in _GONE:
                    raise RecordsGoneError(f"{pointer.shard_id}: {code}") from error
                if code == _EXPIRED:
                    iterator = self._start(pointer, reached)
                elif kind_of(error) is not FailureKind.TRANSIENT or waited >= self._patience:
                    raise
                waited += self._pause(_THROTTLED_SECONDS)
                continue
            if not page:
                if newest or waited >= self._patience:
                    break
                waited += self._pause(_PAUSE_SECONDS)
                continue
            if reached is None and number(page[0]) != pointer.first:
                # The service went on with the oldest record that it has.
                raise RecordsGoneError(f"{pointer.shard_id} begins after {pointer.first}")
            reached = number(page[-1])
            wanted = [raw for raw in page if int(number(raw)) <= last]
            if wanted:
                yield wanted
            if int(reached) >= last:
                return
        raise RecordsGoneError(f"{pointer.shard_id} ends before {pointer.last}")

    def _start(self, pointer: Pointer, reached: str | None) -> str:
        try:
            return self._service.iterator(pointer, reached or pointer.first, after=reached is not None)
        except ClientError as error:
            code = name_of(error)
            if code in _GONE:
                raise RecordsGoneError(f"{pointer.shard_id}: {code}") from error
            raise

    def _pause(self, seconds: float) -> float:
        self._sleep(seconds * random.uniform(1, 1.5))  # noqa: S311  # jitter
        return seconds


class DynamoDbStream:
    """A table's stream. It does not tell whether a page was the newest."""

    def __init__(self, client: "DynamoDBStreamsClient") -> None:
        self._client = client

    def iterator(self, pointer: Pointer, sequence_number: str, *, after: bool) -> str:
        return self._client.get_shard_iterator(
            StreamArn=pointer.stream_arn,
            ShardId=pointer.shard_id,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER" if after else "AT_SEQUENCE_NUMBER",
            SequenceNumber=sequence_number,
        )["ShardIterator"]

    def page(self, pointer: Pointer, iterator: str) -> tuple[list[Raw], str | None, bool]:
        answer = self._client.get_records(ShardIterator=iterator, Limit=_PAGE_RECORDS)
        page = [dynamodb.delivered(record, pointer.stream_arn) for record in answer["Records"]]
        return page, answer.get("NextShardIterator"), False

    def sequence_number(self, raw: Mapping[str, Any]) -> str:
        return dynamodb.sequence_number(raw)


class KinesisStream:
    """A Kinesis stream."""

    def __init__(self, client: "KinesisClient") -> None:
        self._client = client

    def iterator(self, pointer: Pointer, sequence_number: str, *, after: bool) -> str:
        return self._client.get_shard_iterator(
            StreamARN=pointer.stream_arn,
            ShardId=pointer.shard_id,
            ShardIteratorType="AFTER_SEQUENCE_NUMBER" if after else "AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=sequence_number,
        )["ShardIterator"]

    def page(self, pointer: Pointer, iterator: str) -> tuple[list[Raw], str | None, bool]:
        answer = self._client.get_records(StreamARN=pointer.stream_arn, ShardIterator=iterator, Limit=_PAGE_RECORDS)
        page = [kinesis.delivered(record, pointer.stream_arn, pointer.shard_id) for record in answer["Records"]]
        return page, answer.get("NextShardIterator"), answer.get("MillisBehindLatest") == 0

    def sequence_number(self, raw: Mapping[str, Any]) -> str:
        return kinesis.sequence_number(raw)

    def hash_keys(self, stream_arn: str, shard_id: str) -> range | None:
        """The hash keys that belong to a shard, closed or not; None if the stream does not know it any more."""
        request: dict[str, Any] = {"StreamARN": stream_arn}
        while True:
            try:
                answer = self._client.list_shards(**request)
            except ClientError as error:
                if name_of(error) in _GONE:
                    return None
                raise
            for shard in answer["Shards"]:
                if shard["ShardId"] == shard_id:
                    keys = shard["HashKeyRange"]
                    return range(int(keys["StartingHashKey"]), int(keys["EndingHashKey"]) + 1)
            if not answer.get("NextToken"):
                return None
            request = {"NextToken": answer["NextToken"]}
