"""`headwater destroy`: CloudFormation is a fake that keeps to its documented states; tables and buckets are moto's."""

from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from cli.main import main
from tests.fakes.moto import mock_aws

RETAINED = {"EventsTable": "AWS::DynamoDB::Table", "ArchiveBucket": "AWS::S3::Bucket"}


class FakeCloudFormation:
    """One stack, with what DescribeStacks, ListStackResources and ListStacks say of it before and after."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.failing: set[str] = set()
        self.statuses = dict.fromkeys([*RETAINED, "EventsTopic"], "CREATE_COMPLETE")
        self.deleted: list[str] = []
        self.machines: dict[str, str] = {}
        self.refuses = ""
        self.polls = 0
        #: What another stack has taken in.
        self.imported: set[str] = set()

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if self.status == "DELETE_COMPLETE" and not StackName.startswith("arn:"):
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        if self.polls and self.deleted:
            self.polls -= 1
            return {"Stacks": [{"StackId": "arn:stack/hw", "StackStatus": "DELETE_IN_PROGRESS"}]}
        return {"Stacks": [{"StackId": "arn:stack/hw", "StackStatus": self.status}]}

    def describe_stack_resources(self, PhysicalResourceId: str) -> dict[str, Any]:  # noqa: N803
        if PhysicalResourceId not in self.imported:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "none"}}, "DescribeStackResources")
        there = {"StackId": "arn:stack/other", "PhysicalResourceId": PhysicalResourceId}
        return {"StackResources": [{**there, "ResourceStatus": "IMPORT_COMPLETE"}]}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803
        if self.refuses:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": self.refuses}}, "DeleteStack")
        self.deleted.append(StackName)
        never_up = self.status.startswith("ROLLBACK")
        for name in self.statuses:
            kept = name in RETAINED and not never_up and self.statuses[name] != "DELETE_FAILED"
            self.statuses[name] = "DELETE_SKIPPED" if kept else "DELETE_COMPLETE"
        # What CloudFormation deletes by itself it fails at, while it is filled or protected.
        tried = [name for name in RETAINED if self.statuses.get(name) == "DELETE_COMPLETE"]
        self.failing = {name for name in self.failing if name not in RETAINED} | {n for n in tried if exists(n)}
        self.statuses |= dict.fromkeys(self.failing, "DELETE_FAILED")
        self.status = "DELETE_FAILED" if self.failing else "DELETE_COMPLETE"

    def get_paginator(self, operation: str) -> "FakeCloudFormation":
        self._operation = operation
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        if self._operation == "list_stacks":
            gone = self.status == "DELETE_COMPLETE"
            yield {"StackSummaries": [{"StackName": "hw", "StackId": "arn:stack/hw"}] if gone else []}
        else:
            kinds = {**RETAINED, "EventsTopic": "AWS::SNS::Topic"}
            yield {
                "StackResourceSummaries": [
                    {
                        "LogicalResourceId": name,
                        "ResourceType": kinds[name],
                        "PhysicalResourceId": f"hw-{name.lower()}",
                        "ResourceStatus": status,
                    }
                    for name, status in self.statuses.items()
                ]
                + [
                    {
                        "LogicalResourceId": name,
                        "ResourceType": "AWS::StepFunctions::StateMachine",
                        "PhysicalResourceId": arn,
                        "ResourceStatus": "CREATE_COMPLETE",
                    }
                    for name, arn in self.machines.items()
                ]
            }


def exists(name: str) -> bool:
    if RETAINED[name] == "AWS::S3::Bucket":
        return any(each["Name"] == f"hw-{name.lower()}" for each in boto3.client("s3").list_buckets()["Buckets"])
    return f"hw-{name.lower()}" in boto3.client("dynamodb").list_tables()["TableNames"]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A protected table, and a bucket with old versions and delete markers."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        boto3.client("dynamodb").create_table(
            TableName="hw-eventstable",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            DeletionProtectionEnabled=True,
        )
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="hw-archivebucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_versioning(Bucket="hw-archivebucket", VersioningConfiguration={"Status": "Enabled"})
        for number in range(3):
            s3.put_object(Bucket="hw-archivebucket", Key="raw/x", Body=b"%d" % number)
        s3.delete_object(Bucket="hw-archivebucket", Key="raw/x")
        yield


def stack(monkeypatch: pytest.MonkeyPatch, status: str = "UPDATE_COMPLETE") -> FakeCloudFormation:
    fake = FakeCloudFormation(status)

    class Session(boto3.session.Session):
        def client(self, service: str, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return fake if service == "cloudformation" else super().client(service, *args, **kwargs)

    monkeypatch.setattr("boto3.session.Session", Session)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["--stack", "hw", "destroy", *arguments])


def left() -> Sequence[str]:
    return [name for name in RETAINED if exists(name)]


@pytest.mark.parametrize("arguments", [(), ("--data",), ("--confirm", "other")])
def test_nothing_is_done_unless_the_name_is_given_once_more(
    account: None, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    fake = stack(monkeypatch)

    result = run(*arguments)

    assert fake.deleted == []
    assert left() == list(RETAINED)
    assert result.exit_code == (2 if "--confirm" in arguments else 0)
    fate = "would be deleted, with all that is in it" if "--data" in arguments else "would stay"
    assert f"table hw-eventstable (EventsTable) {fate}." in result.output


def test_data_stays_and_is_named(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stack(monkeypatch)

    result = run("--confirm", "hw")

    assert result.exit_code == 0, result.output
    assert left() == list(RETAINED)
    assert "stays: table hw-eventstable (EventsTable)" in result.output
    assert "stays: bucket hw-archivebucket (ArchiveBucket)" in result.output
    assert "headwater --stack hw destroy --data --confirm hw" in result.output


def test_what_stayed_is_deleted_later(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stack(monkeypatch)
    run("--confirm", "hw")

    result = run("--data", "--confirm", "hw")

    assert (result.exit_code, left()) == (0, []), result.output
    assert result.output.endswith("Nothing of it stays.\n")
    assert "none of the last ninety days left anything" in run("--data").output


def test_all_goes_at_once(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = stack(monkeypatch)

    result = run("--data", "--confirm", "hw")

    assert (result.exit_code, left(), fake.status) == (0, [], "DELETE_COMPLETE"), result.output


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"])
def test_of_a_first_deployment_that_failed_nothing_stays(
    account: None, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """CloudFormation fails at a protected table and at a filled bucket: they go before it is asked."""
    fake = stack(monkeypatch, status)

    result = run("--confirm", "hw")

    assert (result.exit_code, left(), fake.status) == (0, [], "DELETE_COMPLETE"), result.output


def test_what_cloudformation_cannot_delete_is_named_and_no_data_goes(
    account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = stack(monkeypatch)
    fake.failing.add("EventsTopic")

    result = run("--data", "--confirm", "hw")

    assert result.exit_code == 1
    assert "could not delete EventsTopic (hw-eventstopic)" in result.output
    assert left() == list(RETAINED)
    fake.failing.clear()
    assert run("--data", "--confirm", "hw").exit_code == 0
    assert left() == []


def test_the_local_stack_is_not_destroyed_but_stopped() -> None:
    result = CliRunner().invoke(main, ["destroy", "--confirm", "local"])

    assert result.exit_code == 2
    assert "the local stack ends when `make run` is stopped" in " ".join(result.output.split())
    assert "headwater --stack NAME destroy" in result.output


def machine() -> str:
    """A state machine's ARN, with an execution that waits."""
    client = boto3.client("stepfunctions")
    arn: str = client.create_state_machine(
        name="applications",
        definition='{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 9, "End": true}}}',
        roleArn="arn:aws:iam::123456789012:role/any",
    )["stateMachineArn"]
    client.start_execution(stateMachineArn=arn)
    return arn


def running(arn: str) -> int:
    found = boto3.client("stepfunctions").list_executions(stateMachineArn=arn, statusFilter="RUNNING")
    return len(found["executions"])


def test_a_stack_that_may_not_be_deleted_goes_on(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with termination protection, or in the middle of an update: an execution once stopped cannot go on."""
    fake = stack(monkeypatch)
    fake.machines["ApplicationProcess"] = arn = machine()
    fake.refuses = "Stack [hw] cannot be deleted while TerminationProtection is enabled"

    result = run("--data", "--confirm", "hw")

    assert (result.exit_code, fake.refuses in result.output) == (1, True)
    assert (running(arn), left()) == (1, list(RETAINED))


def test_executions_that_start_while_the_stack_goes_are_stopped_too(
    account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = stack(monkeypatch)
    fake.machines["ApplicationProcess"] = arn = machine()
    fake.polls = 3
    started = iter([arn])

    def meanwhile(_seconds: float) -> None:
        for each in started:
            boto3.client("stepfunctions").start_execution(stateMachineArn=each)

    monkeypatch.setattr("cli.destroy.time.sleep", meanwhile)

    result = run("--confirm", "hw")

    assert (result.exit_code, running(arn)) == (0, 0), result.output
    assert result.output.count("Stopped 1 execution(s) of ApplicationProcess.") == 2


def test_a_state_machine_that_is_not_there_holds_nothing_up(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was never made, or is gone since the command that was interrupted."""
    fake = stack(monkeypatch, "ROLLBACK_FAILED")
    fake.machines["ApplicationProcess"] = "arn:aws:states:eu-west-1:123456789012:stateMachine:none"

    result = run("--confirm", "hw")

    assert (result.exit_code, left(), fake.status) == (0, [], "DELETE_COMPLETE"), result.output


def test_tables_and_buckets_that_cloudformation_failed_at_go_with_data(
    account: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deleted a failed first deployment in the console: what it could not delete is in its way for ever."""
    fake = stack(monkeypatch, "DELETE_FAILED")
    fake.statuses |= dict.fromkeys(RETAINED, "DELETE_FAILED")

    refused = run("--confirm", "hw")

    assert (refused.exit_code, left()) == (1, list(RETAINED))
    assert "with --data to have the tables and buckets deleted that hold it up" in refused.output
    result = run("--data", "--confirm", "hw")
    assert (result.exit_code, left(), fake.status) == (0, [], "DELETE_COMPLETE"), result.output


def test_what_another_stack_has_taken_in_is_not_deleted(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a resource import, by which a new stack takes over the tables that an old one left."""
    fake = stack(monkeypatch)
    run("--confirm", "hw")
    fake.imported.add("hw-eventstable")

    result = run("--data", "--confirm", "hw")

    assert (result.exit_code, left()) == (0, ["EventsTable"]), result.output


def test_what_an_earlier_stack_of_the_name_left_is_named(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = stack(monkeypatch)
    run("--confirm", "hw")
    earlier = dict(fake.statuses)
    # The name's second stack has none of the first one's tables and buckets.
    fake.status, fake.statuses = "CREATE_COMPLETE", {"EventsTopic": "CREATE_COMPLETE"}
    delete = fake.delete_stack

    def deleted(StackName: str) -> None:  # noqa: N803
        delete(StackName)
        fake.statuses |= earlier

    monkeypatch.setattr(fake, "delete_stack", deleted)

    result = run("--data", "--confirm", "hw")

    assert (result.exit_code, left()) == (0, list(RETAINED)), result.output
    assert "stays: table hw-eventstable (EventsTable)" in result.output
    assert "Nothing of it stays" not in result.output
