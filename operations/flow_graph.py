"""What flows where, read out of the templates: sources, functions and what they write to, as a graph.

Nothing here names an event type, a projection or a consumer: mappings, subscriptions, pipes and the rights of roles say
it all. What takes failures, and what remembers them, is left out: a station's own figures tell of those.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from operations.intrinsics import Node, resources

#: What a resource is to whoever looks at the flow.
KINDS: Final[Mapping[str, str]] = {
    "AWS::DynamoDB::Table": "table",
    "AWS::Kinesis::Stream": "stream",
    "AWS::Pipes::Pipe": "pipe",
    "AWS::S3::Bucket": "bucket",
    "AWS::SNS::Topic": "topic",
    "AWS::SQS::Queue": "queue",
    "AWS::Serverless::Function": "function",
    "AWS::Serverless::HttpApi": "api",
    "AWS::Serverless::StateMachine": "process",
}
_WRITES: Final = re.compile(
    r"dynamodb:(PutItem|UpdateItem)|kinesis:PutRecords?|lambda:InvokeFunction|s3:PutObject|sns:Publish"
    r"|sqs:SendMessage|states:StartExecution|ses:SendEmail"
)
#: Beside the events in the archive's bucket: data that was too large for a stream.
_CLAIMS: Final = "/claims/"
#: The memory of requests, effects and failures, by the name of its output: no events flow into it.
_MEMORY: Final = ("LedgerTableName",)
_EVENTS: Final = "EventsTableName"
MAIL: Final = "E-mail"
#: The trade's, not an application's. An id that has others in upper case keeps them so.
_INITIALS: Final = {"api", "aws", "bi", "csv", "http", "id", "io", "json", "sms", "sql", "ui", "url"}


@dataclass(frozen=True, slots=True)
class Station:
    """One node. ``id`` is the logical id."""

    id: str
    kind: str

    @property
    def label(self) -> str:
        """Its id in words, without its kind: ``PlayerProfilesFunction`` is "Player profiles"."""
        name = self.id.removesuffix(self.kind.capitalize()) or self.id
        words = [_spelled(word) for word in re.split(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", name)]
        return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])

    @property
    def consumer(self) -> str | None:
        """What a function or a pipe is called where it parks: ``PlayerProfilesFunction`` is ``player_profiles``."""
        if self.kind not in {"function", "pipe"}:
            return None
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.id.removesuffix(self.kind.capitalize())).lower()

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is called: by the template, by people, and where it parks."""
        return tuple(dict.fromkeys(filter(None, (self.id, self.label, self.consumer))))


@dataclass(frozen=True, slots=True)
class Edge:
    """``types``: the event types that a subscription lets through; None are all. ``title`` is a mapping's."""

    source: str
    target: str
    types: tuple[str, ...] | None = None
    title: str | None = None


@dataclass(frozen=True)
class FlowGraph:
    """Stations by id, in the templates' order, and what flows between them. ``events`` is the table of events."""

    stations: Mapping[str, Station]
    edges: Sequence[Edge]
    events: str = ""

    @classmethod
    def of(cls, *documents: Mapping[str, Node]) -> "FlowGraph":
        """The graph of one or several templates that belong together; each as parsed, with intrinsics in long form."""
        found = [_Document(document) for document in documents]
        stations = {station.id: station for each in found for station in each.stations()}
        queues = {suffix: name for each in found for suffix, name in each.named_queues()}
        aside = {name for each in found for name in each.aside()}
        edges = [edge for each in found for edge in each.edges(queues) if not {edge.source, edge.target} & aside]
        if any(edge.target == MAIL for edge in edges):
            stations[MAIL] = Station(MAIL, "mail")
        edges = [edge for edge in dict.fromkeys(edges) if {edge.source, edge.target} <= stations.keys()]
        joined = {end for edge in edges for end in (edge.source, edge.target)}
        events = next(iter(resources((documents[0].get("Outputs") or {}).get(_EVENTS, {}))), "")
        return cls({name: station for name, station in stations.items() if name in joined}, edges, events)

    @cached_property
    def consumers(self) -> Mapping[str, Station]:
        """What a stream or a queue feeds, functions and pipes, by what it is called where it parks."""
        fed = {
            edge.target
            for edge in self.edges
            if edge.title is not None and self.stations[edge.source].kind in {"table", "stream", "queue"}
        }
        return {each.consumer: each for name, each in self.stations.items() if name in fed and each.consumer}

    def readers(self, event_type: str, source: str) -> Iterator[Station]:
        """The functions that an event of a type reaches from a station, in the order in which it reaches them."""
        seen, waiting = {source}, [source]
        while waiting:
            here = waiting.pop(0)
            for edge in self.edges:
                if edge.source != here or edge.target in seen:
                    continue
                if edge.types is not None and event_type not in edge.types:
                    continue
                station = self.stations[edge.target]
                seen.add(edge.target)
                if station.kind == "function":
                    yield station
                if station.kind not in {"table", "bucket", "mail"}:
                    waiting.append(edge.target)


class _Document:
    """One template."""

    def __init__(self, document: Mapping[str, Node]) -> None:
        self._document = document
        self._resources: Mapping[str, Node] = document["Resources"]

    def stations(self) -> Iterator[Station]:
        for name, resource in self._resources.items():
            if kind := KINDS.get(resource["Type"]):
                yield Station(name, kind)

    def named_queues(self) -> Iterator[tuple[str, str]]:
        """Queues that other stacks know by name: the name's fixed end, and the logical id."""
        for name, properties in self._of_type("AWS::SQS::Queue"):
            match properties.get("QueueName"):
                case {"Fn::Sub": str(text)}:
                    yield text.rpartition("}")[2], name

    def aside(self) -> set[str]:
        """What takes failures: whatever a mapping, a subscription, a pipe or a queue hands on what it gives up; the
        queues of a consumer that dead letters feed; and the memory of what was done.
        """
        found: set[str] = set()
        for resource in self._resources.values():
            for key, node in _walk(resource.get("Properties") or {}):
                if key in {"OnFailure", "DeadLetterConfig", "RedrivePolicy"}:
                    found |= resources(node)
        outputs = self._document.get("Outputs") or {}
        for name in (*_MEMORY, "ParkedRecordsQueueUrl", "SetAsideQueueUrl", "UnresolvedPointersQueueUrl"):
            found |= resources(outputs.get(name, {}))
        # A function that only failures reach is of their side too.
        for name, properties in self._of_type("AWS::Serverless::Function"):
            events = (properties.get("Events") or {}).values()
            sources = [resources(each.get("Properties", {}).get("Queue", {})) for each in events]
            if sources and all(source and source <= found for source in sources):
                found.add(name)
        return found

    def edges(self, queues: Mapping[str, str]) -> Iterator[Edge]:
        consumers = {
            name: resources(properties["StreamARN"])
            for name, properties in self._of_type("AWS::Kinesis::StreamConsumer")
        }
        for name, properties in self._of_type("AWS::Serverless::Function"):
            for event_name, event in (properties.get("Events") or {}).items():
                settings = event.get("Properties") or {}
                for source in self._sources(settings, consumers):
                    mapped = f"{name}.{event_name}" if event["Type"] in {"DynamoDB", "Kinesis", "SQS"} else None
                    yield Edge(source, name, title=mapped)
        for kind in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
            for name, properties in self._of_type(kind):
                yield from self._written(name, properties.get("Role", {}), queues)
        for _, properties in self._of_type("AWS::SNS::Subscription"):
            types = (properties.get("FilterPolicy") or {}).get("type")
            for topic in resources(properties["TopicArn"]):
                for queue in resources(properties["Endpoint"]):
                    yield Edge(topic, queue, tuple(map(str, types)) if types else None)
        for name, properties in self._of_type("AWS::Pipes::Pipe"):
            stages = [*resources(properties.get("Enrichment", {})), *resources(properties.get("Target", {}))]
            for source in resources(properties["Source"]):
                for before, after in zip([source, name, *stages], [name, *stages], strict=False):
                    yield Edge(before, after, title=name)

    @staticmethod
    def _sources(settings: Mapping[str, Node], consumers: Mapping[str, set[str]]) -> set[str]:
        found: set[str] = set()
        for key in ("ApiId", "Queue", "Stream"):
            for reference in resources(settings.get(key, {})):
                found |= consumers.get(reference, {reference})
        return found

    def _written(self, name: str, role: Node, queues: Mapping[str, str]) -> Iterator[Edge]:
        for reference in sorted(resources(role)):
            properties = self._resources.get(reference, {}).get("Properties") or {}
            for policy in properties.get("Policies") or ():
                for statement in policy["PolicyDocument"]["Statement"]:
                    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                    if any(_WRITES.fullmatch(action) for action in actions):
                        yield from self._targets(name, actions, statement["Resource"], queues)

    @staticmethod
    def _targets(name: str, actions: Sequence[str], resource: Node, queues: Mapping[str, str]) -> Iterator[Edge]:
        text = json.dumps(resource)
        if "ses:SendEmail" in actions:
            yield Edge(name, MAIL)
        elif _CLAIMS not in text:
            for target in sorted(resources(resource)):
                yield Edge(name, target)
            for suffix, queue in queues.items():
                if f'{suffix}"' in text and "sqs:SendMessage" in actions:
                    yield Edge(name, queue)

    def _of_type(self, kind: str) -> Iterator[tuple[str, Mapping[str, Node]]]:
        for name, resource in self._resources.items():
            if resource["Type"] == kind:
                yield name, resource.get("Properties") or {}


def _walk(node: Node) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield key, value
            yield from _walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value)


def _spelled(word: str) -> str:
    """A word of an id as people write it: ``Http`` is "HTTP", ``Export`` is "export"."""
    if word.lower() in _INITIALS or (len(word) > 1 and word.isupper()):
        return word.upper()
    return word.lower()
