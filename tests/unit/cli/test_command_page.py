"""docs/command.md says of the commands what they say of themselves."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from cli.archive import INCOMPLETE
from cli.dead_letters import NOT_SURE, WAITS
from cli.main import COMMANDS, INTERRUPTED, main
from cli.status import NEEDS_A_PERSON

PAGE = (Path(__file__).parents[3] / "docs" / "command.md").read_text(encoding="utf-8")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Each that does something, with its words after `headwater`."""
    for name, each in COMMANDS.items():
        command = getattr(import_module(each.module), each.attribute)
        if isinstance(command, click.Group):
            yield from ((f"{name} {within}", found) for within, found in command.commands.items())
        else:
            yield name, command


def takes_json(command: click.Command) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)


def rows(heading: str) -> list[str]:
    """The rows of the table under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def test_the_page_lists_every_command() -> None:
    assert rows("Commands") == [
        f"| `{words}` | {command.get_short_help_str(200)} | {'yes ' if takes_json(command) else ''}|"
        for words, command in commands()
    ]


def test_the_page_tells_every_exit_code() -> None:
    codes = {0, WAITS, NEEDS_A_PERSON, click.UsageError.exit_code, INCOMPLETE, NOT_SURE, INTERRUPTED}

    assert [int(row.split()[1]) for row in rows("Exit codes")] == sorted(codes)


def test_the_page_names_what_chooses_a_stack() -> None:
    told = "\n".join(rows("Which stack"))

    for option in main.params:
        if isinstance(option, click.Option) and option.envvar:
            assert f"`{option.opts[0]} NAME`, `{option.envvar}`" in told


@pytest.mark.parametrize("words", [words for words, _ in commands() if words.endswith(" list")])
def test_every_list_takes_json(words: str) -> None:
    assert takes_json(dict(commands())[words])
