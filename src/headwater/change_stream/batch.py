"""What a batch handler answers, and the rule behind it: stop at an aggregate's first failure, go on with the others.

Lambda takes the lowest reported sequence number and delivers everything from there again, so whatever was applied
above it must be harmless to repeat: that is what version gates and effect ledgers are for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Failure:
    """One record that was not processed: its sequence number or, for SQS, its message id, and why."""

    identifier: str
    error: Exception


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """How many records came, which of them failed, and how many are done with and not applied: they wait parked.

    ``stopped`` are the aggregates that stand still, of which more will be held back until somebody sees to them.
    """

    received: int
    failures: Sequence[Failure] = ()
    parked: int = 0
    stopped: Sequence[str] = ()

    @classmethod
    def of(cls, identifiers: Sequence[str], errors: Mapping[int, Exception], parked: int = 0) -> Self:
        """The outcome of a batch by what its records met: ``errors`` are by place in ``identifiers``."""
        failures = tuple(Failure(identifiers[index], error) for index, error in sorted(errors.items()))
        return cls(len(identifiers), failures, parked)

    @property
    def succeeded(self) -> int:
        return self.received - len(self.failures) - self.parked

    def stream_response(self) -> dict[str, Any]:
        """The answer for a DynamoDB or Kinesis mapping: its checkpoint is the lowest failed sequence number."""
        if not self.failures:
            return {"batchItemFailures": []}
        lowest = min((failure.identifier for failure in self.failures), key=int)
        return {"batchItemFailures": [{"itemIdentifier": lowest}]}

    def queue_response(self) -> dict[str, Any]:
        """The answer for an SQS mapping: each failed message becomes visible again."""
        return {"batchItemFailures": [{"itemIdentifier": failure.identifier} for failure in self.failures]}


def records_of(event: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The batch that a mapping delivers.

    Raises
    ------
    ValueError
        The event has no ``Records``: the function was invoked by something that is not a mapping.
    """
    records = event.get("Records")
    if not isinstance(records, list):
        raise ValueError("the event has no list 'Records': invoke this function through its event source mapping")
    return records
