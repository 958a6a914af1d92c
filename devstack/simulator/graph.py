"""The templates as a graph in memory: their tables, streams, topics and queues in a `Cloud`; functions and mappings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devstack.errors import DevstackError
from devstack.simulator.cloud import Cloud, Index
from devstack.template import HostedParts, Template
from operations.intrinsics import Intrinsics, Node, UnknownIntrinsicError, pseudo_parameters
from operations.running import ACCOUNT_ID, REGION

#: What is deployed otherwise: archiver and export gather for seconds, so that a short run sees them at work often.
PARAMETERS: Final = {
    "SenderAddress": "no-reply@example.com",
    "ArchiverBatchingWindow": "5",
    "BiExportBatchingWindow": "20",
    # The longer of the two: what holds over a holiday holds over a day.
    "EventsStreamRetentionHours": "168",
}
TEMPLATE: Final = Path(__file__).parents[2] / "template.yaml"
RECEIVER: Final = TEMPLATE.with_name("receiver.yaml")
#: The templates' stacks, by the names that each has of the other by default.
STACK_NAMES: Final = {TEMPLATE.name: "headwater", RECEIVER.name: "headwater-receiver"}


class GraphError(DevstackError):
    """A template says something that the simulator cannot build."""


@dataclass(frozen=True, slots=True)
class _Stack:
    """One template's data plane, and what its intrinsics refer to."""

    resources: Mapping[str, Node]
    parameters: Mapping[str, str]
    conditions: Mapping[str, Node]
    mappings: Mapping[str, Node]

    def properties(self, name: str) -> dict[str, Any]:
        return self.resources[name].get("Properties") or {}

    def of_type(self, kind: str) -> list[str]:
        return [name for name, resource in self.resources.items() if resource["Type"] == kind]

    def queue_name(self, name: str) -> str:
        """A queue goes by its logical id, unless the template gives it a name for others to know."""
        given = self.properties(name).get("QueueName")
        return name if given is None else self.value(given)

    def value(self, node: Node) -> str:
        """What a node comes to, over resources that are named by logical ids.

        Raises
        ------
        GraphError
            It holds an intrinsic, or a name, that nobody here knows.
        """
        try:
            return Intrinsics(self._reference, self._attribute, self.conditions, self.mappings).text(node)
        except UnknownIntrinsicError as error:
            raise GraphError(f"the simulator cannot build the template: {error}") from error

    def _arn(self, name: str) -> str:
        kind = self.resources[name]["Type"]
        return arn(kind, self.queue_name(name) if kind == "AWS::SQS::Queue" else name)

    def _attribute(self, name: str, attribute: str) -> str:
        match attribute:
            case "Arn":
                return self._arn(name)
            case "StreamArn":
                return f"{self._arn(name)}/stream/2026-01-01T00:00:00.000"
            case "QueueName":
                return self.queue_name(name)
        raise UnknownIntrinsicError(f"{attribute} of {name} is not known here")

    def _reference(self, name: str) -> str:
        if name in self.parameters:
            return self.parameters[name]
        if name not in self.resources:
            raise UnknownIntrinsicError(f"{name!r} is not known here")
        kind = self.resources[name]["Type"]
        if kind in {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}:
            return arn(kind, name)
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{self.queue_name(name)}"
        return name


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The templates, read once; many clouds are built from them."""

    hosted: HostedParts
    stacks: Sequence[_Stack]

    @classmethod
    def load(cls, *paths: Path, parameters: Mapping[str, str] | None = None) -> Blueprint:
        """Reads and resolves the templates; the project's own, if none is named.

        Raises
        ------
        TemplateError, GraphError
            Names what cannot be simulated.
        """
        hosted, stacks = [], []
        for path in paths or (TEMPLATE, RECEIVER):
            template = Template.load(path)
            plane = template.data_plane()
            values = {name: str(node.get("Default", "")) for name, node in template.parameters.items()}
            name = STACK_NAMES.get(path.name, "headwater")
            values |= {**PARAMETERS, **(parameters or {})}
            values |= pseudo_parameters(region=REGION, account=ACCOUNT_ID, stack=name)
            stack = _Stack(plane["Resources"], values, plane.get("Conditions") or {}, plane.get("Mappings") or {})
            outputs = {name: stack.value(node["Value"]) for name, node in plane["Outputs"].items()}
            hosted.append(template.resolve(outputs))
            stacks.append(stack)
        return cls(_together(hosted), stacks)

    def build(self, cloud: Cloud, shards: int) -> None:
        """Creates the data plane, each resource under its logical id; streams begin with so many shards."""
        for stack in self.stacks:
            _build(stack, cloud, shards)

    def queues(self) -> list[str]:
        """Names of all stacks' queues."""
        return [stack.queue_name(name) for stack in self.stacks for name in stack.of_type("AWS::SQS::Queue")]


def _build(stack: _Stack, cloud: Cloud, shards: int) -> None:
    for name, resource in stack.resources.items():
        properties = stack.properties(name)
        match resource["Type"]:
            case "AWS::DynamoDB::Table":
                keys = _keys(properties)
                indexes = {}
                for index in properties.get("GlobalSecondaryIndexes", ()):
                    indexed = _keys(index)
                    shown = index["Projection"]
                    everything = shown["ProjectionType"] == "ALL"
                    projected = None if everything else frozenset(shown.get("NonKeyAttributes", ()))
                    indexes[index["IndexName"]] = Index(indexed["HASH"], indexed["RANGE"], projected)
                stream = "StreamSpecification" in properties
                types = {each["AttributeName"]: each["AttributeType"] for each in properties["AttributeDefinitions"]}
                cloud.create_table(
                    name,
                    keys["HASH"],
                    keys.get("RANGE"),
                    stream=stream,
                    shards=shards,
                    range_type=types.get(keys.get("RANGE", ""), "N"),
                    indexes=indexes,
                )
            case "AWS::Kinesis::Stream":
                cloud.create_stream(name, shards=shards)
            case "AWS::S3::Bucket":
                cloud.create_bucket(name)
            case "AWS::SNS::Topic":
                cloud.create_topic(name)
            case "AWS::SES::ConfigurationSet":
                cloud.create_configuration_set(name)
    # Queues that others name as their dead-letter queue come first.
    for name in sorted(stack.of_type("AWS::SQS::Queue"), key=lambda name: "RedrivePolicy" in stack.properties(name)):
        properties = stack.properties(name)
        redrive = None
        if policy := properties.get("RedrivePolicy"):
            target = stack.value(policy["deadLetterTargetArn"]).rpartition(":")[2]
            redrive = (target, int(policy["maxReceiveCount"]))
        cloud.create_queue(
            stack.queue_name(name),
            float(properties.get("VisibilityTimeout", 30)),
            redrive,
            retention=float(properties.get("MessageRetentionPeriod", 345_600)),
        )
    cloud.create_email_identity(stack.parameters["SenderAddress"])
    for name in stack.of_type("AWS::SNS::Subscription"):
        properties = stack.properties(name)
        if properties["Protocol"] == "sqs":
            queue = stack.value(properties["Endpoint"]).rpartition(":")[2]
            dead_letters = None
            if policy := properties.get("RedrivePolicy"):
                dead_letters = stack.value(policy["deadLetterTargetArn"]).rpartition(":")[2]
            cloud.subscribe(
                stack.value(properties["TopicArn"]),
                cloud.queue(queue).url,
                properties.get("FilterPolicy"),
                dead_letter_queue=dead_letters,
            )


def _together(parts: Sequence[HostedParts]) -> HostedParts:
    """Several stacks' functions and mappings together."""
    return HostedParts(
        {name: function for each in parts for name, function in each.functions.items()},
        tuple(mapping for each in parts for mapping in each.mappings),
        tuple(route for each in parts for route in each.routes),
        {name: text for each in reversed(parts) for name, text in each.outputs.items()},
    )


def _keys(node: Node) -> dict[str, str]:
    """A table's or an index's key attributes by ``HASH`` and ``RANGE``."""
    return {key["KeyType"]: key["AttributeName"] for key in node["KeySchema"]}


def arn(kind: str, name: str) -> str:
    """The ARN of a resource by its CloudFormation type."""
    place = f"{REGION}:{ACCOUNT_ID}"
    match kind:
        case "AWS::S3::Bucket":
            return f"arn:aws:s3:::{name}"
        case "AWS::SQS::Queue":
            return f"arn:aws:sqs:{place}:{name}"
        case "AWS::SNS::Topic":
            return f"arn:aws:sns:{place}:{name}"
        case "AWS::DynamoDB::Table":
            return f"arn:aws:dynamodb:{place}:table/{name}"
        case "AWS::Kinesis::Stream":
            return f"arn:aws:kinesis:{place}:stream/{name}"
    return f"arn:aws:{kind.split('::')[1].lower()}:{place}:{name}"
