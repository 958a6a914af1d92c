"""How long a consumer of a stream waits for an aggregate that it cannot apply, and whom it blames.

An error that nobody foresaw may pass by itself, or never. It is laid to the one aggregate that raises it: tried again
for `PATIENCE`, counted from its first failure in whichever process, then set aside. Where nearly all aggregates fail
alike, the code or the place is at fault: nothing is parked or set aside, the shard waits, and an alarm rings.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from aws_lambda_powertools import Logger

from headwater.failures import BLAMELESS, FOR_GOOD, FailureKind, kind_of, name_of
from headwater.incidents import Incidents

#: How long an unforeseen error of one aggregate may hold up its shard.
PATIENCE: Final = timedelta(seconds=30)
#: Aggregates whose last outcome is remembered, so that small batches can be judged.
MEMORY: Final = 20
#: Fewer aggregates than that prove nothing about the code.
_FEWEST: Final = 5
#: The share that is "nearly all".
_NEARLY_ALL: Final = 0.9
#: Kinds that may be the code's fault, or the place's, though they look like the record's.
_DOUBTFUL: Final = (FailureKind.UNFORESEEN, FailureKind.REFUSED)

logger = Logger()


class Failed(NamedTuple):
    """What an aggregate met, and the id of its first record that met it, such as ``<aggregate id>#<version>``."""

    error: Exception
    record: str


#: An aggregate's outcome; None: nothing failed.
type Tried = Failed | None


class FirstFailures(Protocol):
    """Remembers for a day when a record failed first."""

    def since(self, consumer: str, record: str, now: datetime) -> datetime:
        """When it failed first: ``now``, unless an earlier failure is remembered."""
        ...


class Ways[W](Protocol):
    """Where records go that do not come again."""

    @property
    def park(self) -> W:
        """To where operators find them."""
        ...

    @property
    def set_aside(self) -> W:
        """To where they are redriven by themselves, until they are parked at last."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What to do about the aggregates that failed, by id; each stands in exactly one.

    ``park``: this record, or this code, must change. ``set_aside``: an unforeseen error outlasted our patience.
    ``waits``: report them as failed, so that they come again.
    """

    park: frozenset[str] = frozenset()
    set_aside: frozenset[str] = frozenset()
    waits: frozenset[str] = frozenset()

    def way[W](self, aggregate_id: str, error: Exception, ways: Ways[W]) -> W | None:
        """How a record of an aggregate that failed is put away; None: not at all, it comes again.

        ``error`` is what the record itself met. Another of the aggregate's may have decided; a record that cannot be
        helped is parked beside it, and what a destination refuses too, unless the aggregate waits.
        """
        kind = kind_of(error)
        if aggregate_id in self.park or kind is FailureKind.PERMANENT:
            return ways.park
        if aggregate_id in self.set_aside:
            return ways.park if kind is FailureKind.REFUSED else ways.set_aside
        return None


class Patience:
    """One consumer's. It lives as long as the process; a batch is judged at a time."""

    def __init__(
        self, consumer: str, first_failures: FirstFailures, incidents: Incidents, now: Callable[[], datetime]
    ) -> None:
        self._consumer = consumer
        self._first_failures = first_failures
        self._incidents = incidents
        self._now = now
        #: By aggregate, the latest last: the name of a doubtful error, or "" for any other outcome of the code.
        self._outcomes: OrderedDict[str, str] = OrderedDict()

    def judge(self, tried: Mapping[str, Tried]) -> Verdicts:
        """What to do about each aggregate of a batch that failed. ``tried`` holds those that did not, too."""
        if len(tried) >= MEMORY and not any(tried.values()):
            # The normal case: these alone are remembered, and there is nothing to say about any of them.
            self._outcomes = OrderedDict.fromkeys(tried, "")
            return Verdicts()
        kinds = {
            aggregate_id: kind_of(failed.error) for aggregate_id, failed in tried.items() if isinstance(failed, Failed)
        }
        common = self._common(tried, kinds)
        park, set_aside, waits = set[str](), set[str](), set[str]()
        alike = 0
        for aggregate_id, failed in tried.items():
            if failed is None:
                continue
            kind = kinds[aggregate_id]
            if kind in _DOUBTFUL and name_of(failed.error) == common:
                alike += 1
                waits.add(aggregate_id)
            elif kind in FOR_GOOD:
                park.add(aggregate_id)
            elif kind is FailureKind.UNFORESEEN and self._overdue(failed.record):
                set_aside.add(aggregate_id)
            else:
                waits.add(aggregate_id)
        if alike:
            self._incidents.report(
                "SystemicFailures",
                "nearly all aggregates fail alike: the code or the place is at fault; nothing is parked, all wait",
                cause=str(common),
                aggregates=str(alike),
            )
        return Verdicts(park=frozenset(park), set_aside=frozenset(set_aside), waits=frozenset(waits))

    def _common(self, tried: Mapping[str, Tried], kinds: Mapping[str, FailureKind]) -> str | None:
        """The error that nearly all aggregates share, by its name, if there is one."""
        for aggregate_id, failed in tried.items():
            kind = kinds.get(aggregate_id)
            # A bad moment says nothing about the code, in either direction.
            if kind in BLAMELESS:
                continue
            self._outcomes[aggregate_id] = name_of(failed.error) if failed and kind in _DOUBTFUL else ""
            self._outcomes.move_to_end(aggregate_id)
        while len(self._outcomes) > max(MEMORY, len(tried)):
            self._outcomes.popitem(last=False)
        names = Counter(self._outcomes.values())
        name, count = max(names.items(), key=lambda each: each[1], default=("", 0))
        enough = len(self._outcomes) >= _FEWEST and count >= _NEARLY_ALL * len(self._outcomes)
        return name if name and enough else None

    def _overdue(self, record: str) -> bool:
        now = self._now()
        try:
            return now - self._first_failures.since(self._consumer, record, now) >= PATIENCE
        except Exception as error:  # noqa: BLE001  # the ledger's trouble is no reason to set anything aside
            logger.warning("the first failure of a record is not known", consumer=self._consumer, error=name_of(error))
            return False
