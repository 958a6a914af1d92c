"""``sam deploy`` against an emulator of its own: a rehearsal of the deployment, without an AWS account.

It shows that CloudFormation's engine resolves and orders the whole template, functions, roles and alarms included. The
stack is gone when it ends; to use the system, `make run`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from devstack.emulator import NO_AWS_ACCOUNT, Emulator
from devstack.errors import DevstackError
from devstack.stack import ENDPOINT_PARAMETER
from devstack.template import Template

#: Where `sam build` puts each function and layer, by logical id.
BUILD: Final = Path(".aws-sam/build")
#: Where a SAM resource names what was built.
_CODE: Final = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def as_built(template: Path, build: Path, folder: Path) -> Path:
    """An earlier version's template, in ``folder``, around the code that was built: only the template is rehearsed.

    Raises
    ------
    DevstackError
        The template cannot be read, or has a function that the build lacks.
    """
    document = Template.load(template).document
    for name, resource in document["Resources"].items():
        properties = resource.get("Properties") or {}
        if resource["Type"] in _CODE:
            if not (build / name).is_dir():
                raise DevstackError(f"{build / name} is missing: `make build-main`; or {template} has more than we do")
            properties[_CODE[resource["Type"]]] = str((build / name).resolve())
        elif "DefinitionUri" in properties:
            properties["DefinitionUri"] = str((template.parent / properties["DefinitionUri"]).resolve())
    path = folder / "template.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def rehearse(sam: Sequence[str], before: Path | None = None) -> int:
    """Run a ``sam deploy`` command that ends in ``--parameter-overrides …`` against a new emulator; its exit code.

    The template leaves out by itself what the emulator refuses, once it is given the endpoint. With ``before``, another
    version's template, that one is deployed first, and then updated.

    Raises
    ------
    DevstackError
        In one line: what is wrong, and what to do.
    """
    with (
        tempfile.TemporaryDirectory(prefix="devstack-deploy-") as folder,
        Emulator(Path(folder), rehearses=True) as emulator,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {**NO_AWS_ACCOUNT, "AWS_ENDPOINT_URL": emulator.endpoint}
        commands = [[*sam, f"{ENDPOINT_PARAMETER}={emulator.endpoint}"]]
        if before is not None:
            # SAM CLI looks for the configuration beside the template.
            others = ["--template-file", str(as_built(before, BUILD, Path(folder)))]
            others += ["--config-file", str(Path("samconfig.toml").resolve())]
            (command,) = commands
            at = command.index("deploy") + 1
            commands.insert(0, [*command[:at], *others, *command[at:]])
        code = 0
        try:
            for command in commands:
                code = code or subprocess.run(command, check=False, env=environment).returncode  # noqa: S603 - theirs
        except OSError as error:
            raise DevstackError(f"{sam[0]} cannot be run ({error.strerror}): use `make deploy-local`") from error
        return code
