"""Rules that the account domain's template must hold, by itself and together with the other stack."""

from typing import Any, Final

import pytest

from headwater.settings import ReceiverSettings
from headwater.tracking.dynamodb import BY_ACCOUNT, BY_STATUS
from tests.infrastructure import expansion, test_template
from tests.infrastructure.expansion import PROJECT, RECEIVER, Node
from tests.infrastructure.test_template import as_list, of_type, statements, text

FUNCTIONS: Final = {"TrackerFunction": "tracker", "TrackingApiFunction": "tracking_api"}

#: Rules of template.yaml that are rules of any template here.
SHARED: Final = (
    test_template.test_no_log_group_keeps_everything,
    test_template.test_no_two_functions_share_a_role_or_a_log_group,
    test_template.test_each_function_is_traced_and_runs_python_3_13,
    test_template.test_no_function_gets_a_managed_policy_of_aws,
    test_template.test_only_refusals_are_for_everybody,
    test_template.test_each_consumed_queue_has_a_redrive_and_no_other_has,
    test_template.test_what_nobody_consumes_waits_for_fourteen_days,
    test_template.test_a_message_is_dead_before_it_expires,
    test_template.test_a_message_stays_hidden_for_six_times_its_functions_timeout,
    test_template.test_each_table_is_protected_encrypted_and_recoverable,
    test_template.test_each_queue_that_nobody_consumes_has_an_alarm_at_the_first_message,
)


@pytest.fixture(scope="module")
def receiver() -> Node:
    return expansion.raw(RECEIVER)


@pytest.fixture(scope="module")
def expanded_receiver() -> Node:
    return expansion.expanded(RECEIVER)


@pytest.mark.parametrize("rule", SHARED, ids=lambda rule: rule.__name__.removeprefix("test_"))
def test_what_holds_of_the_main_template_holds_here(expanded_receiver: Node, rule: Any) -> None:
    rule(expanded_receiver)


def test_each_queue_and_topic_refuses_plain_text(expanded_receiver: Node) -> None:
    for kind in ("SQS::Queue", "SNS::Topic"):
        protected = set()
        for policy in of_type(expanded_receiver, f"AWS::{kind}Policy").values():
            denials = [entry for entry in policy["PolicyDocument"]["Statement"] if entry["Effect"] == "Deny"]
            assert {"Bool": {"aws:SecureTransport": "false"}} in [entry["Condition"] for entry in denials]
            protected |= {target["Ref"] for target in policy.get("Queues") or policy["Topics"]}
        assert protected == set(of_type(expanded_receiver, f"AWS::{kind}"))


def test_the_functions_are_those_that_this_suite_knows_each_with_its_fixture(receiver: Node) -> None:
    functions = of_type(receiver, "AWS::Serverless::Function")

    assert {name: function["Handler"] for name, function in functions.items()} == {
        name: f"headwater.functions.{stem}.handler" for name, stem in FUNCTIONS.items()
    }
    for name in functions:
        assert (PROJECT / "events" / f"{name}.json").is_file(), "for sam local invoke"


def test_the_environment_holds_every_setting_and_agrees_with_the_other_stacks(receiver: Node, template: Node) -> None:
    """One process hosts both stacks' functions on the local stack: a variable has one value in it."""
    here = receiver["Globals"]["Function"]["Environment"]["Variables"]
    there = template["Globals"]["Function"]["Environment"]["Variables"]

    assert {name.upper() for name in ReceiverSettings.__slots__} <= set(here)
    assert {name: here[name] for name in here.keys() & there.keys()} == {
        name: there[name] for name in here.keys() & there.keys()
    }


def test_the_inbox_lets_in_exactly_the_role_that_the_target_function_has(
    expanded_receiver: Node, expanded: Node
) -> None:
    """FAULTS row 36: whoever else sends is refused, and the sender's role need not be there first."""
    policy = expanded_receiver["Resources"]["ApplicationInboxPolicy"]["Properties"]["PolicyDocument"]
    (allowed,) = [entry for entry in policy["Statement"] if entry["Effect"] == "Allow"]
    account = {"Fn::If": ["SenderIsHere", {"Ref": "AWS::AccountId"}, {"Ref": "SenderAccountId"}]}
    (arn, accounts) = allowed["Condition"]["ArnEquals"]["aws:PrincipalArn"]["Fn::Sub"]
    role = expanded["Resources"]["ApplicationTargetRole"]["Properties"]["RoleName"]["Fn::Sub"]

    assert allowed["Action"] == "sqs:SendMessage"
    assert allowed["Principal"]["AWS"] == {
        "Fn::Sub": ["arn:${AWS::Partition}:iam::${Account}:root", {"Account": account}]
    }
    assert accounts == {"Account": account}
    assert arn.partition(":role/")[2] == role.replace("${AWS::StackName}", "${SenderStackName}")
    assert expanded["Resources"]["ApplicationTargetFunction"]["Properties"]["Role"] == {
        "Fn::GetAtt": ["ApplicationTargetRole", "Arn"]
    }


def test_both_templates_name_the_same_queue(expanded_receiver: Node, expanded: Node) -> None:
    name = expanded_receiver["Resources"]["ApplicationInbox"]["Properties"]["QueueName"]["Fn::Sub"]
    address = expanded["Resources"]["ApplicationTargetFunction"]["Properties"]["Environment"]["Variables"]
    there = name.replace("${AWS::StackName}", "${ReceiverStackName}")
    sends = [
        text(resource)
        for owner, statement in statements(expanded)
        if owner == "ApplicationTargetRole"
        for resource in as_list(statement["Resource"])
    ]

    assert address["APPLICATION_INBOX_QUEUE"]["Fn::Sub"][0].endswith(f"/{there}")
    assert any(resource.endswith(f":{there}") for resource in sends)


def test_the_stacks_name_each_other_by_default(receiver: Node, template: Node) -> None:
    assert template["Parameters"]["ReceiverStackName"]["Default"] == "headwater-receiver"
    assert receiver["Parameters"]["SenderStackName"]["Default"] == "headwater"


def test_nothing_is_allowed_by_wildcard(expanded_receiver: Node) -> None:
    found = set()
    for name, statement in statements(expanded_receiver):
        if statement["Effect"] == "Allow":
            assert not [action for action in as_list(statement["Action"]) if "*" in action], name
            found |= {name for resource in as_list(statement["Resource"]) if "*" in text(resource)}

    assert found == {"TracingPolicy"}


def test_each_route_is_one_that_the_function_answers_and_needs_a_signature(expanded_receiver: Node) -> None:
    from headwater.functions.api.tracking_routes import TrackingRoutes

    paths = expanded_receiver["Resources"]["TrackingApi"]["Properties"]["Body"]["paths"]
    declared = {
        f"{method.upper()} {path}": route for path, methods in paths.items() for method, route in methods.items()
    }
    answered = {route.name for _, route in TrackingRoutes(None).router()._routes}  # type: ignore[arg-type]

    assert set(declared) == answered
    assert all(route["security"] == [{"AWS_IAM": []}] for route in declared.values())


def test_lists_are_read_from_indexes_that_hold_what_they_show(expanded_receiver: Node) -> None:
    table = of_type(expanded_receiver, "AWS::DynamoDB::Table")["TrackingTable"]
    indexes = {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
    shown = {"account_id", "kind", "title", "status", "since", "applied_at"}

    assert set(indexes) == {BY_ACCOUNT, BY_STATUS}
    for index in indexes.values():
        keys = {key["AttributeName"] for key in index["KeySchema"]}
        assert keys | set(index["Projection"]["NonKeyAttributes"]) == shown


def test_data_outlives_the_stack(expanded_receiver: Node) -> None:
    for name in of_type(expanded_receiver, "AWS::DynamoDB::Table"):
        resource = expanded_receiver["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_each_parameter_says_what_it_takes(receiver: Node) -> None:
    for name, parameter in receiver["Parameters"].items():
        assert parameter["Description"], name
        assert parameter["ConstraintDescription"].startswith("must be "), name
