"""Which records a projection has not applied yet, by the gates in its rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.change_stream import cloud_events, kinesis
from headwater.change_stream.records import MalformedRecordError
from headwater.domain.events import EventTypes, MalformedEventError, RecordedEvent, UnknownEventError
from headwater.projections.projection import Projection
from headwater.projections.read_models import ReadModelStore, Row, UnreadableRowsError


class ProjectionGates:
    """Implements `headwater.dead_letters.resolver.Gates`."""

    def __init__(self, projection: Projection, rows: ReadModelStore, types: EventTypes) -> None:
        self._projection = projection
        self._rows = rows
        self._types = types

    def unapplied(self, records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Without what the rows hold already, and without what the projection does not follow; in order.

        What lies above a mark is left out, too: it comes from the event store, once what it waits for is healed. A
        record that cannot be read stays: nobody can have applied it.
        """
        events = [self._event(raw) for raw in records]
        pks = {self._pk(event): None for event in events if isinstance(event, RecordedEvent)}
        try:
            rows = self._rows.get(list(pks))
        except UnreadableRowsError as error:
            rows = dict(error.rows)
        return [
            raw
            for raw, event in zip(records, events, strict=True)
            if event is None or (isinstance(event, RecordedEvent) and self._is_due(event, rows.get(self._pk(event))))
        ]

    def _is_due(self, event: RecordedEvent, row: Row | None) -> bool:
        if row is None:
            return True
        gate = self._projection.gate(event)
        mark = row.parked_from.get(gate) or row.waits_for.get(gate) or event.version
        return row.applied.get(gate, 0) < event.version <= mark

    def _event(self, raw: Mapping[str, Any]) -> RecordedEvent | bool | None:
        """The event; None if it cannot be read, or not by this code; False if it is none of the projection's."""
        try:
            event = cloud_events.decode(kinesis.body(raw), self._types).event
            return event if self._projection.follows(event.aggregate_id) else False
        except (MalformedRecordError, MalformedEventError, UnknownEventError):
            return None if self._projection.follows(kinesis.partition_key(raw)) else False

    def _pk(self, event: RecordedEvent) -> str:
        return self._projection.pk(self._projection.key(event.aggregate_id))
