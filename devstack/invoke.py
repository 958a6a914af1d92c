"""``python -m devstack.invoke ENDPOINT COMMAND…``: runs `sam local invoke` against a stack in an emulator.

Two things keep a container from it. SAM CLI gives a function the logical ids of the template where the stack has
names of its own. And the emulator listens on loopback, which a container does not share: SAM CLI accepts
``--docker-network host`` and stays on Docker's bridge. So the names are looked up, and while the command runs the
emulator's port is forwarded from the bridge's own address, which only containers of this machine can reach.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from devstack.emulator import ACCESS_KEY, ACCOUNT_ID, NO_AWS_ACCOUNT, REGION, SECRET_KEY
from devstack.errors import DevstackError
from devstack.stack import RECEIVER_NAME, TEMPLATE_NAME
from devstack.template import Template

ENVIRONMENT_FILE: Final = Path(".cache/invoke.json")
DESKTOP_HOST: Final = "host.docker.internal"
"""This machine, as Docker Desktop's containers call it; there, loopback is shared and needs no forwarding."""


def environment(variables: Mapping[str, Any], names: Mapping[str, str], endpoint: str) -> dict[str, str]:
    """The variables of Globals, each reference replaced by what ``names`` holds for it."""
    resolved = {variable: _resolved(value, names) for variable, value in variables.items()}
    return {**resolved, "AWS_ENDPOINT_URL": endpoint}


def _resolved(value: Any, names: Mapping[str, str]) -> str:
    match value:
        case {"Ref": str(name)}:
            return names[name]
        case {"Fn::Sub": [str(text), _]}:
            # What is put together is the address of another stack's queue; all stacks here have one account.
            known = {**names, "AWS::Region": REGION, "AWS::URLSuffix": "amazonaws.com", "Account": ACCOUNT_ID}
            return re.sub(r"\$\{([^}]+)\}", lambda match: known[match[1]], text)
    return str(value)


def stack_names(endpoint: str, table: str) -> dict[str, str]:
    """Physical ids and parameters, by logical name, of the first stack in the emulator that has such a table."""
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
                return names | {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}
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


async def invoke(endpoint: str, command: list[str]) -> int:
    """Run ``command`` with the emulator in reach; its exit code."""
    receiver = Template.load(Path(RECEIVER_NAME))
    of_receiver = any(name in command for name in receiver.function_names())
    template, table = (
        (receiver, "TrackingTable") if of_receiver else (Template.load(Path(TEMPLATE_NAME)), "EventsTable")
    )
    variables = template.document["Globals"]["Function"]["Environment"]["Variables"]
    names = stack_names(endpoint, table)
    emulator = urlsplit(endpoint)
    host, port = emulator.hostname or "127.0.0.1", emulator.port or 80

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, port)
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))

    address, server = DESKTOP_HOST, None
    if sys.platform == "linux":
        address = bridge_address()
        try:
            server = await asyncio.start_server(forward, address, port)
        except OSError as error:
            raise DevstackError(f"port {port} on {address} cannot be opened ({error.strerror})") from error
    ENVIRONMENT_FILE.parent.mkdir(exist_ok=True)
    values = environment(variables, names, f"http://{address}:{port}")
    ENVIRONMENT_FILE.write_text(json.dumps({"Parameters": values}, indent=2), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *command,
        "--env-vars",
        str(ENVIRONMENT_FILE),
        # SAM CLI itself asks who it is: the emulator knows, and AWS would be asked in vain.
        env={**os.environ, **NO_AWS_ACCOUNT, "AWS_ENDPOINT_URL": endpoint},
    )
    try:
        return await process.wait()
    finally:
        if server is not None:
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


def main(endpoint: str, *command: str) -> int:
    """Run the command; its exit code."""
    try:
        return asyncio.run(invoke(endpoint, list(command)))
    except DevstackError as error:
        print(f"devstack: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
