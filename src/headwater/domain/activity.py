"""Something a visitor did, such as ClickOnLogo: values, state, decision. Each is an aggregate of one event."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.domain.constraints import parsed
from headwater.domain.events import ActivityKind, ActivityRecorded, Details, DomainEvent

#: Activity is of interest for a season; the events table's TTL removes it, the archive keeps it.
RETENTION = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """An activity as its one event tells it."""

    kind: str
    user_id: str | None
    details: Mapping[str, str]


def evolve(activity: Activity | None, event: DomainEvent) -> Activity:
    """The activity after its first and only event."""
    if activity is not None or not isinstance(event, ActivityRecorded):
        raise ValueError(f"{type(event).__name__} cannot follow: an activity has one event, ActivityRecorded")
    return Activity(kind=event.kind, user_id=event.user_id, details=event.details)


def fold(events: Iterable[DomainEvent]) -> Activity | None:
    """The activity that a history makes; None once it has expired, or never was."""
    activity = None
    for event in events:
        activity = evolve(activity, event)
    return activity


def record(kind: str, user_id: str | None, details: Mapping[str, str]) -> ActivityRecorded:
    return ActivityRecorded(kind=kind, user_id=user_id, details=details)


def expires_at(occurred_at: datetime) -> int:
    """When the table may remove the event, in epoch seconds."""
    return int((occurred_at + RETENTION).timestamp())


def parse_kind(value: object, field: str = "kind") -> str:
    """What was done, such as ``ClickOnLogo``."""
    kind: str = parsed(field, value, ActivityKind)
    return kind


def parse_details(value: object, field: str = "details") -> dict[str, str]:
    """Texts by name."""
    details: dict[str, str] = parsed(field, value, Details)
    return details
