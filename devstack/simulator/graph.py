"""template.yaml as a graph in memory: its tables, streams, topics and queues in a `Cloud`; functions and mappings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devstack.emulator import ACCOUNT_ID, REGION
from devstack.errors import DevstackError
from devstack.simulator.cloud import Cloud, Index
from devstack.template import Application, Node, Template

#: What is deployed otherwise: archiver and export gather for seconds, so that a short run sees them at work often.
PARAMETERS: Final = {
    "SenderAddress": "no-reply@example.com",
    "ArchiverBatchingWindow": "5",
    "BiExportBatchingWindow": "20",
}
TEMPLATE: Final = Path(__file__).parents[2] / "template.yaml"

_SUBSTITUTION = re.compile(r"\$\{([^}]+)\}")


class GraphError(DevstackError):
    """The template says something that the simulator cannot build."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The template, read once; many clouds are built from it."""

    application: Application
    resources: Mapping[str, Node]
    parameters: Mapping[str, str]

    @classmethod
    def load(cls, path: Path = TEMPLATE, parameters: Mapping[str, str] | None = None) -> Blueprint:
        """Reads and resolves the template.

        Raises
        ------
        TemplateError, GraphError
            Names what cannot be simulated.
        """
        template = Template.load(path)
        plane = template.data_plane()
        values = {name: str(node.get("Default", "")) for name, node in template.parameters.items()}
        values |= {**PARAMETERS, **(parameters or {})}
        resources = plane["Resources"]
        outputs = {name: _value(node["Value"], resources, values) for name, node in plane["Outputs"].items()}
        return cls(template.resolve(outputs), resources, values)

    def build(self, cloud: Cloud, shards: int) -> None:
        """Creates the data plane, each resource under its logical id; streams begin with so many shards."""
        for name, resource in self.resources.items():
            properties = resource.get("Properties") or {}
            match resource["Type"]:
                case "AWS::DynamoDB::Table":
                    keys = _keys(properties)
                    indexes = {}
                    for index in properties.get("GlobalSecondaryIndexes", ()):
                        indexed = _keys(index)
                        indexes[index["IndexName"]] = Index(indexed["HASH"], indexed["RANGE"])
                    stream = "StreamSpecification" in properties
                    cloud.create_table(
                        name, keys["HASH"], keys.get("RANGE"), stream=stream, shards=shards, indexes=indexes
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
        for name in sorted(self.queues(), key=lambda name: "RedrivePolicy" in self._properties(name)):
            properties = self._properties(name)
            redrive = None
            if policy := properties.get("RedrivePolicy"):
                target = self._text(policy["deadLetterTargetArn"]).rpartition(":")[2]
                redrive = (target, int(policy["maxReceiveCount"]))
            cloud.create_queue(
                name,
                float(properties.get("VisibilityTimeout", 30)),
                redrive,
                retention=float(properties.get("MessageRetentionPeriod", 345_600)),
            )
        cloud.create_email_identity(self.parameters["SenderAddress"])
        for resource in self.resources.values():
            if resource["Type"] == "AWS::SNS::Subscription" and resource["Properties"]["Protocol"] == "sqs":
                properties = resource["Properties"]
                queue = self._text(properties["Endpoint"]).rpartition(":")[2]
                dead_letters = None
                if policy := properties.get("RedrivePolicy"):
                    dead_letters = self._text(policy["deadLetterTargetArn"]).rpartition(":")[2]
                cloud.subscribe(
                    self._text(properties["TopicArn"]),
                    cloud.queue(queue).url,
                    properties.get("FilterPolicy"),
                    dead_letter_queue=dead_letters,
                )

    def queues(self) -> list[str]:
        return [name for name, resource in self.resources.items() if resource["Type"] == "AWS::SQS::Queue"]

    def _properties(self, name: str) -> dict[str, Any]:
        return self.resources[name].get("Properties") or {}

    def _text(self, node: Node) -> str:
        return _value(node, self.resources, self.parameters)


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


def _value(node: Node, resources: Mapping[str, Node], parameters: Mapping[str, str]) -> str:
    """The few intrinsics that the template's data plane uses, over resources that are named by their logical ids."""
    if not isinstance(node, Mapping):
        return str(node)
    match next(iter(node.items())):
        case "Ref", str(name):
            return _reference(name, resources, parameters)
        case "Fn::GetAtt", [name, "Arn"]:
            return arn(resources[name]["Type"], name)
        case "Fn::GetAtt", [name, "StreamArn"]:
            return f"{arn(resources[name]['Type'], name)}/stream/2026-01-01T00:00:00.000"
        case "Fn::GetAtt", [name, "QueueName"]:
            return str(name)
        case "Fn::Sub", str(text):
            return _SUBSTITUTION.sub(lambda match: _reference(match[1], resources, parameters), text)
    raise GraphError(f"the simulator cannot compute {dict(node)}: add it to devstack/simulator/graph.py")


def _reference(name: str, resources: Mapping[str, Node], parameters: Mapping[str, str]) -> str:
    pseudo = {
        "AWS::Region": REGION,
        "AWS::AccountId": ACCOUNT_ID,
        "AWS::StackName": "headwater",
        "AWS::Partition": "aws",
    }
    if name in parameters:
        return parameters[name]
    if name in pseudo:
        return pseudo[name]
    if name not in resources:
        raise GraphError(f"the simulator knows no {name!r}, which the template refers to")
    kind = resources[name]["Type"]
    if kind == "AWS::SNS::Topic":
        return arn(kind, name)
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{name}" if kind == "AWS::SQS::Queue" else name
