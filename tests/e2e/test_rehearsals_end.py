"""Rehearsals end with their stack, however it ends."""

import io
import os
import signal
from pathlib import Path

import click
import pytest

from cli.control import Control
from devstack.stack import LocalStack
from operations.mending import read
from operations.running import running_stack
from tests.e2e.test_rehearsals import Scene
from tests.fakes.events import EVENT_TYPES
from tests.integration.devstack.processes import PARAMETERS, copy_of_project

pytestmark = pytest.mark.slow


def test_a_state_is_kept_without_what_was_broken_on_purpose(folder: Path, tmp_path: Path) -> None:
    with LocalStack(folder, state=tmp_path, stream=io.StringIO()) as stack:
        scene = Scene(stack, folder)
        scene.start("poison")
        scene.start("throttle", "EventsTable")
    with LocalStack(folder, state=tmp_path, stream=io.StringIO()) as stack:
        pages = stack.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["EventsTableName"])
        items = [item for page in pages for item in page["Items"]]
        assert [read(item, EVENT_TYPES).wrong for item in items] == [None] * len(items)
        assert scene.user in {item["aggregate_id"]["S"].partition("#")[2] for item in items}


def test_a_stack_whose_emulator_died_says_so_and_stops(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    with LocalStack(project, parameters=PARAMETERS, stream=io.StringIO()) as stack:
        running = running_stack(project)
        assert running is not None
        control = Control(running)
        os.kill(int((stack.run_folder / "emulator.pid").read_text()), signal.SIGKILL)
        with pytest.raises(click.ClickException, match="the emulator does not hear what to refuse"):
            control.post("rehearsals", {"name": "refuse-mail"})
        with pytest.raises(click.ClickException, match=r"cannot say: .*Could not connect"):
            control.get("flow")

    assert running_stack(project) is None
    with LocalStack(project, parameters=PARAMETERS, stream=io.StringIO()):
        pass
