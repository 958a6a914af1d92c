"""A failed batch's whole way on the local stack: given up, parked, seen, repaired, redriven."""

import json
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.client import BaseClient
from click.testing import CliRunner, Result

from cli.main import main as headwater
from devstack.demo import poison, traffic
from devstack.demo.traffic import Api, Request
from devstack.stack import LocalStack
from headwater.attribute_values import marshal_item
from headwater.clock import timestamp, utc_now
from tests.e2e.output import json_lines
from tests.e2e.stacks import ROOT, templates_in
from tests.fakes.applications import action, application
from tests.infrastructure.iam import allows, calls_of

QUIET_SECONDS = 60


#: One retry for the event stream's consumers, so that a batch is given up within seconds.
IMPATIENT = {
    f"MaximumRetryAttempts: -1\n{' ' * 12}MaximumRecordAgeInSeconds: !FindInMap [Retention, !Ref": (
        f"MaximumRetryAttempts: 1\n{' ' * 12}MaximumRecordAgeInSeconds: !FindInMap [Retention, !Ref"
    )
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    folder = templates_in(tmp_path_factory.mktemp("stack"), IMPATIENT)
    with pytest.MonkeyPatch.context() as patch, LocalStack(folder) as stack:
        patch.chdir(folder)
        # The command runs in the functions' process here, and would find what they built in their own environment.
        bootstrap = sys.modules["headwater.bootstrap"]
        bootstrap.redrive.cache_clear()
        bootstrap.lambda_client.cache_clear()
        yield stack


@pytest.fixture(scope="module")
def api(stack: LocalStack) -> Api:
    return Api(stack.url)


#: What each subcommand called in a test: service, operation, parameters.
CALLS: dict[str, list[tuple[str, str, dict[str, Any]]]] = defaultdict(list)


def command(*arguments: str) -> Result:
    """Runs the operator's command and notes its calls: those of this thread, and of the threads that write rows."""
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def noted(self: Any, operation: str, params: dict[str, Any]) -> Any:
        thread = threading.current_thread()
        writes_rows = arguments[0] in {"redrive", "discard", "release"} and thread.name.startswith("leaderboard_")
        if writes_rows or thread is threading.main_thread():
            CALLS[arguments[0]].append((self.meta.service_model.service_name, operation, params))
        return call(self, operation, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        return CliRunner().invoke(headwater, ["dead-letters", *arguments], env={"COLUMNS": "200"})


def denied(stack: LocalStack, subcommand: str, *, redriving: bool) -> set[tuple[str, str]]:
    """What a subcommand called, and the policy of those who read (and that of those who redrive) does not allow."""
    resources = stack.template.document["Resources"]
    policies = ["DeadLettersReaderPolicy", *(["DeadLettersRedrivePolicy"] if redriving else [])]
    statements = [
        statement for name in policies for statement in resources[name]["Properties"]["PolicyDocument"]["Statement"]
    ]
    logical = {value.rpartition("/")[2].rpartition(":")[2]: output for output, value in stack.outputs.items()}
    names = {
        name: re.sub(r"(Name|Url|Arn)$", "", output).replace("QueueUrl", "Queue") for name, output in logical.items()
    }
    refused = set()
    for service, operation, params in CALLS[subcommand]:
        # Everybody may ask who they are.
        for call in () if service == "sts" else calls_of(subcommand, service, operation, params):
            place, slash, key = call.resource.partition("/")
            named = replace(call, resource=names.get(place, place) + slash + key)
            if not any(allows(statement, named) for statement in statements):
                refused.add((named.action, named.resource))
    return refused


@pytest.fixture(autouse=True)
def _allowed(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test's commands call, the policies for the person on call allow."""
    CALLS.clear()
    yield
    for subcommand in tuple(CALLS):
        redriving = subcommand not in {"list", "show"}
        assert denied(request.getfixturevalue("stack"), subcommand, redriving=redriving) == set()


def listed(*arguments: str) -> list[dict[str, Any]]:
    shown = command("list", "--json", "--no-wait", *arguments)
    letters = json_lines(shown)
    # 3: nothing is seen, and nobody waited for a minute to be sure.
    assert shown.exit_code == 1 if letters else shown.exit_code in {1, 3}, shown.output
    return letters


def register(api: Api, name: str) -> str:
    registration = {"name": name, "email": f"{name}@example.org", "password": "correct horse battery"}
    user_id: str = api.send(Request("POST", "/register", registration))["user_id"]
    return user_id


def play(api: Api, user_id: str, score: int) -> None:
    api.send(Request("POST", "/users/{user_id}/plays", {"game": "chess", "score": score}), user_id)


def until(found: Callable[[], Any]) -> Any:
    # A limit that only a hang reaches.
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.5)
    raise AssertionError("it did not come")


def test_a_failed_batch_is_parked_seen_and_redriven(
    stack: LocalStack, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS rows 21 and 25: through Lambda's own message, from the shard."""
    # Given a consumer whose table refuses one row, for a while
    adapter = sys.modules["headwater.projections.dynamodb"].DynamoDbReadModels  # the functions' own copy
    user_id = register(api, "ada")
    stack.wait_until_quiet(QUIET_SECONDS)
    put = adapter.put

    def refuse(self: Any, row: Any, parts: Any = ()) -> None:
        if row.pk.startswith("leaderboard@") and user_id in row.pk:
            raise ConnectionError("no route to the table")
        put(self, row, parts)

    monkeypatch.setattr(adapter, "put", refuse)
    play(api, user_id, 7)
    play(api, user_id, 9)

    # When its mapping gives up
    letters = until(lambda: listed("--consumer", "leaderboard"))
    stack.wait_until_quiet(QUIET_SECONDS)
    letters = listed("--consumer", "leaderboard")

    # Then the records are parked for an operator to see, and listing hides nothing
    assert {letter["aggregate"] for letter in letters} == {f"player#{user_id}"}
    assert {letter["reason"] for letter in letters} == {"RetryAttemptsExhausted"}
    assert sorted({version for letter in letters for version in letter["versions"]}) == [1, 2]
    assert listed("--consumer", "leaderboard") == letters
    shown = command("show", letters[0]["id"])
    assert shown.exit_code == 0, shown.output
    assert '"PlayCompleted"' in shown.output
    table = command("list").output
    assert "leaderboard" in table
    assert "13 d" in table

    # When it is redriven too early, nothing is lost
    refused = command("redrive", "--consumer", "leaderboard")
    assert refused.exit_code == 1
    assert "no route to the table" in refused.output
    assert listed("--consumer", "leaderboard") == letters

    # And once it is repaired, it is applied and off the queue
    monkeypatch.setattr(adapter, "put", put)
    dry = command("redrive", "--aggregate", f"player#{user_id}", "--dry-run")
    assert "would be taken off ParkedRecordsQueue" in dry.output
    assert listed("--consumer", "leaderboard") == letters
    redriven = command("redrive", "--aggregate", f"player#{user_id}")
    assert redriven.exit_code == 0, redriven.output
    assert listed() == []
    entries = api.send(Request("GET", "/games/chess/leaderboard"))["entries"]
    assert [entry["score"] for entry in entries if entry["user_id"] == user_id] == [9]


def test_row_25_an_unknown_message_is_kept_shown_and_discarded_with_a_reason(stack: LocalStack) -> None:
    """FAULTS row 25."""
    sqs = stack.client("sqs")
    sqs.send_message(QueueUrl=stack.outputs["FailedBatchesQueueUrl"], MessageBody="what is [this]?")

    (letter,) = until(listed)

    assert (letter["in"], letter["reason"]) == ("UnresolvedPointersQueue", "unknown shape")
    assert "not JSON" in letter["error"]
    assert "what is [this]?" in command("show", letter["id"]).output
    assert command("discard", letter["id"]).exit_code == 2, "it needs a reason"
    discarded = command("discard", letter["id"], "--reason", "a test's own")
    assert discarded.exit_code == 0, discarded.output
    assert listed() == []
    bucket = stack.outputs["FailedBatchesBucketName"]
    records = stack.client("s3").list_objects_v2(Bucket=bucket, Prefix="discarded/")["Contents"]
    bodies = [stack.client("s3").get_object(Bucket=bucket, Key=record["Key"])["Body"].read() for record in records]
    (kept,) = [kept for kept in map(json.loads, bodies) if kept.get("raw") == "what is [this]?"]
    assert kept["reason_to_discard"] == "a test's own"
    assert "arn:aws:" in kept["discarded_by"]


def test_the_last_discard_of_an_aggregate_lets_it_go_on_without_the_event(stack: LocalStack, api: Api) -> None:
    """FAULTS row 20: for events that nobody will ever be able to read."""
    user_id = register(api, "cyd")
    player = traffic.User(0, "cyd", "cyd@example.org", user_id=user_id)
    poison.strew(stack, [player], 1)
    stack.wait_until_quiet(QUIET_SECONDS)
    (letter,) = until(lambda: listed("--aggregate", f"player#{user_id}"))
    assert (letter["consumer"], letter["versions"]) == ("fan_out", [1]), "it is judged once, for all"

    discarded = command("discard", letter["id"], "--reason", "a test's own")

    assert discarded.exit_code == 0, discarded.output
    assert f"Read models and badges go on without version 1 of player#{user_id}" in " ".join(discarded.output.split())
    play(api, user_id, 77)
    stack.wait_until_quiet(QUIET_SECONDS)
    entries = api.send(Request("GET", f"/games/{traffic.GAMES[0]}/leaderboard"))["entries"]
    assert [entry["score"] for entry in entries if entry["user_id"] == user_id] == [77]
    assert listed() == []


def test_an_aggregate_whose_dead_letters_expired_is_released_and_parked_anew(stack: LocalStack, api: Api) -> None:
    """FAULTS row 20: the mark does not outlive what is parked for ever."""
    user_id = register(api, "dan")
    poison.strew(stack, [traffic.User(0, "dan", "dan@example.org", user_id=user_id)], 1)
    stack.wait_until_quiet(QUIET_SECONDS)
    where = ("--aggregate", f"player#{user_id}", "--consumer", "leaderboard")
    until(lambda: listed("--aggregate", f"player#{user_id}"))
    # As after 14 days
    sqs, url = stack.client("sqs"), stack.outputs["ParkedRecordsQueueUrl"]
    sqs.purge_queue(QueueUrl=url)
    play(api, user_id, 5)
    stack.wait_until_quiet(QUIET_SECONDS)
    assert listed() == [], "it is acknowledged and held back"

    released = command("release", *where, "--reason", "it expired")

    assert released.exit_code == 0, released.output
    assert "It still fails, and is parked anew" in released.output
    play(api, user_id, 6)
    stack.wait_until_quiet(QUIET_SECONDS)
    (letter,) = until(lambda: listed(*where))
    discarded = command("discard", letter["id"], "--reason", "a test's own")
    assert discarded.exit_code == 0, discarded.output
    entries = api.send(Request("GET", "/games/chess/leaderboard"))["entries"]
    assert [entry["score"] for entry in entries if entry["user_id"] == user_id] == [6]
    assert listed() == []


def test_a_dead_e_mail_is_in_the_same_table_and_goes_back_to_its_queue(stack: LocalStack, api: Api) -> None:
    user_id = register(api, "bob")
    stack.wait_until_quiet(QUIET_SECONDS)
    history = CliRunner().invoke(headwater, ["events", "show", f"user#{user_id}", "--json"])
    (event,) = json_lines(history)
    body = {
        "specversion": "1.0",
        "id": event["event_id"],
        "type": event["type"],
        "source": "urn:headwater:events",
        "subject": event["aggregate_id"],
        "time": event["occurred_at"],
        "datacontenttype": "application/json",
        "dataschema": "urn:headwater:schema:UserRegistered:1",
        "sequence": f"{1:020d}",
        "partitionkey": event["aggregate_id"],
        "data": event["data"],
    }
    url = stack.outputs["WelcomeEmailDeadLetterQueueUrl"]
    stack.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(body))

    (letter,) = listed("--consumer", "welcome_email")
    assert (letter["aggregate"], letter["reason"]) == (f"user#{user_id}", "receives exhausted")
    redriven = command("redrive", "--consumer", "welcome_email")
    assert redriven.exit_code == 0, redriven.output
    stack.wait_until_quiet(QUIET_SECONDS)

    assert listed() == []
    # The ledger keeps it at one mail.
    assert len([mail for mail in stack.sent_mails() if mail.to == ("bob@example.org",)]) == 1


def test_the_archivers_batches_are_archived_from_their_bucket(stack: LocalStack, api: Api) -> None:
    stack.wait_until_quiet(QUIET_SECONDS)
    s3, archive = stack.client("s3"), stack.outputs["ArchiveBucketName"]
    payload = json.loads((ROOT / "events" / "ArchiverFunction.json").read_text())
    info = {
        "requestContext": {
            "requestId": "1",
            "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:local-ArchiverFunction",
            "condition": "RecordAgeExceeded",
            "approximateInvokeCount": 300,
        },
        "responseContext": None,
        "version": "1.0",
        "timestamp": "2026-03-01T12:00:00Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-1",
            "startSequenceNumber": "1",
            "endSequenceNumber": "9",
            "approximateArrivalOfFirstRecord": "2026-03-01T12:00:00Z",
            "approximateArrivalOfLastRecord": "2026-03-01T12:00:00Z",
            "batchSize": len(payload["Records"]),
            "streamArn": "arn",
        },
        "payload": json.dumps(payload),
    }
    key = "aws/lambda/uuid/shardId-1/2026/03/01/2026-03-01T12.00.00-uuid"
    s3.put_object(Bucket=stack.outputs["FailedBatchesBucketName"], Key=key, Body=json.dumps(info).encode())
    before = s3.list_objects_v2(Bucket=archive, Prefix="raw/")["KeyCount"]

    (letter,) = listed()
    assert (letter["consumer"], letter["records"], letter["expires_at"]) == ("archiver", len(payload["Records"]), None)
    redriven = command("redrive", "--all")

    assert redriven.exit_code == 0, redriven.output
    assert s3.list_objects_v2(Bucket=archive, Prefix="raw/")["KeyCount"] > before
    assert listed() == []


def test_row_36_the_pipes_records_are_told_through_its_target_function(stack: LocalStack) -> None:
    """FAULTS row 36: the account domain's queue lets in that function's role, and no operator."""
    orphan = action("late", "late-application", occurred_at=timestamp(utc_now()))
    write(stack, orphan)
    stack.wait_until_quiet(QUIET_SECONDS)
    (letter,) = listed("--consumer", "application_status")
    assert letter["aggregate"] == "APPLICATION#late-application"

    # Too early: its application is not there
    refused = command("redrive", "--consumer", "application_status")
    assert refused.exit_code == 1
    assert "there is no application late-application" in " ".join(refused.output.split())

    # While the queue refuses, the function names what it could not tell, and the dead letter stays
    write(stack, application("late-application", account_id="late-account"))
    sqs, url = stack.client("sqs"), stack.receiver_outputs["ApplicationInboxUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.delete_queue(QueueUrl=url)
    refused = command("redrive", "--consumer", "application_status")
    assert refused.exit_code == 1
    assert "did not take it" in " ".join(refused.output.split())
    assert listed("--consumer", "application_status") == [letter]

    # Once it is back, the applicant sees the action, and nothing waits
    sqs.create_queue(QueueName=url.rpartition("/")[2], Attributes=attributes)
    redriven = command("redrive", "--consumer", "application_status")
    assert redriven.exit_code == 0, redriven.output
    page = f"{stack.receiver_url}/accounts/late-account/applications/late-application"
    shown = until(lambda: (answer := urllib3.request("GET", page)).status == 200 and answer.json())
    assert [step["status"] for step in shown["history"]] == ["Received"]
    assert listed() == []
    assert {operation for service, operation, _ in CALLS["redrive"] if service == "lambda"} == {"Invoke"}


def write(stack: LocalStack, item: dict[str, Any]) -> None:
    stack.client("dynamodb").put_item(TableName=stack.outputs["ApplicationsTableName"], Item=marshal_item(item))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nope"], "no dead letter has an id that begins with 'nope'"),
        (["redrive"], "say what to redrive"),
        (["redrive", "--all", "--consumer", "badges"], "say what to redrive"),
        (["discard", "nope", "--reason", " "], "say why"),
    ],
)
def test_the_operator_is_told_what_is_wrong(stack: LocalStack, arguments: list[str], message: str) -> None:
    shown = command(*arguments)

    assert shown.exit_code != 0
    assert message in " ".join(shown.output.split())


def test_the_policies_for_the_person_on_call_allow_what_the_commands_called(stack: LocalStack, api: Api) -> None:
    """What each test calls is judged as it ends; here, all subcommands, and that the judge can say no."""
    user_id = register(api, "eve")
    poison.strew(stack, [traffic.User(0, "eve", "eve@example.org", user_id=user_id)], 1)
    stack.wait_until_quiet(QUIET_SECONDS)
    where = ("--aggregate", f"player#{user_id}")
    letters = until(lambda: listed(*where))

    command("show", letters[0]["id"])
    command("redrive", *where)
    for letter in letters:
        assert command("discard", letter["id"], "--reason", "a test's own").exit_code == 0
    command("release", *where, "--consumer", "leaderboard", "--reason", "a test's own")

    assert CALLS.keys() >= {"list", "show", "redrive", "discard", "release"}
    assert denied(stack, "redrive", redriving=False), "or the judge would let everything pass"


@pytest.mark.slow
def test_the_demo_parks_what_nobody_can_read_repairs_and_redrives_it(tmp_path: Path) -> None:
    """FAULTS row 20: a newer schema version; then every event is at every station, the redriven ones included."""
    code = "import pathlib, sys; from devstack.demo.run import run; sys.exit(run(pathlib.Path(sys.argv[1]), 3, 20, 2))"
    finished = subprocess.run(
        [sys.executable, "-c", code, str(templates_in(tmp_path, IMPATIENT))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    parked, _, repaired = finished.stdout.partition("Repair:")
    assert "dead letters" in parked
    assert "Nothing waits." in repaired
    assert "Every event is at every station, and every e-mail was sent, once." in repaired
