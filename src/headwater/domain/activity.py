"""Something a visitor did, such as ClickOnLogo: values, state, decision. Each is an aggregate of one event."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.domain.events import ActivityRecorded, DomainEvent
from headwater.domain.fields import InvalidFieldError, single_line

#: Activity is of interest for a season; the events table's TTL removes it, the archive keeps it.
RETENTION = timedelta(days=90)
DETAILS = 20
DETAIL_CHARACTERS = 1000

_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_DETAIL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


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
    """1 to 64 letters and digits, a capital first."""
    if not isinstance(value, str) or not _KIND.fullmatch(value):
        raise InvalidFieldError(field, "must be 1 to 64 letters and digits, a capital first, such as ClickOnLogo")
    return value


def parse_details(value: object, field: str = "details") -> dict[str, str]:
    """At most 20 texts of at most 1,000 characters each, by name."""
    if not isinstance(value, Mapping):
        raise InvalidFieldError(field, "must be an object of texts")
    if len(value) > DETAILS:
        raise InvalidFieldError(field, f"must have at most {DETAILS} entries")
    return dict(_parse_detail(name, content, field) for name, content in value.items())


def _parse_detail(name: object, value: object, field: str) -> tuple[str, str]:
    if not isinstance(name, str) or not _DETAIL_NAME.fullmatch(name):
        raise InvalidFieldError(field, "must be named by 1 to 64 letters, digits and underscores, a letter first")
    text = single_line(f"{field}.{name}", value)
    if len(text) > DETAIL_CHARACTERS:
        raise InvalidFieldError(f"{field}.{name}", f"must have at most {DETAIL_CHARACTERS} characters")
    return name, text
