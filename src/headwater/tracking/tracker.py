"""Keeps where applications stand, from the messages of the inbox."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from headwater.change_stream import sqs
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.domain.tracking import SCHEMA_VERSION, StatusChange, TrackedApplication, track
from headwater.failures import PermanentError, TransientError

#: A lost condition means that another tracker was faster; so often is read again before the message goes back.
_ATTEMPTS: Final = 5


class TrackingConflictError(TransientError):
    """Somebody else wrote the application since it was read."""


class UnknownMessageError(PermanentError):
    """A message that is not of the schema, or of a version of it, that this tracker knows."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An application as it is stored; ``revision`` counts its writes, 0 if there was none."""

    application: TrackedApplication | None
    revision: int


class TrackingStore(Protocol):
    """Holds tracked applications."""

    def get(self, application_ids: Collection[str]) -> Mapping[str, Stored]:
        """Those that are there, by application id, read consistently."""
        ...

    def put(self, application: TrackedApplication, revision: int) -> None:
        """Writes an application over its ``revision``.

        Raises
        ------
        TrackingConflictError
            It has another revision by now.
        """
        ...


@dataclass(slots=True)
class _Inbox:
    """One application's changes of a batch, each with the messages that carried it."""

    changes: list[StatusChange] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)


class Tracker:
    """Folds a batch's messages, each application's together, and writes each application once.

    A queue promises no order and delivers at least once: the fold goes by action ids and times.
    """

    def __init__(self, store: TrackingStore) -> None:
        self._store = store

    def track(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Handles one batch, as Lambda delivers it.

        Raises
        ------
        MalformedRecordError
            A record has no message id, so that no answer could name it; nothing was done.
        """
        messages = [(sqs.message_id(raw), raw) for raw in records]
        failures: list[Failure] = []
        inboxes: dict[str, _Inbox] = {}
        for message_id, raw in messages:
            try:
                change = parse_message(sqs.parse(raw).body)
            except Exception as error:  # noqa: BLE001  # whatever one message meets, the next ones get their turn
                failures.append(Failure(message_id, error))
                continue
            inbox = inboxes.setdefault(change.application_id, _Inbox())
            inbox.changes.append(change)
            inbox.message_ids.append(message_id)
        known = dict(self._store.get(inboxes)) if inboxes else {}
        for application_id, inbox in inboxes.items():
            try:
                self._apply(application_id, inbox.changes, known.get(application_id))
            except Exception as error:  # noqa: BLE001  # whatever one application meets, the next ones get their turn
                failures += [Failure(message_id, error) for message_id in inbox.message_ids]
        return BatchOutcome(len(records), tuple(failures))

    def _apply(self, application_id: str, changes: Iterable[StatusChange], stored: Stored | None) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            before = stored or Stored(None, 0)
            application = before.application
            for change in changes:
                application = track(application, change)
            if application is None or application == before.application:
                return
            try:
                self._store.put(application, before.revision)
            except TrackingConflictError:
                if attempt == _ATTEMPTS:
                    raise
                stored = self._store.get([application_id]).get(application_id)
            else:
                return


def parse_message(body: str) -> StatusChange:
    """Reads a message of the inbox, as schemas/ApplicationStatus.1.json has it.

    Raises
    ------
    UnknownMessageError
        It is no JSON object of this version of the schema.
    InvalidFieldError
        Names the field that is missing or of an unacceptable value.
    """
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnknownMessageError(f"the message is not JSON: {error.msg}") from error
    if not isinstance(values, dict):
        raise UnknownMessageError("the message is not a JSON object")
    if values.get("schema_version") != SCHEMA_VERSION:
        raise UnknownMessageError(
            f"the message has not schema_version {SCHEMA_VERSION} of ApplicationStatus: deploy the receiver first"
        )
    return StatusChange.parse(values)
