"""DynamoDB Streams: the change streams of the tables, as their readers see them.

Source: DescribeStream, GetShardIterator and GetRecords in the DynamoDB Streams API reference.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from devstack.simulator.cloud.shards import Shard, ShardLog

PAGE_RECORDS: Final = 1000
PAGE_BYTES: Final = 1024 * 1024


class DynamoDbStreams(Client):
    """The client, and the logs that it reaches: those of the tables."""

    service = "dynamodbstreams"

    def __init__(self, surroundings: Surroundings, logs: Callable[[], Iterable[ShardLog]]) -> None:
        super().__init__(surroundings)
        self._logs = logs

    @operation("DescribeStream", ("StreamArn",))
    def describe_stream(self, params: Parameters) -> Answer:
        log = self._log("DescribeStream", params["StreamArn"])
        shards = [
            {"ShardId": shard.id, "SequenceNumberRange": {}} | ({"ParentShardId": shard.parent} if shard.parent else {})
            for shard in log.shards
        ]
        return {"StreamDescription": {"StreamArn": log.arn, "TableName": log.name, "Shards": shards}}

    @operation("GetShardIterator", ("StreamArn", "ShardId", "ShardIteratorType"), ("SequenceNumber",))
    def get_shard_iterator(self, params: Parameters) -> Answer:
        name = "GetShardIterator"
        log = self._log(name, params["StreamArn"])
        try:
            shard = log.shard(params["ShardId"])
            index = shard.index_of(params["ShardIteratorType"], params.get("SequenceNumber"))
        except KeyError:
            raise self.error(
                name, "ResourceNotFoundException", "Requested resource not found: Shard does not exist"
            ) from None
        except ValueError as error:
            raise self.error(name, "ValidationException", str(error)) from None
        if index < shard.first_index:
            raise self._trimmed(name)
        return {"ShardIterator": f"{log.arn}|{shard.id}|{index}"}

    @operation("GetRecords", ("ShardIterator",), ("Limit",))
    def get_records(self, params: Parameters) -> Answer:
        arn, _, place = params["ShardIterator"].partition("|")
        shard_id, _, index = place.partition("|")
        shard = self._log("GetRecords", arn).shard(shard_id)
        try:
            page = _page(shard, int(index), params.get("Limit", PAGE_RECORDS))
        except LookupError:
            raise self._trimmed("GetRecords") from None
        end = int(index) + len(page)
        answer: Answer = {"Records": [_shown(record) for record in page]}
        # A closed shard that is read to its end has no next iterator.
        if not (shard.closed and end == shard.end):
            answer["NextShardIterator"] = f"{arn}|{shard_id}|{end}"
        return answer

    def _log(self, operation_name: str, arn: str) -> ShardLog:
        for log in self._logs():
            if log.arn == arn:
                return log
        raise self.error(
            operation_name, "ResourceNotFoundException", f"Requested resource not found: Stream: {arn} not found"
        )

    def _trimmed(self, operation_name: str) -> Exception:
        return self.error(
            operation_name,
            "TrimmedDataAccessException",
            "The operation attempted to read past the oldest stream record in a shard.",
        )


def _page(shard: Shard, index: int, limit: int) -> list[dict[str, Any]]:
    page: list[dict[str, Any]] = []
    size = 0
    for record in shard.read(index, min(limit, PAGE_RECORDS)):
        size += record.size
        if page and size > PAGE_BYTES:
            break
        page.append(record.body)
    return page


def _shown(body: dict[str, Any]) -> dict[str, Any]:
    """A record as boto3 gives it: times as datetimes, binary as bytes, the identity's names in capitals."""
    change = dict(body["dynamodb"])
    change["ApproximateCreationDateTime"] = datetime.fromtimestamp(change["ApproximateCreationDateTime"], UTC)
    for name in ("Keys", "NewImage", "OldImage"):
        if name in change:
            change[name] = {attribute: _attribute(value) for attribute, value in change[name].items()}
    shown = {name: value for name, value in body.items() if name != "eventSourceARN"} | {"dynamodb": change}
    if identity := body.get("userIdentity"):
        shown["userIdentity"] = {"PrincipalId": identity["principalId"], "Type": identity["type"]}
    return shown


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    match kind:
        case "B":
            return {"B": base64.b64decode(content)}
        case "BS":
            return {"BS": [base64.b64decode(member) for member in content]}
        case "M":
            return {"M": {name: _attribute(member) for name, member in content.items()}}
        case "L":
            return {"L": [_attribute(member) for member in content]}
    return value
