"""The rehearsal of a deployment: whatever command it is given runs against an emulator of its own."""

import io
import json
import sys
import time
import zipfile
from pathlib import Path

import boto3
import pytest

from devstack.deploy import rehearse
from devstack.emulator import Emulator
from devstack.errors import DevstackError
from devstack.stack import ENDPOINT_PARAMETER
from operations.running import ACCESS_KEY, REGION, SECRET_KEY
from tests.infrastructure.expansion import RECEIVER, RELEASED, TEMPLATE, expanded

SAM = """
import os, sys, urllib.request
endpoint = os.environ["AWS_ENDPOINT_URL"]
assert sys.argv[-1] == f"AwsEndpointUrl={endpoint}", sys.argv
assert os.environ["AWS_CONFIG_FILE"] == os.devnull and "AWS_PROFILE" not in os.environ
urllib.request.urlopen(f"{endpoint}/_ministack/health")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 3])
def test_the_command_meets_an_emulator_and_no_account(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    assert rehearse([sys.executable, "-c", SAM, str(code), "--parameter-overrides"]) == code


def test_a_command_that_is_not_there_is_one_line() -> None:
    with pytest.raises(DevstackError, match="no-such-sam cannot be run"):
        rehearse(["no-such-sam"])


@pytest.mark.parametrize(
    "templates",
    [[RECEIVER], [TEMPLATE], [RELEASED, TEMPLATE]],
    ids=["receiver", "template", "update from the last version"],
)
def test_each_stack_comes_up_whole(templates: list[Path], tmp_path: Path) -> None:
    """What `make deploy-local` does, without SAM CLI: the emulator refuses a stack for what it does not know."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("headwater/__init__.py", "")
    with Emulator(tmp_path, rehearses=True) as emulator:
        session = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)
        s3 = session.client("s3", endpoint_url=emulator.endpoint)
        s3.create_bucket(Bucket="artefacts")
        for key in ("code.zip", "layer.zip"):
            s3.put_object(Bucket="artefacts", Key=key, Body=code.getvalue())
        cloudformation = session.client("cloudformation", endpoint_url=emulator.endpoint)
        for number, template in enumerate(templates):
            parameters = {ENDPOINT_PARAMETER: emulator.endpoint}
            parameters |= {} if template == RECEIVER else {"SenderAddress": "no-reply@example.com"}
            s3.put_object(Bucket="artefacts", Key=f"{number}.json", Body=json.dumps(expanded(template)))
            deploy = cloudformation.update_stack if number else cloudformation.create_stack
            deploy(
                StackName="rehearsal",
                TemplateURL=f"{emulator.endpoint}/artefacts/{number}.json",
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            deadline = time.monotonic() + 240
            while time.monotonic() < deadline:
                (stack,) = cloudformation.describe_stacks(StackName="rehearsal")["Stacks"]
                if not stack["StackStatus"].endswith("IN_PROGRESS"):
                    break
                time.sleep(0.1)
            events = cloudformation.describe_stack_events(StackName="rehearsal")["StackEvents"]

            assert [event for event in events if event["ResourceStatus"].endswith("FAILED")] == []
            assert stack["StackStatus"] == ("UPDATE_COMPLETE" if number else "CREATE_COMPLETE")
