"""Hosting functions in this process."""

import io
import json
import logging
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.console import Console
from devstack.functions import RESPONSE_LIMIT_BYTES, FunctionError, FunctionHost, Outcome, shared_environment
from devstack.template import Function
from tests.integration.devstack.processes import eventually

MODULE = """
import os, sys, threading, time
released, returned, together = threading.Event(), [], threading.Barrier(10)
print("loaded with", os.environ["COLOUR"])

def echo(event, context):
    event["changed"] = True
    return {"event": event, "name": context.function_name, "memory": context.memory_limit_in_mb,
            "arn": context.invoked_function_arn, "left": context.get_remaining_time_in_millis()}

def speak(event, context):
    for _ in range(20):
        print(f"line of {event['n']}", end="")
        time.sleep(0.001)
        print(" ends")
    print("to stderr", file=sys.stderr)
    worker = threading.Thread(target=print, args=("from a thread of its own",))
    worker.start(); worker.join()

def fail(event, context):
    raise KeyError("missing thing")

def leave(event, context):
    sys.exit(3)

def hang(event, context):
    released.wait(60)
    returned.append(context.aws_request_id)

def meet(event, context):
    return together.wait(60)

def large(event, context):
    return "x" * event

def unfit(event, context):
    return {1, 2}
"""

HANDLERS = ("echo", "speak", "fail", "leave", "hang", "meet", "large", "unfit")


@pytest.fixture
def console() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def host(tmp_path: Path, console: io.StringIO) -> Iterator[FunctionHost]:
    code = tmp_path / "src"
    code.mkdir()
    (code / "hosted_here.py").write_text(textwrap.dedent(MODULE))
    functions = [
        Function(name, f"hosted_here.{name}", code, 0.2 if name == "hang" else 60, 256, {"COLOUR": "blue"})
        for name in HANDLERS
    ]
    host = FunctionHost(functions, tmp_path / "logs", Console(stream=console), "local")
    host.start({"EXTRA": "1"})
    yield host
    host.stop()


def call(host: FunctionHost, name: str, event: object = None) -> Outcome:
    return host.invoke(name, json.dumps(event).encode()).result(60)


def error_of(outcome: Outcome) -> dict[str, object]:
    assert outcome.error == "Unhandled"
    error: dict[str, object] = json.loads(outcome.payload)
    return error


def test_a_handler_gets_its_own_copy_of_the_event_and_lambdas_context(host: FunctionHost) -> None:
    answer = json.loads(call(host, "echo", {"a": 1}).payload)
    assert answer["event"] == {"a": 1, "changed": True}
    assert (answer["name"], answer["memory"]) == ("local-echo", "256")
    assert answer["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:local-echo"
    assert 50_000 < answer["left"] <= 60_000


def test_what_a_function_prints_goes_to_its_log_by_whole_lines(host: FunctionHost, tmp_path: Path) -> None:
    for future in [host.invoke("speak", json.dumps({"n": n}).encode()) for n in range(4)]:
        future.result(60)
    lines = (tmp_path / "logs" / "speak.log").read_text().splitlines()
    for n in range(4):
        assert lines.count(f"line of {n} ends") == 20
    assert "to stderr" in lines
    assert "from a thread of its own" in (tmp_path / "logs" / "background.log").read_text()
    assert "loaded with blue" in (tmp_path / "logs" / "echo.log").read_text(), "the first function that imports it"


def test_an_exception_becomes_lambdas_error_and_one_line(
    host: FunctionHost, console: io.StringIO, tmp_path: Path
) -> None:
    error = error_of(call(host, "fail"))
    assert (error["errorType"], error["errorMessage"]) == ("KeyError", "'missing thing'")
    assert "Traceback" in (tmp_path / "logs" / "fail.log").read_text()
    lines = console.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("fail failed after ")
    assert "KeyError" in lines[0]


def test_a_handler_that_exits_is_a_failed_invocation(host: FunctionHost) -> None:
    assert error_of(call(host, "leave"))["errorType"] == "SystemExit"


def test_a_timeout_fails_the_invocation_while_it_still_runs(host: FunctionHost) -> None:
    module = sys.modules["hosted_here"]
    outcome = call(host, "hang")
    assert module.returned == []
    assert outcome.timed_out
    assert str(error_of(outcome)["errorMessage"]).endswith("Task timed out after 0.20 seconds")
    module.released.set()
    eventually(lambda: module.returned)
    assert host.running == 0


def test_an_answer_above_the_limit_is_an_error(host: FunctionHost) -> None:
    assert call(host, "large", RESPONSE_LIMIT_BYTES - 2).error is None
    assert error_of(call(host, "large", RESPONSE_LIMIT_BYTES - 1))["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_event_above_the_limit_is_not_delivered(host: FunctionHost) -> None:
    event = b'"' + b"x" * 6_291_456 + b'"'
    assert error_of(host.invoke("echo", event).result(60))["errorType"] == "RequestEntityTooLargeException"


def test_an_answer_that_is_no_json_is_an_error(host: FunctionHost) -> None:
    assert error_of(call(host, "unfit"))["errorType"] == "Runtime.MarshalError"


def test_invocations_run_at_the_same_time(host: FunctionHost) -> None:
    """Each returns once all ten are there."""
    outcomes = [future.result(60) for future in [host.invoke("meet", b"{}") for _ in range(10)]]
    assert [outcome.error for outcome in outcomes] == [None] * 10
    assert host.started == 10


def test_the_process_is_given_back_as_it_was(tmp_path: Path, console: io.StringIO) -> None:
    code = tmp_path / "src"
    code.mkdir()
    (code / "hosted_then_gone.py").write_text("def handler(event, context): pass\n")
    before = (sys.stdout, sys.stderr, list(sys.path), dict(os.environ))
    host = FunctionHost(
        [Function("F", "hosted_then_gone.handler", code, 1, 128, {"COLOUR": "red"})],
        tmp_path / "logs",
        Console(stream=console),
        "local",
    )
    host.start({})
    assert os.environ["COLOUR"] == "red"
    assert "hosted_then_gone" in sys.modules
    host.stop()
    assert (sys.stdout, sys.stderr, list(sys.path), dict(os.environ)) == before
    assert "hosted_then_gone" not in sys.modules


def test_a_logger_that_there_was_before_writes_a_functions_lines_to_its_log(
    tmp_path: Path, console: io.StringIO
) -> None:
    terminal = sys.stdout
    handler = logging.StreamHandler(terminal)
    logger = logging.getLogger("of the process and the function")
    logger.addHandler(handler)
    code = tmp_path / "src"
    code.mkdir()
    (code / "hosted_logger.py").write_text(
        f"import logging\ndef handler(event, context): logging.getLogger({logger.name!r}).error('told')\n"
    )
    host = FunctionHost(
        [Function("F", "hosted_logger.handler", code, 60, 128, {})], tmp_path / "logs", Console(stream=console), "local"
    )
    try:
        host.start({})
        call(host, "F")
        assert "told\n" in (tmp_path / "logs" / "F.log").read_text()
    finally:
        host.stop()
        logger.removeHandler(handler)
    assert handler.stream is terminal


@pytest.mark.parametrize(
    ("handler", "reason"),
    [("nowhere_at_all.handler", "ModuleNotFoundError"), ("os.no_such_handler", "AttributeError")],
)
def test_a_function_that_cannot_be_imported_is_named(
    tmp_path: Path, console: io.StringIO, handler: str, reason: str
) -> None:
    host = FunctionHost(
        [Function("BrokenFunction", handler, tmp_path, 1, 128, {})], tmp_path / "logs", Console(stream=console), "local"
    )
    with pytest.raises(FunctionError, match=f"BrokenFunction cannot be started: {reason}"):
        host.start({})
    host.stop()


def test_a_variable_with_two_values_is_refused_by_name(tmp_path: Path) -> None:
    def function(name: str, value: str) -> Function:
        return Function(name, "m.h", tmp_path, 1, 128, {"TABLE": value, name.upper(): name})

    assert shared_environment([function("a", "x"), function("b", "x")]) == {"TABLE": "x", "A": "a", "B": "b"}
    spaces = [Function(name, "m.h", tmp_path, 1, 128, {"POWERTOOLS_METRICS_NAMESPACE": name}) for name in ("a", "b")]
    assert shared_environment(spaces) == {"POWERTOOLS_METRICS_NAMESPACE": "a"}
    with pytest.raises(FunctionError, match="b sets TABLE to another value than a"):
        shared_environment([function("a", "x"), function("b", "y")])
