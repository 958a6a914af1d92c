"""The recipes of docs/extend.md, followed to the letter in a copy of the project: what they leave out would show."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

#: A tutorial from end to end.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PARTS = (
    "cli",
    "devstack",
    "events",
    "schemas",
    "src",
    "statemachines",
    "tests",
    "template.yaml",
    "receiver.yaml",
    "pyproject.toml",
)
NAMES = {
    "PlayerProfiles": "FavouriteGames",
    "player_profiles": "favourite_games",
    "player-profiles": "favourite-games",
    "Player profiles": "Favourite games",
    "the player profiles": "each player's favourite games",
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
    json.dump({"code": headwater.__path__[0], "played": played, "deleted": row()}, Path("answer.json").open("w"))
"""


def recipe(title: str) -> dict[str, str]:
    """The code of a section of docs/extend.md by the file (or part of one) that its first line names."""
    text = (ROOT / "docs" / "extend.md").read_text()
    section = text[text.index(f"## {title}\n") :].split("\n## ")[0]
    blocks = re.findall(r"^( *)```\w+\n(.*?)^\1```$", section, re.DOTALL | re.MULTILINE)
    named = (textwrap.dedent(block).split("\n", 1) for _, block in blocks)
    return {first.removeprefix("# "): code for first, code in named}


def renamed(text: str) -> str:
    for old, new in NAMES.items():
        text = text.replace(old, new)
    return text


def blocks_of(template: str, name: str) -> Iterator[str]:
    """The resources whose logical ids begin with a name, each with the comments above it."""
    yield from re.findall(rf"(?:^  #.*\n)*^  {name}\w*:\n(?:^    .*\n|^\n(?=    ))+", template, re.MULTILINE)


def with_projection(template: str, code: dict[str, str]) -> str:
    """Step 2: all that is named PlayerProfiles once more, reading through a consumer of its own."""
    for block in blocks_of(template, "PlayerProfiles"):
        copy = renamed(block).replace(
            "!GetAtt EventsStream.Arn\n            Starting", "CONSUMER\n            Starting"
        )
        copy = copy.replace("CONSUMER", "!GetAtt FavouriteGamesConsumer.ConsumerARN")
        if "ReadStream" in copy:
            copy = copy.replace(
                "              - Sid: HealGaps\n", code["FavouriteGamesRole"] + "              - Sid: HealGaps\n"
            )
        if "AWS::Serverless::Function" in copy:
            copy = code["template.yaml"] + "\n" + copy
        template = template.replace(block, block + "\n" + copy)
    (alarm,) = blocks_of(template, "EventsStreamReadersSilentAlarm")
    heard = alarm.replace("FILL(badges, 0)", "FILL(badges, 0), FILL(favourite_games, 0)")
    heard = heard.replace("      EvaluationPeriods", code["EventsStreamReadersSilentAlarm"] + "      EvaluationPeriods")
    return template.replace(alarm, heard)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the recipe's module, function, fixture and template block."""
    copy = tmp_path_factory.mktemp("project")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, copy / part)
    for path, code in recipe("Add a projection").items():
        if path.startswith("src/"):
            (copy / path).write_text(code)
    shutil.copy(copy / "events/PlayerProfilesFunction.json", copy / "events/FavouriteGamesFunction.json")
    template = (copy / "template.yaml").read_text()
    (copy / "template.yaml").write_text(with_projection(template, recipe("Add a projection")))
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


def test_a_projection_that_is_added_as_the_readme_says_keeps_its_rows(project: Path) -> None:
    run = python(project, "-c", STORY)

    assert run.returncode == 0, run.stderr
    answer = json.loads((project / "answer.json").read_text())
    assert answer["code"] == str(project / "src/headwater")
    assert answer["played"]["games"] == {"chess": 2, "go": 1}
    assert answer["played"]["applied"] == {"user": 1, "player": 3}
    assert answer["deleted"]["deleted"] is True
    assert answer["deleted"]["applied"] == {"user": 2, "player": 3}


def test_the_templates_rules_hold_of_an_added_projection_and_name_what_is_missing(project: Path) -> None:
    lists = project / "tests/infrastructure/test_template.py"
    before = lists.read_text()

    told = rules(project)
    assert told.returncode == 1
    assert "FavouriteGamesFunction" in told.stdout
    for entry in (
        '    "PlayerProfilesFunction": "player_profiles",\n',
        '    "PlayerProfilesFunctionEventsStream",\n',
    ):
        before = before.replace(entry, entry + renamed(entry))
    lists.write_text(before)

    assert (told := rules(project)).returncode == 0, told.stdout
    (project / "events/FavouriteGamesFunction.json").unlink()
    assert "FavouriteGamesFunction" in rules(project).stdout
