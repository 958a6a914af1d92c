"""Calls of AWS's APIs as IAM sees them, and whether a statement of the template allows one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from operations.intrinsics import Node

_WRITES = {"Put": "PutItem", "Delete": "DeleteItem", "Update": "UpdateItem", "ConditionCheck": "ConditionCheckItem"}


@dataclass(frozen=True, slots=True)
class Call:
    """An IAM action on a resource by logical id (with the key, in S3), and the item's partition key if there is one."""

    function: str
    action: str
    resource: str
    leading_key: str | None = None


def calls_of(function: str, service: str, operation: str, params: Mapping[str, Any]) -> Iterator[Call]:
    """What a call of boto3's needs; resources go by the names that the parameters have."""
    match service, operation:
        case "dynamodb", "TransactWriteItems":
            for item in params["TransactItems"]:
                ((kind, write),) = item.items()
                key = _key(write.get("Item") or write["Key"])
                yield Call(function, f"dynamodb:{_WRITES[kind]}", write["TableName"], key)
        case "dynamodb", "TransactGetItems":
            for item in params["TransactItems"]:
                yield Call(function, "dynamodb:GetItem", item["Get"]["TableName"], _key(item["Get"]["Key"]))
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
        case "dynamodbstreams", _:
            arn = params.get("StreamArn") or params["ShardIterator"].partition("|")[0]
            yield Call(function, f"dynamodb:{operation}", arn.rpartition(":table/")[2])
        case "kinesis", _:
            yield Call(
                function, f"kinesis:{operation}", params.get("StreamName") or params["StreamARN"].rpartition("/")[2]
            )
        case "sqs", _:
            # A batch needs the right to what it is a batch of.
            yield Call(function, f"sqs:{operation.removesuffix('Batch')}", params["QueueUrl"].rpartition("/")[2])
        case "lambda", "Invoke":
            yield Call(function, "lambda:InvokeFunction", params["FunctionName"])
        case "cloudformation", _:
            yield Call(function, f"cloudformation:{operation}", "AWS::StackId")
        case "s3", "ListObjectsV2":
            yield Call(function, "s3:ListBucket", params["Bucket"])
        case "s3", "DeleteObjects":
            for each in params["Delete"]["Objects"]:
                yield Call(function, "s3:DeleteObject", f"{params['Bucket']}/{each['Key']}")
        case "s3", "HeadObject":
            yield Call(function, "s3:GetObject", f"{params['Bucket']}/{params['Key']}")
        case "s3", "CopyObject":
            source = params["CopySource"]
            yield Call(function, "s3:GetObject", f"{source['Bucket']}/{source['Key']}")
            yield Call(function, "s3:PutObject", f"{params['Bucket']}/{params['Key']}")
        case "sns", "PublishBatch":
            yield Call(function, "sns:Publish", params["TopicArn"].rpartition(":")[2])
        case "s3", _:
            yield Call(function, f"s3:{operation}", f"{params['Bucket']}/{params['Key']}")
        case "sesv2", "SendEmail":
            yield Call(function, "ses:SendEmail", "")
        case _:
            raise AssertionError(f"this test does not know what {service} {operation} needs")


def statements(resources: Mapping[str, Node], function: str) -> Iterator[Mapping[str, Any]]:
    """Those of the function's role."""
    role = resources[function]["Properties"]["Role"]["Fn::GetAtt"][0]
    for policy in resources[role]["Properties"]["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def denied(resources: Mapping[str, Node], calls: Iterable[Call]) -> set[tuple[str, str, str]]:
    """The function, action and resource of each call that its role does not allow."""
    return {
        (call.function, call.action, call.resource.partition("/")[0])
        for call in calls
        if not any(allows(statement, call) for statement in statements(resources, call.function))
    }


def _key(attributes: Mapping[str, Any]) -> str:
    value: str = (attributes.get("aggregate_id") or attributes["pk"])["S"]
    return value


def allows(statement: Mapping[str, Any], call: Call) -> bool:
    """Whether a statement of a role or policy in template.yaml allows the call."""
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
