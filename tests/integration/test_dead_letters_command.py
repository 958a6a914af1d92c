"""The operator's command over queues and a bucket in moto: what it shows, and what it refuses."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import click
import pytest
from click.testing import CliRunner, Result

from cli.dead_letters import dead_letters
from headwater import bootstrap
from headwater.change_stream.claim_checks import S3ClaimStore
from headwater.dead_letters.parked import encode
from headwater.dead_letters.redrive import Discarded, GivenUp, Redrive
from headwater.domain.events import PlayCompleted, RecordedEvent, UnknownEventError
from headwater.event_store import codec
from headwater.projections.leaderboard import LEADERBOARD
from operations.certainty import Clock
from operations.dead_letters import waiting
from operations.dead_letters.inventory import Inventory, opened
from operations.dead_letters.queues import Message
from operations.target import SETTINGS as OUTPUTS
from operations.target import Target
from tests.fakes.events import AT, recorded
from tests.fakes.kinesis_records import kinesis_batch, kinesis_record
from tests.fakes.parking_lot import InMemoryParkingLot, parking
from tests.fakes.pointers import from_lambda
from tests.fakes.stream_records import stream_record
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
                "WelcomeEmailQueueUrl": "mails",
                "FailedBatchesQueueUrl": "failed-batches",
                "SetAsideQueueUrl": "set-aside",
            }.items()
        }
        self.now = 0.0
        self.meanwhile: Callable[[float], None] = lambda now: None
        settings = {output: SETTINGS[field.upper()] for field, output in OUTPUTS.items()}
        self.outputs = {**settings, **urls}
        self.target = Target(boto3.Session(), None, self.outputs, clock=Clock(lambda: self.now, self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile(self.now)

    def send(self, queue: str, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        bootstrap.sqs().send_message(QueueUrl=self.outputs[f"{queue}QueueUrl"], MessageBody=text)

    def park(
        self,
        *records: Any,
        aggregate_id: str = "player#ada",
        consumer: str = "leaderboard",
        error: Exception | None = None,
    ) -> None:
        lot = InMemoryParkingLot()
        parking(lot, consumer).park(aggregate_id, [1], records, error or ValueError("odd"))
        self.send("ParkedRecords", encode(lot.parked[0]).decode())

    def run(self, *arguments: str, columns: int = 80) -> Result:
        target: Callable[[], Target] = lambda: self.target  # noqa: E731
        return CliRunner().invoke(dead_letters, arguments, obj=target, env={"COLUMNS": str(columns)})

    def listed(self) -> list[dict[str, Any]]:
        shown = self.run("list", "--json", "--no-wait")
        assert shown.exit_code == (1 if shown.stdout else 3), shown.output
        return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.fixture
def scene(stack: None, monkeypatch: pytest.MonkeyPatch) -> Scene:
    # It has one server, and would sleep for each empty queue.
    monkeypatch.setattr("operations.dead_letters.queues._WAIT_SECONDS", 0)
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
    assert scene.run("list").exit_code == 1
    monkeypatch.setattr("operations.dead_letters.waiting.of_parked", broken)
    errors = [letter["error"] for letter in scene.listed() if letter["in"] == "ParkedRecordsQueue"]
    assert errors == ["RuntimeError: nobody thought of this one"]


def test_a_dry_run_says_of_an_unknown_shape_what_a_redrive_would(scene: Scene) -> None:
    scene.send("ParkedRecords", "hello")

    dry, wet = scene.run("redrive", "--all", "--dry-run"), scene.run("redrive", "--all")

    for shown in (dry, wet):
        assert "nobody can tell what it is" in shown.output
        assert "would be taken off" not in shown.output
    assert (dry.exit_code, wet.exit_code) == (1, 1)


@pytest.mark.parametrize("identifier", ["", " "])
def test_an_empty_id_is_nobodys(scene: Scene, identifier: str) -> None:
    scene.send("ParkedRecords", "hello")

    discarded = scene.run("discard", identifier, "--reason", "ID was not set")

    assert (discarded.exit_code, len(scene.listed())) == (2, 1)
    assert "Invalid value for 'ID': it is empty" in discarded.output
    with opened(scene.target) as found, pytest.raises(click.ClickException, match="the ID is empty"):
        found.find(identifier)


def test_an_id_without_its_type_is_nobodys_where_one_with_it_waits(scene: Scene) -> None:
    scene.send("WelcomeEmailDeadLetter", {"subject": "user#ada", "sequence": "1"})
    scene.send("WelcomeEmailDeadLetter", {"subject": "grace", "sequence": "1"})

    for command in ("list", "redrive"):
        shown = scene.run(command, "--aggregate", "ada")
        assert shown.exit_code == 2
        assert "nothing of 'ada' waits: did you mean user#ada?" in shown.output
    assert "1 dead letter" in scene.run("list", "--aggregate", "user#ada").output
    # A foreign program may call one so.
    assert "1 dead letter" in scene.run("list", "--aggregate", "grace").output


# What is said of nothing


def test_nothing_waits_is_said_when_all_counts_were_zero_for_a_minute(scene: Scene) -> None:
    for arguments in (["list"], ["list", "--json"], ["redrive", "--all"]):
        scene.now = 0.0
        shown = scene.run(*arguments)

        assert shown.exit_code == 0, shown.output
        assert "Not sure yet: all counts have been zero for 50 of 60 seconds." in shown.stderr
        assert shown.output.endswith("Nothing waits.\n")
        assert scene.now == 60


def test_who_does_not_wait_is_told_that_it_is_not_sure(scene: Scene) -> None:
    shown = scene.run("list", "--no-wait")

    assert (shown.exit_code, scene.now) == (3, 0)
    assert "Not sure yet" in shown.stderr
    assert "Nothing waits" not in shown.output


#: Every place in which something may wait that a look does not show, and what is said of it.
UNSEEN = {
    "ParkedRecords": "1 more in ParkedRecordsQueue: being looked at by somebody else, or sent a moment ago",
    "UnresolvedPointers": "1 more in UnresolvedPointersQueue: being looked at",
    "WelcomeEmailDeadLetter": "1 more in WelcomeEmailDeadLetterQueue: being looked at",
    "FailedBatches": "1 more in FailedBatchesQueue: failed batches that are on their way to be parked",
    "SetAside": "1 more in SetAsideQueue: they are tried again by themselves",
}


def send_hidden(scene: Scene, hiding: str) -> None:
    sqs = bootstrap.sqs()
    for queue in UNSEEN:
        url = scene.outputs[f"{queue}QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="hello", DelaySeconds=900 if hiding == "delayed" else 0)
        if hiding == "in flight":
            sqs.receive_message(QueueUrl=url, VisibilityTimeout=60)


@pytest.mark.parametrize("hiding", ["in flight", "delayed", "late"])
def test_what_nobody_can_look_at_waits_too(scene: Scene, hiding: str) -> None:
    """FAULTS row 50."""
    if hiding == "late":
        scene.meanwhile = lambda now: send_hidden(scene, hiding) if now == 50 else None
    else:
        send_hidden(scene, hiding)

    # What came late is there when the next command looks.
    for arguments in (["list"],) if hiding == "late" else (["list"], ["list", "--json"], ["redrive", "--all"]):
        shown = scene.run(*arguments)

        assert shown.exit_code == 1, shown.output
        assert "Nothing waits" not in shown.output
        for said in UNSEEN.values():
            assert said in shown.stderr
            assert said not in shown.stdout


def test_a_batch_of_the_archivers_that_comes_meanwhile_waits_too(scene: Scene) -> None:
    s3, bucket = bootstrap.s3(), SETTINGS["FAILED_BATCHES_BUCKET"]
    s3.put_object(Bucket=bucket, Key="aws/lambda/", Body=b"")
    assert scene.run("list").exit_code == 0, "a folder that a console made is no batch"

    scene.now = 0.0
    scene.meanwhile = lambda now: s3.put_object(Bucket=bucket, Key=f"aws/lambda/{now}", Body=b"{}") and None

    shown = scene.run("list")
    assert shown.exit_code == 1
    assert "1 more in FailedBatchesBucket" in shown.stderr


def test_a_consumers_own_queue_is_no_place_for_what_failed(scene: Scene) -> None:
    scene.send("WelcomeEmail", "a registration that waits for its e-mail")

    assert scene.run("list").exit_code == 0


def test_a_consumer_that_nobody_knows_is_refused_with_those_that_are(scene: Scene) -> None:
    for arguments in (["list"], ["list", "--json"], ["redrive"]):
        shown = scene.run(*arguments, "--consumer", "leaderbord")

        assert (shown.exit_code, scene.now) == (2, 0)
        words = " ".join(shown.output.split())
        assert "there is no consumer 'leaderbord': did you mean leaderboard?" in words
        assert "There are: account_cleanup" not in words, "this stack has no such queue"
        for name in ("achievements", "application_status", "archiver", "badges", "fan_out", "welcome_email"):
            assert name in words


def test_a_consumer_that_was_renamed_is_known_as_long_as_its_dead_letters_wait(scene: Scene) -> None:
    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]), consumer="ranking")

    shown = scene.run("list", "--consumer", "ranking")

    assert shown.exit_code == 1
    assert "ranking · ValueError" in shown.output


def test_a_consumer_of_whom_nothing_waits_does_not_hide_those_who_have(scene: Scene) -> None:
    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]))

    shown = scene.run("list", "--consumer", "badges")

    assert (shown.exit_code, scene.now) == (0, 60)
    assert shown.stdout == "Nothing of that waits. What does: leaderboard (1).\n"


def test_a_listing_that_is_not_whole_says_so(scene: Scene) -> None:
    scene.send("ParkedRecords", "hello")
    bootstrap.sqs().receive_message(QueueUrl=scene.outputs["ParkedRecordsQueueUrl"], VisibilityTimeout=60)
    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]))

    shown = scene.run("list", "--json")

    assert [json.loads(line)["consumer"] for line in shown.stdout.splitlines()] == ["leaderboard"]
    assert "1 more in ParkedRecordsQueue" in shown.stderr
    misspelt = scene.run("show", "ffffffff")
    assert misspelt.exit_code == 1
    assert "1 more cannot be seen now, and it may be among them" in " ".join(misspelt.output.split())


# How it looks


def test_a_list_goes_by_consumer_and_cause_with_ids_that_can_be_copied(scene: Scene) -> None:
    users = [f"0199c5f2-5b7e-7d11-a3a4-{number:012d}" for number in range(3)]
    for user in users:
        event = recorded(f"player#{user}", 7, PLAY)
        error = UnknownEventError(f"event {event.event_id} has the unknown type 'PlayUndone'")
        scene.park(*kinesis_batch([event]), aggregate_id=f"player#{user}", error=error)
    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]), error=UnknownEventError("another"))
    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]), consumer="badges")
    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]), aggregate_id="badge#[red]#\x1b[2J\n" + "x" * 300)
    scene.send("WelcomeEmailDeadLetter", "\u202etxet[/] " + "y" * 5000)

    ids = [letter["id"] for letter in scene.listed()]
    assert len(set(ids)) == 7
    for identifier in (ids[0], ids[-1]):
        assert scene.run("show", identifier).exit_code == 0

    for columns in (80, 40, 200):
        shown = scene.run("list", columns=columns)

        lines = shown.stdout.splitlines()
        assert max(map(len, lines)) <= columns
        assert "\x1b" not in shown.stdout
        groups = [" ".join(group.split()) for group in shown.stdout.split("\n\n")]
        assert sum("unknown type 'PlayUndone'" in group for group in groups) == 1
        assert any(group.startswith("leaderboard · UnknownEventError · 3 records") for group in groups)
        for identifier in ids:
            assert any(identifier in line.split() for line in lines)
        if columns >= 80:
            assert "badge#[red]#" in shown.stdout
            for user in users:
                assert any(f"player#{user}" in line.split() for line in lines), "an aggregate can be copied too"


def test_ids_that_begin_alike_are_longer() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)

    def letter(key: str) -> waiting.DeadLetter:
        return waiting.unknown("ParkedRecordsQueue", "", Message(key, "", "", at, at, 1, {}), "")

    keys = ["0b1c2d3e-aaaa", "0b1c2d3e-aabb", "77777777-aaaa"]
    inventory = Inventory([letter(key) for key in keys], {}, {}, dict)

    assert list(inventory.ids.values()) == ["0b1c2d3e-aaa", "0b1c2d3e-aab", "77777777"]
    for key, identifier in inventory.ids.items():
        assert inventory.find(identifier).key == key
    with pytest.raises(click.ClickException, match="begins with '0b1c2d3e': 0b1c2d3e-aaa, 0b1c2d3e-aab"):
        inventory.find("0b1c2d3e")
    with pytest.raises(click.ClickException, match="did you mean 77777777"):
        inventory.find("77777787")


def test_what_is_printed_as_json_is_json_at_any_width(scene: Scene) -> None:
    scene.park(*kinesis_batch([recorded("player#ada", 1, PLAY)]), error=ValueError("a cause [b]that[/b] is long " * 50))
    scene.park({"kinesis": {"data": "AAAA", "sequenceNumber": "1"}}, consumer="badges")
    scene.send("ParkedRecords", "foreign \u2028 text")
    scene.send("WelcomeEmailDeadLetter", {"subject": "user#1", "sequence": "1", "data": {"n": 2**70}})
    scene.send("UnresolvedPointers", from_lambda("dynamodb", "1", "2", "LeaderboardFunction"))

    listed = scene.run("list", "--json", columns=1)
    letters = [json.loads(line) for line in listed.stdout.split("\n") if line]
    assert len(letters) == 5

    shown = {}
    for letter in letters:
        result = scene.run("show", letter["id"], columns=1)
        assert result.exit_code == 0, result.output
        shown[letter["in"] + letter["consumer"]] = json.loads(result.stdout)
    assert shown["ParkedRecordsQueueleaderboard"]["events"][0]["type"] == "PlayCompleted"
    assert shown["ParkedRecordsQueuebadges"]["events"] == [
        {"unreadable": {"kinesis": {"data": "AAAA", "sequenceNumber": "1"}}}
    ]
    assert shown["ParkedRecordsQueue"]["message"] == "foreign \u2028 text"

    redriven = scene.run("redrive", "--consumer", "badges", "--json", columns=1)
    (result,) = [json.loads(line) for line in redriven.stdout.splitlines()]
    assert (redriven.exit_code, result["consumer"]) == (1, "badges")
    assert "MalformedRecordError" in result["error"]


# Redriving


def test_a_redrive_tells_each_cause_once_with_how_many_have_it(scene: Scene) -> None:
    for user in ("ada", "bob", "cyd"):
        event = replace(recorded(f"player#{user}", 1, PLAY), type="PlayUndone")
        store(event)
        scene.park(*kinesis_batch([event]), aggregate_id=f"player#{user}")
        scene.park(*kinesis_batch([recorded(f"player#{user}", 2, PLAY)]), aggregate_id=f"player#{user}")
    store(recorded("player#dan", 1, PLAY))
    scene.park(*kinesis_batch([recorded("player#dan", 1, PLAY)]), aggregate_id="player#dan")

    shown = scene.run("redrive", "--all")

    assert shown.exit_code == 1
    words = " ".join(shown.output.split())
    assert "leaderboard: 1 applied" in words
    assert "leaderboard · 3 dead letters, and 3 more that wait behind them" in words
    assert words.count("UnknownEventError: projection leaderboard neither folds nor ignores 'PlayUndone'") == 1
    assert max(map(len, shown.output.splitlines())) <= 80
    assert "6 of 7 still fail and stay where they are" in words
    assert len(scene.listed()) == 6


def test_a_redrive_that_could_not_see_all_is_not_done(scene: Scene) -> None:
    scene.send("ParkedRecords", "hello")
    bootstrap.sqs().receive_message(QueueUrl=scene.outputs["ParkedRecordsQueueUrl"], VisibilityTimeout=60)
    store(recorded("player#dan", 1, PLAY))
    scene.park(*kinesis_batch([recorded("player#dan", 1, PLAY)]), aggregate_id="player#dan")

    shown = scene.run("redrive", "--all")

    assert shown.exit_code == 1
    assert "leaderboard: 1 applied" in shown.output
    assert "not all could be seen" in shown.output


@pytest.mark.parametrize("stopped_after", [0, 1])
def test_a_redrive_stopped_in_the_middle_loses_nothing_and_says_how_far_it_came(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, stopped_after: int
) -> None:
    events = [recorded(f"player#{user}", 1, PLAY) for user in ("ada", "bob", "cyd")]
    for event in events:
        store(event)
        scene.park(*kinesis_batch([event]), aggregate_id=event.aggregate_id)
    redrive, calls, url = Redrive.run, [], scene.outputs["ParkedRecordsQueueUrl"]

    def stopped(self: Redrive, consumer: str, records: Any) -> None:
        calls.append(consumer)
        assert "Messages" not in bootstrap.sqs().receive_message(QueueUrl=url), "nobody else works on them meanwhile"
        # Ctrl-C when the effect is there, and before the message is taken off.
        redrive(self, consumer, records)
        if len(calls) > stopped_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Redrive, "run", stopped)
    shown = scene.run("redrive", "--all")

    assert shown.exit_code == 1
    assert f"Stopped: {3 - stopped_after} were not tried to their end, and wait as before." in shown.output
    monkeypatch.setattr(Redrive, "run", redrive)
    assert len(scene.listed()) == 3 - stopped_after, "and none of them is hidden"
    again = scene.run("redrive", "--all")
    assert again.exit_code == 0, again.output
    assert [item(f"leaderboard@1#{user}")["applied"] for user in ("ada", "bob", "cyd")] == [{"player": 1}] * 3


def test_ctrl_c_while_the_queues_are_opened_hides_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.send("ParkedRecords", "hello")
    wait = ThreadPoolExecutor.shutdown

    def interrupted(self: ThreadPoolExecutor, **options: Any) -> None:
        wait(self, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "shutdown", interrupted)
        stopped = scene.run("list")

    assert stopped.exit_code == 1
    assert len(scene.listed()) == 1


# Discarding


def test_each_event_that_fan_out_parked_is_given_up_with_its_own_last_dead_letter(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the last of its aggregate: the letter of an earlier one would be gone, and consumers stand at it."""

    def record(version: int) -> dict[str, Any]:
        keys = {"aggregate_id": {"S": "player#ada"}, "version": {"N": str(version)}}
        return {"eventID": str(version), "dynamodb": {"Keys": keys, "SequenceNumber": str(version)}}

    given_up: list[int] = []

    def discard(_: Redrive, consumer: str, records: Any) -> Discarded:
        given_up.extend(int(each["dynamodb"]["Keys"]["version"]["N"]) for each in records)
        return Discarded([GivenUp("player#ada", given_up[-1], given_up[-1])])

    monkeypatch.setattr(Redrive, "discard", discard)
    for odd in ({"dynamodb": "theirs"}, {}):
        scene.park(odd, aggregate_id="player#bob", consumer="fan_out")
    for version in (2, 2, 5):
        scene.park(record(version), consumer="fan_out")

    said = []
    while letters := [letter for letter in scene.listed() if letter["aggregate"] == "player#ada"]:
        said.append(scene.run("discard", letters[0]["id"], "--reason", "nobody can tell").output)

    assert sorted(given_up) == [2, 5]
    assert sum("Read models and badges go on without version" in each for each in said) == 2


def test_a_letter_whose_records_no_stream_delivers_can_be_discarded(scene: Scene) -> None:
    scene.park({"no": "record"})
    (letter,) = scene.listed()

    discarded = scene.run("discard", letter["id"], "--reason", "somebody tried the queue out")

    assert (discarded.exit_code, scene.listed()) == (0, []), discarded.output


def test_a_row_that_cannot_be_read_is_told_by_a_discard_and_by_a_release(scene: Scene) -> None:
    """In words, and the letter stays."""
    row = {"pk": {"S": "leaderboard@1#ada"}, "applied": {"S": "odd"}}
    bootstrap.dynamodb().put_item(TableName=SETTINGS["READ_MODELS_TABLE"], Item=row)
    scene.park(kinesis_record(recorded("player#ada", 1, PLAY), 1))
    (letter,) = scene.listed()

    discarded = scene.run("discard", letter["id"], "--reason", "nobody misses it")
    assert discarded.exit_code == 1
    assert "it stays, as its aggregate cannot go on now: UnreadableRowsError" in discarded.output
    assert scene.listed() == [letter]

    bootstrap.sqs().purge_queue(QueueUrl=scene.outputs["ParkedRecordsQueueUrl"])
    release = released(scene)
    assert release.exit_code == 1
    assert "it stands still as before, as it cannot be tried now: UnreadableRowsError" in release.output


# Showing


def test_an_event_that_travelled_apart_from_its_data_is_shown_with_them(scene: Scene) -> None:
    """FAULTS row 13."""
    event = recorded("player#ada", 1, PLAY)
    claims = S3ClaimStore(bootstrap.s3(), SETTINGS["ARCHIVE_BUCKET"])
    scene.park(kinesis_record(event, 1, claims=claims))

    (letter,) = scene.listed()

    shown = scene.run("show", letter["id"])
    assert shown.exit_code == 0
    assert json.loads(shown.output)["events"][0]["data"]["game"] == "chess"
    bootstrap.s3().delete_object(Bucket=SETTINGS["ARCHIVE_BUCKET"], Key=f"claims/{event.event_id}.json")
    assert "cannot be had" in scene.run("show", letter["id"]).output


# Discarding what the fan-out could not read


def test_a_discard_of_fan_outs_letter_lets_all_that_wait_for_its_version_go_on(scene: Scene) -> None:
    """Each by itself, though others of the aggregate are left: nobody else brings its version."""
    history = [recorded("player#ada", version, PLAY) for version in (1, 2, 3, 4, 5)]
    for event in history:
        spoilt = {"data": {"S": "no json"}} if event.version in (2, 4) else {}
        image = {**codec.encode(event), **spoilt}
        bootstrap.dynamodb().put_item(TableName=SETTINGS["EVENTS_TABLE"], Item=image)
        if spoilt:
            lot = InMemoryParkingLot()
            parking(lot, "fan_out", "dynamodb").park(
                "player#ada", [event.version], [stream_record(event.version, image)], ValueError("odd")
            )
            scene.send("ParkedRecords", encode(lot.parked[0]).decode())
    for runner in map(bootstrap.projection, ("leaderboard", "player_profiles", "badges")):
        assert runner.process(kinesis_batch(history[::2])).failures == []
    rows = ("leaderboard@1#ada", "player_profiles@1#ada", "badges@2#ada")
    assert [item(row)["waits_for"] for row in rows] == [{"player": 2}] * 3
    letters = {letter["versions"][0]: letter["id"] for letter in scene.listed()}

    refused = scene.run("discard", letters[4], "--reason", "nobody misses it")
    assert (refused.exit_code, len(scene.listed())) == (1, 2)
    assert "stands at version 2 in" in refused.output
    for version in (2, 4):
        shown = scene.run("discard", letters[version], "--reason", "nobody misses it")
        assert shown.exit_code == 0, shown.output
        assert f"Read models and badges go on without version {version} of player#ada." in shown.output

    assert [item(row)["applied"] for row in rows] == [{"player": 5}] * 3
    assert not any("waits_for" in item(row) for row in rows)
    assert scene.listed() == []


# Releasing


def store(event: RecordedEvent) -> None:
    bootstrap.dynamodb().put_item(TableName=SETTINGS["EVENTS_TABLE"], Item=codec.encode(event))


def standing_still(scene: Scene) -> None:
    """An aggregate that the leaderboard stopped at its second event, and whose dead letter has expired."""
    history = [recorded("player#ada", version, PLAY) for version in (1, 2, 3)]
    history[1] = replace(history[1], type="PlayUndone")
    for event in history:
        store(event)
    bootstrap.projection(LEADERBOARD.name).process(kinesis_batch(history[:2]))
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
    assert "It still fails, and is parked anew, now or with its next event: version 2: " in shown.output
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
    bootstrap.projection(LEADERBOARD.name).process(kinesis_batch([recorded("player#ada", 3, PLAY)]))
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
