"""`headwater events` over a table in moto: what it shows of an event that cannot be read, and how it is mended."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from botocore.client import BaseClient
from click.testing import CliRunner, Result

from cli.events import events
from cli.main import main
from headwater import bootstrap
from headwater.attribute_values import AttributeMap
from headwater.change_stream import kinesis as kinesis_stream
from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.event_store import codec
from headwater.projections.leaderboard import LEADERBOARD
from operations.target import Target
from tests.fakes.events import AT, EVENT_TYPES, recorded
from tests.infrastructure.expansion import expanded
from tests.infrastructure.iam import Call, allows, calls_of
from tests.integration.stream_functions import SETTINGS, USER, item, stack
from tests.integration.test_dead_letters_command import Scene

__all__ = ["stack"]

PLAYER = f"player#{USER}"
DATA = {"game": "chess", "score": 7, "played_at": AT}
#: What is wrong with the second of three plays, and what mends it.
SPOILT: dict[str, tuple[AttributeMap, tuple[str, ...]]] = {
    "data is no JSON": ({"data": {"S": '{"game": "che'}}, ("--data", json.dumps(DATA))),
    "data has other fields": ({"data": {"S": '{"points": 7}'}}, ("--data", json.dumps(DATA))),
    "half a surrogate pair": (
        {"data": {"S": json.dumps(DATA | {"game": "\ud83d"})}},
        ("--data", json.dumps(DATA)),
    ),
    "metadata is binary": ({"metadata": {"B": b"\xff"}}, ("--metadata", "{}")),
    "no type": ({"type": {"NULL": True}}, ("--type", "PlayCompleted")),
    "an unknown type": ({"type": {"S": "PlayCompletd"}}, ("--type", "PlayCompleted")),
    "a schema version of later": ({"schema_version": {"N": "2"}}, ("--schema-version", "1")),
    "no time": ({"occurred_at": {"N": "5"}}, ("--occurred-at", AT)),
    "no id": ({"event_id": {"N": "5"}}, ("--event-id", "01990000-0000-7000-8000-000000000005")),
}


class Shop(Scene):
    """A stack in moto with three plays of one player, of which the second is spoilt."""

    def __init__(self, spoilt: AttributeMap) -> None:
        super().__init__()
        self.plays = [recorded(PLAYER, version, PlayCompleted(**DATA)) for version in (1, 2, 3)]  # type: ignore[arg-type]
        self.spoil(spoilt)

    def spoil(self, spoilt: AttributeMap) -> None:
        self.items = [codec.encode(event) for event in self.plays]
        self.items[1] |= {name: dict(value) for name, value in spoilt.items()}
        for each in self.items:
            bootstrap.dynamodb().put_item(TableName=SETTINGS["EVENTS_TABLE"], Item=each)

    def events(self, *arguments: str, columns: int = 80, text: str | None = None) -> Result:
        target: Callable[[], Target] = lambda: self.target  # noqa: E731
        return CliRunner().invoke(events, arguments, obj=target, input=text, env={"COLUMNS": str(columns)})

    def mend(self, *arguments: str, text: str | None = None) -> Result:
        return self.events("mend", PLAYER, "2", *arguments, "--reason", "the game's log has it", text=text)

    def stored(self, version: int = 2) -> AttributeMap:
        key: Any = {"aggregate_id": {"S": PLAYER}, "version": {"N": str(version)}}
        stored: AttributeMap = bootstrap.dynamodb().get_item(TableName=SETTINGS["EVENTS_TABLE"], Key=key)["Item"]
        return stored


def test_the_readable_events_are_shown_and_the_others_marked(stack: None) -> None:
    shop = Shop({})
    for name, (attributes, _) in SPOILT.items():
        shop.spoil(attributes)

        shown = shop.events("show", PLAYER, "--json", columns=1)

        assert shown.exit_code == 1, name
        assert "1 of 3 events cannot be read: version 2" in shown.stderr
        first, second, third = (json.loads(line) for line in shown.stdout.splitlines())
        for event, line in ((shop.plays[0], first), (shop.plays[2], third)):
            assert RecordedEvent(**line) == event
        assert (second["aggregate_id"], second["version"]) == (PLAYER, 2)
        assert second["unreadable"], name
        assert second["item"]["aggregate_id"] == {"S": PLAYER}
        table = shop.events("show", PLAYER)
        assert (table.exit_code, table.stdout.count("version 2 cannot be read: ")) == (1, 1), name
        assert max(map(len, table.stdout.splitlines())) <= 80
        assert all(play.event_id in table.stdout for play in (shop.plays[0], shop.plays[2])), "ids can be copied"


def test_a_history_that_can_be_read_is_shown_with_code_0(stack: None) -> None:
    shop = Shop({})

    assert shop.events("show", PLAYER).exit_code == 0
    assert shop.events("show", PLAYER, "--json", "--after", "2").stdout.count("\n") == 1
    assert shop.events("show", "player#nobody").exit_code == 1


def test_what_a_foreign_producer_wrote_cannot_move_the_cursor(stack: None) -> None:
    shop = Shop({"type": {"S": "\x1b[2J[red]"}, "event_id": {"S": "\u202e"}})

    shown = shop.events("show", PLAYER, columns=200)

    assert "\x1b" not in shown.stdout
    assert "\\x1b[2J[red]" in shown.stdout


def test_an_event_that_cannot_be_read_is_mended_and_what_it_was_is_kept(stack: None) -> None:
    shop = Shop({})
    s3, bucket = bootstrap.s3(), SETTINGS["FAILED_BATCHES_BUCKET"]
    for attributes, options in SPOILT.values():
        shop.spoil(attributes)

        dry = shop.mend(*options, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert json.loads(dry.stdout)["data"] == DATA
        assert shop.stored() == shop.items[1]

        mended = shop.mend(*options)

        assert mended.exit_code == 0, mended.output
        assert f"dead-letters redrive --consumer fan_out --aggregate '{PLAYER}'" in mended.output
        assert shop.events("show", PLAYER).exit_code == 0
        (record,) = s3.list_objects_v2(Bucket=bucket, Prefix="discarded/")["Contents"]
        kept = json.loads(s3.get_object(Bucket=bucket, Key=record["Key"])["Body"].read())
        assert kept["reason_to_mend"] == "the game's log has it"
        assert kept["unreadable"]
        for name in attributes:
            assert name in kept["mended"]
            assert name in kept["changes"]
        assert "arn:aws:" in kept["mended_by"]
        s3.delete_object(Bucket=bucket, Key=record["Key"])


@pytest.mark.parametrize("how", ["@", "-"])
def test_data_can_come_from_where_no_shell_history_keeps_it(stack: None, tmp_path: Any, how: str) -> None:
    shop = Shop(SPOILT["data is no JSON"][0])
    file = tmp_path / "data.json"
    file.write_text(json.dumps(DATA))

    mended = shop.mend("--data", f"@{file}" if how == "@" else "-", text=json.dumps(DATA))

    assert mended.exit_code == 0, mended.output
    assert codec.decode(shop.stored(), EVENT_TYPES).data == DATA


#: What would not make the event readable: what is wrong with it, what is asked for, the exit code and what is said.
USELESS: list[tuple[str | None, tuple[str, ...], int, str]] = [
    ("data is no JSON", ("--data", '{"game": '), 2, "it is not JSON"),
    ("data is no JSON", ("--data", "[]"), 2, "it is not a JSON object"),
    ("data is no JSON", ("--data", "@/nowhere"), 2, "/nowhere cannot be read"),
    ("data is no JSON", ("--data", '{"points": 7}'), 1, "it could still not be read"),
    ("data is no JSON", (), 1, "it could still not be read"),
    ("data is no JSON", ("--type", "PlayUndone"), 1, "it could still not be read"),
    ("a schema version of later", ("--data", json.dumps(DATA)), 1, "it could still not be read"),
    (None, ("--data", json.dumps(DATA | {"score": 10**6})), 1, "can be read: events are never changed"),
]


def test_what_would_not_make_an_event_readable_is_not_written(stack: None) -> None:
    shop = Shop({})
    for spoilt, options, code, said in USELESS:
        shop.spoil(SPOILT[spoilt][0] if spoilt else {})

        refused = shop.mend(*options)

        assert (refused.exit_code, shop.stored()) == (code, shop.items[1])
        assert said in " ".join(refused.output.split())
    assert "Contents" not in bootstrap.s3().list_objects_v2(Bucket=SETTINGS["FAILED_BATCHES_BUCKET"])


def test_a_version_that_is_not_there_is_told(stack: None) -> None:
    shop = Shop({})

    missing = shop.events("mend", PLAYER, "9", "--data", "{}", "--reason", "r")

    assert (missing.exit_code, "has no version 9" in missing.output) == (1, True)


@pytest.mark.parametrize("name", ["data", "metadata"])
def test_an_event_that_somebody_changed_meanwhile_is_left_as_it_is(
    stack: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shop = Shop(SPOILT["data is no JSON"][0])
    theirs = {**shop.items[1], name: {"S": '{"by": "somebody else"}'}}

    def meanwhile(*_: Any) -> str:
        bootstrap.dynamodb().put_item(TableName=SETTINGS["EVENTS_TABLE"], Item=theirs)
        return ""

    monkeypatch.setattr("operations.mending.recorder", lambda *_, **__: meanwhile)
    refused = shop.mend("--data", json.dumps(DATA))

    assert refused.exit_code == 1
    assert "somebody else changed it meanwhile" in refused.output
    assert shop.stored() == theirs


def test_what_the_command_does_not_know_stays_in_the_item(stack: None) -> None:
    shop = Shop({"data": {"S": "no json"}, "trace": {"S": "theirs"}, "expires_at": {"N": "1800000000"}})

    assert shop.mend("--data", json.dumps(DATA)).exit_code == 0

    assert shop.stored()["trace"] == {"S": "theirs"}
    assert shop.stored()["expires_at"] == {"N": "1800000000"}


def test_the_policy_for_mending_allows_what_the_commands_call(stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = expanded()["Resources"]["EventMendingPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    resources = {SETTINGS["EVENTS_TABLE"]: "EventsTable", SETTINGS["FAILED_BATCHES_BUCKET"]: "FailedBatchesBucket"}
    shop = Shop(SPOILT["data is no JSON"][0])
    call, calls = BaseClient._make_api_call, list[Call]()  # type: ignore[attr-defined]

    def noted(self: Any, operation: str, params: dict[str, Any]) -> Any:
        service = self.meta.service_model.service_name
        # Everybody may ask who they are.
        if service != "sts":
            calls.extend(calls_of("mend", service, operation, params))
        return call(self, operation, params)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    assert shop.mend("--data", json.dumps(DATA)).exit_code == 0
    assert shop.events("show", PLAYER).exit_code == 0

    assert {each.action for each in calls} >= {"dynamodb:UpdateItem", "dynamodb:Query", "s3:PutObject"}
    for each in calls:
        place, slash, key = each.resource.partition("/")
        assert any(allows(statement, replace(each, resource=resources[place] + slash + key)) for statement in policy)


def test_aws_that_refuses_is_one_line(stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop({})
    bootstrap.dynamodb().delete_table(TableName=SETTINGS["EVENTS_TABLE"])
    monkeypatch.setattr("operations.target.resolve", lambda *_: shop.target)

    shown = CliRunner().invoke(main, ["events", "show", PLAYER])

    assert shown.exit_code == 1
    assert "was refused: ResourceNotFoundException" in shown.output


def test_what_to_run_next_is_for_the_same_stack(stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop({"type": {"NULL": True}})
    monkeypatch.setattr("operations.target.resolve", lambda *_: shop.target)
    mend = ["events", "mend", PLAYER, "2", "--type", "PlayCompleted", "--reason", "r"]

    mended = CliRunner().invoke(main, ["--stack", "headwater-dev", "--region", "eu-west-1", *mend])

    assert "  headwater --stack headwater-dev --region eu-west-1 dead-letters redrive" in mended.output


# The runbook's procedure, "An event that cannot be read"


def test_the_runbooks_procedure_for_an_event_that_cannot_be_read(stack: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS rows 20 and 51: find, look, mend, redrive, verify."""
    monkeypatch.setattr("operations.dead_letters.queues._WAIT_SECONDS", 0)
    # Given what a foreign producer appended between two plays; fan_out judges it, and its neighbours flow
    shop = Shop(SPOILT["data is no JSON"][0])
    bootstrap.kinesis().create_stream(StreamName=SETTINGS["EVENTS_STREAM"], ShardCount=1)
    bootstrap.sns().create_topic(Name="events")
    sent: list[Any] = []
    fan_out(shop.items)
    deliver(sent)
    assert [event["sequence"] for event in sent] == [f"{1:020d}", f"{3:020d}"]

    # Find: the alarm ParkedRecords, then the list, name consumer, cause and aggregate
    listed = shop.run("list", "--aggregate", PLAYER)
    assert "fan_out · MalformedEventError" in listed.output
    letters = [letter for letter in shop.listed() if letter["consumer"] == "fan_out"]
    (letter,) = letters
    assert json.loads(shop.run("show", letter["id"]).stdout)["events"][0]["unreadable"]

    # Look
    shown = shop.events("show", PLAYER, "--json")
    assert shown.exit_code == 1
    (unreadable,) = [line for line in map(json.loads, shown.stdout.splitlines()) if "unreadable" in line]
    assert unreadable["version"] == 2

    # Mend
    assert shop.mend("--data", json.dumps(DATA), "--dry-run").exit_code == 0
    assert shop.mend("--data", json.dumps(DATA)).exit_code == 0

    # Redrive fan_out's letter: it publishes the item as it is now, which heals every consumer
    redriven = shop.run("redrive", "--consumer", "fan_out", "--aggregate", PLAYER)
    assert redriven.exit_code == 0, redriven.output
    deliver(sent)

    # Verify
    assert shop.events("show", PLAYER).exit_code == 0
    assert [letter["consumer"] for letter in shop.listed()] == []
    assert item(f"leaderboard@1#{USER}")["applied"] == {"player": 3}


def fan_out(items: Sequence[AttributeMap]) -> None:
    """The function's batch of the table's stream."""
    records = [
        {
            "eventID": str(number),
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "eventVersion": "1.1",
            "awsRegion": "eu-west-1",
            "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-01-15T08:30:00.000",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_772_366_400,
                "Keys": {name: each[name] for name in ("aggregate_id", "version")},
                "NewImage": each,
                "SequenceNumber": f"{number:021d}",
                "SizeBytes": 500,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
        }
        for number, each in enumerate(items, start=1)
    ]
    outcome = bootstrap.fan_out().fan_out(records)
    assert not outcome.failures


def deliver(sent: list[Any]) -> None:
    """Hands the leaderboard what the stream has got since."""
    kinesis = bootstrap.kinesis()
    (shard,) = kinesis.list_shards(StreamName=SETTINGS["EVENTS_STREAM"])["Shards"]
    iterator = kinesis.get_shard_iterator(
        StreamName=SETTINGS["EVENTS_STREAM"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"][len(sent) :]
    sent += [json.loads(record["Data"]) for record in records]
    arn = f"arn:aws:kinesis:eu-west-1:123456789012:stream/{SETTINGS['EVENTS_STREAM']}"
    batch = [kinesis_stream.delivered(record, arn, shard["ShardId"]) for record in records]
    assert not bootstrap.projection(LEADERBOARD.name).process(batch).failures
