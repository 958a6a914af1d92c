"""The whole system on template.yaml: a request's way to every consumer, and the demo that shows it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from click.testing import CliRunner

from cli.main import main as headwater
from devstack.demo.traffic import Api, Request, RequestRefusedError
from devstack.stack import LocalStack
from operations import mailbox
from operations.running import running_stack
from tests.e2e.output import json_lines
from tests.e2e.stacks import templates_in
from tests.integration.devstack.processes import answers, eventually

QUIET_SECONDS = 60


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[LocalStack]:
    with LocalStack(folder) as stack:
        yield stack


@pytest.fixture(scope="module")
def api(stack: LocalStack) -> Api:
    return Api(stack.url)


@pytest.fixture(scope="module")
def ada(stack: LocalStack, api: Api) -> str:
    """A user who registered, played chess on ten days in a row, and go once."""
    registration = {"name": "Ada", "email": "ada@example.org", "password": "correct horse battery"}
    user_id: str = api.send(Request("POST", "/register", registration))["user_id"]
    for day in range(1, 11):
        play = {"game": "chess", "score": day * 10, "played_at": f"2026-03-{day:02d}T23:30:00+00:00"}
        api.send(Request("POST", "/users/{user_id}/plays", play), user_id)
    go = {"game": "go", "score": 3, "played_at": "2026-03-10T23:45:00+00:00"}
    api.send(Request("POST", "/users/{user_id}/plays", go), user_id)
    stack.wait_until_quiet(QUIET_SECONDS)
    return user_id


def test_plays_become_a_leaderboard(api: Api, ada: str) -> None:
    best = {"rank": 1, "user_id": ada, "name": "Ada", "score": 100, "achieved_at": "2026-03-10T23:30:00.000Z"}

    assert api.send(Request("GET", "/games/chess/leaderboard"))["entries"] == [best]
    assert len(api.send(Request("GET", "/games/go/leaderboard?limit=1"))["entries"]) == 1


def test_plays_become_a_profile_with_badges(api: Api, ada: str) -> None:
    profile = api.send(Request("GET", "/users/{user_id}"), ada)

    assert profile["name"] == "Ada"
    assert profile["plays"] == 11
    assert profile["best_scores"] == {"chess": 100, "go": 3}
    assert {(badge["badge"], badge["game"]) for badge in profile["badges"]} == {
        ("first-play-ever", None),
        ("first-play", "chess"),
        ("first-play", "go"),
        ("three-days-in-a-row", "chess"),
        ("ten-days-in-a-row", "chess"),
        ("three-days-of-play", None),
        ("ten-days-of-play", None),
        ("ten-plays", "chess"),
        ("personal-best", "chess"),
    }
    assert profile["streaks"]["overall"]["longest"] == 10
    assert ("hundred-plays", 10, 100) in {(goal["badge"], goal["have"], goal["need"]) for goal in profile["progress"]}


def test_a_registration_becomes_one_mail(stack: LocalStack, ada: str) -> None:
    mails = [mail for mail in stack.sent_mails() if mail.to == ("ada@example.org",)]

    assert len(mails) == 1
    assert mails[0].text.startswith("Hello Ada,")


def test_e_mails_can_be_looked_at_in_a_browser_and_in_a_terminal(stack: LocalStack, ada: str) -> None:
    (mail,) = [mail for mail in stack.sent_mails() if mail.to == ("ada@example.org",)]

    pages = [urllib3.request("GET", f"{stack.url}{path}") for path in _mail_pages(mail.message_id)]
    listed, shown, other = [
        CliRunner().invoke(headwater, ["mail", *arguments])
        for arguments in (["list"], ["show", mail.message_id[:12]], ["show", "nothing"])
    ]

    assert [page.status for page in pages] == [200, 200, 200, 404]
    assert "ada@example.org" in pages[0].data.decode()
    assert "<h1" in pages[1].data.decode()
    assert {page.headers["content-security-policy"].partition(";")[0] for page in pages} == {"sandbox"}
    assert pages[2].data.decode().endswith(mail.text)
    assert "Welcome to Headwater" in listed.output
    assert shown.output == mail.text + "\n"
    assert (other.exit_code, "no e-mails have an id like nothing" in other.output) == (1, True)


def _mail_pages(message_id: str) -> list[str]:
    return ["/_mails", f"/_mails/{message_id}", f"/_mails/{message_id}.txt", "/_mails/nothing"]


def test_the_password_is_nowhere_but_in_the_hash(stack: LocalStack, ada: str) -> None:
    """FAULTS row 30: in no table, no archive object and no log."""
    canary = "correct horse battery"
    dynamodb, s3 = stack.client("dynamodb"), stack.client("s3")
    names = (
        "EventsTableName",
        "CredentialsTableName",
        "ReadModelsTableName",
        "LedgerTableName",
        "PreferencesTableName",
    )
    items = [dynamodb.scan(TableName=stack.outputs[name])["Items"] for name in names]
    bucket = stack.outputs["ArchiveBucketName"]
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    logs = [path.read_text() for path in (stack.run_folder / "logs").iterdir()]

    assert all(items), "every table was written to, or this test proves nothing"
    assert canary not in json.dumps(items)
    assert not [key for key in keys if canary.encode() in _content(s3, bucket, key)]
    assert not [log for log in logs if canary in log]


def asked(*arguments: str) -> list[dict[str, Any]]:
    """What `headwater archive query` answers over the running stack's archive."""
    answered = CliRunner().invoke(headwater, ["archive", "query", *arguments, "--format", "json"])
    assert answered.exit_code == 0, answered.output
    return json_lines(answered)


def test_the_archive_holds_the_log(stack: LocalStack, ada: str) -> None:
    stack.wait_until_quiet(QUIET_SECONDS)
    log = stack.client("dynamodb").scan(TableName=stack.outputs["EventsTableName"])["Items"]
    archived = asked("SELECT aggregate_id, version, event_id, payload FROM events_all WHERE operation = 'INSERT'")

    assert len(log) > 11
    assert {tuple(row.values()) for row in archived} == {
        (item["aggregate_id"]["S"], int(item["version"]["N"]), item["event_id"]["S"], item["data"]["S"]) for item in log
    }
    assert len(archived) == len(log)


def test_the_analyst_asks_the_archive(stack: LocalStack, ada: str, tmp_path: Path) -> None:
    plays = asked("--name", "plays-by-game-and-day", "--plot", str(tmp_path / "plays.png"))
    mine = asked("SELECT game, date(played_at) AS day, score FROM plays WHERE user_id = '" + ada + "' ORDER BY version")
    (best,) = asked("--name", "top-players", "-p", "count=1")
    (user,) = asked("--name", "user-as-of", "-p", f"user={ada}", "-p", "at=2999-01-01")

    assert mine[0] == {"game": "chess", "day": "2026-03-01", "score": 10}
    assert len(mine) == 11
    assert {"game": "chess", "day": "2026-03-10", "plays": 1, "players": 1} in plays
    assert (best["user_id"], best["score"], best["achieved_at"]) == (ada, 100, "2026-03-10T23:30:00")
    assert (user["state"], user["name"], user["plays"], user["badges"]) == ("registered", "Ada", 11, 9)
    assert asked("--name", "duplicates") == []
    assert asked("--name", "missing-versions") == []
    assert (tmp_path / "plays.png").stat().st_size > 0


def test_the_operator_reads_a_history(stack: LocalStack, ada: str) -> None:
    shown = CliRunner().invoke(headwater, ["events", "show", f"player#{ada}", "--after", "9", "--json"])

    assert shown.exit_code == 0, shown.output
    assert [(event["version"], event["type"], event["data"]["game"]) for event in json_lines(shown)] == [
        (10, "PlayCompleted", "chess"),
        (11, "PlayCompleted", "go"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["events", "show", "user#nobody"], "has no events of user#nobody"),
        (["events", "show", "nobody"], "has no type; write it as <type>#<id>"),
        (["events", "show", "user#nobody", "--after", "-1"], "Invalid value for '--after'"),
    ],
)
def test_the_operator_is_told_what_is_wrong(stack: LocalStack, arguments: list[str], message: str) -> None:
    shown = CliRunner().invoke(headwater, arguments)

    assert shown.exit_code != 0
    assert message in " ".join(shown.output.split())


def test_a_refused_request_writes_nothing(stack: LocalStack, api: Api, ada: str) -> None:
    """FAULTS row 18: through the real gateway."""
    table = stack.outputs["EventsTableName"]
    before = stack.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"]
    refused = [
        ("/users/{user_id}/plays", b'{"game": "chess", "score": NaN}', 400),
        ("/users/{user_id}/plays", b'{"game": "chess", "score": 1, "played_at": "2999-01-01T00:00:00Z"}', 400),
        ("/users/{user_id}/plays", b'{"game": "chess", "score": "1"}', 400),
        ("/users/01990000-0000-7000-8000-000000000000/plays", b'{"game": "chess", "score": 1}', 404),
        ("/register", b'{"name": "A", "email": "a@example.org\\r\\nBcc: b@example.org", "password": "12345678"}', 400),
        ("/register", b"{", 400),
        ("/register", b" " * 11_000_000, 413),
    ]
    for path, body, status in refused:
        answer = urllib3.request(
            "POST",
            stack.url + path.format(user_id=ada),
            body=body,
            headers={"content-type": "application/json"},
            retries=False,
        )
        assert answer.status == status, (path, body[:80], answer.data)
    stack.wait_until_quiet(QUIET_SECONDS)

    assert stack.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"] == before


def test_a_deleted_user_is_gone_and_the_address_free(api: Api, stack: LocalStack) -> None:
    registration = {"name": "Bob", "email": "bob@example.org", "password": "another long password"}
    user_id = api.send(Request("POST", "/register", registration))["user_id"]
    api.send(Request("DELETE", "/users/{user_id}"), user_id)
    stack.wait_until_quiet(QUIET_SECONDS)

    with pytest.raises(RequestRefusedError, match="410"):
        api.send(Request("GET", "/users/{user_id}"), user_id)
    assert api.send(Request("POST", "/register", registration))["user_id"] != user_id


def _content(s3: Any, bucket: str, key: str) -> bytes:
    from backports import zstd

    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return zstd.decompress(body) if key.endswith(".zst") else body


def _demo(folder: Path, users: int, plays: int, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "devstack", "demo", "--users", str(users), "--plays", str(plays), *options]
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _finished(process: "subprocess.Popen[str]") -> tuple[int, str]:
    with process:
        output = process.communicate(timeout=240)[0]
    return process.returncode, output


@pytest.mark.slow
def test_the_demo_accounts_for_every_event(tmp_path: Path) -> None:
    folder = templates_in(tmp_path)

    status, output = _finished(_demo(folder, 3, 45))

    assert status == 0, output
    lines = output.splitlines()
    assert lines[0] == "Every event is at every station, and every e-mail was sent, once."
    assert lines[1].startswith("3 users, 45 plays in 30 simulated days")
    assert len(lines) <= 60, output
    assert max(map(len, lines)) <= 80, output
    assert {line.split()[0] for line in lines if line.strip()} >= {"appended", "leaderboard", "applications", "slowest"}
    assert (folder / ".devstack" / "plays-by-game-and-day.png").stat().st_size


@pytest.mark.slow
def test_the_demo_shows_all_on_demand(tmp_path: Path) -> None:
    status, output = _finished(_demo(templates_in(tmp_path), 2, 10, "--verbose"))

    assert status == 0, output
    assert "A tracking page, from the account domain" in output
    assert "dropped 60, with no" in output
    assert "From append to effect, seconds" in output
    assert "Query: Badge funnel" in output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_demo_stopped_in_the_middle_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """FAULTS row 40: as far as a process on this machine goes; the next run starts from nothing."""
    folder = templates_in(tmp_path)
    demo = _demo(folder, 20, 2000)
    endpoint = _endpoint_of(demo, folder)
    eventually(lambda: mailbox.sent_mails(endpoint))
    assert demo.poll() is None, "the demo must still be at it"

    demo.send_signal(number)
    _, output = _finished(demo)

    assert "Traceback" not in output
    eventually(lambda: not answers(endpoint))
    status, output = _finished(_demo(folder, 2, 10))
    assert status == 0, output


def _endpoint_of(demo: "subprocess.Popen[str]", folder: Path) -> str:
    found = eventually(lambda: running_stack(folder) or demo.poll() is not None)
    assert demo.poll() is None, "the demo's stack did not come up"
    endpoint: str = found.endpoint_url
    return endpoint
