from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headwater.change_stream.batch import BatchOutcome


class RedriveError(Exception):
    pass


class Redrive:
    def __init__(self, consumers: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], BatchOutcome]]) -> None:
        self._consumers = consumers

    def run(self, consumer: str, records: Sequence[Mapping[str, Any]]) -> None:
        if consumer not in self._consumers:
            raise RedriveError(f"there is no consumer {consumer!r}")
        outcome = self._consumers[consumer](records)
        if outcome.failures:
            failure = outcome.failures[0]
            raise RedriveError(f"{type(failure.error).__name__}: {failure.error}")
