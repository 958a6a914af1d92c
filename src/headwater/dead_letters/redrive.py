"""Runs parked records through their consumer again."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headwater.change_stream.batch import BatchOutcome
from headwater.failures import FailureKind, JudgedError, kind_of


class GivenUp(NamedTuple):
    """The versions of an aggregate, ``first`` to ``last``, that its consumer goes on without."""

    aggregate_id: str
    first: int
    last: int

    def __str__(self) -> str:
        versions = f"version {self.first}" if self.first == self.last else f"versions {self.first} to {self.last}"
        return f"{versions} of {self.aggregate_id}"


type Process = Callable[[Sequence[Mapping[str, Any]]], BatchOutcome]
#: Gives up the events at which the records' aggregates stand: which these are, and what fails then.
type Discard = Callable[[Sequence[Mapping[str, Any]]], tuple[Sequence[GivenUp], BatchOutcome]]
#: Takes an aggregate's mark away: the version that still fails, and why, if one does.
type Release = Callable[[str], tuple[int, Exception] | None]
#: What is redriven in order: a consumer and an aggregate, which is empty where nobody knows it.
type Lane = tuple[str, str]


class StillFailingError(JudgedError):
    """The records cannot be processed; the message says why."""

    def __init__(self, message: str, kind: FailureKind = FailureKind.PERMANENT) -> None:
        super().__init__(message)
        self.kind = kind


class HeldUpError(Exception):
    """A dead letter whose aggregate's earlier one failed again."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """The events given up; and why the aggregate stops again, if it does."""

    given_up: Sequence[GivenUp] = ()
    stopped: str | None = None


class Redrive:
    """The consumers by name, each as its function calls it; of those that mark aggregates, how they go on."""

    def __init__(
        self, consumers: Mapping[str, Process], discards: Mapping[str, Discard], releases: Mapping[str, Release]
    ) -> None:
        self._consumers = consumers
        self._discards = discards
        self._releases = releases

    @property
    def consumers(self) -> Collection[str]:
        """The names of those whose records can be run again."""
        return self._consumers.keys()

    def run(self, consumer: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Processes one run of records, in order.

        Raises
        ------
        StillFailingError
            One of them failed again, or nobody is called so.
        """
        if consumer not in self._consumers:
            raise StillFailingError(f"no consumer is called {consumer!r}: {', '.join(sorted(self._consumers))} are")
        outcome = self._consumers[consumer](records)
        if outcome.failures:
            failure = outcome.failures[0]
            raise StillFailingError(f"{type(failure.error).__name__}: {failure.error}", kind_of(failure.error))

    def discard(self, consumer: str, records: Sequence[Mapping[str, Any]]) -> Discarded:
        """Lets the consumer go on without the events at which the aggregate of its last parked records stands.

        A consumer that marks no aggregate, and an aggregate without a mark, have gone on already.
        """
        if consumer not in self._discards:
            return Discarded()
        given_up, outcome = self._discards[consumer](records)
        stopped = next((f"{type(each.error).__name__}: {each.error}" for each in outcome.failures), None)
        return Discarded(given_up, stopped)

    def release(self, consumer: str, aggregate_id: str) -> str | None:
        """Lets an aggregate that stands still try again, though none of its parked records is left.

        Says which version still fails, and why, if one does.

        Raises
        ------
        StillFailingError
            The consumer marks no aggregates.
        """
        if consumer not in self._releases:
            raise StillFailingError(
                f"{consumer!r} lets no aggregate stand still: {', '.join(sorted(self._releases))} do"
            )
        failing = self._releases[consumer](aggregate_id)
        return f"version {failing[0]}: {type(failing[1]).__name__}: {failing[1]}" if failing else None


def in_order[L, R](
    letters: Iterable[L], lane: Callable[[L], Lane], redrive: Callable[[L], R]
) -> Iterator[tuple[L, R | Exception]]:
    """Redrives each; gives it with what came of it. Past a lane's first failure its others are held up, untried."""
    stopped: set[Lane] = set()
    for letter in letters:
        where = lane(letter)
        if where[1] and where in stopped:
            yield letter, HeldUpError("waits for the one before it")
            continue
        try:
            done = redrive(letter)
        except Exception as error:  # noqa: BLE001  # whatever one meets, other lanes are to be tried
            stopped.add(where)
            yield letter, error
        else:
            yield letter, done
