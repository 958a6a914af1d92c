"""What template.yaml says, for a stack that runs on this machine.

The template stays the only source. Everything that CloudFormation computes (``!Ref``, ``!Sub``, parameters, conditions)
is computed by the emulator's CloudFormation: the *data-plane template* is the template without what devstack does
itself, plus one Output per value that devstack has to know.

What is not supported is refused by name when the stack starts, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from devstack.errors import DevstackError
from headwater.change_stream.filters import Dialect, FilterCriteria, FilterError
from headwater.change_stream.source_kinds import SourceKind
from operations.intrinsics import Node, is_intrinsic, outermost, references
from operations.template_document import NoTemplateError, parsed

DATA_PLANE_TYPES: Final = frozenset(
    {
        "AWS::Athena::WorkGroup",
        "AWS::DynamoDB::Table",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
        "AWS::KMS::Alias",
        "AWS::KMS::Key",
        "AWS::Kinesis::Stream",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::SES::ConfigurationSet",
        "AWS::SES::EmailIdentity",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::Queue",
        "AWS::SQS::QueuePolicy",
        "AWS::SSM::Parameter",
        "AWS::SecretsManager::Secret",
    }
)

_STATE_MACHINE: Final = "AWS::Serverless::StateMachine"
#: No permissions are checked locally, and its role is not there.
_LOCAL_ROLE: Final = "arn:aws:iam::000000000000:role/local"
_STREAM_CONSUMER: Final = "AWS::Kinesis::StreamConsumer"
_PIPE: Final = "AWS::Pipes::Pipe"

LEFT_OUT_BECAUSE: Final = {
    "AWS::Serverless::Function": "hosted by devstack itself",
    "AWS::Serverless::HttpApi": "served by devstack's own gateway, without authorization",
    "AWS::Serverless::LayerVersion": "functions import from the virtual environment",
    _PIPE: "run by devstack itself",
    "AWS::IAM::": "no permissions are checked locally",
    "AWS::CloudWatch::": "nobody is on call for a laptop",
    "AWS::Logs::": "logs go to files in the run folder",
    "AWS::Athena::NamedQuery": "the emulator refuses the whole stack for it",
    _STREAM_CONSUMER: "its readers read the stream itself, whose throughput no local reader exhausts",
}

REFUSED_TYPES: Final = {
    "AWS::Lambda::EventSourceMapping": "write it as an event of the function, or it would silently not run here",
    "AWS::Lambda::Function": "write it as AWS::Serverless::Function",
    "AWS::Serverless::Api": "the local gateway serves AWS::Serverless::HttpApi",
}

_STREAM_PROPERTIES = frozenset(
    {
        "BatchSize",
        "BisectBatchOnFunctionError",
        "DestinationConfig",
        "Enabled",
        "FilterCriteria",
        "FunctionResponseTypes",
        "MaximumBatchingWindowInSeconds",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "MetricsConfig",
        "ParallelizationFactor",
        "StartingPosition",
        "Stream",
    }
)
_QUEUE_PROPERTIES = frozenset(
    {
        "BatchSize",
        "Enabled",
        "FilterCriteria",
        "FunctionResponseTypes",
        "MaximumBatchingWindowInSeconds",
        "MetricsConfig",
        "Queue",
        "ScalingConfig",
    }
)
_ROUTE_PROPERTIES = frozenset({"ApiId", "Auth", "Method", "Path", "PayloadFormatVersion", "TimeoutInMillis"})
_EVENT_PROPERTIES: Final = {
    "DynamoDB": _STREAM_PROPERTIES,
    "Kinesis": _STREAM_PROPERTIES,
    "SQS": _QUEUE_PROPERTIES,
    "HttpApi": _ROUTE_PROPERTIES,
}

_PIPE_PROPERTIES: Final = frozenset(
    {
        "Description",
        "DesiredState",
        "Enrichment",
        "LogConfiguration",
        "Name",
        "RoleArn",
        "Source",
        "SourceParameters",
        "Tags",
        "Target",
        "TargetParameters",
    }
)
#: Kinesis's records have another shape in a pipe than in a mapping, and nothing here needs them.
_PIPE_SOURCE: Final = "DynamoDBStreamParameters"
_PIPE_STREAM_PROPERTIES: Final = frozenset(
    {
        "BatchSize",
        "DeadLetterConfig",
        "MaximumBatchingWindowInSeconds",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "OnPartialBatchItemFailure",
        "ParallelizationFactor",
        "StartingPosition",
    }
)

_KINDS: Final[Mapping[str, SourceKind]] = {"DynamoDB": "dynamodb", "Kinesis": "kinesis", "SQS": "sqs"}


class TemplateError(DevstackError):
    """The template says something that the local stack cannot do."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the template configures it. Timeout in seconds, memory in MB."""

    logical_id: str
    handler: str
    code_folder: Path
    timeout: float
    memory: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EventSourceMapping:
    """One DynamoDB, Kinesis or SQS event of a function. Times in seconds; defaults are AWS's."""

    function: str
    name: str
    kind: SourceKind
    source_arn: str
    batch_size: int
    batching_window: int
    report_batch_item_failures: bool
    starting_position: str = "TRIM_HORIZON"
    parallelization_factor: int = 1
    maximum_retry_attempts: int = -1
    maximum_record_age: int = -1
    bisect_on_function_error: bool = False
    on_failure: str | None = None
    maximum_concurrency: int = 5
    filters: FilterCriteria | None = None

    @property
    def title(self) -> str:
        return f"{self.function}.{self.name}"

    @property
    def functions(self) -> tuple[str, ...]:
        """What is invoked for a batch, in order."""
        return (self.function,)


@dataclass(frozen=True, slots=True)
class Pipe(EventSourceMapping):
    """An EventBridge pipe from a stream to a function, with another function between them if there is an enrichment.

    ``function`` is its target, ``name`` its logical id. It answers for single records always.
    """

    enrichment: str | None = None

    @property
    def title(self) -> str:
        return self.name

    @property
    def functions(self) -> tuple[str, ...]:
        return (self.function,) if self.enrichment is None else (self.enrichment, self.function)


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the HTTP API; ``path`` is None for ``$default``, ``method`` may be ANY. Timeout in seconds."""

    function: str
    method: str
    path: str | None
    timeout: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of the template that does not run here."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class HostedParts:
    """What devstack itself runs, with every value resolved."""

    functions: Mapping[str, Function]
    mappings: tuple[EventSourceMapping, ...]
    routes: tuple[Route, ...]
    outputs: Mapping[str, str]


@dataclass(slots=True)
class Template:
    """A SAM template, split into what the emulator provisions and what devstack runs."""

    path: Path
    document: Mapping[str, Node]
    left_out: list[LeftOut] = field(default_factory=list)
    _kept: dict[str, Node] = field(default_factory=dict)
    _output_names: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the file.

        Raises
        ------
        TemplateError
            Names the resource and the property that the local stack does not support.
        """
        try:
            template = cls(path, parsed(path.read_bytes(), str(path)))
        except OSError as error:
            raise TemplateError(f"{path} cannot be read: {error.strerror}") from error
        except NoTemplateError as error:
            raise TemplateError(str(error)) from error
        template._sort_resources()
        template._collect_expressions()
        return template

    @property
    def parameters(self) -> Mapping[str, Node]:
        return self.document.get("Parameters") or {}

    def function_names(self) -> list[str]:
        """Logical ids of the template's functions."""
        return [name for name, _ in self._functions()]

    def data_plane(self) -> dict[str, Node]:
        """The template for the emulator's CloudFormation."""
        outputs: dict[str, Node] = {}
        for name, output in (self.document.get("Outputs") or {}).items():
            missing = sorted(self._not_kept(output))
            if missing:
                self._leave_out(name, "Output", f"it refers to {missing[0]}")
                continue
            # Exports would collide between stacks; nothing here imports them.
            outputs[name] = {key: value for key, value in output.items() if key != "Export"}
        outputs |= {name: {"Value": json.loads(text)} for text, name in self._output_names.items()}
        derived = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": self._kept, "Outputs": outputs}
        for section in ("Parameters", "Mappings", "Conditions", "Rules"):
            if self.document.get(section):
                derived[section] = self.document[section]
        return derived

    def resolve(self, outputs: Mapping[str, str]) -> HostedParts:
        """What devstack runs, given the provisioned data plane's outputs.

        ``outputs`` of the result are the template's own.
        """
        value = partial(self._resolved, outputs=outputs)
        functions = {}
        mappings = []
        routes = []
        for logical_id, properties in self._functions():
            functions[logical_id] = Function(
                logical_id,
                handler=value(properties["Handler"]),
                code_folder=(self.path.parent / value(properties.get("CodeUri", "."))).resolve(),
                timeout=float(value(properties.get("Timeout", 3))),
                memory=int(value(properties.get("MemorySize", 128))),
                environment={name: _text(value(node)) for name, node in _environment(properties).items()},
            )
            for name, event in (properties.get("Events") or {}).items():
                settings = event.get("Properties") or {}
                if event["Type"] == "HttpApi":
                    routes.append(_route(logical_id, value(settings)))
                elif _flag(value(settings.get("Enabled", True))):
                    mappings.append(_mapping(logical_id, name, event["Type"], value(settings)))
                else:
                    self._leave_out(f"{logical_id}.{name}", event["Type"], "the template disables it")
        for name, properties in self._pipes():
            pipe = _pipe(name, value(properties), *_stages(name, properties))
            if properties.get("DesiredState", "RUNNING") == "RUNNING":
                mappings.append(pipe)
            else:
                self._leave_out(name, _PIPE, "the template stops it")
        own = {name: text for name, text in outputs.items() if name in (self.document.get("Outputs") or {})}
        return HostedParts(functions, tuple(mappings), tuple(routes), own)

    def _sort_resources(self) -> None:
        resources = self.document["Resources"]
        for name, resource in resources.items():
            kind = resource.get("Type", "")
            if kind in REFUSED_TYPES:
                raise TemplateError(f"{name} is an {kind}: {REFUSED_TYPES[kind]}")
            if kind in DATA_PLANE_TYPES:
                self._kept[name] = resource
            elif kind == _STATE_MACHINE:
                self._kept[name] = self._state_machine(name, resource.get("Properties") or {})
            else:
                self._leave_out(name, kind, _reason(kind))
        # What refers to something left out cannot be provisioned either, and so on until nothing changes.
        while dangling := {name: gone for name, node in self._kept.items() if (gone := self._not_kept(node))}:
            for name, gone in dangling.items():
                self._leave_out(name, self._kept.pop(name)["Type"], f"it refers to {min(gone)}")
        self._kept = {name: self._without_dangling_depends_on(node) for name, node in self._kept.items()}

    def _state_machine(self, name: str, properties: Mapping[str, Node]) -> Node:
        """As SAM would expand it, with its definition inside: the emulator runs it."""
        try:
            definition = json.loads((self.path.parent / properties["DefinitionUri"]).read_text(encoding="utf-8"))
        except (KeyError, TypeError):
            raise TemplateError(f"{name}: the local stack reads state machines from DefinitionUri, a file") from None
        except OSError as error:
            raise TemplateError(f"{name}: {properties['DefinitionUri']} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise TemplateError(f"{name}: {properties['DefinitionUri']} is not JSON: {error}") from error
        return {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "DefinitionString": json.dumps(definition),
                "DefinitionSubstitutions": properties.get("DefinitionSubstitutions") or {},
                "RoleArn": _LOCAL_ROLE,
                **({"StateMachineName": properties["Name"]} if "Name" in properties else {}),
            },
        }

    def _without_dangling_depends_on(self, resource: Node) -> Node:
        if "DependsOn" not in resource:
            return resource
        names = resource["DependsOn"]
        kept = [name for name in ([names] if isinstance(names, str) else names) if name in self._kept]
        return {**resource, "DependsOn": kept}

    def _collect_expressions(self) -> None:
        """Check all that devstack runs, and name an Output for each intrinsic in it."""
        for logical_id, properties in self._functions():
            if "Handler" not in properties:
                raise TemplateError(f"{logical_id} has no Handler; the local stack hosts Python zip functions")
            for key in ("Handler", "CodeUri", "Timeout", "MemorySize"):
                self._expect(properties.get(key), f"{logical_id}.{key}")
            for name, node in _environment(properties).items():
                self._expect(node, f"environment variable {name} of {logical_id}")
            for name, event in (properties.get("Events") or {}).items():
                title = f"{logical_id}.{name}"
                settings = event.get("Properties") or {}
                supported = _EVENT_PROPERTIES.get(event.get("Type", ""))
                if supported is None:
                    raise TemplateError(f"{title}: the local stack has no event of type {event.get('Type')}")
                for key, node in settings.items():
                    if key not in supported:
                        raise TemplateError(f"{title}: the local stack does not support {key}; remove it there")
                    # An API is what devstack replaces, and nobody is asked who they are.
                    if key not in {"ApiId", "Auth"}:
                        self._expect(node, f"{title}.{key}")
                if (criteria := settings.get("FilterCriteria")) and not any(outermost(criteria)):
                    # Before anything is started; one with intrinsics is read once they are resolved.
                    _filters(title, criteria, _KINDS[event["Type"]])

        for name, properties in self._pipes():
            for key in properties:
                if key not in _PIPE_PROPERTIES:
                    raise TemplateError(f"{name}: the local stack does not support {key}; remove it there")
            for stage in _stages(name, properties):
                kind = None if stage is None else (self.document["Resources"].get(stage) or {}).get("Type")
                if stage is not None and kind != "AWS::Serverless::Function":
                    raise TemplateError(f"{name}: the local stack's pipes lead to functions, which {stage} is not")
            self._expect(properties.get("Source"), f"{name}.Source")
            parameters = properties.get("SourceParameters") or {}
            self._expect(parameters, f"{name}.SourceParameters")
            _pipe_source(name, parameters)
            if (criteria := parameters.get("FilterCriteria")) and not any(outermost(criteria)):
                _filters(name, criteria, "dynamodb", "pipes")

    def _expect(self, node: Node, where: str) -> None:
        for expression in outermost(node):
            missing = self._not_kept(expression)
            if missing:
                raise TemplateError(f"{where} refers to {min(missing)}, which the local stack leaves out")
            # Outputs are text, so that each distinct expression needs one; CloudFormation allows 200.
            self._output_names.setdefault(_canonical(expression), f"Devstack{len(self._output_names)}")

    def _resolved(self, node: Node, outputs: Mapping[str, str]) -> Node:
        if is_intrinsic(node):
            return outputs[self._output_names[_canonical(node)]] if _canonical(node) in self._output_names else node
        if isinstance(node, dict):
            return {key: self._resolved(value, outputs) for key, value in node.items()}
        if isinstance(node, list):
            return [self._resolved(value, outputs) for value in node]
        return node

    def _not_kept(self, node: Node) -> set[str]:
        """Resources of the template that ``node`` refers to and the data plane lacks."""
        return {name for name in references(node) if name in self.document["Resources"] and name not in self._kept}

    def _functions(self) -> Iterator[tuple[str, dict[str, Node]]]:
        shared = (self.document.get("Globals") or {}).get("Function") or {}
        for name, resource in self.document["Resources"].items():
            if resource.get("Type") == "AWS::Serverless::Function":
                own = resource.get("Properties") or {}
                merged = {**shared, **own}
                variables = {**_environment(shared), **_environment(own)}
                events = {title: self._local(event) for title, event in (merged.get("Events") or {}).items()}
                yield name, {**merged, "Events": events, "Environment": {"Variables": variables}}

    def _pipes(self) -> Iterator[tuple[str, dict[str, Node]]]:
        for name, resource in self.document["Resources"].items():
            if resource.get("Type") == _PIPE:
                yield name, resource.get("Properties") or {}

    def _local(self, event: Node) -> Node:
        """The event with the stream itself in place of an enhanced fan-out consumer, which gets the same records."""
        settings = event.get("Properties") or {}
        for name in references(settings.get("Stream")):
            resource = self.document["Resources"].get(name) or {}
            if resource.get("Type") == _STREAM_CONSUMER:
                return {**event, "Properties": {**settings, "Stream": resource["Properties"]["StreamARN"]}}
        return event

    def _leave_out(self, name: str, kind: str, reason: str) -> None:
        entry = LeftOut(name, kind, reason)
        if entry not in self.left_out:
            self.left_out.append(entry)


def _reason(kind: str) -> str:
    for prefix, reason in LEFT_OUT_BECAUSE.items():
        if kind.startswith(prefix):
            return reason
    return "not run locally"


def _environment(properties: Mapping[str, Node]) -> dict[str, Node]:
    return (properties.get("Environment") or {}).get("Variables") or {}


def _canonical(node: Node) -> str:
    return json.dumps(node, sort_keys=True)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flag(value: object) -> bool:
    return _text(value) == "true"


def _whole(title: str, settings: Mapping[str, Node], key: str, default: int, allowed: tuple[int, int]) -> int:
    text = settings.get(key, default)
    try:
        number = int(text)
    except (TypeError, ValueError):
        raise TemplateError(f"{title}: {key} must be a whole number, not {text!r}") from None
    low, high = allowed
    if not low <= number <= high:
        raise TemplateError(f"{title}: {key} must be from {low} to {high}, not {number}")
    return number


def _mapping(function: str, name: str, kind: str, settings: Mapping[str, Node]) -> EventSourceMapping:
    title = f"{function}.{name}"
    types = settings.get("FunctionResponseTypes") or []
    if unknown := [entry for entry in types if entry != "ReportBatchItemFailures"]:
        raise TemplateError(f"{title}: FunctionResponseTypes knows no {unknown[0]}")
    source = settings.get("Queue" if kind == "SQS" else "Stream")
    if not isinstance(source, str):
        raise TemplateError(f"{title}: it names no {'Queue' if kind == 'SQS' else 'Stream'}")
    if kind == "SQS":
        window = _whole(title, settings, "MaximumBatchingWindowInSeconds", 0, (0, 300))
        if source.endswith(".fifo"):
            raise TemplateError(f"{title}: the local stack does not support FIFO queues")
        batch_size = _whole(title, settings, "BatchSize", 10, (1, 10_000))
        if batch_size > 10 and not window:
            raise TemplateError(f"{title}: a BatchSize above 10 needs MaximumBatchingWindowInSeconds of at least 1")
        return EventSourceMapping(
            function,
            name,
            "sqs",
            source,
            batch_size,
            window,
            bool(types),
            maximum_concurrency=_whole(title, settings.get("ScalingConfig") or {}, "MaximumConcurrency", 5, (2, 1000)),
            filters=_filters(title, settings.get("FilterCriteria"), "sqs"),
        )
    numbers = _stream_numbers(title, settings, batch_size=100)
    destination = ((settings.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    return EventSourceMapping(
        function,
        name,
        _KINDS[kind],
        source,
        report_batch_item_failures=bool(types),
        bisect_on_function_error=_flag(settings.get("BisectBatchOnFunctionError", False)),
        on_failure=_on_failure(title, destination, {"sqs", "sns", "s3"}),
        filters=_filters(title, settings.get("FilterCriteria"), _KINDS[kind]),
        **numbers,
    )


def _pipe(name: str, properties: Mapping[str, Node], enrichment: str | None, target: str | None) -> Pipe:
    settings = _pipe_source(name, properties.get("SourceParameters") or {})
    if target is None:
        raise TemplateError(f"{name}: it names no Target")
    if properties.get("TargetParameters", {}) not in (
        {},
        {"LambdaFunctionParameters": {"InvocationType": "REQUEST_RESPONSE"}},
    ):
        raise TemplateError(
            f"{name}: the local stack's pipes wait for their target (REQUEST_RESPONSE), transform nothing"
        )
    partial_failure = settings.get("OnPartialBatchItemFailure")
    if partial_failure not in {None, "AUTOMATIC_BISECT"}:
        raise TemplateError(f"{name}: OnPartialBatchItemFailure must be AUTOMATIC_BISECT, not {partial_failure}")
    return Pipe(
        function=target,
        name=name,
        kind="dynamodb",
        source_arn=properties["Source"],
        report_batch_item_failures=True,
        bisect_on_function_error=partial_failure is not None,
        on_failure=_on_failure(name, (settings.get("DeadLetterConfig") or {}).get("Arn"), {"sqs", "sns"}),
        filters=_filters(name, (properties.get("SourceParameters") or {}).get("FilterCriteria"), "dynamodb", "pipes"),
        enrichment=enrichment,
        **_stream_numbers(name, settings, batch_size=1),
    )


def _pipe_source(name: str, parameters: Mapping[str, Node]) -> Mapping[str, Node]:
    """How a pipe reads its source."""
    known = [key for key in parameters if key != "FilterCriteria"]
    if known != [_PIPE_SOURCE]:
        raise TemplateError(f"{name}: the local stack runs pipes with {_PIPE_SOURCE}, not with {known or 'none'}")
    settings: Mapping[str, Node] = parameters[_PIPE_SOURCE]
    for key in settings:
        if key not in _PIPE_STREAM_PROPERTIES:
            raise TemplateError(f"{name}: the local stack does not support {key}; remove it there")
    return settings


def _stages(name: str, properties: Mapping[str, Node]) -> tuple[str | None, str | None]:
    """The logical ids of a pipe's enrichment and target."""
    found: list[str | None] = []
    for key in ("Enrichment", "Target"):
        match properties.get(key):
            case None:
                found.append(None)
            case {"Fn::GetAtt": [str(function), "Arn"]}:
                found.append(function)
            case _:
                raise TemplateError(f"{name}.{key} must be !GetAtt of a function's Arn")
    return found[0], found[1]


def _on_failure(title: str, destination: str | None, services: frozenset[str] | set[str]) -> str | None:
    if destination is not None and destination.split(":")[2] not in services:
        kinds = {"sqs": "a queue", "sns": "a topic", "s3": "a bucket"}
        names = [text for service, text in kinds.items() if service in services]
        expected = f"{', '.join(names[:-1])} or {names[-1]}"
        raise TemplateError(f"{title}: OnFailure must be {expected}, not {destination}")
    return destination


def _stream_numbers(title: str, settings: Mapping[str, Node], *, batch_size: int) -> dict[str, Any]:
    """What mappings of streams and pipes from streams are configured by alike."""
    position = settings.get("StartingPosition")
    if position not in {"TRIM_HORIZON", "LATEST"}:
        raise TemplateError(f"{title}: StartingPosition must be TRIM_HORIZON or LATEST, not {position}")
    age = _whole(title, settings, "MaximumRecordAgeInSeconds", -1, (-1, 604_800))
    if 0 <= age < 60:
        raise TemplateError(f"{title}: MaximumRecordAgeInSeconds must be -1 or from 60 to 604800, not {age}")
    return {
        "starting_position": position,
        "batch_size": _whole(title, settings, "BatchSize", batch_size, (1, 10_000)),
        "batching_window": _whole(title, settings, "MaximumBatchingWindowInSeconds", 0, (0, 300)),
        "parallelization_factor": _whole(title, settings, "ParallelizationFactor", 1, (1, 10)),
        "maximum_retry_attempts": _whole(title, settings, "MaximumRetryAttempts", -1, (-1, 10_000)),
        "maximum_record_age": age,
    }


def _filters(title: str, criteria: Node, kind: SourceKind, dialect: Dialect = "lambda") -> FilterCriteria | None:
    try:
        return FilterCriteria.parse(criteria, kind, dialect)
    except FilterError as error:
        raise TemplateError(f"{title}: FilterCriteria: {error}") from error


def _route(function: str, settings: Mapping[str, Node]) -> Route:
    if str(settings.get("PayloadFormatVersion", "2.0")) != "2.0":
        raise TemplateError(f"{function}: the local gateway knows PayloadFormatVersion 2.0 only")
    path = settings.get("Path")
    return Route(
        function,
        method=str(settings.get("Method", "ANY")).upper().replace("X-AMAZON-APIGATEWAY-ANY-METHOD", "ANY"),
        path=None if path in {None, "$default"} else path,
        timeout=int(settings.get("TimeoutInMillis", 30_000)) / 1000,
    )
