"""What applicants and staff want reaches the process: started once, answered once, refused with a reason."""

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from headwater.accounts.request_ledger import RequestLedger
from headwater.applications.process import (
    ApplicationDecidedError,
    ApplicationNotFoundError,
    ApplicationNotReadyError,
    Applications,
    DynamoDbProcessReader,
    Ending,
    NewApplication,
    StepFunctionsProcess,
)
from headwater.attribute_values import marshal_item
from headwater.functions.api.application_routes import DECIDE, ApplicationRoutes
from headwater.functions.api.entry import http_handler
from headwater.functions.api.router import Router
from tests.fakes.accounts import NOW, InMemoryItems
from tests.fakes.applications import ACCOUNT, InMemoryProcess, application
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.http import http_event
from tests.fakes.moto import mock_aws
from tests.fakes.tables import create_tables

APPLIED = {"account_id": "account-1", "kind": "licence", "title": "To fish"}
NEW = NewApplication(account_id="account-1", kind="licence", title="To fish", note="", actor="anonymous")
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:process"


class Api:
    def __init__(self) -> None:
        self.process = InMemoryProcess()
        numbers = iter(range(1, 100))
        routes = ApplicationRoutes(
            Applications(self.process, self.process),
            RequestLedger(InMemoryItems(InMemoryEventStore(), "ledger"), "ledger"),
            lambda: NOW,
            lambda: f"new-{next(numbers)}",
            "anonymous",
        )
        self._handler = http_handler("http_api", Router(routes.routes()))

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str | None = None,
        *,
        route_key: str | None = None,
        user_id: str | None = None,
    ) -> tuple[int, dict[str, Any]]:
        headers = {} if key is None else {"idempotency-key": key}
        if route_key is None:
            route_key = DECIDE if path.endswith("/decision") else "$default"
        event = http_event(method, path, body, headers=headers, route_key=route_key, user_id=user_id)
        answer = self._handler(event, None)
        return answer["statusCode"], json.loads(answer["body"])


@pytest.fixture
def api() -> Api:
    return Api()


def test_an_application_starts_the_process(api: Api) -> None:
    status, body = api.send("POST", "/applications", {**APPLIED, "note": "soon, please"})

    assert (status, body) == (202, {"application_id": "new-1", "status": "Received"})
    assert api.process.started == {
        "new-1": NewApplication(
            account_id="account-1", kind="licence", title="To fish", note="soon, please", actor="anonymous"
        )
    }


def test_an_application_that_is_sent_twice_is_one(api: Api) -> None:
    """FAULTS row 29: the same answer; another application under the key is refused."""
    first = api.send("POST", "/applications", APPLIED, key="k")

    assert api.send("POST", "/applications", APPLIED, key="k") == first
    assert api.send("POST", "/applications", {**APPLIED, "title": "To hunt"}, key="k")[0] == 422
    assert list(api.process.started) == ["new-1"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "Not a kind"}, "kind"),
        ({"account_id": ""}, "account_id"),
        ({"title": "  "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"note": 7}, "note"),
        ({"status": "Approved"}, "status"),
    ],
)
def test_what_is_wrong_with_an_application_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    status, body = api.send("POST", "/applications", {**APPLIED, **change})

    assert (status, [error["field"] for error in body["errors"]]) == (400, [field])
    assert api.process.started == {}


@pytest.mark.parametrize("status", ["Lost in the post", "Withdrawn", "Preparing", "", None, 7])
def test_a_status_that_is_no_decision_is_refused(api: Api, status: Any) -> None:
    api.process.record("a1", "Preparing", token="t1")

    code, body = api.send("POST", "/applications/a1/decision", {"status": status})

    assert (code, body["errors"][0]["field"]) == (400, "status")
    assert api.process.answers == {}


@pytest.mark.parametrize(
    ("path", "body", "ending"),
    [
        ("decision", {"status": "Approved", "note": "Yes."}, ("Approved", "Yes.")),
        ("decision", {"status": "Rejected"}, ("Rejected", "")),
        ("withdraw", {"account_id": ACCOUNT, "note": "No."}, ("Withdrawn", "No.")),
    ],
)
def test_staff_and_applicants_answer_what_the_process_waits_for(
    api: Api, path: str, body: dict[str, Any], ending: tuple[str, str]
) -> None:
    status, note = ending
    api.process.record("a1", "Preparing", token="t1")

    assert api.send("POST", f"/applications/a1/{path}", body) == (
        202,
        {"application_id": "a1", "status": status},
    )
    assert api.process.answers == {"t1": Ending(status=status, note=note, actor="anonymous")}


def test_the_first_ending_counts(api: Api) -> None:
    api.process.record("a1", "Preparing", token="t1")
    api.send("POST", "/applications/a1/decision", {"status": "Approved"})

    late = api.send("POST", "/applications/a1/withdraw", {"account_id": ACCOUNT})
    api.process.record("a1", "Approved")
    too_late = api.send("POST", "/applications/a1/withdraw", {"account_id": ACCOUNT})

    # As long as the process has not recorded it, nobody can say that it is decided: the process may yet stand still.
    assert (late[0], late[1]["type"]) == (409, "urn:headwater:problem:application-not-ready")
    assert "being recorded" in late[1]["detail"]
    assert (too_late[0], too_late[1]["type"]) == (409, "urn:headwater:problem:application-decided")
    assert api.send("POST", "/applications/a1/decision", {"status": "Rejected"})[0] == 409
    assert api.send("POST", "/applications/a1/decision", {"status": "Approved"})[0] == 202
    assert [ending.status for ending in api.process.answers.values()] == ["Approved"]


def test_a_decision_that_is_sent_twice_is_answered_twice_and_made_once(api: Api) -> None:
    """FAULTS row 29: before the process has recorded it, too."""
    api.process.record("a1", "Preparing", token="t1")
    approval = {"status": "Approved"}

    first = api.send("POST", "/applications/a1/decision", approval, key="k")

    assert first[0] == 202
    assert api.send("POST", "/applications/a1/decision", approval, key="k") == first
    api.process.record("a1", "Approved")
    assert api.send("POST", "/applications/a1/decision", approval, key="k") == first


def test_a_key_of_another_request_ends_nothing(api: Api) -> None:
    """FAULTS row 29: what is refused was not done."""
    api.process.record("a1", "Preparing", token="t1")
    api.process.record("a2", "Preparing", token="t2")
    api.send("POST", "/applications/a1/decision", {"status": "Approved"}, key="k")

    assert api.send("POST", "/applications/a2/decision", {"status": "Rejected"}, key="k")[0] == 422
    assert list(api.process.answers) == ["t1"]


def test_a_request_that_was_refused_may_be_sent_again_under_its_key(api: Api) -> None:
    api.process.record("a1", "Received")
    withdrawal = {"account_id": ACCOUNT}

    assert api.send("POST", "/applications/a1/withdraw", withdrawal, key="k")[0] == 409
    api.process.record("a1", "Preparing", token="t1")
    assert api.send("POST", "/applications/a1/withdraw", withdrawal, key="k")[0] == 202


def test_an_answer_that_came_too_late_is_right_if_it_is_what_was_decided(api: Api) -> None:
    """Two members of staff approve at once: the second one's token is used when it is their turn."""
    api.process.record("a1", "Preparing", token="t1")
    answer = api.process.answer

    def overtaken(token: str, ending: Ending) -> bool:
        answer(token, ending)
        api.process.record("a1", "Approved")
        return answer(token, ending)

    api.process.answer = overtaken  # type: ignore[method-assign]

    assert api.send("POST", "/applications/a1/decision", {"status": "Approved"})[0] == 202
    assert len(api.process.answers) == 1


def test_nobody_withdraws_anothers_application(api: Api) -> None:
    api.process.record("a1", "Preparing", token="t1")

    assert api.send("POST", "/applications/a1/withdraw", {"account_id": "account-2"})[0] == 404
    status, body = api.send("POST", "/applications/a1/withdraw", {})
    assert (status, [error["field"] for error in body["errors"]]) == (400, ["account_id"])
    assert api.process.answers == {}


@pytest.mark.parametrize("route_key", ["$default", "POST /applications/{id}/withdraw"])
def test_a_decision_is_found_through_its_own_route_alone(api: Api, route_key: str) -> None:
    """IAM lets others reach those."""
    api.process.record("a1", "Preparing", token="t1")

    assert api.send("POST", "/applications/a1/decision", {"status": "Approved"}, route_key=route_key)[0] == 404
    assert api.process.answers == {}


def test_who_decided_is_the_person_behind_the_role(api: Api) -> None:
    api.process.record("a1", "Preparing", token="t1")

    for session in ("jane", "joe"):
        api.send("POST", "/applications/a1/decision", {"status": "Approved"}, key="k", user_id=f"AROASTAFF:{session}")

    assert [ending.actor for ending in api.process.answers.values()] == ["AROASTAFF:jane"]


def test_what_is_not_there_or_not_ready_is_told_so(api: Api) -> None:
    api.process.record("early", "Received")

    assert api.send("GET", "/applications/nobody")[0] == 404
    assert api.send("GET", "/applications/%00")[0] == 404
    assert api.send("POST", "/applications/nobody/withdraw", {"account_id": ACCOUNT})[0] == 404
    code, body = api.send("POST", "/applications/early/withdraw", {"account_id": ACCOUNT})
    assert (code, body["type"]) == (409, "urn:headwater:problem:application-not-ready")


def test_an_application_is_shown_without_its_inner_workings(api: Api) -> None:
    api.process.record("a1", "Preparing", token="t1")

    assert api.send("GET", "/applications/a1") == (
        200,
        {
            "application_id": "a1",
            "account_id": application()["account_id"],
            "kind": "licence",
            "title": "Fishing",
            "status": "Preparing",
            "updated_at": None,
        },
    )


def test_the_errors_have_no_other_way_in() -> None:
    """Used without HTTP, they are the same."""
    process = InMemoryProcess()
    applications = Applications(process, process)
    ending = Ending(status="Approved", note="", actor="a")

    with pytest.raises(ApplicationNotFoundError):
        applications.end("a1", ending)
    process.record("a1", "Received")
    with pytest.raises(ApplicationNotReadyError):
        applications.end("a1", ending)
    process.record("a1", "Rejected")
    with pytest.raises(ApplicationDecidedError, match="Rejected already"):
        applications.end("a1", ending)


def test_a_process_that_was_started_before_is_not_an_error() -> None:
    client = boto3.client("stepfunctions", region_name="eu-west-1")
    given = {"application_id": "a1", "account_id": "account-1", "kind": "licence", "title": "To fish"}
    request = {
        "stateMachineArn": MACHINE,
        "name": "a1",
        "input": json.dumps({**given, "note": "", "actor": "anonymous"}, separators=(",", ":")),
    }
    with Stubber(client) as stub:
        stub.add_client_error("start_execution", "ExecutionAlreadyExists", expected_params=request)
        StepFunctionsProcess(client, MACHINE).start("a1", NEW)
        stub.add_client_error("start_execution", "StateMachineDoesNotExist", expected_params=request)
        with pytest.raises(client.exceptions.StateMachineDoesNotExist):
            StepFunctionsProcess(client, MACHINE).start("a1", NEW)


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_token_that_waits_no_more_is_told(code: str) -> None:
    client = boto3.client("stepfunctions", region_name="eu-west-1")
    request = {"taskToken": "t1", "output": '{"status":"Approved","note":"","actor":"a"}'}
    ending = Ending(status="Approved", note="", actor="a")
    with Stubber(client) as stub:
        stub.add_response("send_task_success", {}, request)
        stub.add_client_error("send_task_success", code, expected_params=request)
        process = StepFunctionsProcess(client, MACHINE)

        assert [process.answer("t1", ending), process.answer("t1", ending)] == [True, False]


def test_the_reader_reads_what_the_process_writes() -> None:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-west-1")
        create_tables(client)
        reader = DynamoDbProcessReader(client, "applications", "credentials")
        assert (reader.application("a1"), reader.token("a1")) == (None, None)

        client.put_item(TableName="applications", Item=marshal_item(application()))
        client.put_item(TableName="credentials", Item=marshal_item({"pk": "decision#a1", "task_token": "t1"}))

        assert (reader.application("a1"), reader.token("a1")) == (application(), "t1")
