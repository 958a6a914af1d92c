"""`headwater`, the operator's command. One module a group of commands; this one is the frame.

A command's module is loaded when the command is used: what one needs, no other waits for.
"""

import sys
from importlib import import_module
from typing import Final, NamedTuple

import click
from click.exceptions import NoSuchCommand
from click.shell_completion import CompletionItem


class _Command(NamedTuple):
    """Where a command is, and its first line of help, which the list of commands shows without loading it."""

    module: str
    attribute: str
    help: str


COMMANDS: Final = {
    "archive": _Command("cli.archive", "archive", "Asks the archive: what happened, in SQL, and what lies there."),
    "console": _Command(
        "cli.console.command",
        "console",
        "Serves pages on which to look at the stack: its flow, events, read models, dead letters and archive.",
    ),
    "dead-letters": _Command(
        "cli.dead_letters",
        "dead_letters",
        "Shows, redrives and discards what consumers gave up, and releases what stands still.",
    ),
    "destroy": _Command("cli.destroy", "destroy", "Deletes the stack that --stack names."),
    "events": _Command("cli.events", "events", "Reads the event store, and mends an event that cannot be read."),
    "mail": _Command("cli.mail", "mail", "Looks at the e-mails that the local stack sent."),
    "processes": _Command("cli.processes", "processes", "Looks at the applications whose process runs, and stops it."),
    "rehearse": _Command(
        "cli.rehearse", "rehearse", "Breaks the local stack on purpose, to see what follows and how to repair it."
    ),
    "status": _Command(
        "cli.status", "status", "Shows how the stack does: lag, queues, dead letters, the archive's freshness, alarms."
    ),
}


class _Commands(click.Group):
    """Turns what AWS refuses into one line, so that nobody reads a traceback at night."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        command: click.Command = getattr(import_module(found.module), found.attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            # Click looks for a near name among the commands that are loaded: there are none.
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=each.help) for name, each in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.help) for name, each in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if (told := _refusal(error)) is None:
                raise
            raise click.ClickException(told) from error


def _refusal(error: Exception) -> str | None:
    """What AWS says, in one line; None for any other error."""
    # A command that has not loaded the SDK has nothing refused by AWS.
    exceptions = sys.modules.get("botocore.exceptions")
    if exceptions is None:
        return None
    if isinstance(error, exceptions.ClientError):
        details = error.response.get("Error", {})
        return f"{error.operation_name} was refused: {details.get('Code')}: {details.get('Message')}"
    if isinstance(error, exceptions.BotoCoreError):
        return f"AWS could not be reached: {error}"
    return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--stack",
    default="local",
    show_default=True,
    envvar="HEADWATER_STACK",
    help="The deployed CloudFormation stack to work on, or 'local' for the one that `make run` started.",
)
@click.option("--region", envvar="AWS_REGION", help="The deployed stack's Region; by default the profile's own.")
@click.version_option(package_name="headwater")
@click.pass_context
def main(ctx: click.Context, stack: str, region: str | None) -> None:
    """Looks into a Headwater stack, on this machine or in AWS, and acts on it."""

    def target() -> object:
        # Resolved by the command that needs it, so that --help works with no stack at all.
        from cli.target import resolve

        return resolve(stack, region)

    ctx.obj = target


if __name__ == "__main__":
    main()
