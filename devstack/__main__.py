"""``python -m devstack``: the stack on this machine, until Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from devstack import mail_pages
from devstack import served_console as console
from devstack.errors import DevstackError
from devstack.stack import LocalStack, exit_on_signals
from operations.output import say
from operations.running import ACCESS_KEY, CONSOLE_PORT, REGION, SECRET_KEY


class _OfMake(click.Option):
    """An option that the variable of `make` of its name sets: who gives it a wrong value knows it by that name."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return f"{super().get_error_hint(ctx)} ({self.opts[0].removeprefix('--').upper()} of make)"


@contextmanager
def _in_one_line(who: str = "devstack") -> Iterator[None]:
    """Ends a command that is stopped, or cannot do what it was asked, without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Stopped.")
        sys.exit(130)
    except DevstackError as error:
        say(f"{who}: {error}", err=True)
        sys.exit(1)


@click.group()
def main() -> None:
    """Run the stack of template.yaml on this machine: no AWS account, no Docker."""


@main.command()
@click.option(
    "--port",
    cls=_OfMake,
    type=click.IntRange(0, 65535),
    default=8080,
    envvar="PORT",
    show_default=True,
    help="Of the HTTP API; 0 for a free one.",
)
@click.option(
    "--emulator-port",
    type=click.IntRange(0, 65535),
    default=0,
    envvar="EMULATOR_PORT",
    help="Of the AWS endpoint; a free one by default.",
)
@click.option(
    "--receiver-port",
    type=click.IntRange(0, 65535),
    default=0,
    envvar="RECEIVER_PORT",
    help="Of the account domain's API; a free one by default.",
)
@click.option(
    "--console-port",
    type=click.IntRange(0, 65535),
    envvar="CONSOLE_PORT",
    help=f"Of the console, 0 for a free one; by default {CONSOLE_PORT}, or a free one if that is taken.",
)
@click.option("--console/--no-console", "with_console", default=True, help="Serve the console beside the stack.")
@click.option("--root", type=click.Path(path_type=Path), default=Path(), help="The project's folder, or a template.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Of the template; repeatable.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Go on from what this folder holds, and save there at the end; else everything starts and ends empty.",
)
@click.option("--verbose", is_flag=True, help="Print every invocation, and what of the template does not run here.")
def run(
    *,
    port: int,
    emulator_port: int,
    receiver_port: int,
    console_port: int | None,
    with_console: bool,
    root: Path,
    parameters: tuple[str, ...],
    state: Path | None,
    verbose: bool,
) -> None:
    """Start the stack and leave it up."""
    exit_on_signals()
    began = time.monotonic()
    try:
        console_port = console.port(console_port)
        values = dict(_parameter(text) for text in parameters)
        with LocalStack(
            root,
            port=port,
            receiver_port=receiver_port,
            emulator_port=emulator_port,
            parameters=values,
            verbose=verbose,
            state=state,
        ) as stack:
            served = console.Served(stack, console_port) if with_console and console.fits(stack) else nullcontext()
            with served:
                if isinstance(served, console.Served):
                    click.echo(f"Console    {served.trouble or served.url}")
                click.echo(_welcome(stack, time.monotonic() - began, state))
                if verbose:
                    click.echo("Left out of the template:")
                    for part in stack.left_out:
                        click.echo(f"  {part.name} ({part.kind}): {part.reason}")
                stack.wait()
    except KeyboardInterrupt:
        click.echo("Stopped.")
    except DevstackError as error:
        say(f"devstack: {error}", err=True)
        sys.exit(1)


@main.command()
@click.option("--users", cls=_OfMake, type=click.IntRange(1), default=50, show_default=True)
@click.option("--plays", cls=_OfMake, type=click.IntRange(0), default=2000, show_default=True)
@click.option(
    "--poison",
    "poisons",
    cls=_OfMake,
    type=click.IntRange(0),
    default=0,
    help="Events that no consumer can read.",
)
@click.option("--verbose", is_flag=True, help="Show all that came of it, and each batch that was tried again.")
def demo(*, users: int, plays: int, poisons: int, verbose: bool) -> None:
    """Run every part of the system once, and account for every event."""
    from devstack.demo.run import run as run_demo

    exit_on_signals()
    with _in_one_line():
        sys.exit(run_demo(Path(), users, plays, poisons, verbose=verbose))


@main.command()
@click.option(
    "--events",
    cls=_OfMake,
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Of each seed.",
)
@click.option("--seeds", cls=_OfMake, type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--first-seed", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "--faults",
    cls=_OfMake,
    type=click.FloatRange(0, 0.5),
    default=0.05,
    show_default=True,
    help="Probability each call.",
)
@click.option(
    "--poison",
    cls=_OfMake,
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="Share of events that no consumer can read, until they are repaired and what is parked is redriven.",
)
@click.option(
    "--odd",
    cls=_OfMake,
    type=click.FloatRange(0, 0.5),
    default=0.0,
    show_default=True,
    help="Share of events that are followed by a record which AWS accepts and nobody here wrote.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes; one a processor by default.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(".devstack/simulation.png"),
    show_default=True,
    help="Where the backlog over virtual time is drawn.",
)
@click.option("--within", metavar="MODULE:NAME", help="A context manager that each run is put into.")
def simulate(
    *,
    events: int,
    seeds: int,
    first_seed: int,
    faults: float,
    poison: float,
    odd: float,
    jobs: int | None,
    picture: Path,
    within: str | None,
) -> None:
    """Run the whole system over virtual time, under faults, and prove that nothing is lost."""
    from devstack.simulator.command import run as run_simulation

    exit_on_signals()
    with _in_one_line():
        sys.exit(
            run_simulation(
                events=events,
                seeds=range(first_seed, first_seed + seeds),
                faults=faults,
                poison=poison,
                odd=odd,
                jobs=jobs,
                picture=picture,
                within=within,
            )
        )


@main.command("try")
@click.option("--event", "path", type=click.Path(path_type=Path), help="A file with one input, or a folder of them.")
@click.option("--function", help="By its own name or its logical id; by default all that can take the input.")
@click.option("--get", "routes", default="", metavar="/PATH,…", help="Routes of the HTTP API to ask afterwards.")
@click.option("--post", metavar="/PATH", help="Where a body goes; by default its file's name says it.")
@click.option("--follow", is_flag=True, help="Deliver what was written on to its readers, until nothing moves.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def try_input(
    *, path: Path | None, function: str | None, routes: str, post: str | None, follow: bool, as_json: bool
) -> None:
    """Run a function on one input, in memory, and say what became of each record.

    Exits with 1 if a record would be delivered again, with 2 if something could not be tried.
    """
    from devstack.try_input.command import run as run_try

    if path is None:
        click.echo("try: name an input, EVENT=file.json or a folder of them", err=True)
        sys.exit(2)
    try:
        paths = [route for route in routes.split(",") if route]
        sys.exit(run_try(path, function or None, paths=paths, post=post, follow=follow, as_json=as_json))
    except DevstackError as error:
        say(f"try: {error}", err=True)
        sys.exit(2)


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--before", type=click.Path(exists=True, path_type=Path), help="Another version's template, to update.")
@click.argument("sam", nargs=-1, required=True, type=click.UNPROCESSED)
def deploy(sam: tuple[str, ...], before: Path | None) -> None:
    """Run a `sam deploy` command against an emulator of its own, to see the whole template come up."""
    from devstack.deploy import rehearse

    exit_on_signals()
    with _in_one_line():
        sys.exit(rehearse(sam, before))


@main.command("deploy-checked", context_settings={"ignore_unknown_options": True})
@click.option("--checked-template", type=click.Path(path_type=Path), required=True, help="As written, not as built.")
@click.option("--checked-config", type=click.Path(path_type=Path), required=True, help="Its samconfig file.")
@click.option("--checked-env", default="default", show_default=True, help="Which environment of that.")
@click.argument("sam", nargs=-1, required=True, type=click.UNPROCESSED)
def deploy_checked(checked_template: Path, checked_config: Path, checked_env: str, sam: tuple[str, ...]) -> None:
    """Run a `sam deploy` command, unless something is known that will fail it."""
    from devstack.preflight import deploy as deploy_to_aws

    with _in_one_line("deploy"):
        sys.exit(deploy_to_aws(checked_template, checked_config, checked_env, sam))


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--endpoint", help="Of a stack that runs, as `make run` prints it; without it one is started.")
@click.option("--function", "functions", multiple=True, help="Which; all of both templates without it.")
@click.argument("sam", nargs=-1, required=True, type=click.UNPROCESSED)
def invoke(endpoint: str | None, functions: tuple[str, ...], sam: tuple[str, ...]) -> None:
    """Run functions in Lambda's image, each with its fixture, by a `sam local invoke` command."""
    from devstack.invoke import run as run_invoke

    exit_on_signals()
    with _in_one_line():
        sys.exit(run_invoke(Path(), endpoint, functions, sam))


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise DevstackError(f"--parameter takes NAME=VALUE, not {text}")
    return name, value


def _welcome(stack: LocalStack, seconds: float, state: Path | None) -> str:
    """What there is, and lines to paste in their order; an id that one of them makes, the next ones use."""
    since = f", going on from {stack.resumed.saved_at}" if stack.resumed else ""
    tracking = f"\nTracking   {stack.receiver_url}/applications" if stack.has_receiver else ""
    end = f"keeps its state in {state}" if state else "forgets everything"
    # --root may name another template, which has no such table.
    events_table = stack.outputs.get("EventsTableName", "...")
    return f"""\
Up after {seconds:.1f} s{since}. Ctrl-C stops it and {end}.

HTTP API   {stack.url}{tracking}
AWS        {stack.endpoint_url}
E-mails    {stack.url}{mail_pages.PATH}
Logs       {stack.run_folder / "logs"}
Table      {events_table}

Try it, in a shell of its own:
  API={stack.url}
  ask() {{ curl -sS -w '\\n' -H 'content-type: application/json' "$@"; }}
  field() {{ python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }}
  USER_ID=$(ask $API/register -d '{{"name": "Ada", "email":
    "ada'$(date +%s)'@example.com", "password": "correct horse battery"}}' |
    field user_id)
  ask $API/users/$USER_ID/plays -d '{{"game": "chess", "score": 42}}'
  APPLICATION=$(ask $API/applications -d '{{"account_id": "ada",
    "kind": "licence", "title": "To fish"}}' | field application_id)
  ask $API/users/$USER_ID
  .venv/bin/headwater events show "user#$USER_ID"
  .venv/bin/headwater archive query --name top-players
  .venv/bin/headwater mail list
  .venv/bin/headwater dead-letters list --no-wait
  .venv/bin/headwater status
  ask $API/applications/$APPLICATION
  ask $API/games/chess/leaderboard

AWS CLI and SDKs, in a shell of their own:
  export AWS_ENDPOINT_URL={stack.endpoint_url} \\
    AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION} \\
    AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY} \\
    TABLE={events_table}
  aws dynamodb scan --table-name "$TABLE" --max-items 1
"""


if __name__ == "__main__":
    main()
