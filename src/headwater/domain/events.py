"""The events: what happened, in the past tense, each with a schema version.

To add one: write its class below, add it to `EVENT_TYPES`, and put its JSON Schema in ``schemas/``.
Standard library only; no clock, no ids, no I/O.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Protocol


class UnknownEventError(ValueError):
    """An event type, or a schema version of it, that this code does not know."""


class MalformedEventError(ValueError):
    """An event whose data does not have the fields that its type demands."""


class DomainEvent(Protocol):
    """What every event class states of itself; its fields are the event's ``data``."""

    aggregate_type: ClassVar[str]
    schema_version: ClassVar[int]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRegistered:
    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1
    name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEmailChanged:
    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1
    old_email: str
    new_email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserProfileChanged:
    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDeleted:
    aggregate_type: ClassVar[str] = "user"
    schema_version: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayCompleted:
    """A finished play. ``played_at`` is event time (ISO 8601 UTC); it may lie before ``occurred_at`` by weeks."""

    aggregate_type: ClassVar[str] = "player"
    schema_version: ClassVar[int] = 1
    game: str
    score: int
    played_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadgeEarned:
    """One aggregate per user and badge, so that the append's own condition makes an award unique."""

    aggregate_type: ClassVar[str] = "badge"
    schema_version: ClassVar[int] = 1
    user_id: str
    badge: str
    game: str | None
    title: str
    earned_at: str
    play_event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityRecorded:
    """Something a visitor did (``ClickOnLogo``); each its own aggregate, expired by the table's TTL."""

    aggregate_type: ClassVar[str] = "activity"
    schema_version: ClassVar[int] = 1
    kind: str
    user_id: str | None
    details: Mapping[str, str]


EVENT_TYPES: dict[str, type[DomainEvent]] = {
    event.__name__: event
    for event in (
        UserRegistered,
        UserEmailChanged,
        UserProfileChanged,
        UserDeleted,
        PlayCompleted,
        BadgeEarned,
        ActivityRecorded,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event on its way into the store: the payload, with the id and the time that the caller took."""

    event_id: str
    payload: DomainEvent
    occurred_at: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_at: int | None = None

    def recorded(self, aggregate_id: str, version: int) -> "RecordedEvent":
        """The envelope under which the store keeps it."""
        return RecordedEvent(
            aggregate_id=aggregate_id,
            version=version,
            event_id=self.event_id,
            type=type(self.payload).__name__,
            schema_version=self.payload.schema_version,
            occurred_at=self.occurred_at,
            data=asdict(self.payload),
            metadata=self.metadata,
            expires_at=self.expires_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """One stored event.

    ``aggregate_id`` is ``<type>#<id>``; ``version`` counts 1, 2, 3 … without gaps; ``occurred_at`` is ISO 8601 UTC
    with milliseconds; ``metadata`` holds correlation_id, causation_id and actor where known; ``expires_at`` is in
    epoch seconds and only on events that the table's TTL removes.
    """

    aggregate_id: str
    version: int
    event_id: str
    type: str
    schema_version: int
    occurred_at: str
    data: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_at: int | None = None

    @property
    def aggregate_type(self) -> str:
        return self.aggregate_id.partition("#")[0]

    @property
    def aggregate_key(self) -> str:
        """The id without its type: the user's id for ``user#…`` and ``player#…``."""
        return self.aggregate_id.partition("#")[2]

    @property
    def payload(self) -> DomainEvent:
        """The data as its typed event.

        Raises
        ------
        UnknownEventError
            The type, or its schema version, is not one of `EVENT_TYPES`.
        MalformedEventError
            The data lacks a field, or has one that the type does not know.
        """
        event_type = EVENT_TYPES.get(self.type)
        if event_type is None:
            raise UnknownEventError(f"event {self.event_id} has the unknown type {self.type!r}")
        if self.schema_version != event_type.schema_version:
            raise UnknownEventError(
                f"event {self.event_id} ({self.type}) has schema version {self.schema_version}; "
                f"this code knows {event_type.schema_version}: deploy the newer code, then redrive"
            )
        try:
            return event_type(**self.data)
        except TypeError as error:
            expected = ", ".join(item.name for item in fields(event_type))
            raise MalformedEventError(
                f"event {self.event_id} ({self.type}) must have exactly the fields: {expected}"
            ) from error
