"""The applications' process, read as it is deployed: its ways, its guards, and what it needs a right for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.template import Template
from headwater.domain.tracking import DECISIONS, PROCESS
from tests.infrastructure.iam import Call, allows, calls_of

ROOT = Path(__file__).parents[3]
PATH = ROOT / "statemachines" / "application_process.asl.json"
TEXT = PATH.read_text(encoding="utf-8")
STATES: dict[str, dict[str, Any]] = json.loads(TEXT)["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
RECORDS = {name: state for name, state in TASKS.items() if state["Resource"].endswith(":transactWriteItems")}


def resources() -> dict[str, Any]:
    return dict(Template.load(ROOT / "template.yaml").document["Resources"])


def followers(state: dict[str, Any]) -> Iterator[str]:
    yield from (state[key] for key in ("Next", "Default") if key in state)
    for other in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield other["Next"]


def writes(state: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item[kind] for item in state["Parameters"]["TransactItems"] if kind in item]


def test_every_state_is_reached_and_every_way_ends() -> None:
    reached, open_ = set(), [json.loads(TEXT)["StartAt"]]
    while open_:
        name = open_.pop()
        if name not in reached:
            reached.add(name)
            open_ += followers(STATES[name])

    assert reached == set(STATES)
    assert {name for name, state in STATES.items() if not list(followers(state))} == {"Ended"}


@pytest.mark.parametrize("name", RECORDS)
def test_a_status_is_tried_to_be_recorded_for_minutes(name: str) -> None:
    """FAULTS row 15: the longest that throttling lasts, jitter aside."""
    waits = 0.0
    (retrier,) = RECORDS[name]["Retry"]
    for attempt in range(retrier["MaxAttempts"]):
        wait = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempt
        waits += min(wait, retrier["MaxDelaySeconds"])

    assert waits > 600


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_tried_again_and_caught_and_ends_in_time(name: str) -> None:
    task = TASKS[name]

    assert any(retrier["ErrorEquals"] == ["States.ALL"] and retrier["MaxAttempts"] > 1 for retrier in task["Retry"])
    # A transaction is cancelled by throttling, by a conflict or by its condition, and one error stands for all three:
    # so none is caught. What fails for good fails where it stands, to be redriven from there.
    assert {(*each["ErrorEquals"], each["Next"]) for each in task.get("Catch", ())} == (
        set() if name in RECORDS else {("States.Timeout", "NobodyDecided")}
    )
    assert "TimeoutSeconds" in task or "TimeoutSecondsPath" in task


def test_its_statuses_are_those_of_the_tracking() -> None:
    """What the process records, in the order in which it does, is what the account domain knows."""
    recorded = [
        (writes(STATES[name], "Put")[-1]["Item"]["status"]["S"],) for name in ("RecordReceived", "RecordPreparing")
    ]
    endings = [choice["StringEquals"] for choice in STATES["WhichEnding"]["Choices"]]

    assert (*recorded, tuple(endings)) == PROCESS
    assert set(DECISIONS) == set(endings) - {"Withdrawn"}
    assert STATES["NobodyDecided"]["Result"]["status"] in endings


@pytest.mark.parametrize(("name", "before"), [("RecordPreparing", "Received"), ("RecordEnding", "Preparing")], ids=str)
def test_a_status_moves_only_from_the_one_before_it(name: str, before: str) -> None:
    (update,) = writes(STATES[name], "Update")

    assert update["ConditionExpression"] == "#status = :from"
    assert update["ExpressionAttributeValues"][":from"] == {"S": before}


@pytest.mark.parametrize("name", RECORDS)
def test_each_status_is_one_transaction_with_its_action(name: str) -> None:
    *_, action = writes(RECORDS[name], "Put")

    assert action["ConditionExpression"] == "attribute_not_exists(pk)"
    assert set(action["Item"]) == {
        *("pk", "sk", "type", "application_id", "action_id"),
        *("status", "note", "actor", "occurred_at"),
    }
    # Whose it is, is for the Pipe's enrichment to look up.
    assert "account_id" not in action["Item"]
    # Sent again after an answer that was lost, it does nothing.
    assert "$$.Execution.Id" in RECORDS[name]["Parameters"]["ClientRequestToken.$"]


def test_the_token_is_in_no_table_that_has_a_stream() -> None:
    holders = {name for name, state in STATES.items() if "$$.Task.Token" in json.dumps(state)}
    found = resources()

    assert holders == {"AwaitDecision"}
    assert STATES["AwaitDecision"]["Parameters"]["TableName"] == "${CredentialsTable}"
    assert "StreamSpecification" not in found["CredentialsTable"]["Properties"]


def test_what_is_substituted_is_given() -> None:
    process = resources()["ApplicationProcess"]["Properties"]

    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == set(process["DefinitionSubstitutions"])
    assert ROOT / process["DefinitionUri"] == PATH


def test_its_role_allows_what_it_does_and_nothing_more() -> None:
    role = resources()["ApplicationProcessRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    calls: set[Call] = set()
    for name, state in TASKS.items():
        operation = state["Resource"].removesuffix(".waitForTaskToken").rpartition(":")[2]
        filled = json.loads(re.sub(r"\$\{(\w+)\}", r"\1", json.dumps(state["Parameters"])))
        calls.update(calls_of(name, "dynamodb", operation[0].upper() + operation[1:], _with_keys(filled)))

    assert {call for call in calls if not any(allows(statement, call) for statement in role)} == set()
    allowed = {
        (action, statement["Resource"]["Fn::GetAtt"][0])
        for statement in role
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert {(call.action, call.resource) for call in calls} == allowed


def test_the_api_may_start_and_answer_it_and_write_no_status() -> None:
    api = resources()["HttpApiRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]

    def allowed(action: str, resource: str) -> bool:
        call = Call("HttpApiFunction", action, resource, "APPLICATION#1")
        return any(allows(statement, call) for statement in api)

    assert allowed("states:StartExecution", "ApplicationProcess")
    assert allowed("states:SendTaskSuccess", "ApplicationProcess")
    assert allowed("dynamodb:GetItem", "ApplicationsTable")
    assert not any(allowed(f"dynamodb:{write}Item", "ApplicationsTable") for write in ("Put", "Update", "Delete"))


def _with_keys(node: Any) -> Any:
    """Parameters with the keys as they come out: ``decision#{}`` for an intrinsic that formats one."""
    if isinstance(node, list):
        return [_with_keys(value) for value in node]
    if not isinstance(node, dict):
        return node
    return {
        name.removesuffix(".$"): value.split("'")[1] if name.endswith(".$") and "'" in str(value) else _with_keys(value)
        for name, value in node.items()
    }
