"""Least privilege that is also enough: what each function really calls, under faults, is what its role allows.

IAM is enforced by no emulator here, so that a call added without its action would be found by the first deployment.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pytest

from devstack.simulator.faults import FaultPlan
from devstack.simulator.functions import Ended, Functions
from devstack.simulator.graph import RECEIVER, TEMPLATE, Blueprint
from devstack.simulator.world import Config, simulate
from devstack.template import Node, Template

#: The workload plays the API's part: its commands run as HttpApiFunction.
API = "HttpApiFunction"
#: Reads alone, on request; tests/integration/test_application_tracking.py has its calls.
PAGES = "TrackingApiFunction"
_WRITES = {"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}


@dataclass(frozen=True, slots=True)
class Call:
    """An IAM action on a resource by logical id (with the key, in S3), and the item's partition key if there is one."""

    function: str
    action: str
    resource: str
    leading_key: str | None = None


def _calls(function: str, service: str, operation: str, params: Mapping[str, Any]) -> Iterator[Call]:
    match service, operation:
        case "dynamodb", "TransactWriteItems":
            for item in params["TransactItems"]:
                ((kind, write),) = item.items()
                key = _key(write.get("Item") or write["Key"])
                yield Call(function, f"dynamodb:{_WRITES[kind]}", write["TableName"], key)
        case "dynamodb", "BatchGetItem":
            for table, wanted in params["RequestItems"].items():
                for each in wanted["Keys"]:
                    yield Call(function, "dynamodb:BatchGetItem", table, _key(each))
        case "dynamodb", "Query":
            yield Call(function, "dynamodb:Query", params["TableName"], params["ExpressionAttributeValues"][":id"]["S"])
        case "dynamodb", _:
            yield Call(
                function, f"dynamodb:{operation}", params["TableName"], _key(params.get("Item") or params["Key"])
            )
        case "kinesis", _:
            yield Call(function, f"kinesis:{operation}", params["StreamName"])
        case "sns", "PublishBatch":
            yield Call(function, "sns:Publish", params["TopicArn"].rpartition(":")[2])
        case "s3", _:
            yield Call(function, f"s3:{operation}", f"{params['Bucket']}/{params['Key']}")
        case "sqs", _:
            yield Call(function, "sqs:SendMessage", params["QueueUrl"].rpartition("/")[2])
        case "sesv2", "SendEmail":
            yield Call(function, "ses:SendEmail", "")
        case _:
            raise AssertionError(f"this test does not know what {service} {operation} needs")


def _key(attributes: Mapping[str, Any]) -> str:
    value: str = (attributes.get("aggregate_id") or attributes["pk"])["S"]
    return value


@pytest.fixture(scope="module")
def calls() -> frozenset[Call]:
    """Everything that was called in some runs under faults: one seed may meet no gap in a function."""
    seen: set[Call] = set()
    running = [API]
    before, invoke = FaultPlan.before, Functions.invoke

    def noted_before(self: FaultPlan, service: str, operation: str, params: Mapping[str, Any]) -> None:
        # Queues are polled and emptied by Lambda's service, and what was given up is sent by it, not by the functions.
        sends = self.in_function and operation in {"SendMessage", "SendMessageBatch"}
        if (service != "sqs" or sends) and self.active:
            seen.update(_calls(running[-1], service, operation, params))
        before(self, service, operation, params)

    def noted_invoke(self: Functions, logical_id: str, *args: Any, **kwargs: Any) -> Ended:
        running.append(logical_id)
        try:
            return invoke(self, logical_id, *args, **kwargs)
        finally:
            running.pop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultPlan, "before", noted_before)
        patch.setattr(Functions, "invoke", noted_invoke)
        # Without overtaking, in which a command runs in the midst of a function's call: it would pass for its own.
        for seed in (3, 4, 5):
            simulate(Config.of(seed, 1_000, 0.2, off=frozenset({"overtaking"})), Blueprint.load())
    return frozenset(seen)


@pytest.fixture(scope="module")
def resources() -> dict[str, Node]:
    return {**Template.load(RECEIVER).document["Resources"], **Template.load(TEMPLATE).document["Resources"]}


def _statements(resources: Mapping[str, Node], function: str) -> Iterator[Mapping[str, Any]]:
    role = resources[function]["Properties"]["Role"]["Fn::GetAtt"][0]
    for policy in resources[role]["Properties"]["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def _allows(statement: Mapping[str, Any], call: Call) -> bool:
    actions, nodes = statement["Action"], statement["Resource"]
    patterns = [_resource(node) for node in (nodes if isinstance(nodes, list) else [nodes])]
    keys = statement.get("Condition", {}).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
    return (
        call.action in ([actions] if isinstance(actions, str) else actions)
        and (call.action.startswith("ses:") or any(fnmatchcase(call.resource, pattern) for pattern in patterns))
        and (keys is None or any(fnmatchcase(call.leading_key or "", key) for key in keys))
    )


def _resource(node: Node) -> str:
    match node:
        case {"Fn::GetAtt": [str(name), _]} | {"Ref": str(name)}:
            return name
        case {"Fn::Sub": [str(text), _]}:
            # The other stack's queue, by the name that it has there.
            return text.rpartition(":")[2].replace("${ReceiverStackName}", "headwater-receiver")
        case {"Fn::Sub": str(text)}:
            return text.replace("${", "", 1).replace(".Arn}", "", 1)
    return str(node)


def _denied(resources: Mapping[str, Node], calls: frozenset[Call]) -> set[tuple[str, str, str]]:
    return {
        (call.function, call.action, call.resource.partition("/")[0])
        for call in calls
        if not any(_allows(statement, call) for statement in _statements(resources, call.function))
    }


def test_every_call_of_a_run_under_faults_is_allowed(resources: dict[str, Node], calls: frozenset[Call]) -> None:
    assert {call.function for call in calls} == {
        name for name, resource in resources.items() if resource["Type"] == "AWS::Serverless::Function"
    } - {PAGES}
    assert _denied(resources, calls) == set()


def test_a_missing_action_is_noticed(resources: dict[str, Node], calls: frozenset[Call]) -> None:
    poorer = copy.deepcopy(resources)
    for statement in _statements(poorer, "BadgesFunction"):
        if statement["Sid"] == "HealGapsAndReadAwards":
            statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"].remove("player#*")

    assert _denied(poorer, calls) == {("BadgesFunction", "dynamodb:Query", "EventsTable")}
