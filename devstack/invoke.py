"""`sam local invoke` of functions in Lambda's image, each with its fixture, against a stack in an emulator.

Two things keep a container from it. SAM CLI gives a function the logical ids of the template where the stack has
names of its own. And the emulator listens on loopback, which a container does not share: SAM CLI accepts
``--docker-network host`` and stays on Docker's bridge. So the names are looked up, and while the commands run the
emulator's port is forwarded from the bridge's own address, which only containers of this machine can reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from devstack.emulator import NO_AWS_ACCOUNT
from devstack.errors import DevstackError
from devstack.stack import LocalStack
from devstack.template import Template
from operations.intrinsics import Intrinsics, UnknownIntrinsicError, pseudo_parameters
from operations.running import ACCESS_KEY, ACCOUNT_ID, RECEIVER_NAME, REGION, SECRET_KEY, TEMPLATE_NAME

#: What each invocation was given and printed, by function.
FOLDER: Final = Path(".cache/invoke")
DESKTOP_HOST: Final = "host.docker.internal"
"""This machine, as Docker Desktop's containers call it; there, loopback is shared and needs no forwarding."""


@dataclass(frozen=True, slots=True)
class Part:
    """A template, its own build as SAM CLI names it, and a table by which its stack is told from the other."""

    template: Template
    table: str
    built: Sequence[str] = ()

    def functions(self) -> list[str]:
        return self.template.function_names()


def parts(root: Path) -> list[Part]:
    """The stack's template and the account domain's."""
    receiver_build = [
        "--template",
        str(root / ".aws-sam" / "receiver" / "template.yaml"),
        "--config-file",
        str((root / "samconfig.receiver.toml").resolve()),
    ]
    return [
        Part(Template.load(root / TEMPLATE_NAME), "EventsTable"),
        Part(Template.load(root / RECEIVER_NAME), "TrackingTable", receiver_build),
    ]


def environment(document: Mapping[str, Any], names: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """The variables of the template's Globals, with what ``names`` holds for each reference.

    Raises
    ------
    DevstackError
        They refer to something else.
    """
    intrinsics = Intrinsics.over(names, document)
    variables = document["Globals"]["Function"]["Environment"]["Variables"]
    try:
        resolved = {variable: intrinsics.text(value) for variable, value in variables.items()}
    except UnknownIntrinsicError as error:
        raise DevstackError(f"the functions' environment cannot be made: {error}") from error
    return {**resolved, "AWS_ENDPOINT_URL": endpoint}


def stack_names(endpoint: str, table: str) -> dict[str, str]:
    """Physical ids and parameters, by name, of the first stack in the emulator that has such a table."""
    client = boto3.client(
        "cloudformation",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    try:
        for stack in client.describe_stacks()["Stacks"]:
            resources = client.describe_stack_resources(StackName=stack["StackName"])["StackResources"]
            names = {resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "") for resource in resources}
            if table in names:
                names |= {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}
                return names | pseudo_parameters(region=REGION, account=ACCOUNT_ID, stack=stack["StackName"])
    except (BotoCoreError, ClientError, ValueError) as error:
        raise DevstackError(f"no emulator answers at {endpoint} ({error}): start one with `make run`") from error
    raise DevstackError(f"no stack at {endpoint} has {table}: use the endpoint that `make run` prints")


def bridge_address() -> str:
    """This machine's address on Docker's default network: its gateway, by default the subnet's first address."""
    try:
        command = ["docker", "network", "inspect", "bridge"]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - a fixed command
    except (OSError, subprocess.CalledProcessError) as error:
        raise DevstackError("Docker does not answer: sam local invoke needs it") from error
    (network,) = json.loads(answer.stdout)
    config = network["IPAM"]["Config"][0]
    return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))


def wrong(code: int, answer: bytes) -> str | None:
    """Why an invocation went wrong, by SAM CLI's exit code and what it printed; None if it did not.

    Lambda's image answers an exception as JSON, with which SAM CLI ends well.
    """
    if code:
        return f"sam ended with {code}"
    try:
        answered = json.loads(answer)
    except ValueError:
        return "no answer" if not answer.strip() else "its answer is no JSON"
    match answered:
        case {"errorType": kind, **rest}:
            return f"{kind}: {rest.get('errorMessage', '')}"
        case {"batchItemFailures": [_, *_] as failures}:
            return f"{len(failures)} records would be delivered again"
        case {"statusCode": int(status)} if status >= 500:
            return f"status {status}"
    return None


async def invoke(root: Path, endpoint: str, functions: Collection[str], sam: Sequence[str]) -> int:
    """Runs ``sam`` (… local invoke) for each function, one after the other; gives how many went wrong.

    One function alone prints what it has to say; several get a line each, and the rest lies in `FOLDER`.
    """
    known = {name: part for part in parts(root) for name in part.functions()}
    if unknown := sorted(set(functions) - known.keys()):
        raise DevstackError(f"no function is called {unknown[0]}; there are {', '.join(sorted(known))}")
    chosen = [name for name in known if name in functions] or sorted(known)
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    async with _reachable(endpoint) as address:
        for name in chosen:
            names = stack_names(endpoint, known[name].table)
            values = environment(known[name].template.document, names, address)
            given = folder / f"{name}.env.json"
            given.write_text(json.dumps({"Parameters": values}, indent=2), encoding="utf-8")
            event = root / "events" / f"{name}.json"
            command = [*sam, name, "--event", str(event), "--env-vars", str(given), *known[name].built]
            failed += await _run(name, command, endpoint, folder, alone=len(chosen) == 1)
    return failed


async def _run(name: str, command: Sequence[str], endpoint: str, folder: Path, *, alone: bool) -> bool:
    """Whether it went wrong."""
    began = time.monotonic()
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            # SAM CLI itself asks who it is: the emulator knows, and AWS would be asked in vain.
            env={**os.environ, **NO_AWS_ACCOUNT, "AWS_ENDPOINT_URL": endpoint},
            stdout=subprocess.PIPE,
            stderr=None if alone else log,
        )
        answer, _ = await process.communicate()
        log.write(answer)
    problem = wrong(process.returncode or 0, answer)
    if alone:
        click.echo(answer.decode(errors="replace"))
    else:
        told = "ok" if problem is None else f"FAILED, {problem} ({folder / f'{name}.log'})"
        click.echo(f"{name:<30} {time.monotonic() - began:5.0f} s  {told}")
    return problem is not None


@contextlib.asynccontextmanager
async def _reachable(endpoint: str) -> AsyncIterator[str]:
    """The emulator's address for containers, while the context lasts."""
    emulator = urlsplit(endpoint)
    host, port = emulator.hostname or "127.0.0.1", emulator.port or 80
    if sys.platform != "linux":
        yield f"http://{DESKTOP_HOST}:{port}"
        return

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, port)
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))

    address = bridge_address()
    try:
        server = await asyncio.start_server(forward, address, port)
    except OSError as error:
        raise DevstackError(f"port {port} on {address} cannot be opened ({error.strerror})") from error
    try:
        yield f"http://{address}:{port}"
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # The other side is gone: what follows is the same as at its end.
    finally:
        writer.close()


def run(root: Path, endpoint: str | None, functions: Collection[str], sam: Sequence[str]) -> int:
    """The exit code: 1 if one went wrong. Without an endpoint a stack of its own is started."""
    with contextlib.ExitStack() as stack:
        if not endpoint:
            click.echo("Starting a stack …", err=True)
            endpoint = stack.enter_context(LocalStack(root)).endpoint_url
        failed = asyncio.run(invoke(root, endpoint, functions, sam))
    if len(functions) != 1:
        click.echo(f"{failed} went wrong." if failed else "All went well.")
    return 1 if failed else 0
