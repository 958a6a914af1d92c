"""Least privilege that is also enough: what each function really calls, under faults, is what its role allows.

IAM is enforced by no emulator here, so that a call added without its action would be found by the first deployment.
"""

import copy

import pytest

from devstack.simulator.graph import RECEIVER, TEMPLATE
from devstack.template import Template
from operations.intrinsics import Node
from tests.infrastructure.iam import Call, denied, statements
from tests.simulation.recorded_calls import recorded

#: One reads alone, on request; the other runs by night, and tests/integration/test_compaction.py checks its calls.
NOT_SIMULATED = {"TrackingApiFunction"}


@pytest.fixture(scope="module")
def calls() -> frozenset[Call]:
    """Everything that was called in some runs under faults: one seed may meet no gap in a function."""
    return recorded()


@pytest.fixture(scope="module")
def resources() -> dict[str, Node]:
    return {**Template.load(RECEIVER).document["Resources"], **Template.load(TEMPLATE).document["Resources"]}


def test_every_call_of_a_run_under_faults_is_allowed(resources: dict[str, Node], calls: frozenset[Call]) -> None:
    assert {call.function for call in calls} == {
        name for name, resource in resources.items() if resource["Type"] == "AWS::Serverless::Function"
    } - NOT_SIMULATED
    assert denied(resources, calls) == set()


def test_failed_batches_were_met_in_each_way(calls: frozenset[Call]) -> None:
    """Or the test above would prove little of DeadLettersFunction."""
    actions = {call.action for call in calls if call.function == "DeadLettersFunction"}

    assert {
        "dynamodb:GetRecords",
        "kinesis:GetRecords",
        "kinesis:ListShards",
        "s3:ListBucket",
        "s3:GetObject",
        "dynamodb:BatchGetItem",
        "sqs:SendMessage",
    } <= actions


def test_a_redrive_did_what_each_consumer_does(calls: frozenset[Call]) -> None:
    """Or the test above would prove little of RedriveFunction."""
    actions = {call.action for call in calls if call.function == "RedriveFunction"}

    assert {
        "dynamodb:GetItem",
        "kinesis:PutRecords",
        "sns:Publish",
        "dynamodb:BatchGetItem",
        "s3:GetObject",
    } <= actions


def test_a_missing_action_is_noticed(resources: dict[str, Node], calls: frozenset[Call]) -> None:
    poorer = copy.deepcopy(resources)
    for statement in statements(poorer, "BadgesFunction"):
        if statement["Sid"] == "HealGaps":
            statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"].remove("player#*")

    assert denied(poorer, calls) == {("BadgesFunction", "dynamodb:Query", "EventsTable")}
