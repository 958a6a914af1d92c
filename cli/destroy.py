"""`headwater destroy`: takes a deployed stack away, whatever state it is in, and tells what of it stays."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
from botocore.exceptions import ClientError
from rich.console import Console
from rich.progress import track

from cli.command_line import command_line
from cli.processes import stop_all
from operations.output import say
from operations.target import LOCAL

if TYPE_CHECKING:
    from boto3.session import Session

_TABLE: Final = "AWS::DynamoDB::Table"
_BUCKET: Final = "AWS::S3::Bucket"
_MACHINE: Final = "AWS::StepFunctions::StateMachine"
#: Of a stack whose first deployment failed: what it made holds nothing that anybody was told of.
_NEVER_UP: Final = frozenset({"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "ROLLBACK_IN_PROGRESS"})
_POLL_SECONDS: Final = 5.0
#: A state machine goes once its executions have, and a function's network within the hour.
_PATIENCE_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Resource:
    """One of a stack's: its logical id, type, name in its service, and what CloudFormation says of it."""

    logical_id: str
    kind: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class Found:
    """A stack as it is. ``status`` is None where only what earlier stacks of the name left is there."""

    name: str
    status: str | None
    resources: Sequence[Resource]

    @property
    def holding(self) -> list[Resource]:
        """What holds data: a stack's deletion leaves it."""
        return [each for each in self.resources if each.kind in {_TABLE, _BUCKET}]

    @property
    def stuck(self) -> list[Resource]:
        """Of those, what CloudFormation tried to delete in vain, for it is protected or filled."""
        return [each for each in self.holding if each.status == "DELETE_FAILED"]

    @property
    def never_up(self) -> bool:
        return self.status in _NEVER_UP


@click.command()
@click.option("--data", is_flag=True, help="Its tables and buckets too, with all that is in them, for good.")
@click.option("--confirm", metavar="STACK", help="The stack's name once more; without it, only the plan is said.")
@click.pass_context
def destroy(context: click.Context, *, data: bool, confirm: str | None) -> None:
    """Deletes the stack that --stack names. Its tables and buckets stay, unless --data says otherwise.

    Stops the executions that CloudFormation would wait for. Of a stack whose first deployment failed, all goes:
    protected tables and filled buckets too, for which CloudFormation's own clean-up fails. If the stack is gone
    already, --data takes away what it left. A command that is interrupted can simply be run again.
    """
    given = context.find_root().params
    name, region = str(given["stack"]), given["region"]
    if name == LOCAL:
        raise click.UsageError(
            "the local stack ends when `make run` is stopped, by Ctrl-C where it runs. To delete a deployed one, name "
            "it before the command:\n  headwater --stack NAME destroy"
        )
    import boto3  # late: a large import

    session = boto3.session.Session(region_name=region)
    found = find(name, session)
    if found.status is None and not found.holding:
        say(
            f"There is no stack {name}, and none of the last ninety days left anything. What older ones left has names "
            f"that begin with {name}-"
        )
        return
    everything = data or found.never_up
    if confirm != name:
        _say_what_would_happen(found, everything=everything)
        if confirm is not None:
            raise click.UsageError(f"--confirm {confirm} is not {name}")
        command = " ".join(["destroy", *(["--data"] if data else []), "--confirm", name])
        say(f"Nothing was done. To do it:\n  {command_line()} {command}")
        return
    if found.status is not None:
        if everything:
            # Otherwise CloudFormation fails at them once more.
            _delete_data(found.holding if found.never_up else found.stuck, session)
        _delete_stack(found, session)
    if everything:
        _delete_data(found.holding, session)
    # With what earlier stacks of the name left: it is not touched here, but it is there.
    left = {each.name: each for each in (*_there(found.holding, session), *find(name, session).holding)}.values()
    for each in left:
        say(f"stays: {each.kind.rpartition('::')[2].lower()} {each.name} ({each.logical_id})")
    if left:
        say(f"To delete these too, for good:\n  {command_line()} destroy --data --confirm {name}")
    else:
        say("Nothing of it stays.")


def find(name: str, session: Session) -> Found:
    """The stack of that name; if there is none, what deleted ones left."""
    client = session.client("cloudformation")
    try:
        status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        gone = client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
        stacks = [each["StackId"] for page in gone for each in page["StackSummaries"] if each["StackName"] == name]
        # Each of the name that CloudFormation remembers, for ninety days.
        left = [
            each
            for stack in stacks
            for each in _resources(client, stack)
            if each.status == "DELETE_SKIPPED" and not _is_anothers(each, stack, client)
        ]
        return Found(name, None, _there(left, session))
    return Found(name, status, [each for each in _resources(client, name) if each.status != "DELETE_COMPLETE"])


def _resources(client: Any, stack: str) -> Iterator[Resource]:
    for page in client.get_paginator("list_stack_resources").paginate(StackName=stack):
        for each in page["StackResourceSummaries"]:
            if each.get("PhysicalResourceId"):
                yield Resource(
                    each["LogicalResourceId"], each["ResourceType"], each["PhysicalResourceId"], each["ResourceStatus"]
                )


def _is_anothers(resource: Resource, stack: str, client: Any) -> bool:
    """Whether another stack has taken in by now what this one left, by a resource import."""
    try:
        found = client.describe_stack_resources(PhysicalResourceId=resource.name)["StackResources"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return False
        raise
    return any(
        each["StackId"] != stack
        and each.get("PhysicalResourceId") == resource.name
        and not each["ResourceStatus"].startswith("DELETE_")
        for each in found
    )


def _there(resources: Sequence[Resource], session: Session) -> list[Resource]:
    """Those of the tables and buckets that exist."""
    return [each for each in resources if each.kind in {_TABLE, _BUCKET} and _is_there(each, session)]


def _is_there(resource: Resource, session: Session) -> bool:
    try:
        if resource.kind == _TABLE:
            table = session.client("dynamodb").describe_table(TableName=resource.name)["Table"]
            return bool(table["TableStatus"] != "DELETING")
        session.client("s3").head_bucket(Bucket=resource.name)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ResourceNotFoundException", "404", "NoSuchBucket"}:
            return False
        raise
    return True


def _say_what_would_happen(found: Found, *, everything: bool) -> None:
    if found.status is not None:
        say(f"{found.name} is {found.status}, with {len(found.resources)} resources: it would be deleted.")
    for each in found.holding:
        fate = "would be deleted, with all that is in it" if everything else "would stay"
        say(f"{each.kind.rpartition('::')[2].lower()} {each.name} ({each.logical_id}) {fate}.")


def _stop_executions(resources: Sequence[Resource], session: Session) -> None:
    client = session.client("stepfunctions")
    for each in resources:
        if each.kind == _MACHINE and each.status != "DELETE_COMPLETE":
            try:
                stopped = stop_all(client, each.name, "the stack is destroyed")
            except ClientError as error:
                # It was never made, or is gone already.
                if error.response["Error"]["Code"] not in {"StateMachineDoesNotExist", "InvalidArn"}:
                    raise
                continue
            if stopped:
                say(f"Stopped {stopped} execution(s) of {each.logical_id}.")


def _delete_stack(found: Found, session: Session) -> None:
    client = session.client("cloudformation")
    # By its id: once it is deleted, only that finds it.
    stack = client.describe_stacks(StackName=found.name)["Stacks"][0]["StackId"]
    # First of all: a stack that is protected, or in the middle of an update, is refused here, and all of it goes on.
    client.delete_stack(StackName=stack)
    until = time.monotonic() + _PATIENCE_SECONDS
    resources = found.resources
    with Console(stderr=True).status(f"deleting {found.name}") as shown:
        while True:
            # Again and again: the API starts executions until its function is gone.
            _stop_executions(resources, session)
            status = client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
            if status == "DELETE_COMPLETE":
                say(f"Deleted {found.name}.")
                return
            resources = list(_resources(client, stack))
            if status == "DELETE_FAILED":
                now = Found(found.name, status, resources)
                failed = ", ".join(f"{each.logical_id} ({each.name})" for each in resources if "FAILED" in each.status)
                raise click.ClickException(
                    f"CloudFormation could not delete {failed or found.name}. Why: "
                    f"`aws cloudformation describe-stack-events --stack-name {found.name}`. Then run this again"
                    + (", with --data to have the tables and buckets deleted that hold it up" if now.stuck else "")
                )
            if time.monotonic() > until:
                raise click.ClickException(f"{found.name} is still {status} after an hour; run this again to go on")
            gone = sum(each.status.startswith("DELETE_") and "PROGRESS" not in each.status for each in resources)
            shown.update(f"deleting {found.name}: {gone} of {len(resources)} resources")
            time.sleep(_POLL_SECONDS)


def _delete_data(resources: Sequence[Resource], session: Session) -> None:
    for each in _there(resources, session):
        if each.kind == _TABLE:
            client = session.client("dynamodb")
            client.update_table(TableName=each.name, DeletionProtectionEnabled=False)
            client.get_waiter("table_exists").wait(TableName=each.name)
            client.delete_table(TableName=each.name)
            # Until then CloudFormation would fail at it, too.
            client.get_waiter("table_not_exists").wait(TableName=each.name)
        else:
            _delete_bucket(each.name, session.client("s3"))
        say(f"Deleted {each.name}.")


def _delete_bucket(name: str, client: Any) -> None:
    pages = client.get_paginator("list_object_versions").paginate(Bucket=name)
    for page in track(pages, f"emptying {name}", console=Console(stderr=True), transient=True):
        versions = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for each in page.get(kind, ())
        ]
        if versions:
            answer = client.delete_objects(Bucket=name, Delete={"Objects": versions, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise click.ClickException(f"{name}/{error['Key']} could not be deleted: {error['Message']}")
    client.delete_bucket(Bucket=name)
