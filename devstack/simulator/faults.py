"""What goes wrong, how often, and the count of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from botocore.exceptions import ReadTimeoutError

from devstack.simulator.cloud.errors import client_error
from devstack.simulator.engine import Engine
from devstack.simulator.fibers import Own
from devstack.simulator.refusals import Refusals

type FaultKind = str

#: Faults of calls: before the effect (throttle, timeout), after it (lost_answer), at either point (crash), in part.
CALL_KINDS: Final = ("throttle", "timeout", "lost_answer", "crash", "partial_failure")
#: Faults of delivery.
DELIVERY_KINDS: Final = (
    "duplicate_delivery",
    "batch_bounds",
    "reorder",
    "overtaking",
    "interleaving",
    "clock_skew",
    "bug",
    "service_outage",
    "long_outage",
    "retention_passed",
    "stale_read",
    "expiry",
    "compaction",
    "shard_split",
    "mapping_restart",
    "slow_consumer",
)
#: What a destination refuses for good.
REFUSAL_KINDS: Final = ("refused_entry", "refused_row", "refused_email")
PROMISED: Final[frozenset[FaultKind]] = frozenset((*CALL_KINDS, *DELIVERY_KINDS, *REFUSAL_KINDS))

#: Virtual seconds that a call takes. SNS is called sixteen times at once, tables by eight writers.
LATENCY: Final = {
    "dynamodb": 0.002,
    "dynamodbstreams": 0.01,
    "kinesis": 0.01,
    "lambda": 0.01,
    "sns": 0.002,
    "s3": 0.05,
    "sesv2": 0.05,
    "sqs": 0.005,
}
TIMEOUT_SECONDS: Final = 2.0
#: By so many seconds, at the most, a function's clock is wrong.
LARGEST_SKEW: Final = 15.0
_THROTTLES: Final = {
    "dynamodb": ("ProvisionedThroughputExceededException", 400),
    "dynamodbstreams": ("LimitExceededException", 400),
    "kinesis": ("ProvisionedThroughputExceededException", 400),
    "lambda": ("TooManyRequestsException", 429),
    "sns": ("Throttled", 429),
    "sqs": ("RequestThrottled", 403),
    "s3": ("SlowDown", 503),
    "sesv2": ("TooManyRequestsException", 429),
}
#: Of the faulty calls, so many keep failing until the SDK gives up; the others succeed at its next try.
_PERSISTENT: Final = 0.5

type Watcher = Callable[[Mapping[str, Any]], None]


class SimulatedCrash(BaseException):
    """The process stops here: what it did stays, and nobody gets an answer. No handler may catch it."""


class FaultPlan:
    """Decides at each call and each delivery whether something goes wrong. Implements `CallFaults`.

    ``rate`` is the probability of one decision. ``off`` are kinds that this run leaves out. Faults happen between
    ``start`` and ``stop``; ``counts`` holds how many of each kind did.
    """

    def __init__(self, engine: Engine, rate: float, off: frozenset[FaultKind] = frozenset()) -> None:
        if unknown := off - PROMISED:
            raise ValueError(f"there is no fault {min(unknown)!r}; the kinds are: {', '.join(sorted(PROMISED))}")
        self.engine = engine
        self.rate = rate
        self.off = off
        self.counts: Counter[FaultKind] = Counter()
        self.active = False
        #: Whether a function's code is running, which a crash can stop.
        self.in_function = False
        self._random = engine.chance.random
        self._pending: FaultKind | None = None
        self._failing: Mapping[str, Any] | None = None
        self._watchers: dict[tuple[str, str], list[Watcher]] = {}
        self._outages: dict[str, float] = {}
        self.refusals = Refusals(self.happens)
        engine.own += [Own(self, "in_function", False), Own(self, "_pending", None), Own(self, "_failing", None)]

    def start(self) -> None:
        self.active = self.rate > 0

    def stop(self) -> None:
        self.active = False

    def watch(self, service: str, operation: str, watcher: Watcher) -> None:
        """Has ``watcher`` see the parameters of each such call that took effect."""
        self._watchers.setdefault((service, operation), []).append(watcher)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Within it no call meets a fault or an outage: what is done here is not what is tested."""
        active, outages = self.active, self._outages
        self.active, self._outages = False, {}
        try:
            yield
        finally:
            self.active, self._outages = active, outages

    @contextmanager
    def skewed(self) -> Iterator[None]:
        """Within it a function runs, whose clock may be wrong."""
        engine = self.engine
        outer, engine.skew = engine.skew, 0.0
        if self.happens("clock_skew"):
            engine.skew = engine.chance.uniform(-LARGEST_SKEW, LARGEST_SKEW)
        try:
            yield
        finally:
            engine.skew = outer

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Within it are the calls of a function that a call has invoked: what is to befall that call is kept for it."""
        outer = self._pending, self._failing
        try:
            yield
        finally:
            self._pending, self._failing = outer

    def break_service(self, service: str, until: float) -> None:
        """Lets every call of a service fail until then (epoch seconds of virtual time), whatever the rate."""
        self._outages[service] = until

    @property
    def broken(self) -> bool:
        """Whether a service fails whatever it is asked (see `break_service`)."""
        return any(until > self.engine.now for until in self._outages.values())

    def decides(self, kind: FaultKind, scale: float = 1.0) -> bool:
        """One decision about a fault of delivery."""
        return self.active and self._random() < self.rate * scale and kind not in self.off

    def happens(self, kind: FaultKind, scale: float = 1.0) -> bool:
        """One decision about a fault of delivery; counted if it happens."""
        decided = self.decides(kind, scale)
        if decided:
            self.count(kind)
        return decided

    def count(self, kind: FaultKind) -> None:
        self.counts[kind] += 1
        self.engine.note(f"fault {kind}")

    # CallFaults

    def before(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        engine = self.engine
        if self.active:
            engine.alternate()
        engine.now += LATENCY[service]
        self._pending = None
        if service in self._outages and engine.now < self._outages[service]:
            raise self._throttle(service, operation)
        if not self.active:
            return
        if params is self._failing:
            raise self._throttle(service, operation)
        self._failing = None
        if self._random() < self.rate:
            self._inject(service, operation, params)
        if self._random() < self.rate and "overtaking" not in self.off and engine.overtake(3):
            self._pending = None
            self.count("overtaking")
        elif self._random() < self.rate and "interleaving" not in self.off and engine.interleave():
            self.count("interleaving")

    def refuse(self, service: str, operation: str, entries: int) -> frozenset[int]:  # noqa: ARG002
        if not self.active or self._random() >= self.rate:
            return frozenset()
        kind = "duplicate_delivery" if operation == "Duplicate" else "partial_failure"
        if kind in self.off:
            return frozenset()
        self.count(kind)
        chance = self.engine.chance
        return frozenset(chance.sample(range(entries), chance.randint(1, entries)))

    def stale(self, service: str, operation: str) -> bool:  # noqa: ARG002
        return self.happens("stale_read", 4)

    def condemn(self, service: str, operation: str, target: str, contents: Sequence[Any]) -> frozenset[int]:  # noqa: ARG002
        return self.refusals.condemned(service, target, contents)

    def after(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        for watcher in self._watchers.get((service, operation), ()):
            watcher(params)
        if (pending := self._pending) is None:
            return
        self._pending = None
        self.count(pending)
        if pending == "crash":
            raise SimulatedCrash(f"after {service} {operation}")
        self.engine.now += TIMEOUT_SECONDS
        raise self._no_answer(service)

    def _inject(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        kind = self._kind()
        if kind is None:
            return
        if kind == "lost_answer":
            # At its next try the SDK finds what it did; or it was the last one, and the caller must find out.
            self._pending = kind
            if self._random() < _PERSISTENT:
                self._failing = params
            return
        if kind == "crash" and self._random() < 0.5:
            self._pending = kind
            return
        self.count(kind)
        if kind == "crash":
            raise SimulatedCrash(f"before {service} {operation}")
        if self._random() < _PERSISTENT:
            self._failing = params
        if kind == "timeout":
            self.engine.now += TIMEOUT_SECONDS
            raise self._no_answer(service)
        raise self._throttle(service, operation)

    def _kind(self) -> FaultKind | None:
        draw = self._random()
        kind: Literal["throttle", "timeout", "lost_answer", "crash"]
        if draw < 0.05:
            kind = "crash"
        elif draw < 0.4:
            kind = "lost_answer"
        elif draw < 0.65:
            kind = "timeout"
        else:
            kind = "throttle"
        if kind in self.off or (kind == "crash" and not self.in_function):
            return None
        return kind

    def _throttle(self, service: str, operation: str) -> Exception:
        code, status = _THROTTLES[service]
        return client_error(service, operation, code, "slow down", status=status)

    def _no_answer(self, service: str) -> Exception:
        error: Exception = ReadTimeoutError(endpoint_url=f"https://{service}.invalid")
        return error
