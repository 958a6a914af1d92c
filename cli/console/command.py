"""`headwater console`: a stack to look at in a browser, served on this machine alone."""

import asyncio
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from operations.running import CONSOLE_PORT, HOST
from operations.target import Target

if TYPE_CHECKING:
    import uvicorn

    from cli.console.desk import Desk


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=CONSOLE_PORT,
    show_default=True,
    envvar="CONSOLE_PORT",
    help="On loopback; 0 for a free one.",
)
@click.option("--allow-changes", is_flag=True, help="Of a deployed stack: also redrive and discard, not only look.")
@click.option("--until-end-of-input", is_flag=True, hidden=True, help="Ends with whoever holds the standard input.")
@click.pass_obj
def console(target: Callable[[], Target], port: int, allow_changes: bool, until_end_of_input: bool) -> None:
    """Serves pages on which to look at the stack: its flow, events, read models, dead letters and archive.

    On the local stack changes are allowed, and failures can be rehearsed. A deployed one is looked at with your
    credentials, and asks CloudWatch at most once a minute.
    """
    # Late: a help text waits for no web server.
    from cli.console.desk import Desk
    from cli.observer import observer

    stack = target()
    listening = _listening(port)
    port = listening.getsockname()[1]
    local = stack.running is not None
    key = None if local else secrets.token_urlsafe(24)
    desk = Desk(stack, observer(stack), changes=local or allow_changes)
    try:
        with stack.as_function():
            click.echo(f"Console  http://{HOST}:{port}/{f'?key={key}' if key else ''}")
            click.echo("Ctrl-C stops it.", err=True)
            _serve(desk, port, key, listening, until_end_of_input=until_end_of_input)
            click.echo("Stopped.", err=True)
    finally:
        desk.close()


def _listening(port: int) -> socket.socket:
    """The port, opened before anything else is done."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise click.ClickException(
            f"port {port} on {HOST} cannot be opened ({error.strerror}): stop what uses it, or choose another with "
            "--port, or --port 0 for a free one"
        ) from error
    listening.listen(128)
    return listening


def _serve(desk: "Desk", port: int, key: str | None, listening: socket.socket, *, until_end_of_input: bool) -> None:
    # Late: a help text waits for no web server.
    from cli.console.app import application
    from cli.console.server import Server

    server = Server(application(desk, port, key), desk.stopping)
    if until_end_of_input:
        threading.Thread(target=_end_with_input, args=(server,), name="input", daemon=True).start()
    asyncio.run(server.serve(sockets=[listening]))


def _end_with_input(server: "uvicorn.Server") -> None:
    # Not by Python's own buffer: a process that ends while a thread waits in it aborts.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True
