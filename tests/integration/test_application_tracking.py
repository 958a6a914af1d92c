"""The Pipe's functions, the tracker and its routes with their fixtures, against DynamoDB and SQS (moto)."""

import copy
import json
from typing import Any

import pytest

from headwater import bootstrap
from headwater.attribute_values import marshal_item
from headwater.clock import timestamp, utc_now
from tests.fakes.applications import action, application, record
from tests.fakes.schemas import validator
from tests.fakes.tables import create_receiver_tables
from tests.integration.stream_functions import Invoke, fixture, handler, stack

__all__ = ["stack"]

APPLICATION = "019930c2-9000-7000-8000-000000000001"
ACCOUNT = "019930c2-6d1e-7a40-9c35-5be0f1a2c3d4"


@pytest.fixture
def queues(stack: None) -> None:
    for name in ("inbox", "parked-records"):
        bootstrap.sqs().create_queue(QueueName=name)
    create_receiver_tables(bootstrap.dynamodb())


def put(item: dict[str, Any]) -> None:
    bootstrap.dynamodb().put_item(TableName="applications", Item=marshal_item(item))


def messages(queue: str) -> list[Any]:
    url = bootstrap.sqs().get_queue_url(QueueName=queue)["QueueUrl"]
    found = bootstrap.sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def test_the_enrichments_fixture_becomes_the_targets(queues: None) -> None:
    put(application(APPLICATION, account_id=ACCOUNT, title="Fishing on the upper lake"))
    enrich: Any = handler("application_enrichment")

    assert enrich(fixture("ApplicationEnrichmentFunction")) == fixture("ApplicationTargetFunction")


def test_the_batch_is_one_read(queues: None) -> None:
    reads: list[Any] = []
    bootstrap.dynamodb().meta.events.register(
        "provide-client-params.dynamodb.BatchGetItem", lambda params, **_: reads.append(params)
    )
    enrich: Any = handler("application_enrichment")

    enrich([record(action(f"x{number}", f"a{number % 7}"), number) for number in range(100)])

    (request,) = reads
    assert len(request["RequestItems"]["applications"]["Keys"]) == 7
    assert request["RequestItems"]["applications"]["ConsistentRead"] is True


def test_the_targets_fixture_is_told_and_parked(queues: None) -> None:
    deliver: Any = handler("application_target")

    assert deliver(fixture("ApplicationTargetFunction")) == {"batchItemFailures": []}

    told, parked = messages("inbox"), messages("parked-records")
    for message in told:
        validator("ApplicationStatus", 1).validate(message)
    assert sorted(message["status"] for message in told) == ["Preparing", "Received"]
    assert [(message["consumer"], message["reason"]) for message in parked] == [
        ("application_status", "ApplicationMissingError")
    ]
    assert "there is no application" in parked[0]["error"]
    assert parked[0]["aggregate_id"] == parked[0]["parsed"][0]["pk"]
    assert parked[0]["raw"] == [fixture("ApplicationTargetFunction")[2]["record"]]


def test_row_36_a_queue_that_is_not_there_names_what_failed_and_a_retry_succeeds(queues: None) -> None:
    """FAULTS row 36: what was refused is named; once the queue is back, all of it arrives."""
    deliver: Any = handler("application_target")
    url = bootstrap.settings().application_inbox_queue
    bootstrap.sqs().delete_queue(QueueUrl=url)
    batch = fixture("ApplicationTargetFunction")

    answer = deliver(batch)
    bootstrap.sqs().create_queue(QueueName="inbox")

    refused = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert refused == [batch[0]["eventID"], batch[1]["eventID"]]
    assert deliver(batch) == {"batchItemFailures": []}
    assert len(messages("inbox")) == 2


@pytest.fixture
def tracked(queues: None) -> Invoke:
    """The pages, after the tracker's fixture: a batch of two messages, the later one first."""
    track = handler("tracker")
    assert [track(fixture("TrackerFunction")) for _ in range(2)] == [{"batchItemFailures": []}] * 2
    return handler("tracking_api")


def get(api: Invoke, path: str, **query: str) -> tuple[int, Any]:
    event = copy.deepcopy(fixture("TrackingApiFunction"))
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["queryStringParameters"] = query
    answer = api(event)
    return answer["statusCode"], json.loads(answer["body"])


def test_the_fixtures_page_shows_the_history_in_order(tracked: Invoke) -> None:
    answer = tracked(fixture("TrackingApiFunction"))
    page = json.loads(answer["body"])

    assert answer["statusCode"] == 200
    assert (page["status"], page["progress"]) == ("Preparing", {"step": 2, "of": 3, "finished": False})
    assert [step["status"] for step in page["history"]] == ["Received", "Preparing"]
    assert page["history"][1]["note"] == "Your papers are complete."
    assert "account_id" not in page


def test_an_applicants_list_has_progress_and_another_account_sees_nothing(tracked: Invoke) -> None:
    status, page = get(tracked, f"/accounts/{ACCOUNT}/applications")
    assert status == 200
    assert [(each["application_id"], each["status"]) for each in page["applications"]] == [(APPLICATION, "Preparing")]
    assert page["applications"][0]["progress"]["step"] == 2

    assert get(tracked, "/accounts/somebody-else/applications")[1]["applications"] == []
    assert get(tracked, f"/accounts/somebody-else/applications/{APPLICATION}")[0] == 404


def test_staff_find_by_id_status_and_age(tracked: Invoke) -> None:
    _, one = get(tracked, f"/applications/{APPLICATION}")
    assert (one["account_id"], len(one["history"])) == (ACCOUNT, 2)
    assert one["age"] > 0

    for query in ({}, {"status": "Preparing"}, {"status": "Preparing", "older_than_hours": "1"}):
        _, page = get(tracked, "/applications", **query)
        assert [each["application_id"] for each in page["applications"]] == [APPLICATION], query
    for query in ({"status": "Approved"}, {"status": "Preparing", "older_than_hours": "8760"}):
        assert get(tracked, "/applications", **query)[0] == 200


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/applications", {"status": "Lost"}, "status"),
        ("/applications", {"limit": "0"}, "limit"),
        ("/applications", {"older_than_hours": "-1"}, "older_than_hours"),
        ("/applications", {"status": "Received", "after": "nonsense"}, "after"),
        ("/applications", {"after": "2026-01-01T00:00:00.000Z~a"}, "after"),
        ("/applications", {"status": "Received", "after": "2026-01-01"}, "after"),
        ("/applications", {"status": "Received", "after": "last Thursday, at noon -~a"}, "after"),
        ("/accounts/a/applications", {"after": "last Thursday, at noon -~a"}, "after"),
        # Of a list that reaches nearer to today than this one, where DynamoDB would refuse to begin.
        (
            "/applications",
            {"status": "Received", "older_than_hours": "24", "after": f"{timestamp(utc_now())}~a"},
            "after",
        ),
        ("/accounts/a%23b/applications", {}, "id"),
    ],
)
def test_what_cannot_be_asked_is_named(tracked: Invoke, path: str, query: dict[str, str], field: str) -> None:
    status, problem = get(tracked, path.replace("%23", "#"), **query)

    assert status == 400
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("more", [{}, {"older_than_hours": "24"}])
def test_pages_follow_each_other(tracked: Invoke, more: dict[str, str]) -> None:
    track = handler("tracker")
    body = json.loads(fixture("TrackerFunction")["Records"][0]["body"])
    for number in range(3):
        change = {**body, "application_id": f"b{number}", "action_id": f"y{number}"}
        change["occurred_at"] = f"2026-02-0{number + 1}T00:00:00.000Z"
        track({"Records": [{**fixture("TrackerFunction")["Records"][0], "body": json.dumps(change)}]})

    seen, after = [], None
    while True:
        query = {"status": "Preparing", "limit": "2", **more} | ({"after": after} if after else {})
        _, page = get(tracked, "/applications", **query)
        seen += [each["application_id"] for each in page["applications"]]
        after = page["next"]
        if after is None:
            break

    assert seen == ["b0", "b1", "b2", APPLICATION]
