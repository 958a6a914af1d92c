"""Failures on purpose: each breaks one thing of a stack that runs, and can be undone.

What can be broken comes from the template: its mappings, tables and buckets. No rehearsal outlives its stack.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from devstack.emulator import Emulator
from devstack.errors import DevstackError
from devstack.mappings.stack_mappings import Mappings
from devstack.refusals import Refusal
from devstack.template import EventSourceMapping
from operations.flow_graph import Station
from operations.output import none_called

HOUR_SECONDS: Final = 3600.0


class RehearsalError(DevstackError):
    """A rehearsal that cannot be started or undone; ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Known:
    """One that there is: what it does, what comes of its undoing, and where the runbook says what to do about it.

    ``wants`` is what it has to be told; one that does not last is over when it has begun.
    """

    name: str
    about: str
    undo: str
    runbook: str
    wants: str | None = None
    lasts: bool = True


KNOWN: Final = (
    Known(
        "stop",
        "A consumer gets nothing any more, as when its mapping is disabled: its records wait, and its lag grows.",
        "It gets what has waited, in order.",
        "docs/runbook.md#readerssilent",
        "consumer",
    ),
    Known(
        "throttle",
        "Writes to a table are refused for want of throughput: what writes there tries again, and falls behind.",
        "The table takes writes again.",
        "docs/runbook.md#outages",
        "table",
    ),
    Known(
        "refuse-mail",
        "SES sends nothing, as when an account's sending is paused: e-mails wait on their queues.",
        "SES sends again; what waits goes out when its pause is over.",
        "docs/runbook.md#outages",
    ),
    Known(
        "deny",
        "A bucket takes no objects, as when its policy or a role was changed.",
        "The bucket takes objects again.",
        "docs/runbook.md#outages",
        "bucket",
    ),
    Known(
        "poison",
        "Appends an event that no consumer can read, as a producer does that was deployed too early: it is parked.",
        "Its event is mended, as 'headwater events mend' does it. Redrive its dead letters then: "
        "headwater dead-letters redrive --all",
        "docs/runbook.md#an-event-that-cannot-be-read",
    ),
    Known(
        "skip-hour",
        "An hour passes for all that waits in streams: its age, and the pauses between tries, are an hour further.",
        "None is needed: it is over at once. What was too old by then was given up, and waits as a dead letter.",
        "docs/runbook.md#iteratorage",
        lasts=False,
    ),
)
_BY_NAME: Final = {each.name: each for each in KNOWN}


@dataclass(frozen=True, slots=True)
class Running:
    """One that runs. ``undo`` ends it."""

    id: str
    name: str
    target: str | None
    since: str
    did: str
    undo: Callable[[], None]


class Poison(Protocol):
    """How an unreadable event comes into the table and is mended there; see `devstack.poison`."""

    def append(self) -> tuple[str, int, str]:
        """Appends one; gives its aggregate, its version, and what is wrong with it."""
        ...

    def mend(self, aggregate_id: str, version: int) -> None:
        """Makes it readable."""
        ...


class Rehearsals:
    """Those of one stack. ``tables`` and ``buckets``: names in the emulator by logical id."""

    def __init__(
        self,
        mappings: Mappings,
        declared: Iterable[EventSourceMapping],
        emulator: Emulator,
        *,
        tables: Mapping[str, str],
        buckets: Mapping[str, str],
        poison: Poison,
    ) -> None:
        self._mappings = mappings
        self._titles: dict[str, list[str]] = {}
        consumers: dict[str, str] = {}
        for mapping in declared:
            pipe = mapping.title == mapping.name
            name = mapping.title if pipe else mapping.function
            consumers[name] = "pipe" if pipe else "function"
            self._titles.setdefault(name, []).append(mapping.title)
        self._emulator = emulator
        self._tables = tables
        self._buckets = buckets
        kinds = {
            "consumer": consumers,
            "table": dict.fromkeys(tables, "table"),
            "bucket": dict.fromkeys(buckets, "bucket"),
        }
        #: What each target may be called, by its logical id: as the template, the flow and the dead letters call it.
        self._called: Mapping[str | None, Mapping[str, Sequence[str]]] = {
            wants: {name: Station(name, kind).names for name, kind in named.items()} for wants, named in kinds.items()
        }
        self._poison = poison
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self._refusals: dict[str, Refusal] = {}
        self._numbers: Counter[str] = Counter()

    def told(self) -> dict[str, Any]:
        """What can be rehearsed, with its targets, and what runs."""
        with self._lock:
            running = [
                {"id": each.id, "name": each.name, "target": each.target, "since": each.since, "did": each.did}
                for each in self._running.values()
            ]
        known = [
            {
                "name": each.name,
                "about": each.about,
                "undo": each.undo,
                "runbook": each.runbook,
                "wants": each.wants,
                "targets": self._targets(each),
            }
            for each in KNOWN
        ]
        return {"known": known, "running": running}

    def start(self, name: str, target: str | None) -> dict[str, Any]:
        """Breaks something; gives what runs now by it.

        Raises
        ------
        RehearsalError
            There is no such rehearsal or target, it runs already, or it cannot be done.
        """
        known = _BY_NAME.get(name)
        if known is None:
            raise RehearsalError(none_called(f"rehearsal {name!r}", name, _BY_NAME), 404)
        called = self._called.get(known.wants, {})
        if known.wants is None and target is not None:
            raise RehearsalError(f"{name} takes no target: leave {target!r} away", 400)
        if known.wants is not None and target is None:
            raise RehearsalError(f"{name} wants a {known.wants}; there are: {', '.join(called)}", 400)
        if target is not None:
            meant = next((own for own, names in called.items() if _is_one_of(target, names)), None)
            if meant is None:
                also = [each for names in called.values() for each in names]
                raise RehearsalError(none_called(f"{known.wants} {target!r}", target, called, also), 404)
            target = meant
        with self._lock:
            runs = any(each.name == name and each.target == target for each in self._running.values())
            # Several poisons are several events.
            if runs and name != "poison":
                raise RehearsalError(f"{name}{f' {target}' if target else ''} runs already: undo it first", 409)
            self._numbers[name] += 1
            identifier = f"{name}-{self._numbers[name]}"
            did, undo = self._do(identifier, name, target)
            since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            if known.lasts:
                self._running[identifier] = Running(identifier, name, target, since, did, undo)
        return {"id": identifier, "name": name, "target": target, "since": since, "did": did, "lasts": known.lasts}

    def undo(self, identifier: str) -> dict[str, Any]:
        """Ends one, by its id; by its name or its target, if only one of those runs; or ``all``.

        Gives what was undone, and by the name of each what comes of that.

        Raises
        ------
        RehearsalError
            None of them runs.
        """
        with self._lock:
            found = [each for each in self._running.values() if self._is_meant(identifier, each)]
            if identifier != "all" and len(found) != 1:
                if not self._running:
                    raise RehearsalError("nothing is broken now: 'headwater rehearse list' shows what can be", 404)
                running = ", ".join(self._running)
                several = "several are called" if found else "nothing runs that is called"
                raise RehearsalError(f"{several} {identifier!r}: {running} runs", 409 if found else 404)
            failed = []
            # An event is mended by a write: whatever refuses one ends first.
            for each in sorted(found, key=lambda each: each.name == "poison"):
                try:
                    each.undo()
                except DevstackError as error:
                    # The others are undone all the same.
                    failed.append(f"{each.id}: {error}")
                else:
                    del self._running[each.id]
        if failed:
            raise RehearsalError(f"still broken: {'; '.join(failed)}", 409)
        return {"undone": [each.id for each in found], "next": {each.name: _BY_NAME[each.name].undo for each in found}}

    def _is_meant(self, identifier: str, running: Running) -> bool:
        if identifier in {"all", running.id, running.name}:
            return True
        wants = _BY_NAME[running.name].wants
        return running.target is not None and _is_one_of(identifier, self._called[wants][running.target])

    def _targets(self, known: Known) -> Sequence[str]:
        return list(self._called.get(known.wants, ()))

    def _do(self, identifier: str, name: str, target: str | None) -> tuple[str, Callable[[], None]]:
        match name, target:
            case "stop", str(consumer):
                self._pause(consumer, paused=True)
                return f"{consumer} gets nothing", lambda: self._pause(consumer, paused=False)
            case "throttle", str(table):
                refusal = Refusal("throttle", self._tables[table])
                return f"writes to {table} are throttled", self._refuse(identifier, refusal)
            case "deny", str(bucket):
                refusal = Refusal("deny", self._buckets[bucket])
                return f"{bucket} takes no objects", self._refuse(identifier, refusal)
            case "refuse-mail", None:
                return "SES sends nothing", self._refuse(identifier, Refusal("refuse-mail"))
            case "poison", None:
                aggregate, version, wrong = self._poison.append()
                return f"version {version} of {aggregate} {wrong}", lambda: self._poison.mend(aggregate, version)
        self._mappings.skip(HOUR_SECONDS)
        return "what waits is an hour older", lambda: None

    def _pause(self, consumer: str, *, paused: bool) -> None:
        for title in self._titles[consumer]:
            self._mappings.pause(title, paused=paused)

    def _refuse(self, identifier: str, refusal: Refusal) -> Callable[[], None]:
        def undo() -> None:
            self._refusals.pop(identifier, None)
            self._emulator.refuse(list(self._refusals.values()))

        self._refusals[identifier] = refusal
        try:
            self._emulator.refuse(list(self._refusals.values()))
        except DevstackError:
            # It may hear of it yet. Then it hears this after it.
            with contextlib.suppress(DevstackError):
                undo()
            raise
        return undo


def _is_one_of(given: str, names: Iterable[str]) -> bool:
    return given.casefold() in map(str.casefold, names)
