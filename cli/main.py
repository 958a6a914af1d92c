"""`headwater`, the operator's command. One module a group of commands; this one is the frame."""

import click
from botocore.exceptions import BotoCoreError, ClientError

from cli import archive, dead_letters, destroy, events, mail, processes
from cli.target import LOCAL, resolve


class _Commands(click.Group):
    """Turns what AWS refuses into one line, so that nobody reads a traceback at night."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            details = error.response.get("Error", {})
            raise click.ClickException(
                f"{error.operation_name} was refused: {details.get('Code')}: {details.get('Message')}"
            ) from error
        except BotoCoreError as error:
            raise click.ClickException(f"AWS could not be reached: {error}") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--stack",
    default=LOCAL,
    show_default=True,
    envvar="HEADWATER_STACK",
    help="The deployed CloudFormation stack to work on, or 'local' for the one that `make run` started.",
)
@click.option("--region", envvar="AWS_REGION", help="The deployed stack's Region; by default the profile's own.")
@click.version_option(package_name="headwater")
@click.pass_context
def main(ctx: click.Context, stack: str, region: str | None) -> None:
    """Looks into a Headwater stack, on this machine or in AWS, and acts on it."""
    # Resolved by the command that needs it, so that --help works with no stack at all.
    ctx.obj = lambda: resolve(stack, region)


main.add_command(events.events)
main.add_command(mail.mail)
main.add_command(archive.archive)
main.add_command(dead_letters.dead_letters)
main.add_command(processes.processes)
main.add_command(destroy.destroy)
