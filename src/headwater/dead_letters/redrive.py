"""Runs parked records through their consumer again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headwater.change_stream.batch import BatchOutcome

type Process = Callable[[Sequence[Mapping[str, Any]]], BatchOutcome]


class StillFailingError(Exception):
    """The records cannot be processed; the message says why."""


class Redrive:
    """The consumers by name, each as its function calls it."""

    def __init__(self, consumers: Mapping[str, Process]) -> None:
        self._consumers = consumers

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
            raise StillFailingError(f"{type(failure.error).__name__}: {failure.error}")
