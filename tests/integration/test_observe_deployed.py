"""A deployed stack as CloudWatch, its queues and its mappings tell of it; their services by moto, or as AWS answers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from cli import observe_deployed
from cli.observation import Archive, LetterBox, Letters
from cli.observe_deployed import DeployedObserver
from operations.flow_graph import Edge, FlowGraph, Station
from operations.target import Target

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
GRAPH = FlowGraph(
    {
        name: Station(name, kind)
        for name, kind in (("Log", "stream"), ("BoardFunction", "function"), ("MailQueue", "queue"), ("Api", "api"))
    },
    [Edge("Log", "BoardFunction", title="BoardFunction.Log")],
)
PHYSICAL = {
    "Log": "dev-log",
    "BoardFunction": "dev-BoardFunction-1",
    "MailQueue": "https://sqs/1/dev-mails",
    "Api": "abc",
    "BoardAlarm": "dev-BoardAlarm-1",
}


class Aws:
    """What the services answer, and what they were asked; ``denied`` are services that refuse."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], float] = {}
        self.alarms: list[dict[str, Any]] = []
        self.mappings: list[dict[str, Any]] = []
        self.denied: set[str] = set()
        self.asked: list[Any] = []

    def client(self, service: str, **_: Any) -> Any:
        return _Client(self, service)


class _Client:
    def __init__(self, aws: Aws, service: str) -> None:
        self._aws = aws
        self._service = service

    def get_paginator(self, operation: str) -> Any:
        return _Pages(self._aws, self._service, operation)

    def get_queue_attributes(self, **_: Any) -> Any:
        return {"Attributes": {"ApproximateNumberOfMessages": "4"}}


class _Pages:
    def __init__(self, aws: Aws, service: str, operation: str) -> None:
        self._aws, self._service, self._operation = aws, service, operation

    def paginate(self, **asked: Any) -> Iterator[Any]:
        if self._service in self._aws.denied:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, self._operation)
        self._aws.asked.append((self._operation, asked))
        match self._operation:
            case "get_metric_data":
                results = []
                for query in asked["MetricDataQueries"]:
                    metric = query["MetricStat"]["Metric"]
                    key = metric["MetricName"], metric["Dimensions"][0]["Value"]
                    values = [self._aws.values[key]] if key in self._aws.values else []
                    results.append({"Id": query["Id"], "Values": values})
                yield {"MetricDataResults": results}
            case "describe_alarms":
                yield {"MetricAlarms": self._aws.alarms}
            case "list_event_source_mappings":
                yield {"EventSourceMappings": self._aws.mappings}


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def observer(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> DeployedObserver:
    dimensions = [{"Name": "FunctionName", "Value": {"Ref": "BoardFunction"}}]
    properties = {"MetricName": "IteratorAge", "Dimensions": dimensions, "Threshold": 300_000}
    alarm = {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}
    monkeypatch.setattr(observe_deployed, "documents", lambda _: [{"Resources": {"BoardAlarm": alarm}}])
    monkeypatch.setattr(observe_deployed, "physical_ids", lambda _: PHYSICAL)
    monkeypatch.setattr(observe_deployed, "look_into_archive", lambda *_: Archive(NOW))
    monkeypatch.setattr(FlowGraph, "of", classmethod(lambda _, *__: GRAPH))
    monkeypatch.setattr(LetterBox, "letters", lambda _: Letters())
    target = Target(aws, None, {"AlarmTopicArn": "arn:pages"}, stack_name="dev")  # type: ignore[arg-type]
    return DeployedObserver(target)


def test_figures_are_cloudwatchs_of_five_minutes(aws: Aws, observer: DeployedObserver) -> None:
    function = "dev-BoardFunction-1"
    aws.values = {
        ("IteratorAge", function): 90_000.0,
        ("Errors", function): 3.0,
        ("Invocations", function): 600.0,
        ("IncomingRecords", "dev-log"): 3000.0,
        ("ApproximateAgeOfOldestMessage", "dev-mails"): 42.0,
    }

    figures = observer.observe().figures

    board, mails = figures["BoardFunction"], figures["MailQueue"]
    assert (board.lag, board.retries, board.retrying, board.rate) == (90.0, 3, True, 2.0)
    assert (mails.lag, mails.waiting) == (42.0, 4)
    assert figures["Log"].rate == 10.0
    ((_, asked),) = [each for each in aws.asked if each[0] == "get_metric_data"]
    assert asked["EndTime"] - asked["StartTime"] == timedelta(minutes=5)
    assert {each["MetricStat"]["Period"] for each in asked["MetricDataQueries"]} == {300}


def test_an_alarm_that_pages_is_a_trouble_with_its_page_of_the_runbook(aws: Aws, observer: DeployedObserver) -> None:
    def alarm(name: str, topic: str) -> dict[str, Any]:
        return {
            "AlarmName": name,
            "AlarmDescription": "The board is behind.\nRunbook: docs/runbook.md#iteratorage",
            "StateValue": "ALARM",
            "StateUpdatedTimestamp": NOW,
            "AlarmActions": [topic],
        }

    aws.alarms = [alarm("dev-BoardAlarm-1", "arn:pages"), alarm("dev-another-stacks", "arn:pages")]
    found = observer.observe()

    assert found.alarms is not None
    assert [(each.name, set(each.of)) for each in found.alarms] == [("dev-BoardAlarm-1", {"BoardFunction"})]
    assert [(each.what, each.see) for each in found.troubles] == [
        ("dev-BoardAlarm-1: The board is behind.", "docs/runbook.md#iteratorage")
    ]

    aws.alarms = [alarm("dev-BoardAlarm-1", "arn:notices")]
    assert observer.observe().troubles == []


def test_a_disabled_mapping_stops_its_function(aws: Aws, observer: DeployedObserver) -> None:
    arn = "arn:aws:lambda:eu-west-1:1:function:dev-BoardFunction-1"
    aws.mappings = [{"FunctionArn": arn, "State": "Disabled"}, {"FunctionArn": f"{arn}0", "State": "Disabled"}]

    assert [each.what for each in observer.observe().troubles] == ["Board is stopped"]


def test_what_the_operators_rights_do_not_allow_is_named_and_left_out(aws: Aws, observer: DeployedObserver) -> None:
    aws.denied = {"cloudwatch", "lambda"}
    found = observer.observe()

    assert list(found.unknown) == ["metrics: AccessDenied", "mappings: AccessDenied", "alarms: AccessDenied"]
    assert found.alarms is None
    assert found.figures["MailQueue"].waiting == 4


def test_botocore_knows_what_is_asked_and_answered(aws: Aws, observer: DeployedObserver) -> None:
    """The requests, checked against AWS's own models, and the fields that are read of mappings."""
    observer.observe()

    assert {operation for operation, _ in aws.asked} >= {"get_metric_data", "describe_alarms"}
    cloudwatch = boto3.client("cloudwatch", region_name="eu-west-1")
    for operation, request in aws.asked:
        name = cloudwatch.meta.method_to_api_mapping.get(operation)
        if name is not None:
            shape = cloudwatch.meta.service_model.operation_model(name).input_shape
            report = ParamValidator().validate(request, shape)
            assert not report.has_errors(), report.generate_report()
    awslambda = boto3.client("lambda", region_name="eu-west-1")
    shape = awslambda.meta.service_model.shape_for("EventSourceMappingConfiguration")
    assert {"FunctionArn", "State"} <= set(shape.members)
