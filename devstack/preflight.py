"""`sam deploy` to an account, after what CloudFormation would say only once it has made half of a stack.

A name that is too long, a database that another stack has, a stack that can no longer be updated, shards that Kinesis
does not take away at once: each is told before anything is made. And a first deployment goes without deletion
protection, which is switched on by a second one, since CloudFormation cannot take a protected table back when a first
deployment fails.
"""

from __future__ import annotations

import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from devstack.errors import DevstackError
from devstack.template import Template
from operations.intrinsics import Intrinsics, UnknownIntrinsicError, references

#: The longest names that hold a stack's, by type: property and characters, of each service's API reference.
_LONGEST: Final[Mapping[str, tuple[str, int]]] = {
    "AWS::Athena::WorkGroup": ("Name", 128),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::Kinesis::StreamConsumer": ("ConsumerName", 128),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::Serverless::Function": ("FunctionName", 64),
    "AWS::Serverless::LayerVersion": ("LayerName", 140),
    "AWS::Serverless::StateMachine": ("Name", 80),
}
_PROTECTION: Final = "DeletionProtection"
#: Of a stack that CloudFormation updates no more: it is to be deleted first.
_DEAD: Final = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What samconfig.toml says of an environment. ``region`` and ``profile`` are None where it leaves them open."""

    template: Template
    stack: str
    parameters: Mapping[str, str]
    region: str | None = None
    profile: str | None = None

    @classmethod
    def read(cls, template: Path, config: Path, environment: str) -> Deployment:
        """Reads both files.

        Raises
        ------
        DevstackError
            A file cannot be read, or has no such environment.
        """
        try:
            stated = tomllib.loads(config.read_text(encoding="utf-8"))[environment]
            given = {**_parameters(stated, "global"), **_parameters(stated, "deploy")}
            stack = str(given["stack_name"])
            overrides = _overrides(given.get("parameter_overrides", []))
        except OSError as error:
            raise DevstackError(f"{config} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DevstackError(f"{config} is not TOML: {error}") from error
        except KeyError as error:
            raise DevstackError(f"{config} lacks {error.args[0]!r} for the environment {environment!r}") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise DevstackError(
                f"{config} cannot be understood for the environment {environment!r}: {error}"
            ) from error
        return cls(Template.load(template), stack, overrides, given.get("region"), given.get("profile"))

    def parameter(self, name: str) -> str | None:
        """Its value: what is given for it, else its default. None if the template has no such parameter."""
        known = self.template.document["Parameters"]
        return self.parameters.get(name, str(known[name].get("Default", ""))) if name in known else None


def _parameters(stated: Mapping[str, Any], command: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = stated.get(command, {}).get("parameters", {})
    return found


def _overrides(given: str | Sequence[str]) -> dict[str, str]:
    """SAM CLI takes one text or a list of them, each with one or several NAME=VALUE."""
    if not isinstance(given, str | list):
        raise TypeError("parameter_overrides is a text or a list of texts")
    pieces = [piece for text in ([given] if isinstance(given, str) else given) for piece in shlex.split(text)]
    if unclear := [piece for piece in pieces if "=" not in piece or piece.startswith("ParameterKey=")]:
        raise ValueError(f"parameter_overrides takes NAME=VALUE, not {unclear[0]}")
    return dict(piece.split("=", 1) for piece in pieces)


def too_long(deployment: Deployment, region: str) -> Iterator[str]:
    """The names that a stack of this name would give, and that a service refuses for their length."""
    document = deployment.template.document
    names = {name: deployment.parameter(name) or "" for name in document.get("Parameters") or ()}
    names |= {"AWS::StackName": deployment.stack, "AWS::Region": region}
    intrinsics = Intrinsics.over(names, document)
    for logical_id, resource in document["Resources"].items():
        name, longest = _LONGEST.get(resource["Type"], ("", 0))
        node = (resource.get("Properties") or {}).get(name)
        if node is None or "AWS::StackName" not in references(node):
            continue
        # What holds a name that only AWS gives is passed over.
        with suppress(UnknownIntrinsicError):
            made = intrinsics.text(node)
            if len(made) > longest:
                yield (
                    f"{logical_id} would be called {made}, {len(made)} characters of at most {longest}: choose a "
                    f"stack name of at most {len(deployment.stack) - (len(made) - longest)} characters"
                )


def state_of(stack: str, client: Any) -> str | None:
    """The stack's status; None where there is none.

    REVIEW_IN_PROGRESS is none: a change set that nobody has executed, from which SAM CLI makes a stack as a first one.
    """
    try:
        status = str(client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return None if status == "REVIEW_IN_PROGRESS" else status


def stream_of(stack: str, client: Any) -> str | None:
    """The name of the stack's EventsStream; None where it has none yet."""
    try:
        found = client.describe_stack_resource(StackName=stack, LogicalResourceId="EventsStream")
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def problems(deployment: Deployment, session: boto3.session.Session) -> tuple[list[str], bool]:
    """What keeps this deployment from succeeding, and whether it is the stack's first."""
    region = session.region_name
    if not region:
        return ["no Region is chosen: export AWS_DEFAULT_REGION"], False
    found = list(too_long(deployment, region))
    state = state_of(deployment.stack, session.client("cloudformation"))
    if state in _DEAD:
        found.append(
            f"the stack {deployment.stack} is {state}, and cannot be updated: "
            f"`headwater --stack {deployment.stack} destroy --confirm {deployment.stack}`, and deploy again"
        )
    database = deployment.parameter("AnalyticsDatabaseName")
    if state is None and database and _has_database(session.client("glue"), database):
        found.append(f"the Glue database {database} is another stack's: choose another AnalyticsDatabaseName")
    if state is not None and not found:
        found += _shards(deployment, session)
    return found, state is None


def _shards(deployment: Deployment, session: boto3.session.Session) -> Iterator[str]:
    """Kinesis at most doubles or halves a stream's shards in one step ("UpdateShardCount", API reference)."""
    if deployment.parameter("EventsStreamMode") != "PROVISIONED":
        return
    name = stream_of(deployment.stack, session.client("cloudformation"))
    if name is None:
        return
    stream = session.client("kinesis").describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    wanted, there = int(deployment.parameter("EventsStreamShards") or 1), stream["OpenShardCount"]
    if not there / 2 <= wanted <= 2 * there:
        mode = stream.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
        kept = "EventsStreamMode=ON_DEMAND" if mode == "ON_DEMAND" else f"EventsStreamShards={there}"
        yield (
            f"EventsStream has {there} shards ({mode}), and Kinesis makes at most half or double of them in one step, "
            f"not {wanted}: add {kept} to the environment's parameter_overrides to keep it as it is, or deploy with "
            f"EventsStreamShards={there // 2 if wanted < there else there * 2} first"
        )


def _has_database(client: Any, name: str) -> bool:
    try:
        client.get_database(Name=name)
    except client.exceptions.EntityNotFoundException:
        return False
    return True


def steps(deployment: Deployment, sam: Sequence[str], *, first: bool) -> list[list[str]]:
    """The commands that deploy: one, or of a first deployment with protection two.

    Protection is stated even where it is the template's default: what SAM CLI is not told, a stack keeps as it has it,
    and it would be unprotected for ever after the first step.
    """

    def command(protection: str) -> list[str]:
        stated = {**deployment.parameters, _PROTECTION: protection}
        return [*sam, "--parameter-overrides", *(f'{name}="{value}"' for name, value in stated.items())]

    protection = deployment.parameter(_PROTECTION)
    last = list(sam) if protection is None or _PROTECTION in deployment.parameters else command(protection)
    return [command("false"), last] if first and protection == "true" else [last]


def deploy(template: Path, config: Path, environment: str, sam: Sequence[str]) -> int:
    """Runs ``sam`` (… deploy …) once nothing is known against it; its exit code.

    Raises
    ------
    DevstackError
        In words: what is wrong, and what to do. Nothing was made.
    """
    deployment = Deployment.read(template, config, environment)
    try:
        # As SAM CLI chooses: the file's Region and profile, and where it has none, the shell's.
        session = boto3.session.Session(region_name=deployment.region, profile_name=deployment.profile)
        found, first = problems(deployment, session)
    except (BotoCoreError, ClientError) as error:
        raise DevstackError(f"AWS cannot be asked about {deployment.stack}: {error}") from error
    if found:
        raise DevstackError("\n".join([f"{deployment.stack} is not deployed:", *(f"- {each}" for each in found)]))
    commands = steps(deployment, sam, first=first)
    for number, command in enumerate(commands, start=1):
        if len(commands) > 1:
            state = "without deletion protection" if number == 1 else "with deletion protection"
            click.echo(f"Step {number} of {len(commands)}: {state}.")
        try:
            code = subprocess.run(command, check=False).returncode  # noqa: S603 - the person's command
        except OSError as error:
            raise DevstackError(f"{command[0]} cannot be run ({error.strerror}): use `make deploy`") from error
        if code:
            return code
        if number < len(commands) and state_of(deployment.stack, session.client("cloudformation")) is None:
            # SAM CLI ends well then too. With the next step the first deployment would have protection.
            raise DevstackError(f"{deployment.stack} is not deployed: its change set was not executed")
    return 0
