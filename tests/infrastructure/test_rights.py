"""What a role must allow, whether a run shows it or not: what Lambda does itself, and what a consumer may come to do.

What functions were really seen to call is another test's (tests/simulation/test_permissions.py).
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from arcade.app import APP
from headwater.application import function_of, logical_id
from headwater.effects.effect import Effect
from headwater.projections.projection import Projection
from tests.infrastructure.expansion import Node
from tests.infrastructure.iam import Call, allows, statements
from tests.infrastructure.test_template import as_list, consumed, of_type, stream_of, text, watched

#: What Lambda calls with a function's rights, of each kind of source (the pages on event source mappings, AWS Lambda
#: developer guide).
OF_SOURCES: Final = {
    "AWS::Kinesis::Stream": (
        "kinesis:DescribeStream",
        "kinesis:DescribeStreamSummary",
        "kinesis:GetRecords",
        "kinesis:GetShardIterator",
        "kinesis:ListShards",
    ),
    "AWS::SQS::Queue": ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
    "AWS::DynamoDB::Table": (
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
    ),
}
#: What `headwater dead-letters` and `headwater status` call.
LOOKED_INTO: Final = ("sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes")
ON_CALL: Final = (
    Call("on call", "cloudformation:DescribeStacks", "AWS::StackId"),
    Call("on call", "s3:ListBucket", "FailedBatchesBucket"),
    Call("on call", "s3:GetObject", "FailedBatchesBucket/aws/lambda/x"),
    Call("on call", "s3:DeleteObject", "FailedBatchesBucket/aws/lambda/x"),
    Call("on call", "s3:PutObject", "FailedBatchesBucket/discarded/x"),
    Call("on call", "s3:GetObject", "ArchiveBucket/claims/x"),
    Call("on call", "s3:PutObject", "ArchiveBucket/raw/x"),
    Call("on call", "s3:GetObject", "ArchiveBucket/raw/x"),
    Call("on call", "sqs:SendMessage", "ParkedRecordsQueue"),
    Call("on call", "sqs:SendMessage", "FailedBatchesQueue"),
    Call("on call", "dynamodb:GetItem", "LedgerTable", "effect#any#1"),
    Call("on call", "dynamodb:DeleteItem", "LedgerTable", "effect#any#1"),
)
CLAIM: Final = "ArchiveBucket/claims/x"


def of_lambda(expanded: Node) -> Iterator[Call]:
    """Logs, and what is polled."""
    resources = expanded["Resources"]
    for name, function in of_type(expanded, "AWS::Lambda::Function").items():
        group = function["LoggingConfig"]["LogGroup"]["Ref"]
        yield from (Call(name, action, group) for action in ("logs:CreateLogStream", "logs:PutLogEvents"))
    for mapping in of_type(expanded, "AWS::Lambda::EventSourceMapping").values():
        function, source = mapping["FunctionName"]["Ref"], mapping["EventSourceArn"]["Fn::GetAtt"][0]
        stream = stream_of(expanded, mapping)
        yield from (Call(function, action, stream) for action in OF_SOURCES[resources[stream]["Type"]])
        if stream != source:
            for action in ("kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"):
                yield Call(function, action, source)


def of_projection(declared: Projection) -> Iterator[Call]:
    """What a projection may come to do: heal gaps, follow claim checks, park, and append what it says."""
    function = function_of(declared.name)
    for kind in {*declared.aggregate_types, *(each.aggregate_type for each in declared.appends)}:
        yield Call(function, "dynamodb:Query", "EventsTable", f"{kind}#x")
        yield Call(function, "dynamodb:GetItem", "EventsTable", f"{kind}#x")
    for each in declared.appends:
        yield Call(function, "dynamodb:PutItem", "EventsTable", f"{each.aggregate_type}#x")
    for action in ("dynamodb:BatchGetItem", "dynamodb:PutItem"):
        yield Call(function, action, "ReadModelsTable", declared.pk("x"))
    for queue in ("ParkedRecordsQueue", "SetAsideQueue", "FailedBatchesQueue"):
        yield Call(function, "sqs:SendMessage", queue)
    yield Call(function, "dynamodb:PutItem", "LedgerTable", f"failing#{declared.name}#x")
    yield from (Call(function, action, CLAIM) for action in ("s3:GetObject", "s3:PutObject"))


def of_effect(declared: Effect) -> Iterator[Call]:
    """What an effect may come to do: claim and release, follow claim checks, hide a message, send."""
    function, queue = function_of(declared.name), f"{logical_id(declared.name)}Queue"
    for action in ("dynamodb:PutItem", "dynamodb:DeleteItem"):
        yield Call(function, action, "LedgerTable", f"effect#{declared.name}#x")
    yield Call(function, "s3:GetObject", CLAIM)
    yield from (Call(function, action, queue) for action in ("sqs:GetQueueUrl", "sqs:ChangeMessageVisibility"))
    if declared.mails:
        yield Call(function, "ses:SendEmail", "")


def of_backbone() -> Iterator[Call]:
    """What the backbone's own readers of streams come to do."""
    for name, function in (("fan_out", "FanOutFunction"), ("bi_export", "BiExportFunction")):
        for queue in ("ParkedRecordsQueue", "SetAsideQueue", "FailedBatchesQueue"):
            yield Call(function, "sqs:SendMessage", queue)
        yield Call(function, "dynamodb:PutItem", "LedgerTable", f"failing#{name}#x")
        yield Call(function, "s3:PutObject", CLAIM)
    # Lambda asks for a table's streams when it makes the mapping.
    yield Call("FanOutFunction", "dynamodb:ListStreams", "EventsTable/stream/x")
    yield Call("FanOutFunction", "kinesis:PutRecords", "EventsStream")
    yield Call("FanOutFunction", "sns:Publish", "EventsTopic")
    yield Call("BiExportFunction", "s3:GetObject", CLAIM)
    yield Call("BiExportFunction", "s3:ListBucket", "ArchiveBucket")
    for action in ("s3:GetObject", "s3:PutObject"):
        yield Call("BiExportFunction", action, "ArchiveBucket/bi/x")
    # With EnhancedFanOut; the number is the time of the consumer's creation.
    consumer = "EventsStream/consumer/${AWS::StackName}-bi-export:1"
    for action in ("kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"):
        yield Call("BiExportFunction", action, consumer)


def of_redrive() -> Iterator[Call]:
    """What a redrive does in place of any consumer, but parking and counting."""
    for projection in APP.projections.values():
        for call in of_projection(projection):
            if call.resource in {"EventsTable", "ReadModelsTable"}:
                yield Call("RedriveFunction", call.action, call.resource, call.leading_key)
    for action in ("s3:GetObject", "s3:PutObject"):
        yield Call("RedriveFunction", action, "ArchiveBucket/bi/x")
        yield Call("RedriveFunction", action, CLAIM)
    yield Call("RedriveFunction", "s3:ListBucket", "ArchiveBucket")
    yield Call("RedriveFunction", "dynamodb:GetItem", "EventsTable", "any#x")
    yield Call("RedriveFunction", "kinesis:PutRecords", "EventsStream")
    yield Call("RedriveFunction", "sns:Publish", "EventsTopic")
    yield Call("RedriveFunction", "sqs:ChangeMessageVisibility", "SetAsideQueue")
    yield Call("RedriveFunction", "sqs:GetQueueUrl", "SetAsideQueue")


def missing(expanded: Node, calls: Iterator[Call]) -> list[Call]:
    found = expanded["Resources"]
    return [
        call for call in calls if not any(allows(statement, call) for statement in statements(found, call.function))
    ]


def test_lambda_may_do_with_each_role_what_it_does(expanded: Node) -> None:
    assert missing(expanded, of_lambda(expanded)) == []


@pytest.mark.parametrize("name", APP.projections)
def test_a_projection_may_do_what_projections_do(expanded: Node, name: str) -> None:
    assert missing(expanded, of_projection(APP.projections[name])) == []


@pytest.mark.parametrize("name", APP.effects)
def test_an_effect_may_do_what_effects_do(expanded: Node, name: str) -> None:
    assert missing(expanded, of_effect(APP.effects[name])) == []


def test_the_backbones_readers_may_do_what_they_come_to_do(expanded: Node) -> None:
    assert missing(expanded, of_backbone()) == []


@pytest.mark.parametrize("topic", ["AlarmTopic", "NoticeTopic"])
def test_alarms_of_this_account_reach_a_person(expanded: Node, topic: str) -> None:
    subscribed = [
        each for each in of_type(expanded, "AWS::SNS::Subscription").values() if each["TopicArn"] == {"Ref": topic}
    ]
    (policy,) = (
        each for each in of_type(expanded, "AWS::SNS::TopicPolicy").values() if each["Topics"] == [{"Ref": topic}]
    )
    (allowed,) = (each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow")

    assert [each["Protocol"] for each in subscribed] == ["email"]
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")


def test_a_redrive_may_do_what_consumers_do(expanded: Node) -> None:
    assert missing(expanded, of_redrive()) == []


@pytest.mark.parametrize("name", [each.name for each in APP.effects.values() if each.mails])
def test_whoever_mails_may_use_the_sender_and_its_configuration_set(expanded: Node, name: str) -> None:
    (statement,) = (
        each for each in statements(expanded["Resources"], function_of(name)) if each["Action"] == "ses:SendEmail"
    )

    resources = [text(each).rpartition(":")[2] for each in statement["Resource"]]
    assert resources == ["identity/*", "configuration-set/${EmailConfigurationSet}"]


@pytest.mark.parametrize("name", APP.effects)
def test_an_effects_queue_gets_the_events_that_it_acts_upon_and_no_others(expanded: Node, name: str) -> None:
    queue = {"Fn::GetAtt": [f"{logical_id(name)}Queue", "Arn"]}
    (subscription,) = (
        each for each in of_type(expanded, "AWS::SNS::Subscription").values() if each["Endpoint"] == queue
    )

    assert subscription["TopicArn"] == {"Ref": "EventsTopic"}
    assert subscription["FilterPolicyScope"] == "MessageAttributes"
    assert subscription["FilterPolicy"] == {"type": list(APP.effects[name].handles)}


def test_the_person_on_call_may_do_what_the_commands_do(expanded: Node) -> None:
    allowed = [
        statement
        for policy in ("DeadLettersReaderPolicy", "DeadLettersRedrivePolicy")
        for statement in expanded["Resources"][policy]["Properties"]["PolicyDocument"]["Statement"]
    ]
    calls = [*ON_CALL]
    calls += [Call("on call", call.action, call.resource, call.leading_key) for call in of_redrive()]
    queues = of_type(expanded, "AWS::SQS::Queue")
    back = {
        queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]: name
        for name, queue in queues.items()
        if "RedrivePolicy" in queue
    }
    dead = {*(f"{logical_id(name)}DeadLetterQueue" for name in APP.effects)}
    dead |= {*(f"{logical_id(name)}SubscriptionDeadLetterQueue" for name in APP.effects)}
    for queue in {*dead, "ParkedRecordsQueue", "UnresolvedPointersQueue"}:
        calls += [Call("on call", action, queue) for action in (*LOOKED_INTO, "sqs:DeleteMessage")]
    calls += [Call("on call", "sqs:SendMessage", back[queue]) for queue in dead & back.keys()]
    calls += [
        Call("on call", action, grant.resource.removeprefix("${").removesuffix(".Arn}"), "x")
        for feature in APP.features
        for grant in feature.redriving
        for action in grant.actions
    ]
    # By that function, which hides what still fails: a person looks again.
    own = {"SetAsideQueue"}

    denied = [call for call in calls if call.resource not in own and not any(allows(each, call) for each in allowed)]
    assert denied == []


def test_each_queue_that_a_function_works_through_has_an_alarm_on_its_age(expanded: Node) -> None:
    assert consumed(expanded) <= watched(expanded, "ApproximateAgeOfOldestMessage", "QueueName")


def test_an_alarms_expression_names_only_what_the_alarm_has(expanded: Node) -> None:
    for name, alarm in of_type(expanded, "AWS::CloudWatch::Alarm").items():
        metrics: list[Any] = as_list(alarm.get("Metrics", []))
        ids = {each["Id"] for each in metrics}
        for each in metrics:
            named = {word.strip("[( ") for word in each.get("Expression", "").split("FILL(")[1:]}
            assert {word.partition(",")[0] for word in named} <= ids, name
