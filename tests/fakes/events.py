"""Events for tests: short to write, complete in shape."""

from typing import Any

from arcade.app import APP
from headwater.domain.events import DomainEvent, NewEvent, RecordedEvent
from headwater.event_store import codec
from headwater.event_store.store import Append, EventStore
from headwater.ids import uuid7

EVENT_TYPES = APP.events
AT = "2026-03-01T12:00:00.000Z"


def new_event(payload: DomainEvent, **envelope: Any) -> NewEvent:
    """An event to append, with an id and a time of its own unless given."""
    return NewEvent(payload=payload, **({"event_id": uuid7(), "occurred_at": AT} | envelope))


def recorded(aggregate_id: str, version: int, payload: DomainEvent, **envelope: Any) -> RecordedEvent:
    """An event as the store gives it."""
    return new_event(payload, **envelope).recorded(aggregate_id, version)


def read(event: RecordedEvent) -> RecordedEvent:
    """The event as it is read from its item: with what its data says, which `replace` leaves behind."""
    return codec.decode(codec.encode(event), EVENT_TYPES)


def appended(store: EventStore, aggregate_id: str, *payloads: DomainEvent) -> list[RecordedEvent]:
    """A new aggregate's history, appended at once."""
    return store.append(Append(aggregate_id, 0, [new_event(payload) for payload in payloads]))
