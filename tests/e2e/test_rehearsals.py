"""Failures on purpose, on a whole stack: each breaks what it says, shows in the flow, is undone, and all drains."""

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cli.control import Control
from cli.observation import LetterBox
from devstack.demo.traffic import Api, Request, RequestRefusedError
from devstack.stack import LocalStack
from operations.dead_letters.inventory import opened
from operations.dead_letters.redriving import Redriving
from operations.mending import mended
from operations.running import running_stack
from operations.target import resolve
from tests.integration.devstack.processes import eventually

#: Whoever is throttled tries again for a while, as it must.
pytestmark = pytest.mark.slow


class Scene:
    """A stack with somebody who has played, and its own door."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self.stack = stack
        running = running_stack(folder)
        assert running is not None
        self.control = Control(running)
        self.api = Api(stack.url)
        self.user = self.register("first@example.com")
        self.play(3)
        stack.wait_until_quiet(60)

    def register(self, email: str) -> str:
        body = {"name": "Ada", "email": email, "password": "correct horse battery"}
        return str(self.api.send(Request("POST", "/register", body))["user_id"])

    def play(self, times: int = 1) -> None:
        for _ in range(times):
            body = {"game": "chess", "score": 1}
            self.api.send(Request("POST", "/users/{user_id}/plays", body), self.user)

    def start(self, name: str, target: str | None = None) -> str:
        body = {"name": name} | ({"target": target} if target else {})
        return str(self.control.post("rehearsals", body)["id"])

    def undo(self, identifier: str) -> None:
        self.control.delete(f"rehearsals/{identifier}")

    def mapping(self, title: str) -> dict[str, Any]:
        (found,) = [each for each in self.control.get("flow")["mappings"] if each["title"] == title]
        return dict(found)

    def rehearsed(self, name: str, target: str | None, meanwhile: Callable[[], None]) -> None:
        """Starts, does something, undoes, and waits until all is well."""
        identifier = self.start(name, target)
        try:
            meanwhile()
        finally:
            self.undo(identifier)
        self.stack.wait_until_quiet(120)


@pytest.fixture(scope="module")
def scene(folder: Path) -> Iterator[Scene]:
    with LocalStack(folder) as stack:
        yield Scene(stack, folder)


def test_a_stopped_consumer_lets_its_records_wait_and_then_has_them_all(scene: Scene) -> None:
    def meanwhile() -> None:
        before = scene.mapping("LeaderboardFunction.EventsStream")["delivered"]
        scene.play(4)
        eventually(lambda: scene.mapping("LeaderboardFunction.EventsStream")["waiting"] >= 4)
        told = scene.mapping("LeaderboardFunction.EventsStream")
        assert told["paused"]
        assert told["lag_seconds"] > 0
        assert told["delivered"] == before
        # Everybody else goes on.
        eventually(lambda: scene.mapping("PlayerProfilesFunction.EventsStream")["waiting"] == 0)

    scene.rehearsed("stop", "LeaderboardFunction", meanwhile)
    told = scene.mapping("LeaderboardFunction.EventsStream")
    assert (told["waiting"], told["lag_seconds"], told["paused"]) == (0, None, False)


def test_a_queue_of_a_stopped_consumer_keeps_its_messages(scene: Scene) -> None:
    sent = len(scene.stack.sent_mails())

    def meanwhile() -> None:
        scene.register("second@example.com")
        eventually(lambda: scene.mapping("WelcomeEmailFunction.WelcomeEmailQueue")["waiting"] == 1)
        assert len(scene.stack.sent_mails()) == sent

    scene.rehearsed("stop", "WelcomeEmailFunction", meanwhile)
    assert len(scene.stack.sent_mails()) == sent + 1


def test_a_throttled_table_takes_no_write_and_is_read_as_ever(scene: Scene) -> None:
    dynamodb, table = scene.stack.client("dynamodb"), scene.stack.outputs["ReadModelsTableName"]

    def meanwhile() -> None:
        item = {"pk": {"S": "x"}}
        writes: list[tuple[Callable[[], Any], str]] = [
            (lambda: dynamodb.put_item(TableName=table, Item=item), "ProvisionedThroughputExceededException"),
            (
                lambda: dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": table, "Item": item}}]),
                "TransactionCanceledException",
            ),
            (
                lambda: dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}}]}),
                "ProvisionedThroughputExceededException",
            ),
        ]
        for write, code in writes:
            with pytest.raises(ClientError) as refused:
                write()
            assert refused.value.response["Error"]["Code"] == code
        reasons: Any = None
        try:
            dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": table, "Item": item}}])
        except ClientError as error:
            reasons = error.response
        assert [each["Code"] for each in reasons["CancellationReasons"]] == ["ThrottlingError"]
        assert dynamodb.scan(TableName=table, Limit=1)["Items"]
        scene.play()
        eventually(lambda: scene.mapping("PlayerProfilesFunction.EventsStream")["retries"] > 0)

    scene.rehearsed("throttle", "ReadModelsTable", meanwhile)
    assert scene.mapping("PlayerProfilesFunction.EventsStream")["waiting"] == 0


def test_a_command_on_a_throttled_table_is_told_to_come_again(scene: Scene) -> None:
    def meanwhile() -> None:
        with pytest.raises(RequestRefusedError, match="answered 503"):
            scene.play()

    scene.rehearsed("throttle", "EventsTable", meanwhile)
    scene.play()


def test_a_bucket_that_is_denied_takes_no_object_and_gives_those_that_it_has(scene: Scene) -> None:
    s3, bucket = scene.stack.client("s3"), scene.stack.outputs["ArchiveBucketName"]

    def meanwhile() -> None:
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket=bucket, Key="x", Body=b"x")
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
        (first, *_) = s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert s3.get_object(Bucket=bucket, Key=first["Key"])["Body"].read()
        scene.play()
        eventually(lambda: scene.mapping("ArchiverFunction.EventsTableStream")["retrying"])

    scene.rehearsed("deny", "ArchiveBucket", meanwhile)
    assert scene.mapping("ArchiverFunction.EventsTableStream")["waiting"] == 0


def test_refused_mail_waits_on_its_queue(scene: Scene) -> None:
    ses = scene.stack.client("sesv2")

    def meanwhile() -> None:
        with pytest.raises(ClientError) as refused:
            ses.send_email(
                FromEmailAddress="a@example.com",
                Destination={"ToAddresses": ["b@example.com"]},
                Content={"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}},
            )
        assert refused.value.response["Error"]["Code"] == "SendingPausedException"

    identifier = scene.start("refuse-mail")
    try:
        meanwhile()
        sent = len(scene.stack.sent_mails())
        scene.register("third@example.com")
        eventually(lambda: scene.mapping("WelcomeEmailFunction.WelcomeEmailQueue")["retries"] > 0)
        assert len(scene.stack.sent_mails()) == sent
        assert scene.mapping("WelcomeEmailFunction.WelcomeEmailQueue")["waiting"] == 1
    finally:
        scene.undo(identifier)


def test_poison_is_parked_with_its_cause_and_redriven_once_it_is_undone(scene: Scene) -> None:
    identifier = scene.start("poison")
    target = resolve("local", None)
    box = LetterBox(target)
    eventually(lambda: len(box.letters().letters) == 1)
    (letter,) = box.letters().letters
    assert letter.consumer == "fan_out"
    assert "schema version 2" in (letter.error or "")

    scene.undo(identifier)
    with opened(target) as found, target.as_function():
        assert Redriving(target, found).redrive(found.letters[0]) == "applied"
    assert box.letters().letters == ()


def test_a_poison_that_somebody_has_mended_meanwhile_is_undone(scene: Scene) -> None:
    identifier = scene.start("poison")
    target = resolve("local", None)
    box = LetterBox(target)
    eventually(lambda: len(box.letters().letters) == 1)
    (letter,) = box.letters().letters
    mended(target, letter.aggregate, letter.versions[0], {"schema_version": {"N": "1"}}, "by hand")

    scene.undo(identifier)
    with opened(target) as found, target.as_function():
        assert Redriving(target, found).redrive(found.letters[0]) == "applied"


def test_an_hour_makes_what_waits_an_hour_older_and_nothing_else(scene: Scene) -> None:
    title = "LeaderboardFunction.EventsStream"
    stopped = scene.start("stop", "LeaderboardFunction")
    scene.play()
    eventually(lambda: scene.mapping(title)["waiting"] > 0)
    scene.start("skip-hour")
    assert scene.mapping(title)["lag_seconds"] > 3600
    scene.undo(stopped)
    eventually(lambda: scene.mapping(title)["waiting"] == 0)

    # What comes afterwards has come now.
    again = scene.start("stop", "LeaderboardFunction")
    scene.play()
    eventually(lambda: scene.mapping(title)["waiting"] > 0)
    assert scene.mapping(title)["lag_seconds"] < 600
    scene.undo(again)
    eventually(lambda: scene.mapping(title)["waiting"] == 0)


def test_a_web_page_that_sends_to_the_door_changes_nothing(scene: Scene) -> None:
    connection = http.client.HTTPConnection(scene.stack.url.removeprefix("http://"))
    connection.request("POST", "/_devstack/rehearsals", b'{"name": "refuse-mail"}', {"origin": "https://evil.example"})
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert answer.status == 403
    assert scene.control.get("rehearsals")["running"] == []


def test_the_token_is_the_owners_alone(folder: Path, scene: Scene) -> None:
    (announcement,) = (folder / ".devstack").glob("run-*/stack.json")

    assert announcement.stat().st_mode & 0o077 == 0
    assert "token" in announcement.read_text()
