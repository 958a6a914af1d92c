"""What becomes of the records of a batch that failed, for a consumer that keeps no order of its own.

A record is parked, set aside, or reported so that it comes again; records of one aggregate that fail alike make one
dead letter. A consumer with gates settles its aggregates itself: see `headwater.projections.runner`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.change_stream import dynamodb, kinesis
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.source_kinds import StreamKind
from headwater.dead_letters.parking import Parking, PutAway
from headwater.dead_letters.patience import Failed, Patience, Tried
from headwater.failures import name_of, precedence

type Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Source:
    aggregate_id: Callable[[Raw], str]
    sequence_number: Callable[[Raw], str]
    versions: Callable[[Raw], Sequence[int]]


_SOURCES: Mapping[StreamKind, _Source] = {
    "dynamodb": _Source(dynamodb.aggregate_id, dynamodb.sequence_number, dynamodb.versions),
    # A record's body may tell none.
    "kinesis": _Source(kinesis.partition_key, kinesis.sequence_number, lambda _: ()),
}


class Triage:
    """One consumer's, over the records of one kind of stream."""

    def __init__(self, kind: StreamKind, parking: Parking, patience: Patience) -> None:
        self._source = _SOURCES[kind]
        self._parking = parking
        self._patience = patience

    def settle(self, records: Sequence[Raw], healthy: Iterable[str], errors: Mapping[int, Exception]) -> BatchOutcome:
        """The batch's outcome. ``errors`` are by place in the batch; ``healthy``: aggregates of which all was done."""
        source, left = self._source, dict(errors)
        tried: dict[str, Tried] = dict.fromkeys(healthy)
        for index, error in sorted(left.items()):
            aggregate_id = source.aggregate_id(records[index])
            earlier = tried.get(aggregate_id)
            if earlier is None or precedence(error) < precedence(earlier.error):
                tried[aggregate_id] = Failed(error, source.sequence_number(records[index]))
        parked = self._park(records, left, tried)
        return BatchOutcome.of([source.sequence_number(raw) for raw in records], left, parked)

    def _park(self, records: Sequence[Raw], left: dict[int, Exception], tried: Mapping[str, Tried]) -> int:
        """Parks or sets aside what is not to come again, and takes it off ``left``; gives how many records."""
        verdicts = self._patience.judge(tried)
        runs: dict[tuple[str, PutAway, str], list[int]] = {}
        for index, error in sorted(left.items()):
            aggregate_id = self._source.aggregate_id(records[index])
            way = verdicts.way(aggregate_id, error, self._parking)
            if way:
                # Records that tell no aggregate have none in common.
                runs.setdefault((aggregate_id or str(index), way, name_of(error)), []).append(index)
        parked = 0
        for (_, put_away, _), indices in runs.items():
            run = [records[index] for index in indices]
            versions = [version for raw in run for version in self._source.versions(raw)]
            try:
                put_away(self._source.aggregate_id(run[0]), versions, run, left[indices[0]])
            except Exception as failure:  # noqa: BLE001  # whatever parking meets, other aggregates flow
                left |= dict.fromkeys(indices, failure)
            else:
                parked += len(indices)
                for index in indices:
                    del left[index]
        return parked
