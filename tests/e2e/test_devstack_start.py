"""How a local stack starts, ends and fails: nothing stays behind, and what is wrong is one line."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.stack import LocalStack
from operations.running import running_stack
from tests.e2e.stacks import ROOT, templates_in
from tests.integration.devstack.processes import (
    PARAMETERS,
    answers,
    copy_of_project,
    devstack,
    eventually,
    until_up,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_signal_leaves_an_emulator_or_a_run_folder_behind(tmp_path: Path, number: signal.Signals) -> None:
    """FAULTS row 40."""
    project = copy_of_project(tmp_path)
    process = devstack(project)
    endpoint = until_up(process, project)
    assert answers(endpoint)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    eventually(lambda: not answers(endpoint))
    assert "Traceback" not in output
    assert running_stack(project) is None
    if number == signal.SIGKILL:
        # the next start clears what the killed run could not
        (dead,) = (project / ".devstack").glob("run-*")
        again = devstack(project)
        until_up(again, project)
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=60)
        assert not (dead / "tmp").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_console_is_told_first_and_ends_with_its_stack(tmp_path: Path, number: signal.Signals) -> None:
    folder = templates_in(tmp_path)
    command = [sys.executable, "-m", "devstack", "run", "--root", str(folder), "--port", "0", "--console-port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first.startswith("Console    http://127.0.0.1:")
    url = first.removeprefix("Console").strip()
    assert answers(url)

    process.send_signal(number)
    process.communicate(timeout=60)
    eventually(lambda: not answers(url))


def test_a_persons_own_aws_settings_and_proxy_lead_nowhere(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    process = devstack(
        project,
        AWS_PROFILE="production",
        AWS_SESSION_TOKEN="secret",
        AWS_ENDPOINT_URL_KINESIS="http://127.0.0.1:9",
        AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true",
        HTTP_PROXY="http://127.0.0.1:9",
        http_proxy="http://127.0.0.1:9",
    )
    until_up(process, project)
    found = running_stack(project)
    assert found is not None
    dynamodb = found.session().client("dynamodb", endpoint_url=found.endpoint_url)
    (table,) = dynamodb.list_tables()["TableNames"]
    dynamodb.put_item(TableName=table, Item={"id": {"S": "private"}, "kind": {"S": "plain"}})
    dynamodb.close()
    (logs,) = (project / ".devstack").glob("run-*/logs")
    eventually(lambda: "REPORT" in (logs / "CountFunction.log").read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_an_emulator_that_ends_by_itself_ends_the_stack_in_one_line(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    process = devstack(project)
    until_up(process, project)
    (run,) = (project / ".devstack").glob("run-*")
    os.kill(int((run / "emulator.pid").read_text()), signal.SIGKILL)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("devstack: the emulator ended by itself: see ")


@pytest.mark.parametrize("option", ["--port", "--emulator-port"])
def test_a_port_in_use_is_one_line_that_says_what_to_do(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = devstack(copy_of_project(tmp_path), option, str(port))
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    line = (
        f"devstack: port {port} on 127.0.0.1 cannot be opened (Address already in use): "
        f"stop what uses it, or choose another with {option}, or {option} 0 for a free one"
    )
    assert output.splitlines() == [line]


def test_an_emulator_that_does_not_start_is_one_line_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(DevstackError, match=r"the emulator did not start: see .*emulator\.log, and run `make setup`"):
        LocalStack(copy_of_project(tmp_path), parameters=PARAMETERS).start()


def test_a_resource_that_the_emulator_refuses_is_named(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    template = project / "template.yaml"
    template.write_text(template.read_text().replace("VisibilityTimeout: 3", "VisibilityTimeout: 999999"))
    with pytest.raises(DevstackError, match="MailQueue"):
        LocalStack(project, parameters=PARAMETERS).start()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({}, "parameter Owner has no default"), ({"Owner": "x", "Wrong": "1"}, "no parameter Wrong")],
)
def test_parameters_that_do_not_fit_are_named(tmp_path: Path, parameters: dict[str, str], message: str) -> None:
    with pytest.raises(DevstackError, match=message):
        LocalStack(copy_of_project(tmp_path), parameters=parameters).start()
