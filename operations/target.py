"""Which stack a command works on: the one running on this machine, or a deployed one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from operations.certainty import STEADY_SECONDS, Clock
from operations.output import refusal
from operations.running import RunningStack, running_stack

if TYPE_CHECKING:
    from boto3.session import Session

    from headwater.application import Application

LOCAL = "local"

#: Which output tells what each of the functions' settings says.
SETTINGS: Mapping[str, str] = {
    "application": "Application",
    "events_table": "EventsTableName",
    "credentials_table": "CredentialsTableName",
    "read_models_table": "ReadModelsTableName",
    "ledger_table": "LedgerTableName",
    "preferences_table": "PreferencesTableName",
    "archive_bucket": "ArchiveBucketName",
    "events_stream": "EventsStreamName",
    "events_topic": "EventsTopicArn",
    "sender_address": "SenderAddress",
    "email_configuration_set": "EmailConfigurationSetName",
    "on_unconfirmed_email": "OnUnconfirmedEmail",
    "parked_records_queue": "ParkedRecordsQueueUrl",
    "set_aside_queue": "SetAsideQueueUrl",
    "unresolved_pointers_queue": "UnresolvedPointersQueueUrl",
    "failed_batches_bucket": "FailedBatchesBucketName",
    "applications_table": "ApplicationsTableName",
    "application_process": "ApplicationProcessArn",
    "application_inbox_queue": "ApplicationInboxQueueUrl",
    "application_target_function": "ApplicationTargetFunctionName",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A session for a stack, and that stack's outputs by name.

    ``functions_url`` is where functions are invoked, if not at ``endpoint_url``: the local stack hosts them itself.
    ``steady`` is for how many seconds counts must be zero until "nothing" is believed, by ``clock``. ``running`` is the
    local stack, if it is that.
    """

    session: "Session"
    endpoint_url: str | None
    outputs: Mapping[str, str]
    functions_url: str | None = None
    clock: Clock = field(default_factory=Clock)
    steady: float = STEADY_SECONDS
    stack_name: str = LOCAL
    running: RunningStack | None = None

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.endpoint_url)

    def output(self, name: str) -> str:
        """One of the stack's outputs.

        Raises
        ------
        click.ClickException
            The stack has none of that name: it is another stack, or an older one.
        """
        if name not in self.outputs:
            raise click.ClickException(f"the stack has no output {name}; is it a Headwater stack of this version?")
        return self.outputs[name]

    def application(self) -> "Application":
        """What runs on the stack, as this checkout declares it.

        Raises
        ------
        click.ClickException
            There is no such application here.
        """
        from headwater.application import load
        from headwater.declarations import DeclarationError

        try:
            return load(self.output("Application"))
        except DeclarationError as error:
            raise click.ClickException(str(error)) from error

    @contextmanager
    def as_function(self) -> Iterator[None]:
        """Within it, the environment is that of the stack's functions: their code runs here, with the caller's rights.

        Raises
        ------
        click.ClickException
            The stack lacks an output: it is an older one.
        """
        variables = {field: self.output(output) for field, output in SETTINGS.items()}
        variables = {field.upper(): value for field, value in variables.items()}
        variables |= {"POWERTOOLS_METRICS_DISABLED": "true", "POWERTOOLS_SERVICE_NAME": "headwater"}
        if region := self.session.region_name:
            variables["AWS_DEFAULT_REGION"] = variables["AWS_REGION"] = region
        if self.endpoint_url is not None:
            # The emulator's: whoever runs this has other credentials, or none.
            keys = self.session.get_credentials()
            variables |= {
                "AWS_ENDPOINT_URL": self.endpoint_url,
                "AWS_ACCESS_KEY_ID": keys.access_key if keys else "",
                "AWS_SECRET_ACCESS_KEY": keys.secret_key if keys else "",
            }
        if self.functions_url is not None:
            variables["AWS_ENDPOINT_URL_LAMBDA"] = self.functions_url
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def resolve(stack: str, region: str | None) -> Target:
    """The target of ``--stack``: ``local``, or the name of a deployed CloudFormation stack.

    Raises
    ------
    click.ClickException
        No local stack runs, or the deployed one cannot be read; says what to do.
    """
    if stack == LOCAL:
        running = running_stack(Path.cwd())
        if running is None:
            raise click.ClickException(
                "no local stack is running here or in a folder above: start it with 'make run', or give --stack"
            )
        return _target(running.session(), running.endpoint_url, running.stack_name, running.url, running)
    import boto3  # late: a large import

    return _target(boto3.session.Session(region_name=region), None, stack)


def _target(
    session: "Session",
    endpoint_url: str | None,
    stack: str,
    functions_url: str | None = None,
    running: RunningStack | None = None,
) -> Target:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        described = session.client("cloudformation", endpoint_url=endpoint_url).describe_stacks(StackName=stack)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(f"cannot read the stack {stack!r}: {refusal(error)}") from error
    outputs = described["Stacks"][0].get("Outputs", [])
    values = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    return Target(session, endpoint_url, values, functions_url, stack_name=stack, running=running)
