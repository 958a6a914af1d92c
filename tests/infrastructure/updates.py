"""What CloudFormation would do to a stack's resources when it updates them from one template to another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from tests.infrastructure.expansion import Node

type Fate = Literal["replaced", "removed"]

#: Properties whose change replaces a resource, of the types that hold data, or messages, or a place in a stream
#: ("Update requires: Replacement", CloudFormation template reference).
REPLACING: Final[Mapping[str, frozenset[str]]] = {
    "AWS::DynamoDB::Table": frozenset({"TableName", "KeySchema", "ImportSourceSpecification", "LocalSecondaryIndexes"}),
    "AWS::Kinesis::Stream": frozenset({"Name"}),
    "AWS::Lambda::EventSourceMapping": frozenset(
        {"EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "SelfManagedEventSource"}
    ),
    "AWS::Pipes::Pipe": frozenset({"Name", "Source"}),
    "AWS::S3::Bucket": frozenset({"BucketName"}),
    "AWS::SNS::Topic": frozenset({"TopicName", "FifoTopic"}),
    "AWS::SQS::Queue": frozenset({"QueueName", "FifoQueue"}),
    "AWS::StepFunctions::StateMachine": frozenset({"StateMachineName", "StateMachineType"}),
}
#: What never comes back: kept by DeletionPolicy, but under a stack that knows it no more.
RETAINED: Final = frozenset({"AWS::DynamoDB::Table", "AWS::S3::Bucket"})


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a resource of the older template."""

    name: str
    kind: str
    fate: Fate


def changes(before: Node, after: Node) -> Iterator[Change]:
    """Resources that hold something and do not live on; both templates expanded, with what parameters choose."""
    for name, old in before["Resources"].items():
        replacing = REPLACING.get(old["Type"])
        if replacing is None:
            continue
        new = after["Resources"].get(name)
        if new is None or new["Type"] != old["Type"] or new.get("Condition") != old.get("Condition"):
            yield Change(name, old["Type"], "removed")
            continue
        given = old.get("Properties", {}), new.get("Properties", {})
        if any(given[0].get(each) != given[1].get(each) for each in replacing):
            yield Change(name, old["Type"], "replaced")
