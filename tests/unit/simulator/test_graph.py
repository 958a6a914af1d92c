"""The template as a graph in memory."""

import random
from pathlib import Path

import pytest

from devstack.simulator.cloud import Cloud
from devstack.simulator.features import FEATURES, UnjudgedFunctionError, judged
from devstack.simulator.graph import Blueprint, GraphError

TEMPLATE = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Handler: toy.handler
      Environment: {Variables: {TABLE: %s}}
"""


def test_the_template_s_resources_and_settings_are_there() -> None:
    blueprint = Blueprint.load()
    cloud = Cloud(lambda: 0.0, None, random.Random(1))

    blueprint.build(cloud, shards=3)

    assert len(cloud.log("EventsTable").shards) == len(cloud.log("EventsStream").shards) == 3
    queue = cloud.queue("WelcomeEmailQueue")
    assert queue.visibility_timeout == 360
    assert queue.redrive is not None
    assert (queue.redrive[0].name, queue.redrive[1]) == ("WelcomeEmailDeadLetterQueue", 10)
    fan_out = next(m for m in blueprint.hosted.mappings if m.function == "FanOutFunction")
    assert (fan_out.batch_size, fan_out.maximum_record_age, fan_out.bisect_on_function_error) == (1000, 79200, True)
    assert fan_out.on_failure == cloud.queue("FailedBatchesQueue").arn
    environment = blueprint.hosted.functions["FanOutFunction"].environment
    assert environment["EVENTS_STREAM"] == "EventsStream"
    assert cloud.topic(environment["EVENTS_TOPIC"])


def test_an_intrinsic_that_it_cannot_compute_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE % "!Join ['-', [a, b]]", encoding="utf-8")

    with pytest.raises(GraphError, match="cannot be computed"):
        Blueprint.load(path)


def test_a_function_that_nothing_judges_is_refused_by_name() -> None:
    blueprint = Blueprint.load()
    untracked = [feature for feature in FEATURES if feature.name != "tracking"]

    judged(blueprint.hosted)
    with pytest.raises(UnjudgedFunctionError, match="ApplicationEnrichmentFunction"):
        judged(blueprint.hosted, untracked)
