"""boto3 as it is, with DynamoDB's side of HTTP answered in this process: nothing is mocked above the socket.

What the answering costs is kept apart (`Wire.cpu`, `Wire.wall`), so that a measurement can leave it out.
"""

import io
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import boto3
import orjson
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack.simulator.cloud import Cloud
from devstack.simulator.cloud.items import canonical

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: "Read and write operations", DynamoDB developer guide: a unit is 4 KB read consistently, or 1 KB written.
_READ_UNIT, _WRITE_UNIT = 4096, 1024
_METHODS = {"BatchGetItem": "batch_get_item", "PutItem": "put_item", "Query": "query"}


class _Body(io.BytesIO):
    """A response's raw body as botocore reads it."""

    def stream(self, **_: Any) -> Any:
        yield self.read()


@dataclass(slots=True)
class Wire:
    """What went over the wire, and what answering it cost: seconds of CPU and of wall time."""

    cloud: Cloud
    requests: Counter[str] = field(default_factory=Counter)
    read_units: int = 0
    write_units: int = 0
    cpu: float = 0.0
    wall: float = 0.0

    def client(self) -> "DynamoDBClient":
        client: DynamoDBClient = boto3.session.Session(
            aws_access_key_id="benchmark",
            aws_secret_access_key="benchmark",  # noqa: S106  # nobody checks it
            region_name="eu-west-1",
        ).client("dynamodb", config=Config(retries={"mode": "standard", "max_attempts": 1}))
        # Whatever such a handler returns is the response; the stubs know handlers that return nothing.
        client.meta.events.register("before-send.dynamodb", cast(Callable[..., None], self._answer))
        return client

    def reset(self) -> None:
        self.requests.clear()
        self.read_units = self.write_units = 0
        self.cpu = self.wall = 0.0

    def _answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        cpu, wall = time.process_time(), time.perf_counter()
        operation = cast(bytes, request.headers["X-Amz-Target"]).decode().partition(".")[2]
        params = orjson.loads(cast(bytes, request.body))
        self.requests[operation] += 1
        try:
            answer = getattr(self.cloud.dynamodb, _METHODS[operation])(**params)
            status = 200
        except ClientError as error:
            answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{error.response['Error']['Code']}"}
            status = 400
        self._charge(operation, params, answer)
        answer.pop("ResponseMetadata", None)
        body = orjson.dumps(answer)
        headers: Any = {"content-type": "application/x-amz-json-1.0", "content-length": str(len(body))}
        response = AWSResponse(request.url, status, headers, _Body(body))
        self.cpu += time.process_time() - cpu
        self.wall += time.perf_counter() - wall
        return response

    def _charge(self, operation: str, params: dict[str, Any], answer: dict[str, Any]) -> None:
        match operation:
            case "PutItem":
                self.write_units += _units(canonical(params["Item"])[1], _WRITE_UNIT)
            case "Query":
                # A query pays for its page as a whole, a batch for each item.
                size = sum(canonical(item)[1] for item in answer.get("Items", ()))
                self.read_units += _units(size, _READ_UNIT)
            case "BatchGetItem":
                for items in answer["Responses"].values():
                    self.read_units += sum(_units(canonical(item)[1], _READ_UNIT) for item in items)


def _units(size: int, unit: int) -> int:
    return max(1, math.ceil(size / unit))
