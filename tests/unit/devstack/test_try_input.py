"""One input for one function: what the command says of it, and that it is true."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devstack.__main__ import main
from devstack.simulator.cloud.errors import client_error
from devstack.simulator.graph import Blueprint
from devstack.try_input import inputs
from devstack.try_input.bench import opened
from devstack.try_input.verdicts import Fate, Run
from headwater import bootstrap
from headwater.domain.events import PlayCompleted, UserRegistered
from headwater.event_store import codec
from headwater.functions import entry
from tests.fakes.events import recorded
from tests.fakes.kinesis_records import kinesis_record
from tests.fakes.queue_messages import queue_message
from tests.fakes.stream_records import play_image, stream_record

ROOT = Path(__file__).parents[3]
FIXTURES = sorted((ROOT / "events").glob("*.json"))
PLAY = PlayCompleted(game="chess", score=7, played_at="2026-03-01T11:59:00.000Z")

type Write = Callable[..., Path]


@pytest.fixture(scope="module")
def blueprint() -> Blueprint:
    return Blueprint.load()


@pytest.fixture(autouse=True)
def _one_reading_of_the_template(blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.try_input.command.Blueprint.load", lambda: blueprint)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(content: Any, name: str = "input.json") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return to_file


def batch(*records: Any, **more: Any) -> dict[str, Any]:
    return {"Records": list(records), **more}


def play(player: str, version: int, number: int, **fields: Any) -> dict[str, Any]:
    return kinesis_record(recorded(f"player#{player}", version, PLAY, **fields), number)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["try", *map(str, arguments)])


def tried(blueprint: Blueprint, path: Path, function: str) -> Run:
    given = inputs.read(path)
    with opened(blueprint, given) as bench:
        bench.append(given)
        return bench.run(bench.callees.named(function), given)


def fates(run: Run) -> list[tuple[Fate, bool]]:
    return [(outcome.fate, outcome.retried) for outcome in run.outcomes]


# What became of each record


def test_events_are_published_and_archived(blueprint: Blueprint, write: Write) -> None:
    path = write(batch(stream_record(1, play_image(1)), stream_record(2, play_image(2, event_id="event-2"))))

    assert fates(tried(blueprint, path, "fan_out")) == [(Fate.PUBLISHED, False)] * 2
    assert fates(tried(blueprint, path, "archiver")) == [(Fate.ARCHIVED, False)] * 2


def test_what_is_no_event_is_parked_with_its_reason_and_its_neighbour_flows(blueprint: Blueprint, write: Write) -> None:
    spoilt = {**play_image(1, player="odd"), "data": {"S": "[]"}}
    result = tried(blueprint, write(batch(stream_record(1, spoilt), stream_record(2, play_image(1)))), "fan_out")

    assert fates(result) == [(Fate.PARKED, False), (Fate.PUBLISHED, False)]
    assert "its data: expected `object`" in result.outcomes[0].reason


def test_what_fails_comes_again_with_all_that_follows(blueprint: Blueprint, write: Write) -> None:
    # Given that what is no event cannot be parked either, because its queue is gone
    spoilt = {**play_image(1, player="odd"), "data": {"S": "[]"}}
    before, after = play_image(1, player="a", event_id="event-a"), play_image(1, player="b", event_id="event-b")
    given = inputs.read(write(batch(stream_record(1, before), stream_record(2, spoilt), stream_record(3, after))))

    with opened(blueprint, given) as bench:
        del bench.cloud.sqs.queues[bootstrap.settings().parked_records_queue]
        result = bench.run(bench.callees.named("fan_out"), given)

    # Then the checkpoint stops there, and what was published above it is published twice.
    assert fates(result) == [(Fate.PUBLISHED, False), (Fate.FAILED, True), (Fate.PUBLISHED, True)]
    assert "queue" in result.outcomes[1].reason.lower()
    assert result.bad


def test_a_handler_that_raises_fails_the_whole_batch(blueprint: Blueprint, write: Write) -> None:
    given = inputs.read(write(batch(stream_record(1, play_image(1)), stream_record(2, play_image(2)))))

    with opened(blueprint, given) as bench:
        bench.cloud.s3.buckets.clear()
        result = bench.run(bench.callees.named("archiver"), given)

    assert fates(result) == [(Fate.FAILED, True)] * 2
    assert "NoSuchBucket" in result.outcomes[0].reason


def test_an_event_that_one_destination_lacks_is_lost_if_it_was_acknowledged(blueprint: Blueprint, write: Write) -> None:
    given = inputs.read(write(batch(stream_record(1, play_image(1)))))

    with opened(blueprint, given) as bench:
        # When SNS says that it has the message, and has it not
        bench.cloud.sns.publish_batch = lambda **params: {  # type: ignore[method-assign]
            "Successful": [{"Id": entry["Id"]} for entry in params["PublishBatchRequestEntries"]]
        }
        result = bench.run(bench.callees.named("fan_out"), given)

    assert fates(result) == [(Fate.LOST, False)]
    assert result.outcomes[0].reason == "on EventsStream, and not on EventsTopic"
    assert result.bad


def test_a_change_of_an_event_is_reported(blueprint: Blueprint, write: Write) -> None:
    path = write(batch(stream_record(1, play_image(1), play_image(1), operation="MODIFY")))

    result = tried(blueprint, path, "fan_out")

    assert fates(result) == [(Fate.REPORTED, False)]
    assert result.outcomes[0].reason.startswith("IllegalChanges: an event was changed")


def test_a_projection_applies_what_it_follows_skips_the_rest_and_says_what_it_had(
    blueprint: Blueprint, write: Write
) -> None:
    path = write(batch(play("a", 1, 1, event_id="e1"), play("a", 1, 2, event_id="e1"), play("a", 2, 3, event_id="e2")))
    given = inputs.read(path)

    with opened(blueprint, given) as bench:
        leaderboard = bench.callees.named("leaderboard")
        first, again = bench.run(leaderboard, given), bench.run(leaderboard, given)

    assert fates(first) == [(Fate.APPLIED, False)] * 3
    assert fates(again) == [(Fate.SKIPPED, False)] * 3
    assert again.outcomes[2].reason == "leaderboard@1 had version 2 before"


def test_later_events_of_a_parked_aggregate_are_held_back(blueprint: Blueprint, write: Write) -> None:
    first = inputs.read(write(batch(play("odd", 3, 1)), "first.json"))
    second = inputs.read(write(batch(play("odd", 4, 2), play("fine", 1, 3)), "second.json"))

    with opened(blueprint, first) as bench:
        leaderboard = bench.callees.named("leaderboard")
        results = [bench.run(leaderboard, first), bench.run(leaderboard, second)]

    assert [fates(result) for result in results] == [
        [(Fate.PARKED, False)],
        [(Fate.HELD, False), (Fate.APPLIED, False)],
    ]
    assert results[1].outcomes[0].reason == "leaderboard@1 stands at version 1 (waits_for)"


def test_a_gap_is_healed_by_what_was_appended(blueprint: Blueprint, write: Write) -> None:
    appended = [codec.encode(recorded("player#a", version, PLAY, event_id=f"e{version}")) for version in (1, 2)]

    result = tried(blueprint, write(batch(play("a", 2, 1, event_id="e2"), appended=appended)), "badges")

    assert fates(result) == [(Fate.APPLIED, False)]
    assert result.outcomes[0].reason == "badges@2 is at version 2"


def test_a_mail_is_sent_once_and_its_address_told(blueprint: Blueprint) -> None:
    given = inputs.read(ROOT / "events" / "WelcomeEmailFunction.json")

    with opened(blueprint, given) as bench:
        welcome = bench.callees.named("welcome_email")
        first, again = bench.run(welcome, given), bench.run(welcome, given)
        queued = len(bench.cloud.queue("WelcomeEmailQueue"))

    assert (fates(first), first.mails) == ([(Fate.APPLIED, False)], ["ada@example.org: Welcome to Headwater"])
    assert (fates(again), again.mails) == ([(Fate.SKIPPED, False)], [])
    assert queued == 0


def test_an_address_that_ses_refuses_for_good_is_told_with_its_reason(blueprint: Blueprint) -> None:
    given = inputs.read(ROOT / "events" / "WelcomeEmailFunction.json")

    def refuse(**_: Any) -> Any:
        raise client_error("sesv2", "SendEmail", "BadRequestException", "the domain has a blank in it")

    with opened(blueprint, given) as bench:
        bench.cloud.sesv2.send_email = refuse  # type: ignore[method-assign]
        result = bench.run(bench.callees.named("welcome_email"), given)

    assert fates(result) == [(Fate.REFUSED, False)]
    assert result.outcomes[0].reason == "RefusedEffects: SES answered 400 BadRequestException: the recipient is refused"


def test_a_message_that_fails_alone_comes_again_alone(blueprint: Blueprint, write: Write) -> None:
    ada = recorded("user#a", 1, UserRegistered(name="Ada", email="ada@example.org"))
    path = write(batch(queue_message(ada, "message-1", body="{}"), queue_message(ada, "message-2")))
    given = inputs.read(path)

    with opened(blueprint, given) as bench:
        result = bench.run(bench.callees.named("welcome_email"), given)
        queued = len(bench.cloud.queue("WelcomeEmailQueue"))

    assert fates(result) == [(Fate.FAILED, True), (Fate.APPLIED, False)]
    assert queued == 1


def test_what_was_published_is_delivered_on_if_one_asks_for_it(blueprint: Blueprint, write: Write) -> None:
    ada = codec.encode(recorded("user#a", 1, UserRegistered(name="Ada", email="ada@example.org")))
    given = inputs.read(write(batch(stream_record(1, ada), appended=[ada])))

    with opened(blueprint, given) as bench:
        bench.append(given)
        bench.run(bench.callees.named("fan_out"), given)
        followed = bench.follow()

    became = {result.function: [outcome.fate for outcome in result.outcomes] for result in followed}
    assert became["player_profiles"] == became["welcome_email"] == became["bi_export"] == [Fate.APPLIED]
    assert "change_notice" not in became
    assert "archiver" not in became


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_function_s_fixture_can_be_tried(blueprint: Blueprint, path: Path) -> None:
    given = inputs.read(path)

    with opened(blueprint, given) as bench:
        (callee,) = bench.callees.taking(given, bench.tables)
        result = bench.run(callee, given)

    assert callee.logical_id == path.stem
    assert len(result.outcomes) == len(given.records)
    # Its pointer leads to a stream that is not there.
    assert result.bad == (path.stem == "DeadLettersFunction")


# The command


def test_the_exit_code_and_a_table_of_80_columns_tell_what_would_be_retried(write: Write) -> None:
    ada = recorded("user#019930c2-6d1e-7a40-9c35-5be0f1a2c3d4", 1, UserRegistered(name="Ada", email="ada@example.org"))
    messages = [queue_message(ada, "m" * 60, body='{"specversion": "1.0"}'), queue_message(ada, "message-2")]
    path = write(batch(*messages, appended=[codec.encode(ada)]))

    result = run("--function", "WelcomeEmailFunction", "--event", path, "--get", f"/users/{ada.aggregate_key},/nowhere")

    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert max(map(len, lines)) <= 80
    assert "MalformedEventError" in result.stdout
    assert f"GET /users/{ada.aggregate_key} → 200" in lines
    assert "GET /nowhere → 404" in lines
    assert lines[-1] == "2 record(s): Lambda would deliver 1 again; 0 lost."


def test_json_is_one_document_that_holds_everything(write: Write) -> None:
    path = write(batch(play("a", 1, 1, event_id="e1")))

    result = run("--function", "leaderboard", "--event", path, "--get", "/games/chess/leaderboard?limit=1", "--json")

    assert result.exit_code == 0
    (told,) = json.loads(result.stdout)["files"]
    assert told["file"] == "input.json"
    (record,) = told["runs"][0]["records"]
    assert record == {
        "record": "player#a@1",
        "identifier": "1",
        "aggregate_id": "player#a",
        "version": 1,
        "became": "applied",
        "reason": "leaderboard@1 is at version 1",
        "retried": False,
    }
    (route,) = told["routes"]
    assert route["status"] == 200
    assert json.loads(route["body"])["entries"][0]["user_id"] == "a"


def test_text_that_no_terminal_can_show_is_told_in_escapes(write: Write) -> None:
    spoilt = {**play_image(1), "aggregate_id": {"S": "player#\ud83d\x1b[31m"}, "data": {"S": "[]"}}
    path = write(batch(stream_record(1, spoilt)))

    shown, told = run("--function", "fan_out", "--event", path), run("--function", "fan_out", "--event", path, "--json")

    assert "player#\\ud83d\\x1b[31m" in shown.stdout
    assert json.loads(told.stdout)["files"][0]["runs"][0]["records"][0]["record"].startswith("player#\ud83d")


def test_without_a_function_all_that_read_the_source_are_run_in_one_world(write: Write) -> None:
    path = write(batch(play("a", 1, 1)), "play.kinesis.json")

    result = run("--event", path, "--get", "/games/chess/leaderboard", "--json")

    (told,) = json.loads(result.stdout)["files"]
    assert [each["function"] for each in told["runs"]] == [
        "achievements",
        "badges",
        "bi_export",
        "leaderboard",
        "player_profiles",
    ]
    assert told["routes"][0]["status"] == 200


def test_a_folder_s_files_are_tried_each_in_a_world_of_its_own(write: Write) -> None:
    folder = write(batch(play("a", 1, 1, event_id="e1")), "one.kinesis.json").parent
    write(batch(play("a", 1, 1, event_id="e1")), "two.kinesis.json")
    write(batch(stream_record(1, play_image(1))), "three.dynamodb.json")

    result = run("--function", "leaderboard", "--event", folder, "--json")

    became = {
        told["file"]: [record["became"] for each in told["runs"] for record in each["records"]]
        for told in json.loads(result.stdout)["files"]
    }
    assert became == {"one.kinesis.json": ["applied"], "two.kinesis.json": ["applied"], "three.dynamodb.json": []}
    assert result.exit_code == 0


def test_a_body_is_posted_where_its_file_s_name_says(write: Write) -> None:
    body = {"name": "Ada", "email": "ada@example.org", "password": "longenough1"}

    good, bad = write(body, "register-ada.http-body.json"), write({**body, "name": ""}, "register.http-body.json")

    told = [json.loads(run("--event", path, "--json").stdout)["files"][0]["runs"][0] for path in (good, bad)]
    assert [(each["function"], each["records"][0]["became"]) for each in told] == [
        ("http_api", "answered"),
        ("http_api", "refused"),
    ]
    assert [each["records"][0]["reason"].split()[0] for each in told] == ["201", "400"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--event", "{folder}/nowhere.json"], "there is no file"),
        (["--event", "{folder}/broken.json"], "broken.json is not JSON: Expecting value (line 1, column 13)"),
        (["--event", "{folder}/text.json"], "text.json is no event"),
        (["--event", "{folder}/digits.json"], "digits.json cannot be read: Exceeds the limit (4300 digits)"),
        (["--event", "{folder}/batchless.kinesis.json"], "it has no list 'Records'"),
        (["--event", "{folder}/nameless.json"], "names no eventSource of dynamodb, kinesis, sqs"),
        (["--event", "{folder}/empty"], "holds no file *.json"),
        (["--event", "{folder}/appended.kinesis.json"], "'appended' is a list of items"),
        (["--event", "{folder}/keyless.kinesis.json"], "lacks a key of every table with a stream"),
        (["--event", "{folder}/refused.kinesis.json"], "appended[0]: DynamoDB refuses it"),
        (["--event", "{folder}/mails.sqs.json"], "say which, FUNCTION=account_cleanup or"),
        (["--event", "{folder}/nobody.http-body.json"], "no route takes POST /nobody"),
        (["--event", "{folder}/play.kinesis.json", "--function", "no_one"], "there are account_cleanup, achievements"),
        (["--event", "{folder}/play.kinesis.json", "--function", "fan_out"], "fan_out takes dynamodb events"),
        (["--event", "{folder}/play.kinesis.json", "--get", "users"], "paths that begin with /"),
        ([], "name an input, EVENT=file.json"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value).replace("{folder}/", "") or "nothing",
)
def test_what_cannot_be_tried_is_said(write: Write, tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "empty").mkdir()
    fine = batch(play("a", 1, 1))
    for name, content in {
        "broken.json": '{"Records": ',
        "text.json": '"Records"',
        "digits.json": f'{{"x": {"1" * 5000}}}',
        "batchless.kinesis.json": {"records": []},
        "nameless.json": batch({}),
        "appended.kinesis.json": {**fine, "appended": {}},
        "keyless.kinesis.json": {**fine, "appended": [{"version": {"N": "1"}}]},
        "refused.kinesis.json": {**fine, "appended": [{"aggregate_id": {"S": ""}, "version": {"N": "1"}}]},
        "mails.sqs.json": batch(),
        "nobody.http-body.json": {},
        "play.kinesis.json": fine,
    }.items():
        write(content, name)

    result = run(*(argument.replace("{folder}", str(tmp_path)) for argument in arguments))

    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


def test_a_service_that_the_cloud_lacks_is_named(write: Write) -> None:
    body = {"account_id": "0199a1b2-0000-7000-8000-000000000001", "kind": "licence", "title": "To fish"}

    result = run("--event", write(body, "applications.http-body.json"))

    assert result.exit_code == 2
    assert "start_execution of Step Functions" in result.stderr
    assert "make run" in result.stderr


def test_what_a_try_replaces_is_as_it_was_afterwards(write: Write) -> None:
    before, logger = {name: value for name, value in vars(bootstrap).items() if callable(value)}, entry.logger

    run("--event", write(batch(stream_record(1, play_image(1)))))

    assert {name: value for name, value in vars(bootstrap).items() if callable(value)} == before
    assert entry.logger is logger
