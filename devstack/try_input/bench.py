"""A world for one input: the templates' cloud in memory, without faults, and the real handlers over it."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from devstack.event_source_mapping import failed_identifiers
from devstack.gateway import request_event
from devstack.mappings.records import queue_message
from devstack.simulator.cloud import Cloud
from devstack.simulator.cloud.sqs import BATCH_ENTRIES
from devstack.simulator.engine import Engine
from devstack.simulator.faults import FaultPlan
from devstack.simulator.functions import Functions, hosted
from devstack.simulator.graph import Blueprint
from devstack.standing_in import standing_in
from devstack.template import EventSourceMapping, Pipe, Route
from devstack.try_input.callees import Callee, Callees, mapping_of
from devstack.try_input.errors import UsageError
from devstack.try_input.inputs import BATCHES, Input, Source
from devstack.try_input.records import given
from devstack.try_input.traces import Before, Traces, watch
from devstack.try_input.verdicts import Ended, Judge, Logged, Outcome, Run, read_models
from headwater import bootstrap
from operations.running import HOST

#: Rounds of delivering on what was written, before something must go round in circles.
_ROUNDS: Final = 20
_NOBODY: Final = ("route-not-found", "method-not-allowed")


class CannotCarryError(UsageError):
    """The function asked for a service that the cloud in memory does not have."""


class Log:
    """Stands in for the functions' loggers: keeps what they say for the reasons, and prints nothing."""

    def __init__(self) -> None:
        self.entries: list[Logged] = []

    def error(self, message: str, **fields: Any) -> None:
        self.entries.append(Logged(message, {**fields, **fields.get("extra", {})}))

    warning = error

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class _Missing:
    """A client of a service that is not here: remembers that it was asked for."""

    def __init__(self, service: str) -> None:
        self._service = service
        self.asked: str | None = None

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def refuse(**_: Any) -> Any:
            self.asked = (
                f"{operation} of {self._service}: the cloud in memory does not have that service; "
                "run the whole stack for it, with make run"
            )
            raise NotImplementedError(self.asked)

        return refuse


class Bench:
    """Runs functions on inputs, in one world. Use it within `opened`."""

    def __init__(self, blueprint: Blueprint, cloud: Cloud, engine: Engine, log: Log, missing: _Missing) -> None:
        self.callees = Callees.of(blueprint.hosted)
        self.cloud = cloud
        self._mappings = blueprint.hosted.mappings
        self._engine = engine
        self._log = log
        self._missing = missing
        self._invocations = 0
        self._read: dict[tuple[str, str], int] = {}
        self._handlers: dict[str, Callable[[Any, Any], Any]] = {}
        for logical_id, function in blueprint.hosted.functions.items():
            module, _, attribute = function.handler.rpartition(".")
            self._handlers[logical_id] = getattr(importlib.import_module(module), attribute)

    @property
    def tables(self) -> dict[str, frozenset[str]]:
        """The tables with a stream, and the attributes of their keys."""
        return {
            name: frozenset(key for key, _ in table.keys)
            for name, table in self.cloud.dynamodb.tables.items()
            if table.log is not None
        }

    def append(self, tried: Input) -> None:
        """Puts an input's items into the table whose keys they have, as any program may: without our checks.

        Raises
        ------
        UsageError
            A table refuses one; nobody could have appended it.
        """
        for number, item in enumerate(tried.appended):
            table = next((name for name, keys in self.tables.items() if keys <= item.keys()), None)
            where = f"{tried.name}: appended[{number}]"
            if table is None:
                known = "; ".join(f"{name}: {', '.join(sorted(keys))}" for name, keys in self.tables.items())
                raise UsageError(f"{where} lacks a key of every table with a stream ({known})")
            try:
                self.cloud.dynamodb.put_item(TableName=table, Item=item)
            except (ClientError, BotoCoreError, UnicodeError) as error:
                raise UsageError(f"{where}: DynamoDB refuses it: {error}") from error
        # What the input stands for is not to be delivered a second time.
        self._mark_as_read()

    def run(self, callee: Callee, tried: Input) -> Run:
        """Hands an input to a function, and finds out what became of each record."""
        if tried.source in BATCHES:
            records = self._delivered(callee, tried)
            return self._batch(callee, tried.source, records)
        if tried.source == "pipe":
            return self._batch(callee, "pipe", list(tried.records))
        event = tried.event
        if tried.source == "http-body":
            event = _request("POST", tried.path, event)
        run = self._judged(callee, tried.source, [tried.event], event, tried.path)
        if tried.source == "http-body" and _routeless(run.outcomes[0]):
            raise UsageError(
                f"no route takes POST {tried.path}, which is what {tried.name} is called after: "
                "name one with ARGS='--post /path'"
            )
        return run

    def ask(self, path: str, method: str = "GET", body: str = "") -> tuple[int, str]:
        """Status and body of a route; the account domain's API is asked where the main one has no such route."""
        answer: Mapping[str, Any] = {}
        for callee in self.callees.web():
            ended = self._invoke(callee, _request(method, path, body))
            if ended.error is not None:
                return 500, ended.error
            answer = ended.answer
            if not any(kind in str(answer.get("body")) for kind in _NOBODY):
                break
        return int(answer["statusCode"]), str(answer.get("body", ""))

    def follow(self) -> list[Run]:
        """Delivers what was written since to whoever reads it, until nothing moves any more; pipes are left alone.

        What fails is not delivered again.
        """
        runs: list[Run] = []
        for _ in range(_ROUNDS):
            moved = [run for mapping in self._mappings if (run := self._deliver(mapping)) is not None]
            if not moved:
                return runs
            runs += moved
        return runs

    def _deliver(self, mapping: EventSourceMapping) -> Run | None:
        """One mapping's next batch; None if there is nothing for it."""
        if isinstance(mapping, Pipe):
            return None
        callee = self.callees.named(mapping.function)
        if mapping.kind == "sqs":
            return self._deliver_messages(callee, mapping)
        log = self.cloud.log(mapping.source_arn.split("/")[1])
        records: list[Any] = []
        for shard in log.shards:
            start = self._read.get((mapping.title, shard.id), 0)
            records += [record.body for record in shard.read(start, shard.end - start)]
            self._read[mapping.title, shard.id] = shard.end
        return self._batch(callee, mapping.kind, records) if records else None

    def _deliver_messages(self, callee: Callee, mapping: EventSourceMapping) -> Run | None:
        queue = self.cloud.queue(mapping.source_arn)
        answer = self.cloud.sqs.receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=BATCH_ENTRIES,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        records = [json.loads(queue_message(message, queue.arn).body) for message in answer.get("Messages", ())]
        return self._batch(callee, "sqs", records) if records else None

    def _mark_as_read(self) -> None:
        for mapping in self._mappings:
            if mapping.kind != "sqs":
                for shard in self.cloud.log(mapping.source_arn.split("/")[1]).shards:
                    self._read[mapping.title, shard.id] = shard.end

    def _delivered(self, callee: Callee, tried: Input) -> list[Any]:
        """The batch as the function's own mapping would deliver it: by the stream, or the queue, of this cloud."""
        records = list(tried.records)
        mappings = [mapping for mapping in callee.mappings if mapping.kind == tried.source]
        mapping = mapping_of(callee, records, self.tables) or mappings[0]
        if tried.source != "sqs":
            arn = mapping.source_arn
            return [{**raw, "eventSourceARN": arn} if isinstance(raw, dict) else raw for raw in records]
        return [self._queued(raw, mapping.source_arn) for raw in records]

    def _queued(self, raw: Any, queue_arn: str) -> Any:
        """The message, really on its queue and received, so that its receipt handle is one."""
        if not (isinstance(raw, dict) and isinstance(raw.get("messageId"), str) and isinstance(raw.get("body"), str)):
            return raw
        queue = self.cloud.queue(queue_arn)
        queue.add(raw["messageId"], raw["body"], {})
        ((handle, _),) = queue.receive(1, queue.visibility_timeout)
        return {**raw, "receiptHandle": handle, "eventSourceARN": queue.arn}

    def _batch(self, callee: Callee, source: Source, records: list[Any]) -> Run:
        return self._judged(callee, source, records, records if source == "pipe" else {"Records": records})

    def _judged(self, callee: Callee, source: Source, records: list[Any], event: Any, path: str = "") -> Run:
        before, rows = Before.of(self.cloud), read_models(self.cloud, bootstrap.settings())
        ended = self._invoke(callee, event)
        traces = Traces(self.cloud, before)
        judge = Judge(
            callee=callee,
            source=source,
            cloud=self.cloud,
            settings=bootstrap.settings(),
            claims=bootstrap.claim_store(),
            traces=traces,
            ended=ended,
            rows=rows,
        )
        outcomes = judge.outcomes([given(source, raw, path) for raw in records])
        if source == "sqs":
            self._delete(records, ended)
        mails = [f"{', '.join(mail.recipients)}: {mail.subject}" for mail in traces.mails]
        return Run(function=callee.name, source=source, outcomes=outcomes, mails=mails)

    def _delete(self, records: Sequence[Any], ended: Ended) -> None:
        """As Lambda does with the messages that are done with."""
        known = {given("sqs", raw).identifier: position for position, raw in enumerate(records)}
        failed = None if ended.error is not None else failed_identifiers(ended.answer, known)
        for position, raw in enumerate(records):
            if failed is not None and position not in failed and isinstance(raw, dict):
                with contextlib.suppress(ValueError, KeyError):
                    self.cloud.queue(raw["eventSourceARN"]).delete(raw["receiptHandle"])

    def _invoke(self, callee: Callee, event: Any) -> Ended:
        self._invocations += 1
        context = SimpleNamespace(
            aws_request_id=f"request-{self._invocations}", function_name=f"headwater-{callee.logical_id}"
        )
        self._log.entries = []
        # Its own copy, as JSON would bring it. What a logger that nobody knows of prints is no part of the report.
        event = json.loads(json.dumps(event))
        answer, failure = None, None
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                answer = json.loads(json.dumps(self._handlers[callee.logical_id](event, context)))
        except Exception as error:  # noqa: BLE001  # a failed invocation, as Lambda has it
            failure = f"{type(error).__name__}: {error}"
        if self._missing.asked is not None:
            raise CannotCarryError(f"{callee.name} asks for {self._missing.asked}")
        return Ended(answer, failure, list(self._log.entries))


@contextmanager
def opened(blueprint: Blueprint, tried: Input | None = None) -> Iterator[Bench]:
    """A fresh world, at the time of the input's last record."""
    engine = Engine(0)
    engine.now = (tried and tried.latest) or time.time()
    faults = FaultPlan(engine, 0.0)
    cloud = Cloud(engine.clock, faults, engine.chance)
    blueprint.build(cloud, shards=1)
    watch(cloud)
    missing = _Missing("Step Functions")
    stepfunctions, log = bootstrap.stepfunctions, Log()
    with hosted(blueprint.hosted, cloud, engine) as failures:
        setattr(bootstrap, "stepfunctions", lambda: missing)  # noqa: B010  # another type, on purpose
        try:
            Functions(blueprint.hosted, engine, faults, failures).offer(cloud)
            bench = Bench(blueprint, cloud, engine, log, missing)
            with standing_in("logger", log):
                yield bench
        finally:
            setattr(bootstrap, "stepfunctions", stepfunctions)  # noqa: B010


def _request(method: str, target: str, body: str = "") -> dict[str, Any]:
    """The event of a request, as the local gateway makes it."""
    environ = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "QUERY_STRING": target.partition("?")[2],
        "HTTP_HOST": HOST,
        "CONTENT_TYPE": "application/json" if body else "",
    }
    route = Route(function="", method=method, path=None, timeout=0.0)
    return request_event(environ, body.encode(), route, {})


def _routeless(outcome: Outcome) -> bool:
    return any(f":problem:{kind}" in outcome.reason for kind in _NOBODY)
