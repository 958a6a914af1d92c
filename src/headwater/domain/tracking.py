"""Where applications stand, as the account domain is told and as it remembers: the message, its rules, the fold.

The message is schemas/ApplicationStatus.1.json. It may come twice and in any order, so that the fold looks at ids and
times alone: whatever comes, and however often, the same history comes out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from headwater.domain.fields import InvalidFieldError, text

SCHEMA_VERSION = 1

#: The statuses of each step of the process; those of the last are an application's endings.
PROCESS = (("Received",), ("Preparing",), ("Approved", "Rejected", "Withdrawn"))
STEPS = len(PROCESS)
#: The endings that are for staff to choose.
DECISIONS = ("Approved", "Rejected")
#: How far each status has come, of `STEPS` steps.
STEP_OF = {status: step for step, statuses in enumerate(PROCESS, start=1) for status in statuses}

TITLE_CHARACTERS = 200
NOTE_CHARACTERS = 2_000

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_KIND = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII)


_WRITTEN_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z", re.ASCII)


class UnknownStatusError(InvalidFieldError):
    """A status that nobody has agreed upon."""


def parse_id(field: str, value: object) -> str:
    return _matching(field, value, _ID, "1 to 128 letters, digits or . _ : -")


def parse_status(field: str, value: object) -> str:
    status = text(field, value)
    if status not in STEP_OF:
        raise UnknownStatusError(field, f"must be one of {', '.join(STEP_OF)}")
    return status


def parse_decision(value: object) -> str:
    """A status that staff may give; an applicant withdraws, which is another request."""
    status = text("status", value)
    if status not in DECISIONS:
        raise UnknownStatusError("status", f"must be {' or '.join(DECISIONS)}")
    return status


def parse_kind(value: object) -> str:
    return _matching("kind", value, _KIND, "1 to 64 lower-case letters, digits or -")


def parse_title(value: object) -> str:
    if not text("title", value).strip():
        raise InvalidFieldError("title", "must not be empty")
    return _bounded("title", value, TITLE_CHARACTERS)


def parse_note(value: object) -> str:
    return _bounded("note", value, NOTE_CHARACTERS)


def parse_time(field: str, value: object) -> str:
    return _matching(field, value, _TIME, "ISO 8601 UTC with milliseconds")


def to_milliseconds(moment: object) -> object:
    """A time that Step Functions has written, with the three digits of its seconds' fraction; else as it is.

    Its service leaves out a fraction that is zero.
    """
    found = _WRITTEN_TIME.fullmatch(moment) if isinstance(moment, str) else None
    return f"{found[1]}.{(found[2] or '')[:3]:0<3}Z" if found else moment


def is_final(status: str) -> bool:
    """Whether nothing follows it."""
    return STEP_OF[status] == STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """One action on an application and the status that it led to. ``occurred_at``: ISO 8601 UTC with milliseconds."""

    action_id: str
    application_id: str
    account_id: str
    kind: str
    title: str | None
    status: str
    note: str | None
    occurred_at: str

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Reads the values of these fields; ``title`` and ``note`` may be None or left out.

        Raises
        ------
        InvalidFieldError
            Names the first field that is missing or of an unacceptable value.
        UnknownStatusError
            That field is the status.
        """
        for field in fields(cls):
            if field.name not in values and field.name not in {"title", "note"}:
                raise InvalidFieldError(field.name, "is missing")
        return cls(
            action_id=parse_id("action_id", values["action_id"]),
            application_id=parse_id("application_id", values["application_id"]),
            account_id=parse_id("account_id", values["account_id"]),
            kind=parse_kind(values["kind"]),
            title=_at_most("title", values.get("title"), TITLE_CHARACTERS),
            status=parse_status("status", values["status"]),
            note=_at_most("note", values.get("note"), NOTE_CHARACTERS),
            occurred_at=parse_time("occurred_at", values["occurred_at"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of an application's history."""

    action_id: str
    status: str
    note: str | None
    occurred_at: str

    @property
    def place(self) -> tuple[str, int, str]:
        """Its place in the history: by time; of one millisecond, the earlier step of the process first."""
        return self.occurred_at, STEP_OF[self.status], self.action_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedApplication:
    """What is known of an application. ``history`` is in order and never empty."""

    application_id: str
    account_id: str
    kind: str
    title: str | None
    history: tuple[Step, ...]

    @property
    def status(self) -> str:
        return self.history[-1].status

    @property
    def since(self) -> str:
        """When it got its status."""
        return self.history[-1].occurred_at

    @property
    def applied_at(self) -> str:
        """The time of the first action that is known."""
        return self.history[0].occurred_at


def track(known: TrackedApplication | None, change: StatusChange) -> TrackedApplication:
    """The application with the change in its history; itself, unchanged, if the change is there already."""
    step = Step(action_id=change.action_id, status=change.status, note=change.note, occurred_at=change.occurred_at)
    if known is None:
        return TrackedApplication(
            application_id=change.application_id,
            account_id=change.account_id,
            kind=change.kind,
            title=change.title,
            history=(step,),
        )
    if any(earlier.action_id == step.action_id for earlier in known.history):
        return known
    return replace(known, history=tuple(sorted((*known.history, step), key=lambda each: each.place)))


def _matching(field: str, value: object, pattern: re.Pattern[str], expected: str) -> str:
    found = text(field, value)
    if not pattern.fullmatch(found):
        raise InvalidFieldError(field, f"must be {expected}")
    return found


def _at_most(field: str, value: object, characters: int) -> str | None:
    # The process, which knows no absent field, writes an empty one.
    return None if value is None or value == "" else _bounded(field, value, characters)


def _bounded(field: str, value: object, characters: int) -> str:
    found = text(field, value)
    if len(found) > characters:
        raise InvalidFieldError(field, f"must have at most {characters} characters")
    return found
