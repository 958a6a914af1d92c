"""The recipes of docs/extend.md, followed to the letter in a copy of the project: what they leave out would show."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

#: A tutorial from end to end.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: Of a further projection or effect, in its one file.
LINES = 15
PARTS = (
    "analytics",
    "cli",
    "devstack",
    "docs",
    "events",
    "operations",
    "schemas",
    "src",
    "statemachines",
    "tests",
    "template.yaml",
    "receiver.yaml",
    "pyproject.toml",
)
#: What a feature names of its consumers, before and after.
NAMED = {
    "projections=[PLAYER_PROFILES, LEADERBOARD]": "projections=[PLAYER_PROFILES, LEADERBOARD, FAVOURITE_GAMES]",
    "effects=[WELCOME_EMAIL, CHANGE_NOTICE]": "effects=[WELCOME_EMAIL, CHANGE_NOTICE, SALES_NOTE]",
}
IMPORTS = {
    "from headwater.effects.effect import Effect, Prepare\n": (
        "from headwater.effects.effect import Actions, Effect, Prepare\n"
        "from headwater.projections.projection import Projection, State\n"
    ),
    "    PlayCompleted,\n": "    PlayCompleted,\n    RecordedEvent,\n",
    "from typing import Final\n": "from functools import partial\nfrom typing import Final\n",
}

#: Plays and leaves on the copy's local stack; tells where the code came from, and the row before and after.
STORY = """
import json, sys
from pathlib import Path
import headwater
from devstack.demo.traffic import Api, Request
from devstack.stack import LocalStack
from headwater.attribute_values import unmarshal_item

with LocalStack(Path.cwd()) as stack:
    def row():
        stack.wait_until_quiet(120)
        pk = {"pk": {"S": f"favourite_games@1#{user}"}}
        table = stack.outputs["ReadModelsTableName"]
        item = stack.client("dynamodb").get_item(TableName=table, Key=pk, ConsistentRead=True)["Item"]
        return unmarshal_item(item)

    api = Api(stack.url)
    ada = {"name": "Ada", "email": "ada@example.org", "password": "correct horse battery"}
    user = api.send(Request("POST", "/register", ada))["user_id"]
    for game in ("chess", "go", "chess"):
        api.send(Request("POST", "/users/{user_id}/plays", {"game": game, "score": 1}), user)
    played = row()
    api.send(Request("DELETE", "/users/{user_id}"), user)
    notes = [mail for mail in stack.sent_mails() if "sales@example.org" in mail.to]
    answer = {"code": headwater.__path__[0], "played": played, "deleted": row(), "notes": len(notes)}
    json.dump(answer, Path("answer.json").open("w"))
"""


def recipe(title: str) -> dict[str, str]:
    """The code of a section of docs/extend.md by the file (or part of one) that its first line names."""
    text = (ROOT / "docs" / "extend.md").read_text()
    section = text[text.index(f"## {title}\n") :].split("\n## ")[0]
    blocks = re.findall(r"^( *)```\w+\n(.*?)^\1```$", section, re.DOTALL | re.MULTILINE)
    named = (textwrap.dedent(block).split("\n", 1) for _, block in blocks)
    return {first.removeprefix("# "): code for first, code in named}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the recipe's module, function, fixture and template block."""
    copy = tmp_path_factory.mktemp("project")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, copy / part)
    app = copy / "src/arcade/app.py"
    text = app.read_text()
    for old, new in (NAMED | IMPORTS).items():
        assert old in text, old
        text = text.replace(old, new, 1)
    for title in ("Add a projection", "Add an effect"):
        ((path, code),) = recipe(title).items()
        assert path == "src/arcade/app.py"
        assert len([line for line in code.splitlines() if line.strip()]) <= LINES, title
        text = text.replace("_WRITE_PREFERENCES: Final", f"{code}\n\n_WRITE_PREFERENCES: Final", 1)
    app.write_text(text)
    wired = python(copy, "-m", "cli.wiring")
    assert wired.returncode == 0, wired.stderr
    return copy


def python(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": f"{project}:{project / 'src'}"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def rules(project: Path) -> "subprocess.CompletedProcess[str]":
    return python(project, "-m", "pytest", "tests/infrastructure/test_template.py")


def test_what_is_added_as_the_docs_say_works(project: Path) -> None:
    run = python(project, "-c", STORY)

    assert run.returncode == 0, run.stderr
    answer = json.loads((project / "answer.json").read_text())
    assert answer["code"] == str(project / "src/headwater")
    assert answer["played"]["games"] == {"chess": 2, "go": 1}
    assert answer["played"]["applied"] == {"user": 1, "player": 3}
    assert answer["deleted"]["deleted"] is True
    assert answer["deleted"]["applied"] == {"user": 2, "player": 3}
    assert answer["notes"] == 1


def test_the_templates_rules_hold_of_what_was_added(project: Path) -> None:
    assert (told := rules(project)).returncode == 0, told.stdout
    assert "FavouriteGamesConsumer:" in (project / "template.yaml").read_text(), "a shard serves no fifth reader"


def test_the_fixtures_of_what_was_added_pass_through_its_functions(project: Path) -> None:
    for function, name in (("favourite_games", "FavouriteGames"), ("sales_note", "SalesNote")):
        tried = python(
            project, "-m", "devstack", "try", "--function", function, "--event", f"events/{name}Function.json"
        )
        assert tried.returncode == 0, tried.stdout + tried.stderr
        assert "0 lost" in tried.stdout


def test_the_simulator_judges_what_was_added(project: Path) -> None:
    """By its declaration: the rows are the fold, and each note is sent. So few events meet few of the faults."""
    simulated = python(project, "-m", "devstack", "simulate", "--events", "400", "--seeds", "2")

    told = " ".join((simulated.stdout + simulated.stderr).split())
    assert told.count("0 lost, 0 doubled, 0 order breaks, 0 wrong") == 2, told
    assert "favourite_games" in told, "its lag is measured"


def test_the_simulator_finds_what_was_added_wrong(project: Path) -> None:
    """A fold that depends on when it runs is no fold: the rows differ from what the log says."""
    app = project / "src/arcade/app.py"
    text = app.read_text()
    app.write_text(text.replace("games.get(play.game, 0) + 1", "games.get(play.game, 0) + random.randrange(9)"))
    app.write_text(
        app.read_text().replace("from functools import partial\n", "import random\nfrom functools import partial\n")
    )
    simulated = python(project, "-m", "devstack", "simulate", "--events", "200", "--seeds", "1")
    app.write_text(text)

    assert simulated.returncode == 1
    assert "favourite_games has games=" in simulated.stdout + simulated.stderr


@pytest.mark.parametrize("line", ["FavouriteGamesIteratorAgeAlarm:", "- !GetAtt SalesNoteDeadLetterQueue.Arn"])
def test_what_is_taken_away_by_hand_is_stale(project: Path, line: str) -> None:
    template = project / "template.yaml"
    text = template.read_text()
    template.write_text(text.replace(line, line.replace("Note", "Notes").replace("Games", "Game"), 1))
    told = python(project, "-m", "cli.wiring", "--check")
    template.write_text(text)

    assert told.returncode == 1
    assert "Run make wiring." in told.stderr
