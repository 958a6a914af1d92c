"""What a command suggests to run next."""

import shlex

import click

from operations.target import LOCAL


def command_line() -> str:
    """How the command that is running began, for what it suggests to run next: on the same stack."""
    given = click.get_current_context().find_root().params
    words = ["headwater"]
    if (stack := given.get("stack", LOCAL)) != LOCAL:
        words += ["--stack", stack, *(("--region", given["region"]) if given.get("region") else ())]
    return shlex.join(words)
