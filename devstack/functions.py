"""Hosts the template's functions in this process, as Lambda's Python runtime would run them.

All functions share one environment and one interpreter, which the template allows because its variables sit in Globals.
What differs from Lambda: concurrent invocations of a function share its module state (Lambda gives each an environment
of its own), and a Python thread cannot be killed: an invocation that runs into its timeout counts as failed at that
moment, but its thread goes on until the handler returns.
"""

from __future__ import annotations

import heapq
import importlib
import itertools
import json
import logging
import os
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TextIO, cast

import orjson

from devstack.console import Console
from devstack.errors import DevstackError
from devstack.template import Function
from operations.running import ACCOUNT_ID, REGION

REQUEST_LIMIT_BYTES: Final = 6_291_456
RESPONSE_LIMIT_BYTES: Final = 6_291_556
"""Payload limits of a synchronous invocation (Lambda quotas; the answer's as its error message states it)."""

type Handler = Callable[[Any, Context], Any]


_METRICS_NAMESPACE: Final = "POWERTOOLS_METRICS_NAMESPACE"


class FunctionError(DevstackError):
    """A function cannot be hosted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended: ``payload`` is the answer's JSON text, or Lambda's error object.

    ``error`` is Lambda's FunctionError ("Unhandled") or None; ``duration`` in seconds.
    """

    payload: bytes
    error: str | None
    request_id: str
    duration: float
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """The context object that Lambda's Python runtime passes to a handler."""

    function_name: str
    aws_request_id: str
    invoked_function_arn: str
    memory_limit_in_mb: str
    deadline: float
    log_group_name: str
    log_stream_name: str
    function_version: str = "$LATEST"
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline - time.monotonic()) * 1000))


class _LogFile:
    """One function's log; lines of concurrent invocations do not run into each other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, lines: str) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(lines)
                self._file.flush()

    def close(self) -> None:
        with self._lock:
            self._file.close()


class _InvocationLog:
    """What one invocation prints, passed on by whole lines."""

    def __init__(self, file: _LogFile) -> None:
        self._file = file
        self._unfinished = ""

    def write(self, text: str) -> None:
        lines, newline, rest = (self._unfinished + text).rpartition("\n")
        self._unfinished = rest
        if newline:
            self._file.write(lines + newline)

    def finish(self) -> None:
        if self._unfinished:
            self.write("\n")


class _ThreadLogs(threading.local):
    current: _InvocationLog | None = None


_thread_logs = _ThreadLogs()


class _RoutedStream:
    """Stands in for sys.stdout and sys.stderr: what an invocation writes goes to its function's log.

    Threads that a handler starts itself carry no invocation; theirs goes to ``background``.
    """

    def __init__(self, original: TextIO, background: _LogFile) -> None:
        self.original = original
        self._background = background

    def write(self, text: str) -> int:
        if (log := _thread_logs.current) is not None:
            log.write(text)
        elif threading.current_thread() is threading.main_thread():
            self.original.write(text)
        else:
            self._background.write(text)
        return len(text)

    def flush(self) -> None:
        if _thread_logs.current is None and not self.original.closed:
            self.original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _Deadlines:
    """Calls back when an invocation's time is up; one thread for all of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        threading.Thread(target=self._run, name="deadlines", daemon=True).start()

    def at(self, when: float, expire: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._heap, (when, next(self._order), expire))
            if self._heap[0][0] == when:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                if not self._heap or self._heap[0][0] > now:
                    self._changed.wait(self._heap[0][0] - now if self._heap else None)
                    continue
                expire = heapq.heappop(self._heap)[2]
            expire()


@dataclass(slots=True)
class _Hosted:
    function: Function
    handler: Handler
    log: _LogFile
    arn: str
    log_stream: str = field(default_factory=lambda: f"local/[$LATEST]{uuid.uuid4().hex}")
    invocations: int = 0


class FunctionHost:
    """Runs the functions, each invocation in a thread of its own.

    Between ``start`` and ``stop`` the process has the functions' environment and module path. Modules of the
    functions' own code are imported afresh, as at a cold start, and put back as they were by ``stop``.
    """

    def __init__(self, functions: Iterable[Function], logs: Path, console: Console, stack_name: str) -> None:
        self._functions = {function.logical_id: function for function in functions}
        self._logs = logs
        self._console = console
        self._stack_name = stack_name
        self._hosted: dict[str, _Hosted] = {}
        self._saved_environment: dict[str, str | None] = {}
        self._saved_modules: dict[str, ModuleType] = {}
        self._saved_path: list[str] = []
        self._saved_streams: tuple[TextIO, TextIO] | None = None
        self._saved_handlers: list[tuple[logging.StreamHandler[Any], Any]] = []
        self._deadlines: _Deadlines | None = None
        self._background: _LogFile | None = None
        self._lock = threading.Lock()
        self._running = 0
        self._started = 0
        self.on_finished: Callable[[], None] = lambda: None
        self.on_success: Callable[[str, Mapping[str, Any]], None] | None = None

    @property
    def running(self) -> int:
        """Invocations that have not ended."""
        return self._running

    @property
    def started(self) -> int:
        """Invocations so far."""
        return self._started

    def told(self) -> list[dict[str, Any]]:
        """Invocations that have ended, by function, since the start."""
        return [{"name": name, "invocations": each.invocations} for name, each in self._hosted.items()]

    def function_name(self, logical_id: str) -> str:
        return f"{self._stack_name}-{logical_id}"

    def function_arn(self, logical_id: str) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.function_name(logical_id)}"

    def pipe_arn(self, logical_id: str) -> str:
        return f"arn:aws:pipes:{REGION}:{ACCOUNT_ID}:pipe/{self._stack_name}-{logical_id}"

    def start(self, environment: Mapping[str, str]) -> None:
        """Set the shared environment, then import every handler.

        Raises
        ------
        FunctionError
            Names the function that cannot share the environment, or cannot be imported, and why.
        """
        variables = {**shared_environment(self._functions.values()), **environment}
        self._logs.mkdir(parents=True, exist_ok=True)
        self._deadlines = _Deadlines()
        self._background = _LogFile(self._logs / "background.log")
        self._saved_environment = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        folders = sorted({str(function.code_folder) for function in self._functions.values()})
        self._saved_path = list(sys.path)
        self._saved_modules = _modules_below(folders)
        for name in self._saved_modules:
            del sys.modules[name]
        sys.path[:0] = [folder for folder in folders if folder not in sys.path]
        self._saved_streams = (sys.stdout, sys.stderr)
        self._route_streams()
        self._route_handlers()
        for function in self._functions.values():
            self._hosted[function.logical_id] = self._cold_start(function)

    def stop(self) -> None:
        """Give the process its environment, modules and streams back. Invocations under way are abandoned."""
        if self._deadlines is not None:
            self._deadlines.close()
        if self._saved_streams is not None:
            if isinstance(sys.stdout, _RoutedStream):
                sys.stdout = self._saved_streams[0]
            if isinstance(sys.stderr, _RoutedStream):
                sys.stderr = self._saved_streams[1]
            self._saved_streams = None
        for handler, stream in self._saved_handlers:
            handler.setStream(stream)
        self._saved_handlers = []
        for name in _modules_below(sorted({str(function.code_folder) for function in self._functions.values()})):
            del sys.modules[name]
        sys.modules.update(self._saved_modules)
        if self._saved_path:
            sys.path[:] = self._saved_path
        for name, value in self._saved_environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._saved_environment = {}
        for hosted in self._hosted.values():
            hosted.log.close()
        self._hosted = {}
        if self._background is not None:
            self._background.close()

    def invoke(self, logical_id: str, payload: bytes) -> Future[Outcome]:
        """Invoke a function with a JSON event; the future always gets an Outcome, never an exception."""
        hosted = self._hosted[logical_id]
        request_id = str(uuid.uuid4())
        future: Future[Outcome] = Future()
        began = time.monotonic()
        with self._lock:
            self._running += 1
            self._started += 1
        future.add_done_callback(lambda done: self._ended(hosted, done.result()))
        if len(payload) > REQUEST_LIMIT_BYTES:
            message = f"Request must be smaller than {REQUEST_LIMIT_BYTES} bytes for the InvokeFunction operation"
            future.set_result(_failure("RequestEntityTooLargeException", message, request_id, 0.0))
            return future
        deadline = began + hosted.function.timeout
        if self._deadlines is not None:
            self._deadlines.at(deadline, lambda: self._time_out(hosted, future, request_id))
        threading.Thread(
            target=self._run,
            args=(hosted, payload, self._context(hosted, request_id, deadline), began, future),
            name=f"{logical_id} {request_id}",
            daemon=True,
        ).start()
        return future

    def _context(self, hosted: _Hosted, request_id: str, deadline: float) -> Context:
        function = hosted.function
        return Context(
            function_name=self.function_name(function.logical_id),
            aws_request_id=request_id,
            invoked_function_arn=hosted.arn,
            memory_limit_in_mb=str(function.memory),
            deadline=deadline,
            log_group_name=f"/aws/lambda/{self.function_name(function.logical_id)}",
            log_stream_name=hosted.log_stream,
        )

    def _run(self, hosted: _Hosted, payload: bytes, context: Context, began: float, future: Future[Outcome]) -> None:
        self._route_streams()
        request_id = context.aws_request_id
        log = _thread_logs.current = _InvocationLog(hosted.log)
        log.write(f"START RequestId: {request_id} Version: $LATEST\n")
        outcome = _call(hosted.handler, payload, context, log, began)
        log.finish()
        duration = f"{outcome.duration * 1000:.2f} ms"
        log.write(f"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: {duration}\n")
        try:
            if outcome.error is None and self.on_success is not None:
                # Decoded once more: the handler may have changed its own copy.
                self.on_success(hosted.function.logical_id, orjson.loads(payload))
        finally:
            _settle(future, outcome)

    def _time_out(self, hosted: _Hosted, future: Future[Outcome], request_id: str) -> None:
        if future.done():
            return
        timeout = hosted.function.timeout
        text = f"Task timed out after {timeout:.2f} seconds"
        hosted.log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {request_id} {text}\n")
        _settle(
            future,
            _failure("Sandbox.Timedout", f"RequestId: {request_id} Error: {text}", request_id, timeout, timed_out=True),
        )

    def _ended(self, hosted: _Hosted, outcome: Outcome) -> None:
        with self._lock:
            self._running -= 1
            hosted.invocations += 1
        name = hosted.function.logical_id
        if outcome.error is not None:
            error = json.loads(outcome.payload)
            reason = " ".join(f"{error['errorType']}: {error['errorMessage']}".split())
            milliseconds = f"{outcome.duration * 1000:.0f} ms"
            self._console.retried(f"{name} failed after {milliseconds}: {reason[:300]} ({hosted.log.path})")
        else:
            self._console.detail(f"{name} {outcome.duration * 1000:.0f} ms")
        self.on_finished()

    def _cold_start(self, function: Function) -> _Hosted:
        log = _LogFile(self._logs / f"{function.logical_id}.log")
        module_name, _, attribute = function.handler.rpartition(".")
        _thread_logs.current = _InvocationLog(log)
        try:
            handler = getattr(importlib.import_module(module_name.replace("/", ".")), attribute)
        except Exception as error:
            log.write(traceback.format_exc())
            log.close()
            raise FunctionError(
                f"{function.logical_id} cannot be started: {type(error).__name__}: {error} ({log.path})"
            ) from error
        finally:
            _thread_logs.current = None
        return _Hosted(function, handler, log, self.function_arn(function.logical_id))

    def _route_handlers(self) -> None:
        # A logger that somebody made before, of the name that the functions' has, would write to the terminal.
        assert self._saved_streams is not None
        for handler in _stream_handlers():
            for before, now in zip(self._saved_streams, (sys.stdout, sys.stderr), strict=True):
                if handler.stream is before:
                    self._saved_handlers.append((handler, before))
                    handler.setStream(now)

    def _route_streams(self) -> None:
        # Test runners put their own streams back between tests, so that this is checked at each invocation.
        if self._background is None or self._saved_streams is None:
            return
        if not isinstance(sys.stdout, _RoutedStream):
            sys.stdout = cast("TextIO", _RoutedStream(sys.stdout, self._background))
        if not isinstance(sys.stderr, _RoutedStream):
            sys.stderr = cast("TextIO", _RoutedStream(sys.stderr, self._background))


def _stream_handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.root, *logging.Logger.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            yield from (each for each in logger.handlers if isinstance(each, logging.StreamHandler))


def shared_environment(functions: Iterable[Function]) -> dict[str, str]:
    """The one environment of all functions.

    Raises
    ------
    FunctionError
        Names the function and the variable that another function sets to another value.
    """
    variables: dict[str, str] = {}
    owners: dict[str, str] = {}
    for function in functions:
        for name, value in function.environment.items():
            # Of each stack its own; here a metric is a line in a log, and the first stack's name does.
            if variables.setdefault(name, value) != value and name != _METRICS_NAMESPACE:
                raise FunctionError(
                    f"{function.logical_id} sets {name} to another value than {owners[name]}: the local stack hosts "
                    "all functions in one process; move the variable to Globals"
                )
            owners.setdefault(name, function.logical_id)
    return variables


def _call(handler: Handler, payload: bytes, context: Context, log: _InvocationLog, began: float) -> Outcome:
    request_id = context.aws_request_id
    try:
        answer = handler(orjson.loads(payload), context)
    except BaseException as error:  # noqa: BLE001 - a handler's SystemExit is a failed invocation too
        log.finish()
        log.write(traceback.format_exc())
        trace = traceback.format_tb(error.__traceback__)[1:]
        return _failure(type(error).__name__, str(error), request_id, time.monotonic() - began, trace)
    try:
        text = json.dumps(answer, ensure_ascii=False, default=_number).encode()
    except (TypeError, ValueError) as error:
        message = f"Unable to marshal response: {error}"
        log.finish()
        log.write(f"[ERROR] Runtime.MarshalError: {message}\n")
        return _failure("Runtime.MarshalError", message, request_id, time.monotonic() - began)
    if len(text) > RESPONSE_LIMIT_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT_BYTES} bytes)."
        return _failure("Function.ResponseSizeTooLarge", message, request_id, time.monotonic() - began)
    return Outcome(text, None, request_id, time.monotonic() - began)


def _number(value: object) -> float:
    # As Lambda's runtime does: DynamoDB's numbers arrive as Decimal.
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _failure(
    kind: str,
    message: str,
    request_id: str,
    duration: float,
    trace: list[str] | None = None,
    *,
    timed_out: bool = False,
) -> Outcome:
    error = {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace or []}
    return Outcome(json.dumps(error).encode(), "Unhandled", request_id, duration, timed_out)


def _settle(future: Future[Outcome], outcome: Outcome) -> None:
    try:
        future.set_result(outcome)
    except InvalidStateError:
        # The invocation had timed out meanwhile; Lambda would have stopped it.
        return


def _modules_below(folders: list[str]) -> dict[str, ModuleType]:
    inside = tuple(folder + os.sep for folder in folders)
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (getattr(module, "__file__", None) or "").startswith(inside)
    }
