"""The command's frame: each subcommand loads only what it uses, and is listed as it calls itself."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main

#: What is large to load, or another command's; each command line says what of it may be loaded.
_WATCHED = {
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "cli.queues",
    "devstack.stack",
    "devstack.template",
    "duckdb",
    "matplotlib",
    "rich.console",
    "sqlglot",
    "starlette",
    "uvicorn",
    "yaml",
}
_LETTERS = {"botocore", "cli.queues", "rich.console"}


@pytest.mark.parametrize(
    ("arguments", "may"),
    [
        (["--version"], set()),
        (["--help"], set()),
        (["archive", "--help"], set()),
        (["archive", "query", "--help"], set()),
        (["archive", "query", "--list"], set()),
        (["archive", "query", "--list", "--json"], set()),
        (["archive", "query", "--name", "top-players", "--show"], set()),
        (["archive", "query", "--folder", ".", "SELECT 1 AS a"], {"botocore", "duckdb", "rich.console", "sqlglot"}),
        (["console", "--help"], set()),
        (["mail", "--help"], {"rich.console"}),
        (["processes", "--help"], {"rich.console"}),
        (["rehearse", "--help"], {"rich.console"}),
        (["destroy", "--help"], {"botocore", "rich.console"}),
        (["dead-letters", "--help"], _LETTERS),
        (["status", "--help"], _LETTERS),
        (["events", "--help"], {"botocore", "rich.console"}),
    ],
    ids=lambda given: " ".join(sorted(given)),
)
def test_a_command_loads_only_what_it_uses(arguments: list[str], may: set[str], tmp_path: Path) -> None:
    assert loaded(arguments, tmp_path) <= may


@pytest.mark.parametrize("command", [["mail", "list"], ["processes", "list"]], ids=" ".join)
def test_a_list_loads_no_query_engine(command: list[str], tmp_path: Path) -> None:
    """Up to where it finds that no stack runs, which is told before the SDK is loaded."""
    assert loaded(command, tmp_path, code=1) <= {"rich.console"}


def loaded(arguments: list[str], folder: Path, code: int = 0) -> set[str]:
    """What of the watched a command line loads, in a process of its own, in a folder where no stack runs."""
    program = (
        "import sys\nfrom cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert (end.code or 0) == {code}, end.code\n"
        f"print('loaded:', *sorted(set(sys.modules) & {_WATCHED!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_every_command_is_listed_as_it_calls_itself() -> None:
    for name, each in COMMANDS.items():
        command = getattr(import_module(each.module), each.attribute)
        assert isinstance(command, click.Command)
        assert command.name == name
        assert command.get_short_help_str(200) == each.help


def test_the_list_of_commands_has_them_all() -> None:
    told = CliRunner().invoke(main, ["--help"])

    assert told.exit_code == 0
    assert all(f"  {name} " in told.output for name in COMMANDS)


def test_a_command_that_there_is_none_of_is_named() -> None:
    told = CliRunner().invoke(main, ["stauts"])

    assert told.exit_code == 2
    assert "stauts" in told.output


def test_completion_knows_commands_and_options() -> None:
    def completed(words: str, position: int) -> str:
        environment = {"_HEADWATER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        return CliRunner().invoke(main, prog_name="headwater", env=environment).output

    assert "plain,dead-letters" in completed("headwater dea", 1)
    assert "plain,redrive" in completed("headwater dead-letters re", 2)
    assert "plain,--dry-run" in completed("headwater dead-letters redrive --d", 3)
