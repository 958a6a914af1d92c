"""One suite against the simulator's Lambda and moto's, which answers without running anything."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.fakes.cloud import FakeAws
from tests.fakes.moto import mock_aws

FUNCTION = "headwater-ExampleFunction"
ANSWER = b'{"batchItemFailures": []}'


def in_memory() -> Any:
    aws = FakeAws()
    aws.cloud.create_function(FUNCTION, lambda payload: (ANSWER if json.loads(payload) == [1] else b"{}", None))
    return aws.cloud.lambda_


def on_moto() -> Any:
    trusted = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}]}
    role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trusted))["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("module.py", "")
    client: Any = boto3.client("lambda")
    client.create_function(
        FunctionName=FUNCTION, Runtime="python3.13", Role=role, Handler="module.h", Code={"ZipFile": code.getvalue()}
    )
    return client


@pytest.fixture(params=["memory", "moto"])
def functions(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield in_memory()
        return
    with mock_aws(**{"lambda": {"use_docker": False}}):
        from moto.awslambda_simple.models import lambda_simple_backends

        lambda_simple_backends["123456789012"]["eu-west-1"].lambda_simple_results_queue.append(ANSWER.decode())
        yield on_moto()


def test_a_function_is_invoked_by_its_name(functions: Any) -> None:
    answer = functions.invoke(FunctionName=FUNCTION, Payload=b"[1]")

    assert answer["Payload"].read() == ANSWER
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer


def test_a_function_that_is_not_there_is_named() -> None:
    """Not on moto, which answers for any name here."""
    client = in_memory()

    with pytest.raises(client.exceptions.ResourceNotFoundException, match=r"Function not found: .*:nobody") as caught:
        client.invoke(FunctionName="nobody", Payload=b"[]")

    error: ClientError = caught.value
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_function_that_fails_says_so_beside_its_error() -> None:
    """Not on moto, whose functions do not fail here."""
    aws = FakeAws()
    aws.cloud.create_function(FUNCTION, lambda _: (b'{"errorType": "ValueError"}', "Unhandled"))

    answer = aws.cloud.lambda_.invoke(FunctionName=FUNCTION, Payload=b"[]")

    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")


def test_what_the_client_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match="does not support InvocationType of Invoke"):
        FakeAws().cloud.lambda_.invoke(FunctionName=FUNCTION, Payload=b"[]", InvocationType="Event")
