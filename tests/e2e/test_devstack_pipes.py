"""A pipe on the local stack, on a template of its own: filter, enrichment, target, retry, bisect, dead letter."""

import io
import json
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.stack import LocalStack
from tests.integration.devstack.processes import copy_of_project

QUIET_SECONDS = 60


@pytest.fixture(scope="module")
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, said: io.StringIO) -> Iterator[LocalStack]:
    project = copy_of_project(tmp_path_factory.mktemp("pipes"))
    with LocalStack(project / "pipe.yaml", stream=said) as stack:
        yield stack


@pytest.fixture
def journal(stack: LocalStack) -> Any:
    return sys.modules["toy.journal"]


def put(stack: LocalStack, *kinds: str) -> list[str]:
    """Visits that are on the stream one right after the other; their ids."""
    table, names = stack.outputs["VisitsTableName"], [f"{kind}-{uuid.uuid4()}" for kind in kinds]
    stack.client("dynamodb").transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table, "Item": {"id": {"S": name}, "kind": {"S": kind}}}}
            for name, kind in zip(names, kinds, strict=True)
        ]
    )
    stack.wait_until_quiet(QUIET_SECONDS)
    return names


def dead_letters(stack: LocalStack) -> list[dict[str, Any]]:
    sqs, url = stack.client("sqs"), stack.outputs["FailedBatchesQueueUrl"]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]


def test_a_batch_goes_through_the_enrichment_to_the_target_as_bare_lists(stack: LocalStack, journal: Any) -> None:
    names = put(stack, *["plain"] * 25)

    assert [name for name in journal.seen("enrich") if name in names] == names
    assert [name for name in journal.seen("tell") if name in names] == names
    batches = [event["batch"] for name, event in journal.events if name == "enrich"]
    assert max(map(len, batches)) <= 10
    assert {"eventID", "eventName", "dynamodb", "eventSourceARN"} <= batches[0][0].keys()


def test_a_filtered_record_costs_no_invocation(stack: LocalStack, journal: Any) -> None:
    before = len(journal.entries)

    names = put(stack, *["ignored"] * 5)

    assert len(journal.entries) == before
    assert not set(names) & set(journal.seen("enrich"))
    assert set(stack.backlog().values()) == {0}, "the checkpoint passes what was filtered"


def test_what_a_target_names_by_its_event_id_is_retried_and_its_neighbours_are_not_lost(
    stack: LocalStack, journal: Any
) -> None:
    first, refused, last = put(stack, "plain", "refused", "plain")

    (letter,) = dead_letters(stack)
    assert letter["context"] == {
        "partnerResourceArn": "arn:aws:pipes:us-east-1:000000000000:pipe/local-VisitsPipe",
        "condition": "RetryAttemptsExhausted",
    }
    assert letter["DDBStreamBatchInfo"]["batchSize"] == 1
    assert {"requestContext", "responseContext"}.isdisjoint(letter)
    assert journal.seen("tell").count(first) == 1
    assert journal.seen("tell").count(refused) >= 2
    assert last in journal.seen("tell")


def test_row_35_an_enrichment_that_fails_is_halved_down_to_its_cause_and_dead_lettered(
    stack: LocalStack, journal: Any
) -> None:
    """FAULTS row 35: retried, then dead-lettered with AWS's condition; its neighbours reach the target."""
    names = put(stack, "plain", "plain", "unreadable", "plain")

    (letter,) = dead_letters(stack)
    assert letter["context"]["condition"] == "RetryAttemptsExhausted"
    assert letter["DDBStreamBatchInfo"]["batchSize"] == 1
    assert {name for name in names if not name.startswith("unreadable")} <= set(journal.seen("tell"))
    assert names[2] not in journal.seen("tell")


def test_row_35_an_enrichment_that_answers_fewer_is_refused_by_the_target_and_tried_again_in_halves(
    stack: LocalStack, journal: Any
) -> None:
    """FAULTS row 35: every record arrives, since a batch of one is answered whole."""
    names = put(stack, "fewer", "plain", "plain")

    assert set(names) <= set(journal.seen("tell"))
    assert dead_letters(stack) == []


def test_an_enrichment_that_answers_nothing_leaves_the_target_out_and_somebody_is_told(
    stack: LocalStack, journal: Any, said: io.StringIO
) -> None:
    """As AWS does, who would say nothing: this is why each record needs its element."""
    (name,) = put(stack, "nothing")

    assert name not in journal.seen("tell")
    assert dead_letters(stack) == []
    assert "VisitsPipe drops 1 record(s): the enrichment answered nothing" in said.getvalue()
