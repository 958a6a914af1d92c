"""Lambda's Invoke on the local stack: what boto3 sends and understands."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import ClientError

from devstack.functions import REQUEST_LIMIT_BYTES, Outcome
from devstack.lambda_api import LambdaApi

EXAMPLE = "local-ExampleFunction"

type Invoke = Callable[..., Any]


def invoked(logical_id: str, payload: bytes) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    failed = b"boom" in payload
    answer = b'{"errorType": "ValueError", "errorMessage": "boom"}' if failed else logical_id.encode() + payload
    future.set_result(Outcome(answer, "Unhandled" if failed else None, "request-1", 0.0))
    return future


class Body(io.BytesIO):
    """What botocore reads an answer from."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


@pytest.fixture
def invoke() -> Invoke:
    """boto3's own Invoke, answered without a network."""
    api = LambdaApi({EXAMPLE: "ExampleFunction"}, invoked)

    def answer(request: Any, **_: Any) -> AWSResponse:
        kind = request.headers.get("X-Amz-Invocation-Type", b"RequestResponse").decode()
        status, headers, payload = api.answer(request.method, urlsplit(request.url).path, kind, request.body or b"")
        answered: Any = HeadersDict(dict(headers))
        return AWSResponse(request.url, status, answered, Body(payload))

    client: Any = boto3.session.Session("key", "secret", region_name="us-east-1").client("lambda")
    client.meta.events.register("before-send.lambda.Invoke", answer)
    call: Invoke = client.invoke
    return call


def test_a_function_answers_by_its_name(invoke: Invoke) -> None:
    answer = invoke(FunctionName=EXAMPLE, Payload=b"[1]")

    assert answer["Payload"].read() == b"ExampleFunction[1]"
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer


def test_a_function_that_fails_says_so_beside_its_error(invoke: Invoke) -> None:
    answer = invoke(FunctionName=EXAMPLE, Payload=b'"boom"')

    assert answer["FunctionError"] == "Unhandled"
    assert b"ValueError" in answer["Payload"].read()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"FunctionName": "local-Nobody"}, "ResourceNotFoundException"),
        ({"FunctionName": EXAMPLE, "InvocationType": "Event"}, "InvalidParameterValueException"),
        ({"FunctionName": EXAMPLE, "Payload": b" " * (REQUEST_LIMIT_BYTES + 1)}, "RequestTooLargeException"),
    ],
)
def test_what_is_not_there_is_refused_by_name(invoke: Invoke, request_: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(**request_)

    assert caught.value.response["Error"]["Code"] == code


def test_other_operations_are_refused() -> None:
    status, headers, _ = LambdaApi({}, invoked).answer("GET", f"/2015-03-31/functions/{EXAMPLE}", "", b"")

    assert status == 404
    assert ("x-amzn-errortype", "UnknownOperationException") in headers
