"""The commands of the documents, run as they stand there, against one local stack.

A block of commands is run, or stands under a comment that says why it is not: `<!-- not run: … -->`.
"""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from devstack.__main__ import _welcome
from devstack.demo.traffic import Api, Request
from devstack.stack import LocalStack
from operations.running import ACCESS_KEY, REGION, RUN_VARIABLE, SECRET_KEY

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^(?P<above>[^\n]*)\n```(?:sh|bash)\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: \S.* -->")
#: What a command says of itself that went wrong. Exit codes do not tell: `status` has 1 where somebody is needed.
_WRONG = re.compile(r"Error:|Usage:|Traceback|command not found|No such file")


def blocks(page: Path) -> list[str]:
    """The commands of a page that are to be run, block by block."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [each["commands"] for each in found if not _NOT_RUN.fullmatch(each["above"])]


RUN = [page for page in PAGES if blocks(page)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[LocalStack]:
    with LocalStack(folder) as stack:
        yield stack


@pytest.fixture(scope="module")
def shell(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a second shell beside `make run`."""
    programs = tmp_path_factory.mktemp("bin")
    aws = programs / "aws"
    aws.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.e2e.aws_cli "$@"\n')
    aws.chmod(0o755)
    user = Api(stack.url).send(
        Request("POST", "/register", {"name": "Ada", "email": "docs@example.com", "password": "correct horse battery"})
    )["user_id"]
    for score in (1, 2):
        body = {"game": "chess", "score": score}
        Api(stack.url).send(Request("POST", "/users/{user_id}/plays", body), user)
    stack.wait_until_quiet(60)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        RUN_VARIABLE: str(stack.run_folder),
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "TABLE": stack.outputs["EventsTableName"],
        "USER_ID": user,
        "API": stack.url,
    }


def run(commands: str, shell: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", commands], env=shell, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    said = done.stdout + done.stderr
    assert not _WRONG.search(said), said
    return said


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_work_as_they_stand_there(
    page: Path, stack: LocalStack, shell: Mapping[str, str], tmp_path: Path
) -> None:
    for commands in blocks(page):
        said = run(commands, shell, tmp_path)

        assert said, commands
        if "rehearse start stop" not in commands:
            stack.wait_until_quiet(120)


def test_what_make_run_prints_can_be_pasted(stack: LocalStack, shell: Mapping[str, str]) -> None:
    told = _welcome(stack, 1.0, None)
    lines = told.partition("Try it, in a shell of its own:\n")[2].partition("\n\n")[0]

    said = run(textwrap.dedent(lines), shell, ROOT)

    for part in ('"name":"Ada"', '"game":"chess"', "UserRegistered", '"title":"To fish"', "Welcome to Headwater"):
        assert part in said


def test_there_is_something_to_run_and_every_page_says_what_is_not() -> None:
    assert {"README.md", "append-events.md", "archive.md", "first-hour.md"} <= {page.name for page in RUN}
