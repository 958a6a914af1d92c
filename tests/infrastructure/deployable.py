"""What stops a deployment, or the second stack in an account, as rules over a template as CloudFormation gets it.

Each rule gives what breaks it, in words. `broken/` has a template for each that breaks it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from operations.intrinsics import resources
from tests.infrastructure.expansion import Node

type Rule = Callable[[Node], Iterator[str]]

#: Properties that are unique names in an account and Region, by type ("Name" types of the CloudFormation reference).
_UNIQUE: Final[Mapping[str, str]] = {
    "AWS::Athena::WorkGroup": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Kinesis::Stream": "Name",
    "AWS::Kinesis::StreamConsumer": "ConsumerName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Pipes::Pipe": "Name",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SES::ConfigurationSet": "Name",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}


def imports_without_warnings(template: Node) -> Iterator[str]:
    """The importer of HTTP APIs warns of each path parameter without a schema, and SAM writes none.

    API Gateway V2 API reference, ImportApi, failonwarnings: "rollback the API creation when a warning is encountered".
    """
    for name, api in _of(template, "AWS::ApiGatewayV2::Api"):
        if api.get("FailOnWarnings"):
            yield f"{name}: FailOnWarnings fails the import of every path with a parameter"


def names_are_the_stacks_own(template: Node) -> Iterator[str]:
    """A name that does not hold the stack's is taken when a second stack comes.

    CloudFormation user guide, "Name type": "you can't perform updates that require replacement", and one per account.
    """
    for kind, property_ in _UNIQUE.items():
        for name, properties in _of(template, kind):
            given = properties.get(property_)
            if given is not None and "${AWS::StackName}" not in str(given):
                yield f"{name}: {property_} {given} is the same in every stack"


def a_pipe_comes_late(template: Node) -> Iterator[str]:
    """A Pipe that is made right after its role and its source reads neither, and ends in "did not stabilize".

    IAM user guide, "Changes that I make are not always immediately visible"; a mapping of the same stream is made
    only once the stream can be read, and takes a minute.
    """
    mappings = dict(_of(template, "AWS::Lambda::EventSourceMapping"))
    functions = {name for name, _ in _of(template, "AWS::Lambda::Function")}
    for name, pipe in _of(template, "AWS::Pipes::Pipe"):
        waits_for = _listed(template["Resources"][name].get("DependsOn"))
        if not any(mappings.get(other, {}).get("EventSourceArn") == pipe["Source"] for other in waits_for):
            yield f"{name}: DependsOn names no event source mapping of the stream that it reads"
        role = pipe["RoleArn"]["Fn::GetAtt"][0]
        if late := sorted(resources(template["Resources"][role]) & functions):
            yield f"{name}: its role is made only after {', '.join(late)}: name them in it"


def a_failed_first_deploy_leaves_nothing(template: Node) -> Iterator[str]:
    """`Retain` keeps what a failed first deployment made, under names that nobody looks for.

    CloudFormation user guide, "DeletionPolicy attribute", RetainExceptOnCreate.
    """
    for name, resource in template["Resources"].items():
        policies = resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")
        if "Retain" in policies and policies != ("RetainExceptOnCreate", "Retain"):
            yield f"{name}: DeletionPolicy {policies[0]} and UpdateReplacePolicy {policies[1]}"


def tables_of_glue_have_partition_keys(template: Node) -> Iterator[str]:
    """Athena takes no table without the list, be it empty: "PartitionKeys cannot be null".

    Athena user guide, "Troubleshoot issues", "FAILED: NullPointerException Name is null".
    """
    for name, table in _of(template, "AWS::Glue::Table"):
        if "PartitionKeys" not in table["TableInput"]:
            yield f"{name}: TableInput has no PartitionKeys"


def access_logs_are_vended(template: Node) -> Iterator[str]:
    """The resource policy by which API Gateway writes logs grows by each group, up to 5,120 characters an account.

    CloudWatch Logs user guide, "Logging that requires additional permissions [V1]": "/aws/vendedlogs/".
    """
    groups = dict(_of(template, "AWS::Logs::LogGroup"))
    for name, stage in _of(template, "AWS::ApiGatewayV2::Stage"):
        for group in resources(stage.get("AccessLogSettings", {})) & groups.keys():
            if "/aws/vendedlogs/" not in str(groups[group]["LogGroupName"]):
                yield f"{name}: its access log's group {group} is not under /aws/vendedlogs/"


def no_function_reserves_concurrency(template: Node) -> Iterator[str]:
    """A new account has 10 concurrent executions in all, and 10 of each account's must stay unreserved.

    Lambda developer guide, "Lambda quotas" and "Configuring reserved concurrency".
    """
    for name, function in _of(template, "AWS::Lambda::Function"):
        reserved = function.get("ReservedConcurrentExecutions")
        if reserved is not None and "AWS::NoValue" not in str(reserved):
            yield f"{name}: reserves {reserved} executions, which a new account does not have"


def partitions_are_not_spelled(template: Node) -> Iterator[str]:
    """An ARN that spells `aws` is none in China or GovCloud.

    General reference, "Amazon Resource Names (ARNs)".
    """
    for path, text in _texts(template["Resources"]):
        if "arn:aws:" in text:
            yield f"{path}: {text}"


def metrics_are_the_stacks_own(template: Node) -> Iterator[str]:
    """Metrics of one namespace add up over stacks: dev rings prod's alarms, and hides that prod is silent.

    CloudWatch user guide, "Namespaces": metrics in different namespaces are isolated from each other.
    """
    namespaces = [
        (f"{name}: POWERTOOLS_METRICS_NAMESPACE", function["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"])
        for name, function in _of(template, "AWS::Lambda::Function")
        if "Environment" in function
    ]
    for name, alarm in _of(template, "AWS::CloudWatch::Alarm"):
        metrics = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", ()) if "MetricStat" in each] or [alarm]
        namespaces += [(name, metric["Namespace"]) for metric in metrics if "Namespace" in metric]
    for name, namespace in namespaces:
        if "AWS/" not in str(namespace) and "${AWS::StackName}" not in str(namespace):
            yield f"{name}: the namespace {namespace} is the same in every stack"


def alarms_are_within_their_limits(template: Node) -> Iterator[str]:
    """CloudWatch refuses an alarm on more metrics, or on a longer time.

    CloudWatch service quotas: "Alarms based on metric math expressions can have up to 10 metrics"; API reference,
    PutMetricAlarm, Period: seven days, or one where the period is less than an hour.
    """
    for name, alarm in _of(template, "AWS::CloudWatch::Alarm"):
        stats = [each["MetricStat"] for each in alarm.get("Metrics", ()) if "MetricStat" in each]
        if len(stats) > 10:
            yield f"{name}: {len(stats)} metrics of at most 10"
        for period in {each["Period"] for each in stats or [alarm] if "Period" in each}:
            seconds, most = period * alarm["EvaluationPeriods"], 86_400 if period < 3_600 else 604_800
            if seconds > most:
                yield f"{name}: looks at {seconds} seconds of at most {most}"


def who_is_let_in_alone_is_alone(template: Node) -> Iterator[str]:
    """Within one account a queue's policy that lets in one role keeps out no other: that takes a refusal.

    IAM user guide, "Policy evaluation logic": within an account, either kind of policy may allow.
    """
    for name, policy in _of(template, "AWS::SQS::QueuePolicy"):
        statements = policy["PolicyDocument"]["Statement"]
        let_in = [each["Condition"]["ArnEquals"] for each in statements if _names_a_role(each, "Allow", "ArnEquals")]
        kept_out = [
            each["Condition"]["ArnNotEquals"] for each in statements if _names_a_role(each, "Deny", "ArnNotEquals")
        ]
        for role in let_in:
            if not any(role[_ROLE] in _listed(others[_ROLE]) for others in kept_out):
                yield f"{name}: lets in one role, and whoever else in the account has a policy that lets them send"


RULES: Final[tuple[Rule, ...]] = (
    alarms_are_within_their_limits,
    who_is_let_in_alone_is_alone,
    metrics_are_the_stacks_own,
    imports_without_warnings,
    names_are_the_stacks_own,
    a_pipe_comes_late,
    a_failed_first_deploy_leaves_nothing,
    tables_of_glue_have_partition_keys,
    access_logs_are_vended,
    no_function_reserves_concurrency,
    partitions_are_not_spelled,
)


_ROLE: Final = "aws:PrincipalArn"


def _names_a_role(statement: Node, effect: str, operator: str) -> bool:
    return statement["Effect"] == effect and _ROLE in statement.get("Condition", {}).get(operator, {})


def _of(template: Node, kind: str) -> Iterator[tuple[str, Node]]:
    for name, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield name, resource.get("Properties", {})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    match node:
        case dict():
            for name, each in node.items():
                yield from _texts(each, f"{path}.{name}" if path else str(name))
        case list():
            for each in node:
                yield from _texts(each, path)
        case str():
            yield path, node
