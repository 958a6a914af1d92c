"""The local stack on a small template of its own: delivery, failures, HTTP."""

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from devstack.errors import DevstackError
from devstack.stack import LocalStack, NotQuietError
from operations.running import running_stack
from tests.integration.devstack.processes import PARAMETERS, copy_of_project, devstack, eventually

QUIET_SECONDS = 60


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_project(tmp_path_factory.mktemp("devstack"))


@pytest.fixture(scope="module")
def succeeded() -> list[tuple[str, Any]]:
    return []


@pytest.fixture(scope="module")
def said() -> io.StringIO:
    """What the stack prints for the person at the keyboard."""
    return io.StringIO()


@pytest.fixture(scope="module")
def stack(project: Path, succeeded: list[tuple[str, Any]], said: io.StringIO) -> Iterator[LocalStack]:
    with LocalStack(
        project,
        parameters=PARAMETERS,
        on_success=lambda function, event: succeeded.append((function, event)),
        stream=said,
    ) as stack:
        yield stack


@pytest.fixture
def journal(stack: LocalStack) -> Any:
    """What the functions note; the module that they import, not one of the tests' own."""
    return sys.modules["toy.journal"]


def put(stack: LocalStack, name: str, kind: str = "plain") -> None:
    item = {"id": {"S": name}, "kind": {"S": kind}}
    stack.client("dynamodb").put_item(TableName=stack.outputs["OrdersTableName"], Item=item)


def put_at_once(stack: LocalStack, *orders: tuple[str, str]) -> None:
    """Orders that are on the stream one right after the other."""
    table = stack.outputs["OrdersTableName"]
    stack.client("dynamodb").transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table, "Item": {"id": {"S": name}, "kind": {"S": kind}}}} for name, kind in orders
        ]
    )


def messages_on(stack: LocalStack, url: str) -> list[dict[str, Any]]:
    answer = stack.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


# ---- delivery


def test_a_change_reaches_every_consumer_once(
    stack: LocalStack, journal: Any, succeeded: list[tuple[str, Any]]
) -> None:
    names = [f"order-{number}" for number in range(120)]
    for name in names:
        put(stack, name, "mail" if name.endswith("0") else "plain")
    stack.wait_until_quiet(QUIET_SECONDS)
    assert [name for name in journal.seen("forward") if name in names] == names, "a shard is read in order"
    assert sorted(name for name in journal.seen("count") if name in names) == sorted(names)
    mailed = [name for name in names if name.endswith("0")]
    assert sorted(name for name in journal.seen("mail") if name in names) == sorted(mailed), "the filter policy holds"
    assert set(stack.backlog().values()) == {0}
    noted = [record for name, event in succeeded if name == "ForwardFunction" for record in event["Records"]]
    assert len(noted) >= len(names)


def test_records_arrive_as_lambda_shows_them(stack: LocalStack, journal: Any) -> None:
    item = {"id": {"S": "shapes"}, "kind": {"S": "mail"}, "blob": {"B": b"\x00\xff"}, "none": {"NULL": True}}
    stack.client("dynamodb").put_item(TableName=stack.outputs["OrdersTableName"], Item=item)
    stack.wait_until_quiet(QUIET_SECONDS)
    seen = {name: event["Records"][-1] for name, event in journal.events if "shapes" in str(event) or name == "count"}
    change = seen["forward"]
    assert change["eventSource"] == "aws:dynamodb"
    assert change["eventName"] == "INSERT"
    assert change["eventSourceARN"].startswith("arn:aws:dynamodb:us-east-1:000000000000:table/")
    assert change["dynamodb"]["NewImage"]["blob"] == {"B": "AP8="}
    assert isinstance(change["dynamodb"]["ApproximateCreationDateTime"], int | float)
    assert seen["count"]["eventID"].startswith("shardId-")
    assert seen["mail"]["attributes"]["ApproximateReceiveCount"] == "1"
    assert seen["mail"]["messageAttributes"]["kind"]["stringValue"] == "mail"


def test_a_change_is_delivered_though_nobody_tells_the_readers_of_it(stack: LocalStack, journal: Any) -> None:
    """Somebody writes past the stack: readers that idle find it by themselves."""
    stack.wait_until_quiet(QUIET_SECONDS)
    put(stack, "quick", "mail")
    # Not by waiting until it is quiet, which pokes them.
    eventually(lambda: all("quick" in journal.seen(function) for function in ("forward", "count", "mail")))


def test_the_environment_is_the_templates_with_nothing_of_the_persons_own(stack: LocalStack) -> None:
    assert os.environ["GREETING"] == "hello from us-east-1"
    assert os.environ["AWS_ENDPOINT_URL"] == stack.endpoint_url
    assert os.environ["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert stack.outputs["SenderAddress"] == "me@example.com"


def test_the_emulators_own_mappings_are_never_created(stack: LocalStack) -> None:
    assert stack.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []


def test_logs_are_in_the_run_folder_by_function(stack: LocalStack) -> None:
    stack.invoke("ForwardFunction", {"Records": []})
    log = (stack.run_folder / "logs" / "ForwardFunction.log").read_text()
    assert "cold start hello from us-east-1" in log
    assert "START RequestId: " in log


def test_mail_from_the_templates_sender_is_accepted(stack: LocalStack) -> None:
    stack.client("sesv2").send_email(
        FromEmailAddress="me@example.com",
        Destination={"ToAddresses": ["you@example.com"]},
        Content={"Simple": {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "there"}}}},
    )
    assert [(list(mail.to), mail.subject, mail.text) for mail in stack.sent_mails()] == [
        (["you@example.com"], "Hi", "there")
    ]


# ---- failures


def test_a_poison_change_is_reported_and_its_neighbours_flow(
    stack: LocalStack, journal: Any, said: io.StringIO
) -> None:
    """FAULTS row 1: partial answers, bisect, one retry, then OnFailure to a queue."""
    told = stack.tried_again
    put_at_once(stack, ("before", "plain"), ("rotten", "poison"), ("after", "plain"))
    stack.wait_until_quiet(QUIET_SECONDS)
    assert stack.tried_again >= told + 2
    counted = journal.seen("count")
    assert {"before", "after"} <= set(counted)
    assert "rotten" not in counted
    (message,) = messages_on(stack, stack.outputs["FailedBatchesQueueUrl"])
    assert message["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert message["requestContext"]["functionArn"].endswith(":function:local-ForwardFunction")
    place = message["DDBStreamBatchInfo"]
    assert place["batchSize"] == 1
    assert place["startSequenceNumber"] == place["endSequenceNumber"]
    assert journal.seen("forward").count("rotten") >= 2, "it was retried"
    assert "ForwardFunction.Orders reports 1 of 1 record(s) failed" in said.getvalue()
    assert "ForwardFunction.Orders gives up 1 record(s)" in said.getvalue()


def test_a_batch_that_raises_goes_to_the_bucket_with_its_payload(stack: LocalStack, said: io.StringIO) -> None:
    put(stack, "odd", "uncountable")
    stack.wait_until_quiet(QUIET_SECONDS)
    s3, bucket = stack.client("s3"), stack.outputs["FailedBatchesBucketName"]
    (found,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    record = json.loads(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    assert found["Key"].startswith("aws/lambda/")
    assert record["KinesisBatchInfo"]["shardId"] in found["Key"]
    assert record["responseContext"]["functionError"] == "Unhandled"
    (payload,) = json.loads(record["payload"])["Records"]
    assert payload["kinesis"]["partitionKey"] == "odd"
    (line,) = [line for line in said.getvalue().splitlines() if line.startswith("CountFunction failed after ")]
    assert "ValueError: cannot count odd" in line
    assert "Traceback" in (stack.run_folder / "logs" / "CountFunction.log").read_text()


def test_a_partial_queue_answer_retries_what_failed_and_redrives_what_never_works(
    stack: LocalStack, journal: Any
) -> None:
    for name in ("fine", "late", "bad"):
        put(stack, name, "mail")
    stack.wait_until_quiet(QUIET_SECONDS)
    seen = journal.seen("mail")
    assert (seen.count("fine"), seen.count("late"), seen.count("bad")) == (1, 2, 2)
    (dead,) = eventually(lambda: messages_on(stack, stack.outputs["MailDeadLetterQueueUrl"]))
    assert dead["id"] == "bad"


def test_waiting_gives_up_with_what_is_left(stack: LocalStack, journal: Any) -> None:
    put(stack, "held", "mail")
    eventually(lambda: "held" in journal.seen("mail"))
    with pytest.raises(NotQuietError, match=r"still busy after 0\.5 s \(MailFunction\.Mails: 1\)"):
        stack.wait_until_quiet(0.5)
    journal.released.set()
    stack.wait_until_quiet(QUIET_SECONDS)


# ---- HTTP


def send(stack: LocalStack, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager() as pool:
        return pool.request(method, stack.url + path, retries=False, timeout=60, **options)


def test_a_request_is_answered_by_its_function(stack: LocalStack) -> None:
    answer = send(stack, "GET", "/things/seven?a=1&a=2", headers={"X-Custom": "One"})
    event = answer.json()
    assert answer.status == 200
    assert event["routeKey"] == "GET /things/{id}"
    assert event["pathParameters"] == {"id": "seven"}
    assert event["queryStringParameters"] == {"a": "1,2"}
    assert event["headers"]["x-custom"] == "One"
    assert answer.headers.getlist("set-cookie") == ["a=1; Path=/", "b=2"]
    assert 0 < int(answer.headers["x-remaining"]) <= 3000


def test_a_body_reaches_the_function(stack: LocalStack) -> None:
    answer = send(stack, "POST", "/things", body=b'{"a": 1}', headers={"content-type": "application/json"})
    assert answer.status == 201
    assert answer.json()["body"] == '{"a": 1}'


def test_a_greedy_route_takes_any_method(stack: LocalStack) -> None:
    answer = send(stack, "DELETE", "/files/a/b/c")
    assert answer.json()["pathParameters"] == {"path": "a/b/c"}


@pytest.mark.parametrize(
    ("method", "path", "size", "status", "message"),
    [
        ("GET", "/nowhere", 0, 404, "Not Found"),
        ("POST", "/things", 10 * 1024 * 1024 + 1, 413, "Request Too Long"),
        ("GET", "/things/broken", 0, 500, "Internal Server Error"),
        ("GET", "/things/slow", 0, 503, "Service Unavailable"),
    ],
)
def test_api_gateways_own_errors(
    stack: LocalStack, method: str, path: str, size: int, status: int, message: str
) -> None:
    """FAULTS row 18: a 10 MB body gets 413."""
    answer = send(stack, method, path, body=b"x" * size)
    assert (answer.status, answer.json()) == (status, {"message": message})


# ---- start and stop


def test_another_process_can_find_the_stack(stack: LocalStack, project: Path) -> None:
    found = running_stack(project)
    assert found is not None
    assert (found.url, found.endpoint_url) == (stack.url, stack.endpoint_url)
    dynamodb = found.session().client("dynamodb", endpoint_url=found.endpoint_url)
    assert stack.outputs["OrdersTableName"] in dynamodb.list_tables()["TableNames"]
    dynamodb.close()


def test_a_second_stack_in_the_same_process_is_refused(stack: LocalStack, project: Path) -> None:
    with pytest.raises(DevstackError, match="another local stack runs in this process"):
        LocalStack(project, parameters=PARAMETERS).start()
    stack.wait_until_quiet(QUIET_SECONDS)
    assert os.environ["AWS_ENDPOINT_URL"] == stack.endpoint_url


def test_stacks_of_several_processes_run_side_by_side(stack: LocalStack, project: Path) -> None:
    process = devstack(project)
    mine = stack.run_folder
    try:
        eventually(lambda: (other := running_stack(project)) and other.url != stack.url)
        assert mine.exists(), "a live run is not touched"
        put(stack, "side-by-side")
        stack.wait_until_quiet(QUIET_SECONDS)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
