"""The command's frame: each subcommand loads only what it uses, and is listed as it calls itself."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main
from tests.fakes.terminal import Terminal

#: What is large to load, or another command's; each command line says what of it may be loaded.
_WATCHED = {
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "devstack",
    "duckdb",
    "matplotlib",
    "operations.dead_letters.queues",
    "operations.template_document",
    "rich.console",
    "sqlglot",
    "starlette",
    "uvicorn",
    "yaml",
}
_LETTERS = {"botocore", "operations.dead_letters.queues", "rich.console"}


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
    ("given", "right"),
    [
        (["status", "--stack", "local"], "--stack local status"),
        (["status", "--json", "--stack=dev"], "--stack=dev status --json"),
        (["--stack", "dev", "events", "show", "user#a b", "--region", "us-east-1"], None),
        (["events", "show", "user#a b", "--region", "us-east-1"], "--region us-east-1 events show 'user#a b'"),
        (["status", "--stack"], "--stack NAME status"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_an_option_of_the_whole_command_is_told_its_place(given: list[str], right: str | None) -> None:
    told = CliRunner().invoke(main, given)

    assert told.exit_code == 2
    assert "stands before the command:\n  headwater " in told.stderr
    if right is not None:
        assert told.stderr.endswith(f"\n  headwater {right}\n")


def test_an_option_that_there_is_none_of_is_none_that_stands_elsewhere() -> None:
    assert CliRunner().invoke(main, ["status", "--nope"]).stderr.endswith("Error: No such option '--nope'.\n")


def test_a_stack_without_a_region_is_told_how_to_name_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    for command in (["status"], ["destroy"]):
        told = CliRunner().invoke(main, ["--stack", "nope", *command])
        assert told.exit_code == 1
        assert "no Region is set: name it with --region, before the command, or with AWS_REGION" in told.stderr


def test_a_command_that_is_stopped_does_not_end_as_one_that_found_something(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("operations.target.resolve", stopped)

    result = CliRunner().invoke(main, ["dead-letters", "list"])

    assert result.exit_code == 130
    assert result.stderr.split() == ["Stopped."]


def test_help_of_a_group_is_whole_and_80_columns_wide() -> None:
    for name in COMMANDS:
        command = getattr(import_module(COMMANDS[name].module), COMMANDS[name].attribute)
        told = CliRunner().invoke(main, [name, "--help"], env={"COLUMNS": "80"}).stdout
        assert "..." not in told.replace("]...", "")
        assert max(map(len, told.splitlines())) <= 80
        for each in getattr(command, "commands", {}).values():
            assert each.help.splitlines()[0].partition(". ")[0] in " ".join(told.split())


def test_an_error_fits_a_terminal_and_is_one_line_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = ["archive", "query", "--name", "nope"]
    piped = CliRunner().invoke(main, command).stderr
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with pytest.raises(SystemExit):
        main(command, prog_name="headwater")

    assert piped.count("\n") == 1
    assert len(piped) > 300
    assert max(map(len, terminal.getvalue().splitlines())) <= 80
    assert terminal.getvalue().split() == piped.split()


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
