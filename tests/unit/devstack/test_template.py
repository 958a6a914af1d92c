"""What is read from a template, what goes to the emulator, and what is refused by name."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.template import EventSourceMapping, Route, Template, TemplateError

FIXTURE = Path(__file__).parents[2] / "integration" / "devstack" / "project" / "template.yaml"


def template_with(tmp_path: Path, events: dict[str, Any] | None = None, **resources: Any) -> Template:
    """A template with one function that has ``events``, and further resources."""
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"Handler": "module.handler", "Events": events or {}},
    }
    path = tmp_path / "template.yaml"
    path.write_text(yaml.safe_dump({"Resources": {"Worker": function, **resources}}))
    return Template.load(path)


def stream_event(**properties: Any) -> dict[str, Any]:
    base = {"Stream": "arn:aws:kinesis:us-east-1:000000000000:stream/s", "StartingPosition": "LATEST"}
    return {"In": {"Type": "Kinesis", "Properties": {**base, **properties}}}


def queue_event(**properties: Any) -> dict[str, Any]:
    return {"In": {"Type": "SQS", "Properties": {"Queue": "arn:aws:sqs:us-east-1:000000000000:q", **properties}}}


def mapping_of(template: Template) -> EventSourceMapping:
    return template.resolve({}).mappings[0]


def test_the_data_plane_keeps_what_the_emulator_provisions() -> None:
    template = Template.load(FIXTURE)
    kinds = {resource["Type"] for resource in template.data_plane()["Resources"].values()}
    assert kinds == {
        "AWS::DynamoDB::Table",
        "AWS::Kinesis::Stream",
        "AWS::SNS::Topic",
        "AWS::SNS::Subscription",
        "AWS::SQS::Queue",
        "AWS::S3::Bucket",
    }


def test_what_is_left_out_is_listed_with_its_reason() -> None:
    template = Template.load(FIXTURE)
    template.data_plane()
    reasons = {part.name: part.reason for part in template.left_out}
    assert reasons["ForwardFunction"] == "hosted by devstack itself"
    assert reasons["CountQuery"] == "the emulator refuses the whole stack for it"
    # and what depends on it, to the end of the chain
    assert reasons["FunctionsTopic"] == "it refers to ForwardFunction"
    assert reasons["FunctionsSubscription"] == "it refers to FunctionsTopic"
    assert reasons["ApiUrl"] == "it refers to HttpApi"


@pytest.mark.parametrize("reference", [{"Ref": "Consumer"}, {"Fn::GetAtt": ["Consumer", "ConsumerARN"]}])
def test_an_enhanced_fan_out_consumer_reads_the_stream_itself(tmp_path: Path, reference: dict[str, Any]) -> None:
    arn = "arn:aws:kinesis:us-east-1:000000000000:stream/other"
    consumer = {"Type": "AWS::Kinesis::StreamConsumer", "Properties": {"ConsumerName": "c", "StreamARN": arn}}

    template = template_with(tmp_path, stream_event(Stream=reference), Consumer=consumer)

    assert mapping_of(template).source_arn == arn
    assert "Consumer" not in template.data_plane()["Resources"]
    assert [part.name for part in template.left_out if part.reason.startswith("its readers read")] == ["Consumer"]


def test_the_data_plane_refers_to_nothing_that_was_left_out() -> None:
    template = Template.load(FIXTURE)
    data_plane = template.data_plane()
    assert data_plane["Resources"]["OrdersTable"]["DependsOn"] == []
    text = str(data_plane)
    assert not [part.name for part in template.left_out if re.search(rf"\b{part.name}\b", text)]
    assert "Transform" not in data_plane


def test_there_is_one_output_for_each_value_that_only_cloudformation_knows() -> None:
    template = Template.load(FIXTURE)
    values = [
        output["Value"] for name, output in template.data_plane()["Outputs"].items() if name.startswith("Devstack")
    ]
    assert {"Fn::GetAtt": ["OrdersTable", "StreamArn"]} in values
    assert {"Fn::Sub": "${Greeting} from ${AWS::Region}"} in values
    assert {"Ref": "CountingWindow"} in values
    assert len(values) == len({str(value) for value in values})


def test_functions_mappings_and_routes_are_resolved_from_the_outputs() -> None:
    template = Template.load(FIXTURE)
    outputs = {
        name: f"arn:aws:x:r:a:{name}" if "Fn::GetAtt" in str(output["Value"]) else "7"
        for name, output in template.data_plane()["Outputs"].items()
    }
    # OnFailure must name a service that can be one
    outputs = {name: value.replace(":x:", ":sqs:") for name, value in outputs.items()}
    application = template.resolve(outputs)

    api = application.functions["ApiFunction"]
    assert (api.handler, api.timeout, api.memory) == ("toy.handlers.api", 3, 128)
    assert api.code_folder == FIXTURE.parent / "src"
    assert api.environment["RETRIES"] == "3", "Globals, as text"
    assert api.environment["ONLY_HERE"] == "yes"
    forward, count, mail = application.mappings
    assert (forward.kind, forward.batch_size, forward.maximum_retry_attempts) == ("dynamodb", 50, 1)
    assert forward.bisect_on_function_error
    assert forward.report_batch_item_failures
    assert forward.on_failure is not None
    assert (count.kind, count.batch_size, count.batching_window) == ("kinesis", 100, 7)
    assert (mail.kind, mail.batch_size, mail.report_batch_item_failures) == ("sqs", 10, True)
    assert application.routes == (
        Route("ApiFunction", "GET", "/things/{id}", 30),
        Route("ApiFunction", "POST", "/things", 30),
        Route("ApiFunction", "ANY", "/files/{path+}", 30),
    )
    assert not [name for name in application.outputs if name.startswith("Devstack")]


def test_a_date_stays_text() -> None:
    assert Template.load(FIXTURE).document["AWSTemplateFormatVersion"] == "2010-09-09"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"TumblingWindowInSeconds": 10}, "Worker.In: the local stack does not support TumblingWindowInSeconds"),
        ({"StartingPositionTimestamp": 1}, "Worker.In: the local stack does not support StartingPositionTimestamp"),
        ({"KmsKeyArn": "arn"}, "Worker.In: the local stack does not support KmsKeyArn"),
        ({"StartingPosition": "AT_TIMESTAMP"}, "StartingPosition must be TRIM_HORIZON or LATEST, not AT_TIMESTAMP"),
        ({"BatchSize": 10_001}, "BatchSize must be from 1 to 10000, not 10001"),
        ({"BatchSize": "many"}, "BatchSize must be a whole number, not 'many'"),
        ({"ParallelizationFactor": 11}, "ParallelizationFactor must be from 1 to 10, not 11"),
        ({"MaximumRecordAgeInSeconds": 59}, "MaximumRecordAgeInSeconds must be -1 or from 60 to 604800, not 59"),
        ({"MaximumBatchingWindowInSeconds": 301}, "MaximumBatchingWindowInSeconds must be from 0 to 300"),
        ({"FunctionResponseTypes": ["Other"]}, "FunctionResponseTypes knows no Other"),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:lambda:r:a:function:f"}}},
            "OnFailure must be a queue, a topic or a bucket",
        ),
    ],
)
def test_what_a_stream_mapping_cannot_do_here_is_refused_by_name(
    tmp_path: Path, properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(TemplateError, match=re.escape(message)):
        template_with(tmp_path, stream_event(**properties)).resolve({})


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"BatchSize": 11}, "a BatchSize above 10 needs MaximumBatchingWindowInSeconds of at least 1"),
        ({"Queue": "arn:aws:sqs:us-east-1:000000000000:q.fifo"}, "does not support FIFO queues"),
        ({"BisectBatchOnFunctionError": True}, "the local stack does not support BisectBatchOnFunctionError"),
        ({"ScalingConfig": {"MaximumConcurrency": 1}}, "MaximumConcurrency must be from 2 to 1000, not 1"),
    ],
)
def test_what_a_queue_mapping_cannot_do_here_is_refused_by_name(
    tmp_path: Path, properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(TemplateError, match=re.escape(message)):
        template_with(tmp_path, queue_event(**properties)).resolve({})


def filtered_by(pattern: str) -> dict[str, Any]:
    return {"FilterCriteria": {"Filters": [{"Pattern": pattern}]}}


def test_a_filter_that_lambda_does_not_know_is_refused_by_name_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=re.escape("Worker.In: FilterCriteria: filter 1: body.file: Lambda's")):
        template_with(tmp_path, queue_event(**filtered_by('{"body": {"file": [{"wildcard": "*.png"}]}}')))


def test_a_filter_with_intrinsics_is_refused_once_they_are_resolved(tmp_path: Path) -> None:
    pattern = {"Fn::Sub": '{"data": {"region": [{"near": "${AWS::Region}"}]}}'}
    template = template_with(tmp_path, stream_event(FilterCriteria={"Filters": [{"Pattern": pattern}]}))
    (output,) = [name for name in template.data_plane()["Outputs"] if name.startswith("Devstack")]
    with pytest.raises(TemplateError, match=r"Worker\.In: FilterCriteria: filter 1: data\.region: .* operator near"):
        template.resolve({output: '{"data": {"region": [{"near": "us-east-1"}]}}'})


def test_a_mapping_has_its_filters(tmp_path: Path) -> None:
    mapping = mapping_of(template_with(tmp_path, queue_event(**filtered_by('{"body": {"kind": ["mail"]}}'))))
    assert mapping.filters is not None
    assert mapping.filters.accepts({"body": '{"kind": "mail"}'})
    assert not mapping.filters.accepts({"body": '{"kind": "plain"}'})
    assert mapping_of(template_with(tmp_path, queue_event())).filters is None


def test_defaults_are_those_of_create_event_source_mapping(tmp_path: Path) -> None:
    mapping = mapping_of(template_with(tmp_path, stream_event()))
    assert (mapping.batch_size, mapping.batching_window, mapping.parallelization_factor) == (100, 0, 1)
    assert (mapping.maximum_retry_attempts, mapping.maximum_record_age) == (-1, -1)
    assert not mapping.bisect_on_function_error
    assert mapping_of(template_with(tmp_path, queue_event())).batch_size == 10


def test_an_event_type_that_nothing_here_runs_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"Worker\.Nightly: the local stack has no event of type Schedule"):
        template_with(tmp_path, {"Nightly": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 day)"}}})


def test_a_mapping_written_as_a_resource_is_refused_rather_than_dropped(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="Extra is an AWS::Lambda::EventSourceMapping"):
        template_with(tmp_path, Extra={"Type": "AWS::Lambda::EventSourceMapping"})


def test_an_environment_that_names_what_is_left_out_is_refused_by_name(tmp_path: Path) -> None:
    environment = {"Variables": {"API_URL": {"Fn::Sub": "https://${Api}.example.com"}}}
    worker = {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "m.h", "Environment": environment}}
    message = "environment variable API_URL of Worker refers to Api, which the local stack leaves out"
    with pytest.raises(TemplateError, match=message):
        template_with(tmp_path, Worker=worker, Api={"Type": "AWS::Serverless::HttpApi"})


def test_a_disabled_mapping_does_not_run(tmp_path: Path) -> None:
    template = template_with(tmp_path, stream_event(Enabled=False))
    assert template.resolve({}).mappings == ()
    assert template.left_out[-1].reason == "the template disables it"


@pytest.mark.parametrize(
    ("text", "message"),
    [("Resources: [", "is not YAML"), ("a: 1", "it has no Resources")],
)
def test_a_file_that_is_no_template_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    with pytest.raises(TemplateError, match=message) as caught:
        Template.load(path)
    assert "\n" not in str(caught.value)


def test_a_template_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"nowhere\.yaml cannot be read: No such file"):
        Template.load(tmp_path / "nowhere.yaml")
