"""The operator's command over queues and a bucket in moto: what it shows, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from cli.dead_letters import dead_letters
from cli.target import SETTINGS as OUTPUTS
from cli.target import Target
from headwater import bootstrap
from headwater.change_stream.claim_checks import S3ClaimStore
from headwater.dead_letters.parked import encode
from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.event_store import codec
from headwater.projections.leaderboard import LEADERBOARD
from tests.fakes.events import AT, recorded
from tests.fakes.kinesis_records import kinesis_batch, kinesis_record
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.pointers import from_lambda
from tests.fakes.undeclared import undeclared_types
from tests.integration.stream_functions import SETTINGS, item, stack

__all__ = ["stack", "undeclared_types"]

pytestmark = pytest.mark.usefixtures("undeclared_types")

PLAY = PlayCompleted(game="chess", score=1, played_at=AT)


class Scene:
    """A stack in moto with its queues."""

    def __init__(self) -> None:
        s3, sqs = bootstrap.s3(), bootstrap.sqs()
        s3.create_bucket(
            Bucket=SETTINGS["FAILED_BATCHES_BUCKET"], CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        urls = {
            output: sqs.create_queue(QueueName=name)["QueueUrl"]
            for output, name in {
                "ParkedRecordsQueueUrl": "parked-records",
                "UnresolvedPointersQueueUrl": "unresolved-pointers",
                "WelcomeEmailDeadLetterQueueUrl": "dead-mails",
            }.items()
        }
        settings = {output: SETTINGS[field.upper()] for field, output in OUTPUTS.items()}
        self.outputs = {**settings, **urls}
        self.target = Target(boto3.Session(), None, self.outputs)

    def send(self, queue: str, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        bootstrap.sqs().send_message(QueueUrl=self.outputs[f"{queue}QueueUrl"], MessageBody=text)

    def park(self, *records: Any, aggregate_id: str = "player#ada", consumer: str = "leaderboard") -> None:
        lot = InMemoryParkingLot()
        parking(lot, consumer).park(aggregate_id, [1], records, ValueError("odd"))
        self.send("ParkedRecords", encode(lot.parked[0]).decode())

    def run(self, *arguments: str) -> Result:
        target: Callable[[], Target] = lambda: self.target  # noqa: E731
        return CliRunner().invoke(dead_letters, arguments, obj=target, env={"COLUMNS": "200"})

    def listed(self) -> list[dict[str, Any]]:
        shown = self.run("list", "--json")
        assert shown.exit_code == 0, shown.output
        return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.fixture
def scene(stack: None) -> Scene:
    return Scene()


def test_row_25_one_odd_message_does_not_hide_the_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS row 25: whatever a reader meets."""
    scene.send("UnresolvedPointers", from_lambda("dynamodb", "1", "2"))
    scene.send("UnresolvedPointers", from_lambda("dynamodb", "1", "2") | {"timestamp": "yesterday"})
    scene.send("UnresolvedPointers", from_lambda("dynamodb", "1" * 5000, "1" * 5000))
    scene.send("ParkedRecords", {"dataref": 5})
    scene.send("WelcomeEmailDeadLetter", {"subject": "user#1", "sequence": "9" * 20})

    def broken(*_: Any) -> Any:
        raise RuntimeError("nobody thought of this one")

    assert sorted(letter["reason"] for letter in scene.listed()) == ["records not found", *["unknown shape"] * 4]
    assert scene.run("list").exit_code == 0
    monkeypatch.setattr("cli.waiting.of_parked", broken)
    errors = [letter["error"] for letter in scene.listed() if letter["in"] == "ParkedRecordsQueue"]
    assert errors == ["RuntimeError: nobody thought of this one"]


def test_a_dry_run_says_of_an_unknown_shape_what_a_redrive_would(scene: Scene) -> None:
    scene.send("ParkedRecords", "hello")

    dry, wet = scene.run("redrive", "--all", "--dry-run"), scene.run("redrive", "--all")

    for shown in (dry, wet):
        assert "nobody can tell what it is" in shown.output
        assert "would be taken off" not in shown.output
    assert (dry.exit_code, wet.exit_code) == (0, 1)


@pytest.mark.parametrize("identifier", ["", " "])
def test_an_empty_id_is_nobodys(scene: Scene, identifier: str) -> None:
    scene.send("ParkedRecords", "hello")

    discarded = scene.run("discard", identifier, "--reason", "ID was not set")

    assert (discarded.exit_code, len(scene.listed())) == (1, 1)
    assert "the ID is empty" in discarded.output


@pytest.mark.parametrize("arguments", [["list"], ["redrive"]])
def test_a_consumer_of_whom_nothing_waits_does_not_hide_those_who_have(scene: Scene, arguments: list[str]) -> None:
    misspelt = [*arguments, "--consumer", "leaderbord"]
    assert scene.run(*misspelt).output == "Nothing waits.\n"

    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]))

    shown = scene.run(*misspelt)
    assert shown.exit_code == 0
    assert shown.output == "Nothing of that waits. What does: leaderboard (1).\n"


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"]])
def test_what_somebody_else_is_looking_at_is_told_beside_the_table_and_the_json(
    scene: Scene, arguments: list[str]
) -> None:
    scene.send("ParkedRecords", "hello")
    bootstrap.sqs().receive_message(QueueUrl=scene.outputs["ParkedRecordsQueueUrl"], VisibilityTimeout=60)

    shown = scene.run(*arguments)

    assert "1 more in ParkedRecordsQueue are being looked at" in shown.stderr
    assert "being looked at" not in shown.stdout


def test_an_event_that_travelled_apart_from_its_data_is_shown_with_them(scene: Scene) -> None:
    """FAULTS row 13."""
    event = recorded("player#ada", 1, PLAY)
    claims = S3ClaimStore(bootstrap.s3(), SETTINGS["ARCHIVE_BUCKET"])
    scene.park(kinesis_record(event, 1, claims=claims))

    (letter,) = scene.listed()

    shown = scene.run("show", letter["id"])
    assert shown.exit_code == 0
    assert '"game": "chess"' in shown.output
    bootstrap.s3().delete_object(Bucket=SETTINGS["ARCHIVE_BUCKET"], Key=f"claims/{event.event_id}.json")
    assert "cannot be had" in scene.run("show", letter["id"]).output


# Releasing


def store(event: RecordedEvent) -> None:
    bootstrap.dynamodb().put_item(TableName=SETTINGS["EVENTS_TABLE"], Item=codec.encode(event))


def standing_still(scene: Scene) -> None:
    """An aggregate that the leaderboard stopped at its second event, and whose dead letter has expired."""
    history = [recorded("player#ada", version, PLAY) for version in (1, 2, 3)]
    history[1] = replace(history[1], type="PlayUndone")
    for event in history:
        store(event)
    bootstrap.projection(LEADERBOARD).process(kinesis_batch(history[:2]))
    bootstrap.sqs().purge_queue(QueueUrl=scene.outputs["ParkedRecordsQueueUrl"])
    assert item("leaderboard@1#ada")["parked_from"] == {"player": 2}


def released(
    scene: Scene, consumer: str = "leaderboard", aggregate: str = "player#ada", reason: str = "it expired"
) -> Result:
    return scene.run("release", "--consumer", consumer, "--aggregate", aggregate, "--reason", reason)


def test_an_aggregate_whose_dead_letters_expired_is_released_and_that_is_recorded(scene: Scene) -> None:
    standing_still(scene)

    shown = released(scene)

    assert shown.exit_code == 0, shown.output
    assert "It still fails, and its next event parks it anew: version 2: UnknownEventError" in shown.output
    assert "parked_from" not in item("leaderboard@1#ada")
    (record,) = bootstrap.s3().list_objects_v2(Bucket=SETTINGS["FAILED_BATCHES_BUCKET"], Prefix="discarded/")[
        "Contents"
    ]
    kept = json.loads(
        bootstrap.s3().get_object(Bucket=SETTINGS["FAILED_BATCHES_BUCKET"], Key=record["Key"])["Body"].read()
    )
    assert (kept["aggregate"], kept["reason_to_release"]) == ("player#ada", "it expired")
    assert "UnknownEventError" in kept["still_failing"]
    assert "arn:aws:" in kept["released_by"]

    # And once it is repaired
    store(recorded("player#ada", 2, PLAY))
    bootstrap.projection(LEADERBOARD).process(kinesis_batch([recorded("player#ada", 3, PLAY)]))
    assert item("leaderboard@1#ada")["applied"] == {"player": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consumer": "leaderbord"}, "'leaderbord' lets no aggregate stand still: achievements, badges, leaderboard"),
        ({"aggregate": "player#bob"}, "player#bob does not stand still in leaderboard"),
        ({"reason": " "}, "say why"),
    ],
)
def test_what_cannot_be_released_is_told(scene: Scene, options: dict[str, str], message: str) -> None:
    standing_still(scene)

    shown = released(scene, **options)

    assert shown.exit_code != 0
    assert message in shown.output
    assert item("leaderboard@1#ada")["parked_from"] == {"player": 2}


def test_an_aggregate_of_which_dead_letters_wait_is_not_released(scene: Scene) -> None:
    standing_still(scene)
    scene.park(*kinesis_batch([recorded("player#ada", 2, PLAY)]))

    assert "dead letters of it wait" in released(scene).output

    bootstrap.sqs().receive_message(QueueUrl=scene.outputs["ParkedRecordsQueueUrl"], VisibilityTimeout=60)
    assert "being looked at by somebody else" in released(scene).output
    assert item("leaderboard@1#ada")["parked_from"] == {"player": 2}
