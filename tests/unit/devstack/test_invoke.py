"""Functions in Lambda's image: which command runs for each, and what counts as gone wrong."""

import contextlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from devstack import invoke
from devstack.errors import DevstackError
from operations.intrinsics import pseudo_parameters

PROJECT = Path(__file__).parents[3]

#: Stands for `sam local invoke`: prints what it was given; of two functions one raises, and one cannot be started.
PSEUDO = pseudo_parameters(region="us-east-1", account="000000000000", stack="local")
SAM = """
import json, sys
name = sys.argv[1]
print("some log", file=sys.stderr)
if name == "BadgesFunction":
    sys.exit(3)
raised = {"errorType": "KeyError", "errorMessage": "x"}
print(json.dumps(raised if name == "FanOutFunction" else {"given": sys.argv[1:]}))
"""


@contextlib.asynccontextmanager
async def reachable(endpoint: str) -> AsyncIterator[str]:
    yield endpoint


def names(endpoint: str, table: str) -> dict[str, str]:
    """What a stack has for whatever its functions' variables refer to."""
    text = "".join((PROJECT / name).read_text(encoding="utf-8") for name in ("template.yaml", "receiver.yaml"))
    return {**{name: f"the-{name}" for name in re.findall(r"[A-Z]\w+", text)}, **PSEUDO}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("template.yaml", "receiver.yaml", "src", "statemachines", "layers"):
        (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.setattr(invoke, "_reachable", reachable)
    monkeypatch.setattr(invoke, "stack_names", names)
    return tmp_path


def sam(tmp_path: Path) -> list[str]:
    script = tmp_path / "sam.py"
    script.write_text(SAM, encoding="utf-8")
    return [sys.executable, str(script)]


def test_all_run_though_one_fails_and_each_has_a_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke.run(project, "http://127.0.0.1:1", (), sam(project)) == 1

    lines = capsys.readouterr().out.splitlines()
    told = {line.split()[0]: line for line in lines[:-1]}
    assert told.keys() == {name for part in invoke.parts(project) for name in part.functions()}
    assert {name for name, line in told.items() if "FAILED" in line} == {"BadgesFunction", "FanOutFunction"}
    assert "sam ended with 3" in told["BadgesFunction"]
    assert "KeyError: x" in told["FanOutFunction"]
    assert lines[-1] == "2 went wrong."
    assert "some log" in (project / invoke.FOLDER / "BadgesFunction.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("function", "of_receiver"), [("ArchiverFunction", False), ("TrackerFunction", True)])
def test_a_function_runs_alone_with_its_fixture_and_its_own_build(
    project: Path, capfd: pytest.CaptureFixture[str], function: str, of_receiver: bool
) -> None:
    assert invoke.run(project, "http://127.0.0.1:1", (function,), sam(project)) == 0

    printed = capfd.readouterr()
    assert f"events/{function}.json" in printed.out
    assert ("receiver" in printed.out.replace(str(project), "")) is of_receiver
    assert "some log" in printed.err


def test_a_function_that_nobody_has_is_refused_with_those_that_there_are(project: Path) -> None:
    with pytest.raises(DevstackError, match=r"no function is called Archiver; there are .*ArchiverFunction"):
        invoke.run(project, "http://127.0.0.1:1", ("Archiver",), sam(project))


@pytest.mark.parametrize(
    ("code", "answer", "problem"),
    [
        (0, b'{"batchItemFailures": []}', None),
        (0, b"null", None),
        (0, b'{"statusCode": 404, "body": ""}', None),
        (0, b'{"statusCode": 500, "body": ""}', "status 500"),
        (0, b'{"batchItemFailures": [{"itemIdentifier": "1"}]}', "1 records would be delivered again"),
        (0, b'{"errorType": "Runtime.ImportModuleError", "errorMessage": "no x"}', "Runtime.ImportModuleError: no x"),
        (0, b"", "no answer"),
        (0, b"Traceback", "its answer is no JSON"),
        (1, b"null", "sam ended with 1"),
    ],
)
def test_what_counts_as_gone_wrong(code: int, answer: bytes, problem: str | None) -> None:
    assert invoke.wrong(code, answer) == problem


def test_each_variable_has_the_name_of_its_stack() -> None:
    account = {"Fn::If": ["IsHere", {"Ref": "AWS::AccountId"}, "elsewhere"]}
    variables: dict[str, Any] = {
        "TABLE": {"Ref": "EventsTable"},
        "QUEUE": {"Fn::Sub": ["https://sqs.${AWS::Region}.x/${Account}/${Receiver}-inbox", {"Account": account}]},
        "TARGET": {"Fn::Sub": "${AWS::StackName}-Target"},
        "LEVEL": "INFO",
        "AWS_ENDPOINT_URL": {"Ref": "AwsEndpointUrl"},
    }

    names = {
        "EventsTable": "t-1",
        "Receiver": "r",
        "AwsEndpointUrl": "",
        **PSEUDO,
    }

    document = {
        "Globals": {"Function": {"Environment": {"Variables": variables}}},
        "Conditions": {"IsHere": {"Fn::Equals": [{"Ref": "Receiver"}, "r"]}},
    }

    made = invoke.environment(document, names, "http://e")

    assert made == {
        "TABLE": "t-1",
        "QUEUE": "https://sqs.us-east-1.x/000000000000/r-inbox",
        "TARGET": "local-Target",
        "LEVEL": "INFO",
        "AWS_ENDPOINT_URL": "http://e",
    }
