"""How long an event takes from its append to each consumer: applied, confirmed, archived or exported.

An outage's time does not count: where an attempt met a fault, the clock begins when it is tried again. Nor do events
that a mapping gave up: they wait for a person, or for their aggregate's next event.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from devstack.event_source_mapping import StreamRecord
from devstack.simulator.places import Place, place_of_item, version_on_kinesis

#: What a healthy event may take, of a hundred events ninety-nine, in seconds.
MOST_SECONDS: Final = 60.0
#: Lags are counted in so many parts of a second.
_PARTS: Final = 10

#: Its lag is to Kinesis; all others' counts from there.
FAN_OUT: Final = "fan_out"

type Lags = dict[str, Counter[int]]


class Attempt(Protocol):
    """A delivery under way; ``outage_until`` is when the last one that had met a fault was tried again."""

    @property
    def outage_until(self) -> float: ...


class LagWatch:
    """Watches the streams and the writes.

    ``suffers`` tells whether an aggregate holds something odd: such aggregates are left out.
    """

    def __init__(self, clock: Callable[[], float], suffers: Callable[[str], bool]) -> None:
        self._clock = clock
        self._suffers = suffers
        self.lags: Lags = {}
        #: The delivery that is under way: what is written now is its doing.
        self.attempt: Attempt | None = None
        self._appended: dict[Place, float] = {}
        self._ids: dict[str, Place] = {}
        #: When an event came onto Kinesis, and how long the fan-out had taken, outages left out.
        self._published: dict[Place, tuple[float, float]] = {}
        self._outages: dict[Place, float] = {}
        self._applied: dict[str, Mapping[str, int]] = {}
        self._gated: set[str] = set()
        self._done: dict[str, set[Place]] = {}
        self._given_up: dict[str, set[Place]] = {}

    @contextmanager
    def during(self, attempt: Attempt) -> Iterator[None]:
        """Within it a delivery is under way."""
        outer, self.attempt = self.attempt, attempt
        try:
            yield
        finally:
            self.attempt = outer

    def appended(self, place: Place, event_id: str, at: float) -> None:
        """The table's stream shows a new event."""
        if place not in self._appended:
            self._appended[place] = at
            self._ids[event_id] = place

    def publishing(self, places: Iterable[Place]) -> None:
        """The fan-out sends these to Kinesis, in the attempt that is under way."""
        if self.attempt is not None and self.attempt.outage_until:
            for place in places:
                self._outages[place] = self.attempt.outage_until

    def published(self, place: Place, at: float) -> None:
        """Kinesis shows an event."""
        if place not in self._published and place in self._appended:
            lag = at - max(self._appended[place], self._outages.get(place, 0.0))
            self._published[place] = at, max(0.0, lag)
            self._count(FAN_OUT, place, max(0.0, lag))

    def row_written(self, item: Mapping[str, Any]) -> None:
        """A read model's row says which versions it has applied by now."""
        name, _, key = item["pk"]["S"].partition("#")
        consumer = name.partition("@")[0]
        self._gated.add(consumer)
        applied = {gate: int(value["N"]) for gate, value in item["applied"]["M"].items()}
        before = self._applied.get(item["pk"]["S"], {})
        self._applied[item["pk"]["S"]] = applied
        for gate, version in applied.items():
            aggregate_id = gate if "#" in gate else f"{gate}#{key}"
            # A gate that leaps is a foreign producer's.
            for each in range(before.get(gate, 0) + 1, min(version, before.get(gate, 0) + 1_000) + 1):
                self.done(consumer, (aggregate_id, each))

    def effect_confirmed(self, item: Mapping[str, Any]) -> None:
        """The ledger says that a consumer has dealt with an event."""
        _, consumer, event_id, *_ = item["pk"]["S"].split("#")
        if event_id in self._ids:
            self.done(consumer, self._ids[event_id])

    def settled(self, consumer: str, records: Iterable[StreamRecord]) -> None:
        """A checkpoint has passed these: of who keeps no rows, this alone tells when an event is done with."""
        if consumer in self._gated or consumer == FAN_OUT:
            return
        for record in records:
            if "dynamodb" in record.body:
                keys = record.body["dynamodb"]["Keys"]
                if "aggregate_id" in keys:
                    self._settled_once(consumer, place_of_item(keys), first=True)
            elif (version := version_on_kinesis(base64.b64decode(record.body["kinesis"]["data"]))) is not None:
                self._settled_once(consumer, (record.body["kinesis"]["partitionKey"], version), first=False)

    def given_up(self, consumer: str, places: Iterable[Place]) -> None:
        """A mapping has given these up: it says nothing of the consumer when they are applied after all."""
        self._given_up.setdefault(consumer, set()).update(places)

    def _settled_once(self, consumer: str, place: Place, *, first: bool) -> None:
        """What comes again has been done with before."""
        if place not in self._done.setdefault(consumer, set()):
            self._done[consumer].add(place)
            self.done(consumer, place, first=first)

    def done(self, consumer: str, place: Place, *, first: bool = False) -> None:
        """A consumer has applied an event now; ``first``: it reads the table's stream, beside the fan-out."""
        if place not in self._appended or place in self._given_up.get(consumer, ()):
            return
        since, before = self._appended[place], 0.0
        if not first:
            since, before = self._published.get(place, (since, before))
        outage = self.attempt.outage_until if self.attempt else 0.0
        self._count(consumer, place, before + max(0.0, self._clock() - max(since, outage)))

    def _count(self, consumer: str, place: Place, lag: float) -> None:
        if not self._suffers(place[0]):
            self.lags.setdefault(consumer, Counter())[round(lag * _PARTS)] += 1


def together(lags: Iterable[Lags]) -> Lags:
    """Several runs' lags as one's."""
    merged: Lags = {}
    for each in lags:
        for consumer, counts in each.items():
            merged.setdefault(consumer, Counter()).update(counts)
    return merged


def percentile(counts: Counter[int], share: float) -> float:
    """The seconds within which such a share of the events was done; 0 of none."""
    left = counts.total() * share
    for lag in sorted(counts):
        left -= counts[lag]
        if left <= 0:
            return lag / _PARTS
    return 0.0
