"""How a stack does at one moment, local or deployed, in one shape: what `headwater status` and the console show."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from headwater.archive import curated
from headwater.archive.inventory import Names, sorted_out
from operations.archive.objects import BucketObjects
from operations.dead_letters import inventory
from operations.dead_letters.waiting import DeadLetter
from operations.flow_graph import FlowGraph
from operations.output import counted
from operations.target import Target

type Document = Mapping[str, Any]

_DAYS_BACK: Final = 3
#: Into the queues, though their counts are as before; and if somebody else held what was in them.
LOOK_AGAIN_SECONDS: Final = 300.0
HELD_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one station does; None is what nobody knows here.

    ``waiting``: records or messages that are not dealt with. ``lag``: the age of the oldest of them, in seconds.
    ``rate``: records a second. ``retries``: attempts that failed, since the local stack began or in the last five
    minutes of a deployed one. ``retrying``: whether they go on. ``parked``: dead letters of it. ``paused``: whether
    somebody has stopped it.
    """

    waiting: int | None = None
    lag: float | None = None
    rate: float | None = None
    retries: int | None = None
    retrying: bool = False
    parked: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """``pages``: whether somebody is called at night for it. ``runbook``: what to do, as the description links it.

    ``of``: the stations that it watches.
    """

    name: str
    state: str
    since: str
    about: str
    pages: bool
    runbook: str | None = None
    of: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs a person; ``see`` is the runbook's heading or the command that goes on from here."""

    what: str
    see: str


@dataclass(frozen=True, slots=True)
class Archive:
    """When its newest object was written; None if it has none of the last days. ``empty``: whether it never had one."""

    written_at: datetime | None = None
    empty: bool = False


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """``dead_letters``: how many wait, by consumer; ``standing``: of how many aggregates, which wait behind them.

    ``archive``: None if nobody knows. ``alarms``: None where there are none to be had, as on the local stack.
    ``unknown``: what could not be asked, and why.
    """

    at: datetime
    stack: str
    figures: Mapping[str, Figures]
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    standing: Mapping[str, int] = field(default_factory=dict)
    archive: Archive | None = None
    alarms: Sequence[Alarm] | None = None
    unknown: Sequence[str] = ()
    troubles: Sequence[Trouble] = ()


class Kept[T]:
    """One value for many askers: asked for anew when it is older than ``every`` seconds, by one of them at a time."""

    def __init__(self, ask: Callable[[], T], every: float) -> None:
        self._ask = ask
        self._every = every
        self._lock = threading.Lock()
        self._value: T | None = None
        self._asked = float("-inf")

    def get(self) -> T:
        with self._lock:
            if self._value is None or time.monotonic() - self._asked >= self._every:
                self._value = self._ask()
                self._asked = time.monotonic()
            return self._value

    def forget(self) -> None:
        """Something has changed: the next asker asks anew."""
        with self._lock:
            self._asked = float("-inf")


def limits(*documents: Document) -> dict[str, float]:
    """For how many seconds a consumer, or a queue, may be behind until its alarm rings; by logical id."""
    units = {"IteratorAge": 1000, "ApproximateAgeOfOldestMessage": 1}
    return {
        station: float(properties["Threshold"]) / units[metric]
        for _, properties, metric, station in _watched(documents)
        if metric in units
    }


def watching(*documents: Document) -> dict[str, set[str]]:
    """The logical ids that each alarm watches, by its own."""
    found: dict[str, set[str]] = {}
    for alarm, _, _, station in _watched(documents):
        found.setdefault(alarm, set()).add(station)
    return found


def _watched(documents: Sequence[Document]) -> Iterator[tuple[str, Mapping[str, Any], str, str]]:
    """Each alarm's id and properties, with each metric that it reads, and of what."""
    for document in documents:
        for alarm, resource in document["Resources"].items():
            if resource["Type"] != "AWS::CloudWatch::Alarm":
                continue
            properties = resource["Properties"]
            metrics = [properties] if "MetricName" in properties else []
            metrics += [each["MetricStat"]["Metric"] for each in properties.get("Metrics", ()) if "MetricStat" in each]
            for metric in metrics:
                for dimension in metric.get("Dimensions", ()):
                    match dimension["Value"]:
                        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), *_]}:
                            yield alarm, properties, metric["MetricName"], name


def troubles(
    graph: FlowGraph, snapshot: Snapshot, limit: Mapping[str, float], elsewhere: Mapping[str, int]
) -> list[Trouble]:
    """What of a snapshot needs a person, the worst first.

    ``elsewhere`` is what waits in places that people look into, by place, beside the consumers' dead letters.
    """
    found = [
        Trouble(f"{each.name}: {each.about}", each.runbook or "docs/runbook.md")
        for each in snapshot.alarms or ()
        if each.state == "ALARM" and each.pages
    ]
    for name, station in graph.stations.items():
        figures = snapshot.figures.get(name)
        if figures is None:
            continue
        if figures.paused:
            waits = f": {figures.waiting} wait" if figures.waiting else ""
            found.append(Trouble(f"{station.label} is stopped{waits}", "docs/runbook.md#readerssilent"))
        elif figures.lag is not None and figures.lag > limit.get(name, float("inf")):
            behind = duration(figures.lag)
            found.append(Trouble(f"{station.label} is behind by {behind}", "docs/runbook.md#iteratorage"))
    for consumer, count in sorted(snapshot.dead_letters.items()):
        still = snapshot.standing.get(consumer, 0)
        of = f", of {counted(still, 'aggregate')}" if still else ""
        verb = "waits" if count == 1 else "wait"
        found.append(
            Trouble(f"{counted(count, 'dead letter')} of {consumer or 'nobody knows whom'} {verb}{of}", _LETTERS)
        )
    for place, count in sorted(elsewhere.items()):
        found.append(Trouble(f"{counted(count, 'message')} in {place}", _LETTERS))
    return found


_LETTERS: Final = "headwater dead-letters list"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} d"


@dataclass(frozen=True, slots=True)
class Letters:
    """The dead letters of a stack, with what they are called.

    ``unseen``: how many more each place has that could not be looked at. ``pending``: places from which what failed is
    on its way to be parked, or tried again by itself.
    """

    letters: Sequence[DeadLetter] = ()
    ids: Mapping[str, str] = field(default_factory=dict)
    unseen: Mapping[str, int] = field(default_factory=dict)
    pending: Collection[str] = ()

    @property
    def by_consumer(self) -> Mapping[str, int]:
        return Counter(each.consumer for each in self.letters)

    @property
    def standing(self) -> Mapping[str, int]:
        """How many aggregates stand still behind them, by consumer."""
        found = {(each.consumer, each.aggregate) for each in self.letters if each.aggregate}
        return Counter(consumer for consumer, _ in found)

    @property
    def elsewhere(self) -> Mapping[str, int]:
        """What waits, unseen, in places that people look into."""
        return {place: count for place, count in self.unseen.items() if place not in self.pending}

    def holding(self, consumer: str | None, aggregate_id: str, version: int) -> DeadLetter | None:
        for each in self.letters:
            if each.consumer == consumer and each.aggregate == aggregate_id and version in each.versions:
                return each
        return None


class LetterBox:
    """Counts dead letters without holding them, and looks into their queues when a count has changed.

    Looking hides a message for a second or two: nobody should do it every second. But a count that stays the same may
    be of others, so that a look is good for a few minutes. One for all who look.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._counts: Mapping[str, int] | None = None
        self._looked = float("-inf")
        self._letters = Letters()

    def letters(self) -> Letters:
        with self._lock:
            counts = {place: count for place, count in inventory.counts(self._target).items() if count}
            # What somebody else held is counted as before when it is given back. Two who look hold it from each other:
            # neither looks at once again.
            good_for = HELD_AGAIN_SECONDS if self._letters.elsewhere else LOOK_AGAIN_SECONDS
            if counts != self._counts or time.monotonic() - self._looked >= good_for:
                self._letters = look(self._target) if counts else Letters()
                self._counts = counts
                self._looked = time.monotonic()
            return self._letters

    def forget(self) -> None:
        """Something was done with them: the next asker looks anew, though the counts may be as before."""
        with self._lock:
            self._counts = None


def look(target: Target) -> Letters:
    """A stack's dead letters; what is on its way to be parked, or is tried again by itself, is none yet."""
    with inventory.opened(target) as found:
        return Letters(found.letters, found.ids, found.unseen, inventory.pending_queues(target.outputs))


class Observer(Protocol):
    """Looks at a stack.

    ``every`` is how long a snapshot is good for, in seconds; ``limits`` is `limits` of its templates.
    """

    @property
    def graph(self) -> FlowGraph: ...

    @property
    def limits(self) -> Mapping[str, float]: ...

    @property
    def box(self) -> LetterBox: ...

    @property
    def every(self) -> float: ...

    def observe(self) -> Snapshot: ...


def look_into_archive(target: Target, now: datetime) -> Archive:
    """How fresh it is, by its last days alone, as a listing of all takes long."""
    objects = BucketObjects(target.client("s3"), target.output("ArchiveBucketName"))
    for days in range(_DAYS_BACK):
        day = (now - timedelta(days=days)).date().isoformat()
        found = [
            each.modified
            for source in curated.SOURCES
            for each in sorted_out(objects.listed(f"{curated.raw_prefix(source)}dt={day}/"), Names.RAW).own
        ]
        if found:
            return Archive(max(found))
    # Of any day: a request for each source.
    anything = (each for source in curated.SOURCES for each in objects.listed(curated.raw_prefix(source)))
    return Archive(empty=next(anything, None) is None)


def archive_told(snapshot: Snapshot) -> str:
    """How fresh the archive is, as people say it."""
    match snapshot.archive:
        case None:
            return "not known"
        case Archive(written_at=datetime() as moment):
            return f"the newest object is {duration(max(0.0, (snapshot.at - moment).total_seconds()))} old"
        case Archive(empty=True):
            return "nothing was written yet"
    return "nothing was written in the last days"


def as_json(graph: FlowGraph, snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as one JSON document."""
    return {
        "at": snapshot.at.isoformat(timespec="seconds"),
        "stack": snapshot.stack,
        "needs_a_person": [{"what": each.what, "see": each.see} for each in snapshot.troubles],
        "stations": [
            {
                "name": name,
                "kind": graph.stations[name].kind,
                "waiting": each.waiting,
                "lag_seconds": each.lag,
                "records_per_second": each.rate,
                "retries": each.retries,
                "retrying": each.retrying,
                "dead_letters": each.parked,
                "stopped": each.paused,
            }
            for name, each in snapshot.figures.items()
        ],
        "dead_letters": dict(snapshot.dead_letters),
        "standing_aggregates": dict(snapshot.standing),
        "archive_written_at": snapshot.archive.written_at.astimezone(UTC).isoformat(timespec="seconds")
        if snapshot.archive and snapshot.archive.written_at
        else None,
        "alarms": None
        if snapshot.alarms is None
        else [
            {"name": each.name, "state": each.state, "since": each.since, "pages": each.pages, "runbook": each.runbook}
            for each in snapshot.alarms
        ],
        "not_known": list(snapshot.unknown),
    }
