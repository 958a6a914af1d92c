"""Hosts the template's functions in this process: the real handlers over the in-memory cloud and virtual time."""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import orjson

from devstack import pipes
from devstack.event_source_mapping import InvokeResult
from devstack.functions import shared_environment
from devstack.simulator.cloud import Cloud
from devstack.simulator.engine import Engine
from devstack.simulator.faults import FaultPlan, SimulatedCrash
from devstack.simulator.newer_code import NewerCode
from devstack.template import EventSourceMapping, HostedParts, Pipe
from headwater import bootstrap
from headwater.accounts.passwords import Argon2Passwords
from headwater.application import load
from headwater.archive import compaction, s3_objects
from headwater.dead_letters.pointers import consumer_of
from headwater.domain.events import EventTypes
from headwater.settings import ReceiverSettings, Settings
from operations.running import ACCOUNT_ID, REGION

#: Before each function's logical id, in its name.
FUNCTION_PREFIX: Final = "headwater-"
#: The least that argon2 takes: thousands of registrations must not cost minutes.
_CHEAP_HASH: Final = {"passes": 1, "memory_kib": 8, "lanes": 1}

type Handler = Callable[[Any, Any], Any]


class InlineExecutor(Executor):
    """Runs everything in the caller's thread, in the order of submission. A crash ends the caller, as it should."""

    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # an executor's work fails in its future
            future.set_exception(error)
        return future

    def map[T](self, fn: Callable[..., T], *iterables: Any, **_: Any) -> Iterator[T]:
        return iter([fn(*args) for args in zip(*iterables, strict=False)])


class FailureLog:
    """Stands in for the functions' logger: counts what failed, by function and reason.

    ``unconfirmed`` counts the effects that were reported as perhaps performed, by consumer, event id and name.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.reasons: Counter[str] = Counter()
        self.unconfirmed: Counter[tuple[str, str, str]] = Counter()
        #: What incidents were about: all that their facts name.
        self.reported: set[str] = set()
        #: Told of each effect that is unconfirmed, at once.
        self.watch: Callable[[str, str, str], None] = lambda *_: None

    def error(self, message: str, **fields: Any) -> None:
        facts = {**fields, **fields.get("extra", {})}
        # The Pipe's target says of each record that it has parked why; no other consumer does.
        kind = message if message == "record parked" else facts.get("error") or facts.get("incident") or message
        self.reasons[f"{facts.get('function', '')}: {kind}"] += 1
        # What stands still is no trace by itself: its letter has to be there.
        if "incident" in facts and facts["incident"] != "HeldBackRecords":
            self.reported.update(str(fact) for fact in facts.values())
        if facts.get("incident") == "UnconfirmedEffects":
            effect = facts["function"], facts["event_id"], facts["effect"]
            self.unconfirmed[effect] += 1
            self.watch(*effect)
        if self._engine.keeps_trace:
            self._engine.detail(f"{message}: {facts}")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@dataclass(frozen=True, slots=True)
class Ended:
    """How an invocation ended, and how long it took in virtual seconds."""

    result: InvokeResult
    duration: float


class Functions:
    """The functions behind the mappings, invoked by logical id."""

    def __init__(
        self,
        parts: HostedParts,
        engine: Engine,
        faults: FaultPlan,
        log: FailureLog,
        newer_code: NewerCode | None = None,
    ) -> None:
        self._parts = parts
        self._newer_code = newer_code or NewerCode()
        self._engine = engine
        self._faults = faults
        self._handlers: dict[str, Handler] = {}
        self._contexts: dict[str, Any] = {}
        self._invocations = 0
        self.log = log
        for logical_id in {function for mapping in parts.mappings for function in mapping.functions}:
            module, _, attribute = parts.functions[logical_id].handler.rpartition(".")
            self._handlers[logical_id] = getattr(importlib.import_module(module), attribute)

    @property
    def invocations(self) -> int:
        return self._invocations

    def function_name(self, logical_id: str) -> str:
        return f"{FUNCTION_PREFIX}{logical_id}"

    def function_arn(self, logical_id: str) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.function_name(logical_id)}"

    def consumer(self, logical_id: str) -> str:
        """A function's name as a consumer."""
        return consumer_of(self.function_arn(logical_id))

    def pipe_arn(self, logical_id: str) -> str:
        return f"arn:aws:pipes:{REGION}:{ACCOUNT_ID}:pipe/headwater-{logical_id}"

    def deliver(self, mapping: EventSourceMapping, records: Sequence[Any], slowed: float = 0.0) -> Ended:
        """Runs what a mapping leads to: a function, or a pipe's enrichment and its target. ``slowed`` is added to the
        seconds that the first one's calls take.
        """
        if not isinstance(mapping, Pipe):
            return self.invoke(mapping.function, {"Records": list(records)}, slowed)
        handed: Any = list(records)
        took = 0.0
        if mapping.enrichment is not None:
            enriched = self.invoke(mapping.enrichment, handed, slowed)
            if enriched.result.error is not None:
                return enriched
            if pipes.skips_target(enriched.result.response):
                return Ended(InvokeResult(request_id=enriched.result.request_id), enriched.duration)
            # As JSON between the two, so that neither can rely on what only Python would pass on.
            handed, took, slowed = orjson.loads(orjson.dumps(enriched.result.response)), enriched.duration, 0.0
        told = self.invoke(mapping.function, handed, slowed)
        response = pipes.in_sequence_numbers(told.result.response, records)
        return Ended(replace(told.result, response=response), took + told.duration)

    def offer(self, cloud: Cloud) -> None:
        """Lets each function be invoked through the cloud's Lambda too."""
        for logical_id in self._handlers:
            cloud.create_function(self.function_name(logical_id), partial(self._invoked, logical_id))

    def _invoked(self, logical_id: str, payload: bytes) -> tuple[bytes, str | None]:
        with self._faults.nested():
            ended = self.invoke(logical_id, orjson.loads(payload))
        # Whoever called has waited for it.
        self._engine.now += ended.duration
        failed = {"errorType": "Unhandled", "errorMessage": f"see {ended.result.request_id} in the trace"}
        return orjson.dumps(ended.result.response if ended.result.error is None else failed), ended.result.error

    def invoke(self, logical_id: str, event: Any, slowed: float = 0.0) -> Ended:
        """Runs a handler now. ``slowed`` seconds are added to what its calls take.

        Past the function's Timeout, Lambda has stopped waiting: the answer is an error, though the work is done.
        """
        engine = self._engine
        began = engine.now
        self._invocations += 1
        request_id = f"request-{self._invocations}"
        context = SimpleNamespace(aws_request_id=request_id, function_name=logical_id)
        outer, self._faults.in_function = self._faults.in_function, True
        try:
            with self._newer_code.as_consumer(), self._faults.skewed():
                response = self._handlers[logical_id](event, context)
            result = InvokeResult(response, None, request_id)
        except SimulatedCrash as crash:
            engine.detail(f"{logical_id} crashes {crash}")
            result = InvokeResult(None, "Unhandled", request_id)
        except NotImplementedError:
            raise
        except Exception as error:  # noqa: BLE001  # a failed invocation, as Lambda has it
            self.log.reasons[f"{logical_id}: {type(error).__name__}"] += 1
            engine.detail(f"{logical_id} fails: {error!r}")
            result = InvokeResult(None, "Unhandled", request_id)
        finally:
            self._faults.in_function = outer
        duration = engine.now - began + slowed
        engine.now = began
        timeout = self._parts.functions[logical_id].timeout
        if duration > timeout:
            return Ended(InvokeResult(None, "Unhandled", request_id), timeout)
        return Ended(result, duration)


@contextmanager
def hosted(
    parts: HostedParts, cloud: Cloud, engine: Engine, reads: Callable[[EventTypes], EventTypes] | None = None
) -> Iterator[FailureLog]:
    """Within it, bootstrap builds on the cloud and on virtual time; what it built before is as it was afterwards.

    ``reads``: what to make of the application's event types.

    Gives the log that is to stand in for theirs once the functions are loaded.
    """
    environment = shared_environment(parts.functions.values())
    settings, receiver_settings = Settings.from_environment(environment), ReceiverSettings.from_environment(environment)
    known = load(settings.application).events
    types = reads(known) if reads else known
    log = FailureLog(engine)
    stand_ins: dict[str, Any] = {
        "settings": lambda: settings,
        "receiver_settings": lambda: receiver_settings,
        "event_types": lambda: types,
        "dynamodb": lambda: cloud.dynamodb,
        "dynamodbstreams": lambda: cloud.dynamodbstreams,
        "kinesis": lambda: cloud.kinesis,
        "sns": lambda: cloud.sns,
        "sqs": lambda: cloud.sqs,
        "s3": lambda: cloud.s3,
        "ses": lambda: cloud.sesv2,
        "lambda_client": lambda: cloud.lambda_,
        "utc_now": engine.utc_now,
        "uuid7": engine.uuid7,
        "sleep": engine.spend,
        "executor": lambda _threads, _name: InlineExecutor(),
        "password_hasher": lambda: Argon2Passwords(**_CHEAP_HASH),
    }
    saved = {name: getattr(bootstrap, name) for name in stand_ins}
    inner: list[tuple[ModuleType, str, Any]] = [
        (s3_objects, "utc_now", engine.utc_now),
        (compaction, "uuid7", engine.uuid7),
        (compaction, "ThreadPoolExecutor", lambda *_: InlineExecutor()),
    ]
    kept = [(module, name, getattr(module, name)) for module, name, _ in inner]
    modules = _function_modules()
    metrics = os.environ.get("POWERTOOLS_METRICS_DISABLED")
    try:
        os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
        for name, stand_in in stand_ins.items():
            setattr(bootstrap, name, stand_in)
        for module, name, stand_in in inner:
            setattr(module, name, stand_in)
        _forget()
        yield log
    finally:
        for name, original in saved.items():
            setattr(bootstrap, name, original)
        for module, name, original in kept:
            setattr(module, name, original)
        _forget()
        for name, module in modules.items():
            sys.modules[name] = module
            setattr(sys.modules["headwater.functions"], name.rpartition(".")[2], module)
        if metrics is None:
            os.environ.pop("POWERTOOLS_METRICS_DISABLED", None)
        else:
            os.environ["POWERTOOLS_METRICS_DISABLED"] = metrics


def _forget() -> None:
    """Makes a cold start: what bootstrap has built, and the handlers that hold it."""
    for value in list(vars(bootstrap).values()):
        if hasattr(value, "cache_clear"):
            value.cache_clear()
    # The package keeps its modules too, and a handler keeps its whole world.
    for name in _function_modules():
        del sys.modules[name]
        delattr(sys.modules["headwater.functions"], name.rpartition(".")[2])


def _function_modules() -> dict[str, ModuleType]:
    """The handlers' modules; what they share (entry, api) holds nothing of a run."""
    shared = {f"headwater.functions{name}" for name in ("", ".entry", ".pipe", ".api")}
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name.startswith("headwater.functions.") and name not in shared and ".api." not in name
    }
