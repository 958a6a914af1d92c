"""`headwater processes`: the executions that write applications' statuses, and an end to them before a stack goes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from cli.given import reason_option
from headwater.clock import timestamp
from operations.kept import recorder
from operations.output import as_json as json_text
from operations.output import say
from operations.target import Target

#: StopExecution, Step Functions API reference: the most characters of a cause.
_CAUSE_CHARACTERS = 32_768


@click.group()
def processes() -> None:
    """Looks at the applications whose process runs, and stops it.

    CloudFormation waits for every execution of a state machine that it deletes: here up to half a year, as long as
    staff may take to decide.
    """


@processes.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_(target: Callable[[], Target], as_json: bool) -> None:
    """Prints the executions that run, oldest first."""
    running = [{"execution": each["name"], "since": timestamp(each["startDate"])} for each in _running_on(target())]
    if as_json:
        for each in running:
            click.echo(json_text(each))
        return
    if not running:
        say("Nothing runs.")
    for each in running:
        click.echo(f"{each['since']}  {each['execution']}")


@processes.command()
@click.option("--execution", "names", multiple=True, help="Only this one, by the name that list prints; repeatable.")
@click.option("--all", "everything", is_flag=True, help="All of them, as before a stack is deleted.")
@reason_option("Why they end. It is recorded, with your name, and stands in each execution as its cause.")
@click.option("--dry-run", is_flag=True, help="Only says how many there are.")
@click.pass_obj
def stop(target: Callable[[], Target], *, names: tuple[str, ...], everything: bool, reason: str, dry_run: bool) -> None:
    """Stops executions for good. Their applications keep the status that they have, and nothing moves them on.

    ApplicationProcessStopped rings, as for every execution that somebody stops.
    """
    if everything == bool(names):
        raise click.UsageError("say which: --all, or --execution NAME")
    stack = target()
    running = _running_on(stack)
    if unknown := sorted(set(names) - {each["name"] for each in running}):
        raise click.ClickException(f"no execution that runs is called {unknown[0]}: see 'processes list'")
    chosen = [each for each in running if everything or each["name"] in names]
    if not chosen:
        say("Nothing runs.")
        return
    if dry_run:
        click.echo(f"Would stop {len(chosen)}.")
        return
    facts = {"executions": [each["executionArn"] for each in chosen]}
    # First the record: a command that dies in between has told what it was about.
    kept = recorder(stack, "stop-processes", facts, verb="stop", done="stopped", reason=reason)()
    _stop(stack.client("stepfunctions"), chosen, reason)
    say(f"Stopped {len(chosen)}. {kept} keeps a record of it for a year.")


def stop_all(client: Any, machine: str, reason: str) -> int:
    """Stops all that runs of a state machine; how many that were."""
    running = _running(client, machine)
    _stop(client, running, reason)
    return len(running)


def _stop(client: Any, executions: Sequence[Mapping[str, Any]], reason: str) -> None:
    for each in track(executions, "stopping", console=Console(stderr=True), transient=True):
        client.stop_execution(
            executionArn=each["executionArn"], error="StoppedByOperator", cause=reason[:_CAUSE_CHARACTERS]
        )


def _running_on(target: Target) -> Sequence[Mapping[str, Any]]:
    return _running(target.client("stepfunctions"), target.output("ApplicationProcessArn"))


def _running(client: Any, machine: str) -> Sequence[Mapping[str, Any]]:
    pages = client.get_paginator("list_executions")
    found = [
        each for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING") for each in page["executions"]
    ]
    return sorted(found, key=lambda each: (each["startDate"], each["name"]))
