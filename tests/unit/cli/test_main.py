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


def loaded(arguments: list[str], folder: Path, code: int = 0, before: str = "") -> set[str]:
    """What of the watched a command line loads, in a process of its own, in a folder where no stack runs."""
    program = (
        f"{before}\nimport sys\nfrom cli.main import main\n"
        f"try: main({arguments!r}, prog_name='headwater')\n"
        f"except SystemExit as end: assert (end.code or 0) == {code}, end.code\n"
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


def test_a_command_that_there_is_none_of_is_named_with_the_one_that_was_meant() -> None:
    told = CliRunner().invoke(main, ["stauts"])

    assert told.exit_code == 2
    assert "No such command 'stauts'. Did you mean" in told.output
    assert "'status'" in told.output


@pytest.mark.parametrize(
    ("words", "position", "completed"),
    [
        ("headwater ", 1, [f"plain,{name}" for name in COMMANDS]),
        ("headwater dea", 1, ["plain,dead-letters"]),
        ("headwater --st", 1, ["plain,--stack"]),
        ("headwater dead-letters re", 2, ["plain,redrive", "plain,release"]),
        ("headwater dead-letters redrive --d", 3, ["plain,--dry-run"]),
        ("headwater archive query --name user", 4, ["plain,user-as-of"]),
        ("headwater archive compact --source a", 4, ["plain,applications"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_shell_completes(words: str, position: int, completed: list[str]) -> None:
    environment = {"_HEADWATER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}

    assert CliRunner().invoke(main, prog_name="headwater", env=environment).output.split() == completed


def test_the_first_word_is_completed_without_loading_a_command(tmp_path: Path) -> None:
    words = {"_HEADWATER_COMPLETE": "bash_complete", "COMP_WORDS": "headwater ", "COMP_CWORD": "1"}
    program = f"import os\nos.environ |= {words!r}"

    assert loaded([], tmp_path, before=program) == set()
