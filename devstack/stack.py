"""The stacks of template.yaml and receiver.yaml on this machine, from empty to empty."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from devstack import mail_pages
from devstack.console import Console
from devstack.control import ControlApi
from devstack.emulator import Emulator, require_free
from devstack.environment import IsolatedEnvironment
from devstack.errors import DevstackError
from devstack.functions import FunctionHost, Outcome
from devstack.gateway import Gateway
from devstack.kept_state import KeptState, Resumed
from devstack.lambda_api import LambdaApi
from devstack.mappings.destinations import Destinations
from devstack.mappings.stack_mappings import Mappings
from devstack.poison import UnreadableEvent
from devstack.rehearsals import Rehearsals
from devstack.template import HostedParts, LeftOut, Template
from operations.mailbox import Mail, sent_mails
from operations.running import (
    ANNOUNCEMENT,
    PID,
    RECEIVER_NAME,
    RUNS_FOLDER,
    STACK_NAME,
    TEMPLATE_NAME,
    is_alive,
    local_session,
    running_stack,
)
from operations.target import Target

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

RECEIVER_STACK_NAME: Final = "local-receiver"
PROVISION_TIMEOUT_SECONDS: Final = 60
GRACE_SECONDS: Final = 2
TEMPLATE_BODY_LIMIT_BYTES: Final = 51_200

LOCAL_PARAMETERS: Final = {
    "ArchiverBatchingWindow": "1",
    "BiExportBatchingWindow": "1",
    "DeletionProtection": "false",
    "SenderAddress": "no-reply@example.com",
    "ReceiverStackName": RECEIVER_STACK_NAME,
    "SenderStackName": STACK_NAME,
}
"""Values for template parameters of these names, where the template has them: a laptop waits for nothing."""

ENDPOINT_PARAMETER: Final = "AwsEndpointUrl"
SENDER_PARAMETER: Final = "SenderAddress"
"""An address that somebody verifies in SES before a deployment; here devstack does."""


class NotQuietError(DevstackError):
    """The stack still had work when the time was up."""


@dataclass(slots=True)
class _Part:
    """One template's share of what runs: its stack in the emulator, its API."""

    template: Template
    stack_name: str
    port: int
    data_plane: Mapping[str, Any]
    hosted: HostedParts | None = None
    gateway: Gateway | None = None


class LocalStack:
    """The whole system as a context manager: the stack, and beside it that of the account domain.

    Parameters
    ----------
    root
        The project's folder, or a SAM template, which then is alone; functions are imported from CodeUri.
    port, receiver_port, emulator_port
        Of the HTTP API, the account domain's API and the AWS endpoint, on loopback; 0 takes a free one.
    parameters
        Template parameters, over the template's defaults and LOCAL_PARAMETERS.
    on_success
        Called after each invocation without an error with the function's logical id and the event, in its thread.
    stream
        Where devstack's own lines go; standard output by default.
    state
        A folder: the stack goes on from what it holds, and a graceful stop saves there. None starts from empty.
    quiet
        Count the invocations that fail and come again, as they do on AWS, instead of printing each.

    One stack at a time in a process: the functions run in it, with their environment. Several processes may each have
    one. Without ``state`` everything is gone when it stops, but the logs, which the next start removes.
    """

    def __init__(
        self,
        root: Path = Path(),
        *,
        port: int = 0,
        receiver_port: int = 0,
        emulator_port: int = 0,
        parameters: Mapping[str, str] | None = None,
        verbose: bool = False,
        on_success: Callable[[str, Mapping[str, Any]], None] | None = None,
        stream: TextIO | None = None,
        state: Path | None = None,
        quiet: bool = False,
    ) -> None:
        self._template_path = (root / TEMPLATE_NAME if root.is_dir() else root).resolve()
        receiver = self._template_path.parent / RECEIVER_NAME
        self._receiver_path = receiver if root.is_dir() and receiver.exists() else None
        self._port = port
        self._receiver_port = receiver_port
        self._emulator_port = emulator_port
        self._given_parameters = dict(parameters or {})
        self._on_success = on_success
        self._environment = IsolatedEnvironment()
        self._console = Console(verbose=verbose, quiet=quiet, stream=stream)
        self._kept = KeptState(state, self._console.line) if state is not None else None
        self._is_up = False
        self.resumed: Resumed | None = None
        """What this run went on from."""
        self._run: _RunFolder | None = None
        self._emulator: Emulator | None = None
        self._host: FunctionHost | None = None
        self._mappings: Mappings | None = None
        self._rehearsals: Rehearsals | None = None
        self._parts: list[_Part] = []
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        self._session: boto3.session.Session | None = None

    # ---- what a started stack offers

    @property
    def url(self) -> str:
        """The HTTP API, without a slash at its end."""
        return _started(self._part.gateway).url

    @property
    def receiver_url(self) -> str:
        """The account domain's API, without a slash at its end."""
        return _started(self._receiver.gateway).url

    @property
    def endpoint_url(self) -> str:
        """The AWS endpoint, as for AWS_ENDPOINT_URL."""
        return _started(self._emulator).endpoint

    @property
    def outputs(self) -> Mapping[str, str]:
        """The template's Outputs, but those that refer to what devstack replaces."""
        return _started(self._part.hosted).outputs

    @property
    def has_receiver(self) -> bool:
        """Whether the account domain's stack runs beside the main one."""
        return len(self._parts) > 1

    @property
    def receiver_outputs(self) -> Mapping[str, str]:
        """The same of the account domain's template."""
        return _started(self._receiver.hosted).outputs

    @property
    def hosted(self) -> HostedParts:
        """Functions, mappings and routes with every value resolved."""
        return _started(self._part.hosted)

    @property
    def template(self) -> Template:
        """The template as written."""
        return self._part.template

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What of the templates does not run here, and why."""
        return tuple(entry for part in self._parts for entry in part.template.left_out)

    @property
    def _part(self) -> _Part:
        return _started(self._parts[0] if self._parts else None)

    @property
    def _receiver(self) -> _Part:
        return _started(self._parts[1] if self.has_receiver else None)

    @property
    def run_folder(self) -> Path:
        """This run's files; logs of functions are in ``logs/<LogicalId>.log``."""
        return _started(self._run).path

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator, one per service; safe to share between threads."""
        with self._clients_lock:
            if self._session is None:
                # One for all: each session reads botocore's models of the services anew.
                self._session = local_session()
            if service not in self._clients:
                self._clients[service] = self._session.client(
                    service,
                    endpoint_url=self.endpoint_url,
                    config=Config(
                        max_pool_connections=32,
                        connect_timeout=2,
                        read_timeout=60,
                        retries={"mode": "standard", "max_attempts": 2},
                    ),
                )
            return self._clients[service]

    def invoke(self, logical_id: str, event: object) -> Outcome:
        """Invoke a function and wait for its outcome."""
        return _started(self._host).invoke(logical_id, json.dumps(event).encode()).result()

    def target(self, **given: Any) -> Target:
        """This stack as the operator's command has it; what is given goes over that."""
        return Target(local_session(), self.endpoint_url, self.outputs, self.url, **given)

    def sent_mails(self) -> list[Mail]:
        """E-mails that SES accepted, oldest first."""
        return sent_mails(self.endpoint_url)

    @property
    def tried_again(self) -> int:
        """Invocations so far that failed, whole or in part."""
        return self._console.tried_again

    def backlog(self) -> dict[str, int]:
        """What each mapping has still to do: records read and not checkpointed, or messages on its queue."""
        return _started(self._mappings).backlog()

    def wait_until_quiet(self, timeout: float, progress: Callable[[dict[str, int]], None] | None = None) -> None:
        """Return once nothing is under way: no request, no invocation, no unread record, no message on a queue.

        Quiet means that after a moment at which nothing ran, every shard was read to its end and every queue was empty,
        and that nothing had run meanwhile. ``progress`` is called with the backlog while there is one.

        Raises
        ------
        NotQuietError
            After ``timeout`` seconds, with what is left.
        """
        deadline = time.monotonic() + timeout
        while not self._is_quiet(deadline):
            if progress is not None:
                progress(self.backlog())
            if time.monotonic() >= deadline:
                left = ", ".join(f"{name}: {count}" for name, count in self.backlog().items() if count)
                raise NotQuietError(f"the stack was still busy after {timeout:g} s ({left or 'invocations'})")
            time.sleep(0.1)

    def wait(self) -> None:
        """Stay up until somebody interrupts.

        Raises
        ------
        DevstackError
            The emulator ended by itself.
        """
        emulator = _started(self._emulator)
        while emulator.alive:
            time.sleep(1)
        raise DevstackError(f"the emulator ended by itself: see {emulator.log}, and start again")

    def _is_quiet(self, deadline: float) -> bool:
        mappings, host = _started(self._mappings), _started(self._host)
        began = time.monotonic()
        started = host.started
        readers = mappings.readers
        if self._is_working():
            return False
        mappings.poke()
        while any(reader.drained_at < began for reader in mappings.readers):
            if time.monotonic() >= deadline or self._is_working():
                return False
            time.sleep(0.005)
        if any(queue.depth() for queue in mappings.queues):
            return False
        # A shard that was split has other readers now.
        return host.started == started and mappings.readers is readers and not self._is_working()

    def _is_working(self) -> bool:
        mappings, host = _started(self._mappings), _started(self._host)
        return (
            host.running > 0
            or any(_started(part.gateway).requests > 0 for part in self._parts)
            or any(driver.busy for driver in (*mappings.streams, *mappings.queues))
            or any(stream.backlog for stream in mappings.streams)
        )

    # ---- start and stop

    def start(self) -> Self:
        """Start everything; a failure leaves nothing behind.

        Raises
        ------
        DevstackError
            In one line: what is wrong, and what to do.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        parts = [(self._template_path, STACK_NAME, self._port)]
        if self._receiver_path is not None:
            parts.append((self._receiver_path, RECEIVER_STACK_NAME, self._receiver_port))
        for path, stack_name, port in parts:
            template = Template.load(path)
            self._parts.append(_Part(template, stack_name, port, template.data_plane()))
        if self._port:
            self._demand_no_other(self._port)
        for port, option in ((self._port, "--port"), (self._receiver_port, "--receiver-port")):
            if port:
                require_free(port, option)
        self._check_parameters()
        self._environment.enter()
        self._run = _RunFolder(self._template_path.parent / RUNS_FOLDER)
        emulator = Emulator(self._run.path, self._emulator_port, keeps=self._kept is not None)
        if self._kept is not None:
            self.resumed = self._kept.resume(emulator.files)
            emulator.port = self._port_of_the_state(emulator.port)
        self._emulator = emulator
        emulator.launch()
        # The second core is idle while the emulator imports; clients take as long.
        for service in ("cloudformation", "sesv2", "sqs", "sns", "s3"):
            self.client(service)
        emulator.wait()
        if self._kept is not None:
            self._kept.loaded(emulator.files)
        for part in self._parts:
            part.hosted = part.template.resolve(self._provision(part))
        hosted = [_started(part.hosted) for part in self._parts]
        host = self._host = FunctionHost(
            [function for parts in hosted for function in parts.functions.values()],
            self._run.path / "logs",
            self._console,
            STACK_NAME,
        )
        host.on_success = self._on_success
        host.start({"AWS_ENDPOINT_URL": emulator.endpoint})
        mappings = self._mappings = Mappings(
            [mapping for parts in hosted for mapping in parts.mappings],
            port=emulator.port,
            functions=host,
            destinations=Destinations(self.client("sqs"), self.client("sns"), self.client("s3")),
            console=self._console,
            checkpoints=self.resumed.checkpoints if self.resumed else None,
        )
        names = {host.function_name(logical_id): logical_id for each in hosted for logical_id in each.functions}
        token = secrets.token_urlsafe(24)
        rehearsals = self._rehearsals = self._rehearsable(mappings, hosted)
        control = ControlApi(token, mappings, host, rehearsals)
        for part in self._parts:
            part.gateway = Gateway(
                _started(part.hosted).routes,
                host.invoke,
                mails=partial(mail_pages.page, emulator.endpoint),
                functions=LambdaApi(names, host.invoke),
                control_api=control,
                port=part.port,
                log=self._run.path / "gateway.log",
                console=self._console,
            )
        host.on_finished = mappings.poke
        mappings.start()
        for part in self._parts:
            _started(part.gateway).start()
        # What is loaded by now stays: the collector, which holds up all functions, need not look through it again.
        gc.freeze()
        self._is_up = True
        addresses = {"endpoint_url": emulator.endpoint, "url": self.url, "token": token}
        if self.has_receiver:
            addresses["receiver_url"] = self.receiver_url
        self._run.announce(addresses)

    def _demand_no_other(self, port: int) -> None:
        """Refuses a port that the API of another stack of this folder has."""
        other = running_stack(self._template_path.parent)
        if other is not None and other.url.endswith(f":{port}"):
            raise DevstackError(
                f"a stack of this folder already runs (pid {other.pid}, port {port}): stop it with Ctrl-C there, "
                f"or start this one beside it: PORT={port + 1} make run"
            )

    def _rehearsable(self, mappings: Mappings, hosted: Sequence[HostedParts]) -> Rehearsals:
        names: dict[str, dict[str, str]] = {"AWS::DynamoDB::Table": {}, "AWS::S3::Bucket": {}}
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        for part in self._parts:
            for page in pages.paginate(StackName=part.stack_name):
                for each in page["StackResourceSummaries"]:
                    if each["ResourceType"] in names:
                        names[each["ResourceType"]][each["LogicalResourceId"]] = each["PhysicalResourceId"]
        return Rehearsals(
            mappings,
            [mapping for parts in hosted for mapping in parts.mappings],
            _started(self._emulator),
            tables=names["AWS::DynamoDB::Table"],
            buckets=names["AWS::S3::Bucket"],
            poison=UnreadableEvent(self.client("dynamodb"), self.outputs.get("EventsTableName", ""), self.target),
        )

    def _port_of_the_state(self, wanted: int) -> int:
        """The emulator's port: the URLs of the queues in a saved state name the one that they were made with."""
        if self.resumed is None:
            return wanted
        port = self.resumed.port
        if wanted not in {0, port}:
            raise DevstackError(f"the queues of the saved state have URLs with port {port}: leave --emulator-port away")
        return port

    def stop(self) -> None:
        """Stop everything; safe to call twice, and at any point of a failed start."""
        with _uninterrupted():
            for part in self._parts:
                if part.gateway is not None:
                    part.gateway.stop()
            # An emulator that has ended saves nothing, and takes nothing back.
            alive = self._emulator is not None and self._emulator.alive
            if self._kept is not None and self._rehearsals is not None and alive:
                # What is saved outlives the rehearsals: nothing that one broke may be in it.
                try:
                    self._rehearsals.undo("all")
                except DevstackError as error:
                    self._console.line(f"a rehearsal is saved with the state of this run: {error}")
            if self._mappings is not None:
                self._mappings.stop()
            if self._host is not None:
                deadline = time.monotonic() + GRACE_SECONDS
                while self._host.running and time.monotonic() < deadline:
                    time.sleep(0.01)
            if self._kept is not None:
                self._save(self._kept)
            if self._emulator is not None:
                self._emulator.stop()
            if self._mappings is not None:
                self._mappings.join(GRACE_SECONDS)
            if self._host is not None:
                self._host.stop()
            for client in self._clients.values():
                client.close()
            if self._run is not None:
                self._run.release()
            self._environment.leave()
            gc.unfreeze()
            self._mappings = self._rehearsals = self._host = self._emulator = self._run = None
            self._parts = []
            self._clients = {}
            self._session = None
            self._is_up = False

    def _save(self, kept: KeptState) -> None:
        """Stop the emulator in order and keep its state, with the checkpoints of mappings that rest already."""
        emulator, mappings = self._emulator, self._mappings
        if self._is_up and emulator is not None and mappings is not None:
            mappings.join(GRACE_SECONDS)
            checkpoints = mappings.checkpoints()
            if emulator.stop():
                try:
                    kept.save(
                        emulator.files,
                        checkpoints,
                        port=emulator.port,
                        saved_at=time.strftime("%Y-%m-%d %H:%M:%S"),
                    )
                except (DevstackError, OSError) as error:
                    self._console.line(f"the state of this run was not saved: {error} (log: {emulator.log})")
            else:
                self._console.line(f"the emulator did not stop in order: {kept.folder} stays as it was")
        kept.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _provision(self, part: _Part) -> dict[str, str]:
        cloudformation: CloudFormationClient = self.client("cloudformation")
        parameters = self._parameters(part)
        if SENDER_PARAMETER in parameters:
            self._verify(parameters[SENDER_PARAMETER])
        body = json.dumps(part.data_plane, separators=(",", ":"))
        if len(body.encode()) > TEMPLATE_BODY_LIMIT_BYTES:
            s3 = self.client("s3")
            s3.create_bucket(Bucket="devstack-template")
            s3.put_object(Bucket="devstack-template", Key=f"{part.stack_name}.json", Body=body.encode())
            source = {"TemplateURL": f"{self.endpoint_url}/devstack-template/{part.stack_name}.json"}
        else:
            source = {"TemplateBody": body}
        deploy = cloudformation.update_stack if self._was_saved(part) else cloudformation.create_stack
        try:
            deploy(
                StackName=part.stack_name,
                Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
                **source,  # type: ignore[arg-type]
            )
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if "No updates are to be performed" not in message:
                raise DevstackError(f"the emulator refuses the template: {message}") from error
        deadline = time.monotonic() + PROVISION_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            stack = cloudformation.describe_stacks(StackName=part.stack_name)["Stacks"][0]
            if stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
                return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs") or []}
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                raise DevstackError(self._why_not_provisioned(part, stack.get("StackStatusReason", "")))
            time.sleep(0.03)
        raise DevstackError(f"the emulator did not provision the stack within {PROVISION_TIMEOUT_SECONDS} s")

    def _was_saved(self, part: _Part) -> bool:
        """Whether this run went on from a state that has the part's stack."""
        if self.resumed is None:
            return False
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return part.stack_name in {stack["StackName"] for stack in stacks}

    def _verify(self, sender: str) -> None:
        try:
            self.client("sesv2").create_email_identity(EmailIdentity=sender)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AlreadyExistsException":
                raise

    def _why_not_provisioned(self, part: _Part, reason: str) -> str:
        cloudformation: CloudFormationClient = self.client("cloudformation")
        events = cloudformation.describe_stack_events(StackName=part.stack_name)["StackEvents"]
        failed = [event for event in events if event.get("ResourceStatus", "").endswith("_FAILED")]
        # Newest first: what failed first is the cause.
        if failed:
            event = failed[-1]
            reason = (
                f"{event.get('LogicalResourceId')} ({event.get('ResourceType')}): {event.get('ResourceStatusReason')}"
            )
        return f"the emulator did not provision {reason or 'the stack'} (log: {_started(self._emulator).log})"

    def _check_parameters(self) -> None:
        declared = {name for part in self._parts for name in part.template.parameters}
        if unknown := sorted(set(self._given_parameters) - declared):
            raise DevstackError(f"the template has no parameter {unknown[0]}")

    def _parameters(self, part: _Part) -> dict[str, str]:
        declared = part.template.parameters
        values = {name: value for name, value in LOCAL_PARAMETERS.items() if name in declared}
        if ENDPOINT_PARAMETER in declared:
            values[ENDPOINT_PARAMETER] = self.endpoint_url
        values |= {name: value for name, value in self._given_parameters.items() if name in declared}
        missing = [name for name, node in declared.items() if "Default" not in node and name not in values]
        if missing:
            name = missing[0]
            raise DevstackError(f"the template's parameter {name} has no default: pass --parameter {name}=VALUE")
        return values


class _RunFolder:
    """A folder of this run's own, marked as alive by a lock that ends with the process, however it ends."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / "lock"):
            _remove_dead_runs(parent)
            name = time.strftime("run-%Y%m%d-%H%M%S")
            number = 0
            while (path := parent / (f"{name}-{number}" if number else name)).exists():
                number += 1
            path.mkdir()
            self.path = path
            self._lock = (path / "alive").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        (path / PID).write_text(f"{os.getpid()}\n")

    def announce(self, addresses: Mapping[str, str]) -> None:
        """Let other processes find the stack, once it is up."""
        unfinished = self.path / "stack.json.new"
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(addresses), encoding="utf-8")
        unfinished.rename(self.path / ANNOUNCEMENT)

    def release(self) -> None:
        """The logs stay until the next start."""
        (self.path / ANNOUNCEMENT).unlink(missing_ok=True)
        shutil.rmtree(self.path / "tmp", ignore_errors=True)
        self._lock.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_dead_runs(parent: Path) -> None:
    for path in parent.glob("run-*"):
        if not is_alive(path):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C or SIGTERM (make sends another) leaves no half a stack behind; stopping takes seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_on_signals() -> None:
    """Have SIGTERM leave through the context managers as Ctrl-C does, and both even if the shell had them ignored."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    # A script's background job starts with SIGINT ignored, and could not be stopped by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _started[T](part: T | None) -> T:
    if part is None:
        raise DevstackError("the stack is not running")
    return part
