"""Kinesis data streams.

Sources: PutRecords and GetRecords in the Kinesis API reference; "Using AWS Lambda with Amazon Kinesis Data Streams" for
the shape in which the log keeps records.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any, Final

from devstack.event_source_mapping import StreamRecord
from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from devstack.simulator.cloud.errors import parameter_error
from devstack.simulator.cloud.shards import Shard, ShardLog
from operations.running import ACCOUNT_ID, REGION

RECORDS: Final = 500
RECORD_BYTES: Final = 1024 * 1024
REQUEST_BYTES: Final = 10 * 1024 * 1024
PARTITION_KEY_CHARACTERS: Final = 256
PAGE_RECORDS: Final = 10_000

_ENTRY: Final = {"Data", "PartitionKey"}
_ROLE_ARN: Final = f"arn:aws:iam::{ACCOUNT_ID}:role/headwater"
_SEQUENCE_PREFIX: Final = "495903382714902566085596925383615710"
#: Of a record's JSON, what is neither its data and key nor its stream's name.
_RECORD_BYTES: Final = 470


class Kinesis(Client):
    """The client, and the streams that it reaches."""

    service = "kinesis"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.logs: dict[str, ShardLog] = {}

    @operation("PutRecords", ("StreamName", "Records"))
    def put_records(self, params: Parameters) -> Answer:
        entries = params["Records"]
        log = self._log("PutRecords", params["StreamName"])
        if not entries:
            raise parameter_error("Invalid length for parameter Records, value: 0, valid min length: 1")
        if len(entries) > RECORDS:
            raise self._invalid(f"'records' failed to satisfy constraint: Member must have length <= {RECORDS}")
        total = 0
        contents: list[bytes] = []
        for entry in entries:
            if entry.keys() != _ENTRY:
                raise NotImplementedError(f"an entry of PutRecords has Data and PartitionKey here, not {sorted(entry)}")
            key = entry["PartitionKey"]
            if not key:
                raise parameter_error("Invalid length for parameter PartitionKey, value: 0, valid min length: 1")
            if len(key) > PARTITION_KEY_CHARACTERS:
                raise self._invalid(
                    "'partitionKey' failed to satisfy constraint: "
                    f"Member must have length <= {PARTITION_KEY_CHARACTERS}"
                )
            data = _bytes(entry["Data"])
            contents.append(data)
            size = len(data) + (len(key) if key.isascii() else len(key.encode()))
            if size > RECORD_BYTES:
                raise self._invalid(f"'data' failed to satisfy constraint: Member must have length <= {RECORD_BYTES}")
            total += size
        if total > REQUEST_BYTES:
            raise self.error("PutRecords", "InvalidArgumentException", "Records size exceeds 10 MB limit")
        refused = self.surroundings.faults.refuse(self.service, "PutRecords", len(entries))
        now = self.surroundings.clock()
        results = []
        for position, entry in enumerate(entries):
            # Entries after a refused one are taken all the same: PutRecords promises no order.
            if position in refused:
                shard = log.shard_of(entry["PartitionKey"])
                results.append(
                    {
                        "ErrorCode": "ProvisionedThroughputExceededException",
                        "ErrorMessage": f"Rate exceeded for shard {shard.id} in stream {log.name} "
                        f"under account {ACCOUNT_ID}.",
                    }
                )
            else:
                results.append(_append(log, entry["PartitionKey"], contents[position], now))
        return {"FailedRecordCount": len(refused), "Records": results}

    @operation("ListShards", (), ("StreamARN", "StreamName"))
    def list_shards(self, params: Parameters) -> Answer:
        return {"Shards": [_described(shard) for shard in self._named("ListShards", params).shards]}

    @operation(
        "GetShardIterator", ("ShardId", "ShardIteratorType"), ("StartingSequenceNumber", "StreamARN", "StreamName")
    )
    def get_shard_iterator(self, params: Parameters) -> Answer:
        log = self._named("GetShardIterator", params)
        shard = self._shard("GetShardIterator", log, params["ShardId"])
        position, number = params["ShardIteratorType"], params.get("StartingSequenceNumber")
        try:
            # What is trimmed gives the oldest record that is left: Kinesis does not say so.
            index = max(shard.index_of(position, number), shard.first_index)
        except ValueError as error:
            raise self.error("GetShardIterator", "InvalidArgumentException", str(error)) from None
        return {"ShardIterator": f"{log.name}/{shard.id}/{index}"}

    @operation("GetRecords", ("ShardIterator",), ("Limit", "StreamARN"))
    def get_records(self, params: Parameters) -> Answer:
        try:
            name, shard_id, index = params["ShardIterator"].split("/")
            log = self.logs[name]
            shard = log.shard(shard_id)
            start = max(int(index), shard.first_index)
        except (KeyError, ValueError):
            raise self.error("GetRecords", "InvalidArgumentException", "Invalid ShardIterator.") from None
        limit = params.get("Limit", PAGE_RECORDS)
        if not 1 <= limit <= PAGE_RECORDS:
            raise self.error("GetRecords", "InvalidArgumentException", f"Limit must be from 1 to {PAGE_RECORDS}")
        page = shard.read(start, limit)
        end = start + len(page)
        answer: Answer = {
            "Records": [
                {
                    "SequenceNumber": record.sequence_number,
                    "ApproximateArrivalTimestamp": datetime.fromtimestamp(record.arrived_at, UTC),
                    "Data": base64.b64decode(record.body["kinesis"]["data"]),
                    "PartitionKey": record.body["kinesis"]["partitionKey"],
                }
                for record in page
            ],
            "MillisBehindLatest": 0 if end == shard.end else 1000,
        }
        # A closed shard that is read to its end has no next iterator.
        if not (shard.closed and end == shard.end):
            answer["NextShardIterator"] = f"{log.name}/{shard.id}/{end}"
        return answer

    @operation("SplitShard", ("StreamName", "ShardToSplit", "NewStartingHashKey"))
    def split_shard(self, params: Parameters) -> Answer:
        log = self._log("SplitShard", params["StreamName"])
        shard = self._shard("SplitShard", log, params["ShardToSplit"])
        if int(params["NewStartingHashKey"]) != (shard.first_hash + shard.last_hash) // 2 + 1:
            raise NotImplementedError("SplitShard halves a shard here")
        log.split(shard.id)
        return {}

    def _named(self, operation_name: str, params: Parameters) -> ShardLog:
        """The stream of a request that names it by its ARN or by its name."""
        return self._log(operation_name, params.get("StreamName") or params["StreamARN"].rpartition("/")[2])

    def _log(self, operation_name: str, name: str) -> ShardLog:
        log = self.logs.get(name)
        if log is None:
            raise self.error(
                operation_name,
                "ResourceNotFoundException",
                f"Stream {name} under account {ACCOUNT_ID} not found.",
            )
        return log

    def _shard(self, operation_name: str, log: ShardLog, shard_id: str) -> Shard:
        try:
            return log.shard(shard_id)
        except KeyError:
            raise self.error(
                operation_name,
                "ResourceNotFoundException",
                f"Shard {shard_id} in stream {log.name} under account {ACCOUNT_ID} does not exist",
            ) from None

    def _invalid(self, what: str) -> Exception:
        return self.error("PutRecords", "ValidationException", f"1 validation error detected: Value at {what}")


def _bytes(data: Any) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if not isinstance(data, bytes | bytearray):
        raise parameter_error(f"Invalid type for parameter Data, type: {type(data)}")
    return bytes(data)


def _append(log: ShardLog, partition_key: str, data: bytes, now: float) -> dict[str, str]:
    sequence_number = f"{_SEQUENCE_PREFIX}{log.next_number():020d}"
    shard = log.shard_of(partition_key)
    encoded = base64.b64encode(data).decode()
    body = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": partition_key,
            "sequenceNumber": sequence_number,
            "data": encoded,
            "approximateArrivalTimestamp": round(now, 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard.id}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": _ROLE_ARN,
        "awsRegion": REGION,
        "eventSourceARN": log.arn,
    }
    size = len(encoded) + len(partition_key) + len(log.arn) + _RECORD_BYTES
    shard.records.append(StreamRecord(sequence_number, partition_key, now, size, body))
    return {"SequenceNumber": sequence_number, "ShardId": shard.id}


def _described(shard: Shard) -> dict[str, Any]:
    described: dict[str, Any] = {
        "ShardId": shard.id,
        "HashKeyRange": {"StartingHashKey": str(shard.first_hash), "EndingHashKey": str(shard.last_hash)},
    }
    return described | ({"ParentShardId": shard.parent} if shard.parent else {})
