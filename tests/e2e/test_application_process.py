"""The applications' process on the local stack: the statuses that it writes, and those that it does not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from devstack.stack import LocalStack
from headwater.attribute_values import unmarshal_item
from tests.integration.devstack.processes import eventually

QUIET_SECONDS = 60
APPLIED = {"account_id": "account-1", "kind": "licence", "title": "To fish"}

http = urllib3.PoolManager(maxsize=16)


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[LocalStack]:
    with LocalStack(folder) as stack:
        yield stack


def send(stack: LocalStack, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
    headers = {"content-type": "application/json"} | ({} if key is None else {"idempotency-key": key})
    answer = http.request(method, stack.url + path, body=json.dumps(body or {}), headers=headers, timeout=60)
    return answer.status, answer.json()


def applied(stack: LocalStack) -> str:
    """An application that waits for its decision."""
    application_id: str = send(stack, "POST", "/applications", APPLIED)[1]["application_id"]
    eventually(lambda: token(stack, application_id))
    return application_id


def token(stack: LocalStack, application_id: str) -> Any:
    table = stack.outputs["CredentialsTableName"]
    key = {"pk": {"S": f"decision#{application_id}"}}
    return stack.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")


def items(stack: LocalStack, application_id: str) -> list[dict[str, Any]]:
    found = stack.client("dynamodb").query(
        TableName=stack.outputs["ApplicationsTableName"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"APPLICATION#{application_id}"}},
        ConsistentRead=True,
    )
    return [unmarshal_item(item) for item in found["Items"]]


def status(stack: LocalStack, application_id: str) -> Any:
    return send(stack, "GET", f"/applications/{application_id}")[1].get("status")


@pytest.mark.parametrize(
    ("path", "body", "ending"),
    [
        ("decision", {"status": "Approved", "note": "Welcome."}, "Approved"),
        ("decision", {"status": "Rejected"}, "Rejected"),
        ("withdraw", {"account_id": "account-1", "note": "No."}, "Withdrawn"),
    ],
)
def test_an_application_goes_to_its_ending(stack: LocalStack, path: str, body: dict[str, str], ending: str) -> None:
    application_id = applied(stack)

    assert send(stack, "POST", f"/applications/{application_id}/{path}", body)[0] == 202
    eventually(lambda: status(stack, application_id) == ending)

    actions = [item for item in items(stack, application_id) if item["sk"].startswith("#ACTION#")]
    own = next(item for item in items(stack, application_id) if item["sk"] == "#APPLICATION")
    assert [action["status"] for action in actions] == ["Received", "Preparing", ending]
    assert [action["type"] for action in actions] == ["ApplicationCreated", *["ApplicationStatusUpdated"] * 2]
    assert actions[-1]["note"] == body.get("note", "")
    assert not any("account_id" in action for action in actions)
    assert (own["account_id"], own["revision"]) == ("account-1", 3)
    # The token went with the decision.
    assert token(stack, application_id) is None


def test_the_first_decision_counts_whoever_comes_at_once(stack: LocalStack) -> None:
    application_id = applied(stack)
    path = f"/applications/{application_id}"

    first = send(stack, "POST", f"{path}/decision", {"status": "Rejected"})
    late = send(stack, "POST", f"{path}/withdraw", {"account_id": "account-1"})
    eventually(lambda: status(stack, application_id) == "Rejected")

    assert (first[0], late[0]) == (202, 409)
    assert send(stack, "POST", f"{path}/decision", {"status": "Approved"})[0] == 409
    assert len(items(stack, application_id)) == 4


def test_an_application_that_is_sent_twice_is_one(stack: LocalStack) -> None:
    """FAULTS row 29."""
    first = send(stack, "POST", "/applications", APPLIED, key="twice")

    assert send(stack, "POST", "/applications", APPLIED, key="twice") == first
    assert send(stack, "POST", "/applications", {**APPLIED, "kind": "other"}, key="twice")[0] == 422
    eventually(lambda: len(items(stack, first[1]["application_id"])) == 3)


def test_an_illegal_transition_is_refused_by_its_condition(stack: LocalStack) -> None:
    """A status that somebody wrote past the process: it does not write over it, however often it tries."""
    application_id = applied(stack)
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["ApplicationsTableName"],
        Key={"pk": {"S": f"APPLICATION#{application_id}"}, "sk": {"S": "#APPLICATION"}},
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": "Received"}},
    )

    assert send(stack, "POST", f"/applications/{application_id}/decision", {"status": "Approved"})[0] == 202
    machine = stack.outputs["ApplicationProcessArn"]
    execution = f"{machine.replace(':stateMachine:', ':execution:')}:{application_id}"
    client = stack.client("stepfunctions")
    refusals = eventually(
        lambda: [
            event["taskFailedEventDetails"]
            for event in client.get_execution_history(executionArn=execution)["events"]
            if event["type"] == "TaskFailed"
        ],
        20,
    )

    assert refusals[0]["error"] == "DynamoDb.TransactionCanceledException"
    assert "ConditionalCheckFailed" in refusals[0]["cause"]
    assert status(stack, application_id) == "Received"
    assert "Approved" not in [item["status"] for item in items(stack, application_id)]


def test_an_answer_that_is_no_ending_is_waited_for_again(stack: LocalStack) -> None:
    application_id = applied(stack)
    before = token(stack, application_id)["task_token"]["S"]

    stack.client("stepfunctions").send_task_success(taskToken=before, output='{"status": "Lost in the post"}')
    eventually(lambda: token(stack, application_id)["task_token"]["S"] != before)

    assert status(stack, application_id) == "Preparing"
    assert send(stack, "POST", f"/applications/{application_id}/withdraw", {"account_id": "account-1"})[0] == 202
    eventually(lambda: status(stack, application_id) == "Withdrawn")
