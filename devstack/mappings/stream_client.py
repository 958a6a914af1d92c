"""Reads the emulator's streams in the services' own JSON."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any, Final

import orjson

from headwater.change_stream.source_kinds import StreamKind
from operations.running import HOST

RECONNECT_SECONDS: Final = 0.5
DYNAMODB_RETENTION_SECONDS: Final = 24 * 3600


class EmulatorError(Exception):
    """The emulator refused a stream operation; ``code`` is AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class StreamClient:
    """Reads shards in the services' own JSON; used by one thread.

    Their raw JSON is already the shape that Lambda's events have; boto3 would turn binary and times into Python's
    types, to be turned back.
    """

    def __init__(self, kind: StreamKind, port: int) -> None:
        self.kind: StreamKind = kind
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def describe_shards(self, stream_arn: str) -> list[dict[str, Any]]:
        shards: list[dict[str, Any]] = []
        if self.kind == "kinesis":
            request = {"StreamARN": stream_arn}
            while True:
                answer = self._call("ListShards", request)
                shards += answer["Shards"]
                if not answer.get("NextToken"):
                    return shards
                request = {"NextToken": answer["NextToken"]}
        request = {"StreamArn": stream_arn}
        while True:
            description = self._call("DescribeStream", request)["StreamDescription"]
            shards += description["Shards"]
            if "LastEvaluatedShardId" not in description:
                return shards
            request = {"StreamArn": stream_arn, "ExclusiveStartShardId": description["LastEvaluatedShardId"]}

    def retention(self, stream_arn: str) -> float:
        """Seconds that the stream keeps a record."""
        if self.kind == "dynamodb":
            return DYNAMODB_RETENTION_SECONDS
        summary = self._call("DescribeStreamSummary", {"StreamARN": stream_arn})["StreamDescriptionSummary"]
        return float(summary["RetentionPeriodHours"]) * 3600

    def iterator(self, stream_arn: str, shard_id: str, position: str, after: str | None = None) -> str:
        """An iterator at TRIM_HORIZON or LATEST, or after a sequence number."""
        kinesis = self.kind == "kinesis"
        request = {"StreamARN" if kinesis else "StreamArn": stream_arn, "ShardId": shard_id}
        if after is None:
            request["ShardIteratorType"] = position
        else:
            request["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER"
            request["StartingSequenceNumber" if kinesis else "SequenceNumber"] = after
        iterator: str = self._call("GetShardIterator", request)["ShardIterator"]
        return iterator

    def records(self, iterator: str) -> tuple[list[dict[str, Any]], str | None]:
        """A page of records, at most 1,000, and the next iterator, None once a closed shard is read."""
        answer = self._call("GetRecords", {"ShardIterator": iterator, "Limit": 1000})
        return answer["Records"], answer.get("NextShardIterator")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        kinesis = self.kind == "kinesis"
        prefix = "Kinesis_20131202" if kinesis else "DynamoDBStreams_20120810"
        if self._connection is None:
            self._connection = http.client.HTTPConnection(HOST, self._port, timeout=20)
        try:
            self._connection.request(
                "POST",
                "/",
                orjson.dumps(request),
                {
                    "Content-Type": f"application/x-amz-json-1.{1 if kinesis else 0}",
                    "X-Amz-Target": f"{prefix}.{operation}",
                },
            )
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        answer: dict[str, Any] = orjson.loads(body)
        if response.status != http.HTTPStatus.OK:
            code = str(answer.get("__type", response.status)).rpartition("#")[2]
            raise EmulatorError(code, str(answer.get("message", "")))
        return answer
