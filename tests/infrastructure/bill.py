"""What the stacks cost a month while nothing happens, by their templates: what is there, times AWS's price of it.

What only use costs is not in here: requests, events, storage by the GB, log lines.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.infrastructure.alarms import Alarm
from tests.infrastructure.expansion import Node

#: US dollars in us-east-1, of the services' pricing pages.
PRICES_OF: Final = "November 2026"
HOURS: Final = 730
SHARD_HOUR: Final = 0.015
SHARD_HOUR_OF_A_WEEK: Final = 0.020
ON_DEMAND_HOUR: Final = 0.04
ENHANCED_SHARD_HOUR: Final = 0.015
ALARM_METRIC: Final = 0.10
SQS_REQUEST: Final = 0.40 / 1e6
STREAM_REQUEST: Final = 0.02 / 1e5
#: Lambda waits at an idle queue with five connections, of twenty seconds each ("Using Lambda with Amazon SQS").
QUEUE_REQUESTS: Final = 5 * 3 * 60 * HOURS
#: A Pipe asks a shard four times a second, and pays for it; Lambda does not (DynamoDB's pricing page, "Streams").
PIPE_REQUESTS: Final = 4 * 3600 * HOURS


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the bill."""

    component: str
    dollars: float
    why: str


def bill(templates: list[Node], **parameters: str) -> Iterator[Item]:
    """The items of expanded templates, with these parameters in place of the defaults."""
    values: dict[str, str] = {}
    for template in reversed(templates):
        values |= {name: str(node.get("Default", "")) for name, node in template["Parameters"].items()}
    values |= parameters
    resources = [(name, node) for template in templates for name, node in template["Resources"].items()]
    yield _stream(values)
    if values["EventsStreamMode"] == "PROVISIONED" and values["EnhancedFanOut"] == "true":
        shards = int(values["EventsStreamShards"])
        yield Item("enhanced fan-out", shards * ENHANCED_SHARD_HOUR * HOURS, f"{shards} shard(s) for the export")
    alarms = [
        Alarm.of(name, node["Properties"])
        for name, node in resources
        if node["Type"] == "AWS::CloudWatch::Alarm" and _is_there(node, values)
    ]
    metrics = sum(len(alarm.metrics) for alarm in alarms)
    yield Item("alarms", metrics * ALARM_METRIC, f"{len(alarms)} of both stacks, on {metrics} metrics")
    queues = sum(
        node["Type"] == "AWS::Lambda::EventSourceMapping" and "StartingPosition" not in node["Properties"]
        for _, node in resources
    )
    yield Item("waiting at queues", queues * QUEUE_REQUESTS * SQS_REQUEST, f"{queues} queues with a function")
    pipes = sum(node["Type"] == "AWS::Pipes::Pipe" for _, node in resources)
    yield Item("waiting at a stream", pipes * PIPE_REQUESTS * STREAM_REQUEST, f"{pipes} Pipe; functions wait for free")


def _stream(values: Mapping[str, str]) -> Item:
    hours = values["EventsStreamRetentionHours"]
    if values["EventsStreamMode"] == "ON_DEMAND":
        return Item("EventsStream", ON_DEMAND_HOUR * HOURS, f"on demand, {hours} hours")
    shards = int(values["EventsStreamShards"])
    longer = SHARD_HOUR_OF_A_WEEK if hours != "24" else 0
    return Item("EventsStream", shards * (SHARD_HOUR + longer) * HOURS, f"{shards} shard(s), {hours} hours")


def _is_there(node: Node, values: Mapping[str, str]) -> bool:
    return not node.get("Condition", "").startswith("HasNotices") or values["Notices"] == "true"
