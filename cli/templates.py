"""The templates that a stack was made from, and what AWS calls its resources."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
from botocore.exceptions import BotoCoreError, ClientError

from operations.running import RECEIVER_NAME, TEMPLATE_NAME
from operations.target import Target
from operations.template_document import NoTemplateError, parsed

#: The template's parameter that names the account domain's stack.
_RECEIVER_PARAMETER: Final = "ReceiverStackName"


def documents(target: Target) -> list[dict[str, Any]]:
    """The stack's own template, and the account domain's if that can be read from here; intrinsics in long form.

    Raises
    ------
    click.ClickException
        Its own cannot be read.
    """
    try:
        if target.running is not None:
            project = Path(target.running.run_folder).parents[1]
            paths = [project / TEMPLATE_NAME, project / RECEIVER_NAME]
            return [parsed(path.read_bytes(), path.name) for path in paths if path.exists()]
        found = [_template(target, target.stack_name)]
        with suppress(ClientError, KeyError):
            found.append(_template(target, _receiver(target)))
    except (BotoCoreError, ClientError, NoTemplateError, OSError) as error:
        raise click.ClickException(f"the template of {target.stack_name!r} cannot be read: {error}") from error
    return found


def physical_ids(target: Target) -> dict[str, str]:
    """What AWS calls the stack's resources, by logical id; those of the account domain, too, if it is here."""
    found: dict[str, str] = {}
    with suppress(ClientError, KeyError):
        found = _resources(target, _receiver(target))
    return found | _resources(target, target.stack_name)


def _resources(target: Target, stack: str) -> dict[str, str]:
    pages = target.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
        for page in pages
        for each in page["StackResourceSummaries"]
    }


def _template(target: Target, stack: str) -> dict[str, Any]:
    body = target.client("cloudformation").get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    return parsed(body if isinstance(body, str) else json.dumps(body), stack)


def _receiver(target: Target) -> str:
    (described,) = target.client("cloudformation").describe_stacks(StackName=target.stack_name)["Stacks"]
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}
    name: str = parameters[_RECEIVER_PARAMETER]
    return name
