"""`headwater processes` over a state machine in moto."""

import json
from collections.abc import Callable

import boto3
import pytest
from click.testing import CliRunner, Result

from cli.main import main
from cli.processes import processes
from headwater import bootstrap
from operations.target import Target
from tests.integration.stream_functions import SETTINGS, stack

__all__ = ["stack"]

BUCKET = SETTINGS["FAILED_BATCHES_BUCKET"]
DEFINITION = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 9_999, "End": True}}}


class Scene:
    """A stack with a process, of which executions run."""

    def __init__(self, *names: str) -> None:
        bootstrap.s3().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.client = boto3.client("stepfunctions")
        machine = self.client.create_state_machine(
            name="application-process",
            definition=json.dumps(DEFINITION),
            roleArn="arn:aws:iam::123456789012:role/process",
        )["stateMachineArn"]
        self.arns = {
            name: self.client.start_execution(stateMachineArn=machine, name=name)["executionArn"] for name in names
        }
        outputs = {"ApplicationProcessArn": machine, "FailedBatchesBucketName": BUCKET}
        self.target = Target(boto3.Session(), None, outputs)

    def run(self, *arguments: str) -> Result:
        target: Callable[[], Target] = lambda: self.target  # noqa: E731
        return CliRunner().invoke(processes, arguments, obj=target)

    def states(self) -> dict[str, str]:
        return {name: self.client.describe_execution(executionArn=arn)["status"] for name, arn in self.arns.items()}


@pytest.fixture
def scene(stack: None) -> Scene:
    return Scene("one", "two", "three")


def test_all_are_stopped_and_a_record_says_who_did_it_and_why(scene: Scene) -> None:
    result = scene.run("stop", "--all", "--reason", "the stack goes, INC-7")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Stopped 3. ")
    assert set(scene.states().values()) == {"ABORTED"}
    (kept,) = bootstrap.s3().list_objects_v2(Bucket=BUCKET)["Contents"]
    record = json.loads(bootstrap.s3().get_object(Bucket=BUCKET, Key=kept["Key"])["Body"].read())
    assert record["reason_to_stop"] == "the stack goes, INC-7"
    assert sorted(record["executions"]) == sorted(scene.arns.values())
    assert scene.run("stop", "--all", "--reason", "again").output == "Nothing runs.\n"


def test_one_is_stopped_by_the_name_that_list_prints(scene: Scene) -> None:
    listed = [json.loads(line)["execution"] for line in scene.run("list", "--json").output.splitlines()]
    assert sorted(listed) == ["one", "three", "two"]

    assert scene.run("stop", "--execution", "two", "--reason", "INC-7").exit_code == 0
    assert scene.states() == {"one": "RUNNING", "two": "ABORTED", "three": "RUNNING"}


def test_nothing_is_stopped_by_a_dry_run_or_beside_a_name_that_is_wrong(scene: Scene) -> None:
    dry = scene.run("stop", "--all", "--reason", "x", "--dry-run")
    wrong = scene.run("stop", "--execution", "one", "--execution", "four", "--reason", "x")
    neither = scene.run("stop", "--reason", "x")

    assert dry.output == "Would stop 3.\n"
    assert (wrong.exit_code, "no execution that runs is called four" in wrong.output) == (1, True)
    assert (neither.exit_code, "say which" in neither.output) == (2, True)
    assert set(scene.states().values()) == {"RUNNING"}
    assert "Contents" not in bootstrap.s3().list_objects_v2(Bucket=BUCKET)


def test_the_command_has_it() -> None:
    assert main.get_command(None, "processes") is processes  # type: ignore[arg-type]
