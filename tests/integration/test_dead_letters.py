"""The function that parks failed batches, from its event to its queue."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from devstack.template import Template
from headwater import bootstrap
from headwater.dead_letters.parked import decode
from headwater.domain.events import PlayCompleted
from tests.fakes.events import recorded
from tests.fakes.kinesis_records import outgoing
from tests.fakes.pointers import from_lambda
from tests.integration.stream_functions import Invoke, fixture, handler, stack

__all__ = ["stack"]

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
#: DeadLettersFunction's MemorySize, in MiB.
MEMORY = 256


@pytest.fixture
def invoke(stack: None) -> Invoke:
    bootstrap.kinesis().create_stream(StreamName="events", ShardCount=1)
    for name in ("parked-records", "unresolved-pointers"):
        bootstrap.sqs().create_queue(QueueName=name)
    return handler("dead_letters")


def received(queue: str) -> list[str]:
    url = bootstrap.sqs().get_queue_url(QueueName=queue)["QueueUrl"]
    messages = bootstrap.sqs().receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [message["Body"] for message in messages]


def message(body: str) -> dict[str, object]:
    event = fixture("DeadLettersFunction")
    event["Records"][0]["body"] = body
    return dict(event)


def test_row_25_a_pointers_records_are_parked_and_counted_by_consumer_and_reason(
    invoke: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAULTS row 25."""
    event = recorded("player#ada", 1, PlayCompleted(game="chess", score=1, played_at="2026-03-01T12:00:00.000Z"))
    answer = bootstrap.kinesis().put_records(
        StreamName="events", Records=[{"PartitionKey": "player#ada", "Data": outgoing(event).body}]
    )
    number, shard_id = answer["Records"][0]["SequenceNumber"], answer["Records"][0]["ShardId"]
    pointer = from_lambda("kinesis", number, number, shard_id=shard_id)

    assert invoke(message(orjson.dumps(pointer).decode())) == {"batchItemFailures": []}

    metrics = [orjson.loads(line) for line in capsys.readouterr().out.splitlines() if "ParkedRecords" in line]
    assert [(line["consumer"], line["reason"], line["ParkedRecords"]) for line in metrics] == [
        ("badges", "RetryAttemptsExhausted", [1.0])
    ]
    (body,) = received("parked-records")
    parked = decode(body, bootstrap.claim_store())
    assert (parked.consumer, parked.aggregate_id, list(parked.versions)) == ("badges", "player#ada", [1])


def test_row_22_the_fixtures_records_are_nowhere_so_that_its_message_comes_again(invoke: Invoke) -> None:
    """FAULTS row 22."""
    event = fixture("DeadLettersFunction")

    assert invoke(event) == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert received("parked-records") == []


def test_row_25_an_unknown_message_is_kept_and_counted(invoke: Invoke, capsys: pytest.CaptureFixture[str]) -> None:
    """FAULTS row 25."""
    assert invoke(message("what is this?")) == {"batchItemFailures": []}

    assert received("unresolved-pointers") == ["what is this?"]
    metrics = [orjson.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [line["UnknownPointers"] for line in metrics if "UnknownPointers" in line] == [[1.0]]


def test_ten_thousand_records_are_resolved_in_one_invocation_within_the_functions_memory() -> None:
    """In a process of its own, whose peak memory also holds the services: what stays for the function is more."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.integration.resolve_many", "10000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    report = orjson.loads(finished.stdout.splitlines()[-1])
    assert report["answer"] == {"batchItemFailures": []}
    assert report["parked"] == 10_000
    assert report["peak_mib"] < MEMORY, report


def test_each_consumer_of_a_stream_can_be_redriven_and_its_gates_be_asked(stack: None) -> None:
    """A consumer that is missing here would be parked whole, and could not be redriven."""
    functions = {
        name: resource["Properties"]
        for name, resource in Template.load(ROOT / "template.yaml").document["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    reading = {
        properties["Handler"].rpartition(".")[2]
        for properties in functions.values()
        for event in properties.get("Events", {}).values()
        if event["Type"] in ("DynamoDB", "Kinesis")
    }

    # The archiver's batches are archived by itself, from its own bucket. A pipe's go through its functions again.
    assert set(bootstrap.redrive()._consumers) == (reading - {"archiver"}) | {"application_status"}
    # The fan-out and the export have no gates: their consumers, and their objects, tell what came before.
    assert set(bootstrap.dead_letters()._gates) == reading - {"archiver", "fan_out", "bi_export"}
