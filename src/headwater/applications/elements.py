"""What goes from the Pipe's enrichment to its target: one element for each record that the Pipe took from the stream.

A Pipe takes whatever its enrichment answers, also fewer elements than it gave, and passes them on; it knows no partial
failure of an enrichment. So each element says its place in its batch, by which the target knows that all are there, and
one that could not be enriched is passed on with the reason. ``eventID`` is the record's own: by it a target names what
is to be retried ("Amazon EventBridge Pipes batching and concurrency", EventBridge User Guide).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.failures import FailureKind


class IncompleteBatchError(Exception):
    """Elements of a batch are missing, double or of another shape; the whole batch must be retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """Element ``position`` (0, 1, …) of the ``of`` elements of a batch.

    It holds ``status``, a message as schemas/ApplicationStatus.1.json has it; or, if there can be none, the ``error``
    (a name), the ``kind`` (what it calls for), the ``reason`` (for a person) and the ``record`` as the stream had it. A
    status has its record with it where that is short: what the queue refuses can then be parked.
    """

    event_id: str
    position: int
    of: int
    status: Mapping[str, Any] | None = None
    error: str | None = None
    kind: FailureKind = FailureKind.PERMANENT
    reason: str | None = None
    record: Any = None

    def to_json(self) -> dict[str, Any]:
        place = {"eventID": self.event_id, "position": self.position, "of": self.of}
        if self.status is not None:
            return {**place, "status": self.status} | ({} if self.record is None else {"record": self.record})
        failure = {"error": self.error, "kind": self.kind, "reason": self.reason}
        return {**place, "failure": failure, "record": self.record}


def parse_batch(values: object) -> Sequence[Element]:
    """Reads a batch of elements, and checks that it is whole.

    Raises
    ------
    IncompleteBatchError
    """
    if not isinstance(values, list) or not values:
        raise IncompleteBatchError("the Pipe's target takes a list of elements, at least one")
    elements = [_parse(value) for value in values]
    expected = elements[0].of
    if [element.position for element in elements] != list(range(expected)):
        raise IncompleteBatchError(
            f"the enrichment was given {expected} records and answered {len(elements)}: each record needs its element"
        )
    return elements


def _parse(value: object) -> Element:
    match value:
        case {"eventID": str(event_id), "position": int(position), "of": int(of), "status": dict(status), **more}:
            return Element(event_id=event_id, position=position, of=of, status=status, record=more.get("record"))
        case {
            "eventID": str(event_id),
            "position": int(position),
            "of": int(of),
            "failure": {"error": str(error), "kind": str(kind), "reason": str(reason)},
            "record": record,
        } if kind in set(FailureKind):
            return Element(
                event_id=event_id,
                position=position,
                of=of,
                error=error,
                kind=FailureKind(kind),
                reason=reason,
                record=record,
            )
    raise IncompleteBatchError("an element has another shape than the enrichment gives it")
