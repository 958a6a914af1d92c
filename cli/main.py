"""`headwater`, the operator's command. One module a group of commands; this one is the frame.

A command's module is loaded when the command is used: what one needs, no other waits for.
"""

import io
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any, Final, NamedTuple

import click
from click.exceptions import NoSuchCommand, NoSuchOption
from click.shell_completion import CompletionItem

from cli.given import demand_text
from operations.output import fitted, refusal


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


class _Fitted(click.ClickException):
    """An error as it shows itself, in lines that the terminal has room for."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        self.exit_code = error.exit_code  # type: ignore[misc] # as click's own errors have it
        self._error = error

    def show(self, file: IO[Any] | None = None) -> None:
        stream = file or sys.stderr
        shown = io.StringIO()
        self._error.show(shown)
        click.echo(fitted(shown.getvalue(), stream), file=stream, nl=False)


#: Ctrl-C's, as shells have it.
INTERRUPTED: Final = 130


class _Commands(click.Group):
    """Says all that goes wrong in lines that fit; what AWS refuses too, so that nobody reads a traceback at night."""

    #: The command line as it was given, without the command's own name.
    _given: Sequence[str] = ()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        command: click.Command = getattr(import_module(found.module), found.attribute)
        if isinstance(command, click.Group):
            for each in command.commands.values():
                # Whole, over as many lines as it takes: click would cut it to one.
                each.short_help = each.get_short_help_str(sys.maxsize)
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

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        self._given = tuple(args)
        with self._told():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with self._told():
            demand_text(self._given)
            return super().invoke(ctx)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except NoSuchOption as error:
            raise _Fitted(self._in_its_place(error) or error) from error
        except click.ClickException as error:
            raise _Fitted(error) from error
        except KeyboardInterrupt:
            # Not click's exit code 1: of several commands that says that something waits, or needs a person.
            click.echo("\nStopped.", err=True)
            sys.exit(INTERRUPTED)
        except Exception as error:
            if (told := refusal(error)) is None:
                raise
            raise _Fitted(click.ClickException(told)) from error

    def _in_its_place(self, error: NoSuchOption) -> click.UsageError | None:
        """The error of an option of the whole command that stands behind the word that it has to stand before."""
        name = error.option_name
        option = next((each for each in self.params if isinstance(each, click.Option) and name in each.opts), None)
        at = next((at for at, word in enumerate(self._given) if word.partition("=")[0] == name), None)
        if option is None or at is None:
            return None
        alone = option.is_flag or "=" in self._given[at]
        after = self._given[at + 1 :]
        value = () if alone else after[:1] or ("NAME",)
        words = [self._given[at], *value, *self._given[:at], *(after if alone else after[1:])]
        return click.UsageError(f"{name} stands before the command:\n  headwater {shlex.join(words)}", error.ctx)


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
        from operations.target import resolve

        return resolve(stack, region)

    ctx.obj = target


if __name__ == "__main__":
    main()
