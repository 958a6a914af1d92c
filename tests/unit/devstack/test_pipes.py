"""Pipes: what the template may say, what its filter lets through, and what differs from a mapping."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from devstack import pipes
from devstack.event_source_mapping import SendToDestination, StreamRecord
from devstack.simulator.graph import Blueprint
from devstack.template import Pipe, Template, TemplateError
from headwater.change_stream.filters import FilterCriteria
from tests.fakes.applications import action, application, record

FIXTURE = Path(__file__).parents[2] / "integration" / "devstack" / "project" / "pipe.yaml"


@pytest.fixture(scope="module")
def status_pipe() -> Pipe:
    (pipe,) = [mapping for mapping in Blueprint.load().hosted.mappings if isinstance(mapping, Pipe)]
    return pipe


# ---- the project's own pipe


MATCHES = {
    "created": record(action()),
    "updated": record(action(status="Preparing")),
    "a later kind of update": record(action(status="Preparing") | {"type": "ApplicationStatusUpdatedByStaff"}),
    "changed by hand": record(action(), name="MODIFY"),
    "with an unknown status": record(action(status="Lost")),
}
DOES_NOT = {
    "the application itself": record(application()),
    "the application, of such a type": record(application(type="ApplicationCreated")),
    "an action of another type": record(action() | {"type": "ApplicationViewed"}),
    "an action without a type": record({name: value for name, value in action().items() if name != "type"}),
    "a removal": record(action(), name="REMOVE"),
    "another item with the words inside": record(action() | {"sk": "x#ACTION#"}),
    "a type that is no text": record(action() | {"type": 7}),
}


@pytest.mark.parametrize("shown", MATCHES.values(), ids=MATCHES)
def test_the_filter_lets_actions_through(status_pipe: Pipe, shown: dict[str, Any]) -> None:
    assert isinstance(status_pipe.filters, FilterCriteria), "the filter code of the mappings"
    assert status_pipe.filters.accepts(shown)
    assert status_pipe.filters.accepts(orjson.dumps(shown))


@pytest.mark.parametrize("shown", DOES_NOT.values(), ids=DOES_NOT)
def test_the_filter_keeps_everything_else_back(status_pipe: Pipe, shown: dict[str, Any]) -> None:
    assert status_pipe.filters is not None
    assert not status_pipe.filters.accepts(shown)


def test_the_pipe_is_what_the_template_says(status_pipe: Pipe) -> None:
    assert status_pipe.title == "ApplicationStatusPipe"
    assert status_pipe.functions == ("ApplicationEnrichmentFunction", "ApplicationTargetFunction")
    assert (status_pipe.batch_size, status_pipe.bisect_on_function_error) == (100, True)
    assert status_pipe.report_batch_item_failures
    assert (status_pipe.on_failure or "").endswith(":FailedBatchesQueue")


# ---- what a template may say


def template_with(tmp_path: Path, change: dict[str, Any], **properties: Any) -> Template:
    """The fixture with other settings of the stream, and other properties of the pipe."""

    class Plain(yaml.SafeLoader):
        pass

    Plain.add_multi_constructor(
        "!", lambda loader, tag, node: {tag if tag == "Ref" else f"Fn::{tag}": _value(loader, node, tag)}
    )
    document = yaml.load(FIXTURE.read_text(encoding="utf-8"), Plain)  # a SafeLoader
    pipe = document["Resources"]["VisitsPipe"]["Properties"]
    pipe["SourceParameters"]["DynamoDBStreamParameters"] |= change
    pipe |= properties
    path = tmp_path / "template.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return Template.load(path)


def _value(loader: yaml.SafeLoader, node: Any, tag: str) -> Any:
    text = loader.construct_scalar(node)
    return text.split(".", 1) if tag == "GetAtt" else text


def resolved(template: Template) -> Pipe:
    outputs = {name: f"arn:aws:sqs:r:a:{name}" for name in template.data_plane()["Outputs"]}
    (pipe,) = template.resolve(outputs).mappings
    assert isinstance(pipe, Pipe)
    return pipe


def test_defaults_are_those_of_pipes(tmp_path: Path) -> None:
    template = template_with(tmp_path, {})
    source = template.document["Resources"]["VisitsPipe"]["Properties"]["SourceParameters"]["DynamoDBStreamParameters"]
    for name in ("BatchSize", "MaximumRetryAttempts", "OnPartialBatchItemFailure", "DeadLetterConfig"):
        del source[name]

    pipe = resolved(template)

    assert (pipe.batch_size, pipe.maximum_retry_attempts, pipe.maximum_record_age) == (1, -1, -1)
    assert not pipe.bisect_on_function_error
    assert pipe.on_failure is None


@pytest.mark.parametrize(
    ("change", "properties", "message"),
    [
        ({"BatchSize": 10_001}, {}, "VisitsPipe: BatchSize must be from 1 to 10000"),
        ({"StartingPosition": "AT_TIMESTAMP"}, {}, "StartingPosition must be TRIM_HORIZON or LATEST"),
        ({"OnPartialBatchItemFailure": "SKIP"}, {}, "OnPartialBatchItemFailure must be AUTOMATIC_BISECT"),
        ({"TumblingWindowInSeconds": 1}, {}, "VisitsPipe: the local stack does not support TumblingWindowInSeconds"),
        ({}, {"EnrichmentParameters": {}}, "VisitsPipe: the local stack does not support EnrichmentParameters"),
        ({}, {"Target": "arn:aws:sqs:r:a:q"}, "VisitsPipe.Target must be !GetAtt of a function's Arn"),
        ({}, {"Target": {"Fn::GetAtt": ["VisitsTable", "Arn"]}}, "lead to functions, which VisitsTable is not"),
        ({}, {"SourceParameters": {"SqsQueueParameters": {}}}, "runs pipes with DynamoDBStreamParameters"),
        (
            {},
            {"TargetParameters": {"LambdaFunctionParameters": {"InvocationType": "FIRE_AND_FORGET"}}},
            r"pipes wait for their target \(REQUEST_RESPONSE\)",
        ),
    ],
)
def test_what_a_pipe_cannot_do_here_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(TemplateError, match=message):
        resolved(template_with(tmp_path, change, **properties))


def test_a_filter_that_pipes_do_not_know_is_refused_before_anything_starts(tmp_path: Path) -> None:
    source = {
        "FilterCriteria": {"Filters": [{"Pattern": '{"dynamodb": {"NewImage": {"x": {"S": [{"wildcard": "a*"}]}}}}'}]},
        "DynamoDBStreamParameters": {"StartingPosition": "LATEST"},
    }

    with pytest.raises(TemplateError, match="EventBridge Pipes knows no operator wildcard"):
        template_with(tmp_path, {}, SourceParameters=source)


def test_a_stopped_pipe_does_not_run(tmp_path: Path) -> None:
    template = template_with(tmp_path, {}, DesiredState="STOPPED")
    outputs = {name: f"arn:aws:sqs:r:a:{name}" for name in template.data_plane()["Outputs"]}

    assert template.resolve(outputs).mappings == ()
    assert ("VisitsPipe", "the template stops it") in {(part.name, part.reason) for part in template.left_out}


# ---- what differs from a mapping


def test_a_pipe_hands_over_a_bare_list() -> None:
    assert orjson.loads(pipes.payload([b'{"a":1}', b'{"b":2}'])) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(("answer", "skips"), [(None, True), ([], True), ({}, True), ("", True), ([{}], False)])
def test_an_empty_answer_leaves_the_target_out(answer: object, skips: bool) -> None:
    assert pipes.skips_target(answer) is skips


def test_identifiers_of_a_partial_answer_are_event_ids() -> None:
    records = [record(action(), 1), orjson.dumps(record(action(), 2))]
    answer = {"batchItemFailures": [{"itemIdentifier": "event-2"}, {"itemIdentifier": "event-9"}, {"bad": 1}, None]}

    assert pipes.in_sequence_numbers(answer, records) == {
        "batchItemFailures": [
            {"itemIdentifier": "4421584500000000017450439092"},
            {"itemIdentifier": "event-9"},
            {"bad": 1},
            None,
        ]
    }
    for untouched in (None, {}, {"batchItemFailures": None}, "text", [1]):
        assert pipes.in_sequence_numbers(untouched, records) == untouched


def test_a_dead_letter_has_the_shape_that_pipes_send() -> None:
    given_up = tuple(StreamRecord(number, "k", 1_709_856_000.0, 10, b"{}") for number in ("11", "12"))

    letter = pipes.dead_letter(
        SendToDestination(given_up, "RetryAttemptsExhausted", 3, "request", "Unhandled"),
        pipe_arn="arn:aws:pipes:eu-west-2:123456789123:pipe/p",
        stream_arn="arn:aws:dynamodb:eu-west-2:123456789123:table/t/stream/s",
        shard_id="shardId-1",
        now=1_709_856_000.0,
    )

    assert letter == {
        "context": {
            "partnerResourceArn": "arn:aws:pipes:eu-west-2:123456789123:pipe/p",
            "condition": "RetryAttemptsExhausted",
        },
        "version": "1.0",
        "timestamp": "2024-03-08T00:00:00Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-1",
            "startSequenceNumber": "11",
            "endSequenceNumber": "12",
            "approximateArrivalOfFirstRecord": "2024-03-08T00:00:00Z",
            "approximateArrivalOfLastRecord": "2024-03-08T00:00:00Z",
            "batchSize": 2,
            "streamArn": "arn:aws:dynamodb:eu-west-2:123456789123:table/t/stream/s",
        },
    }
