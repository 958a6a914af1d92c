"""Applications, actions on them, and what a Pipe hands on, for tests."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from headwater.applications.elements import Element
from headwater.applications.process import Ending, NewApplication
from headwater.attribute_values import marshal_item
from headwater.domain.tracking import TrackedApplication
from headwater.failures import FailureKind
from headwater.sending import SendError
from headwater.tracking.tracker import Stored, TrackingConflictError

ACCOUNT = "019930c2-6d1e-7a40-9c35-5be0f1a2c3d4"


def application(application_id: str = "a1", **values: Any) -> dict[str, Any]:
    """An application's own item, as plain values."""
    return {
        "pk": f"APPLICATION#{application_id}",
        "sk": "#APPLICATION",
        "application_id": application_id,
        "account_id": ACCOUNT,
        "kind": "licence",
        "title": "Fishing",
        "status": "Received",
        "revision": 1,
        **values,
    }


def action(
    action_id: str = "x1", application_id: str = "a1", status: str = "Received", **values: Any
) -> dict[str, Any]:
    """An action's item, as plain values."""
    at = values.pop("occurred_at", "2026-03-01T12:00:00.000Z")
    return {
        "pk": f"APPLICATION#{application_id}",
        "sk": f"#ACTION#{at}#{action_id}",
        "type": "ApplicationCreated" if status == "Received" else "ApplicationStatusUpdated",
        "application_id": application_id,
        "action_id": action_id,
        "status": status,
        "note": None,
        "occurred_at": at,
        **values,
    }


def record(item: Mapping[str, Any], number: int = 1, name: str = "INSERT") -> dict[str, Any]:
    """A record of the applications' stream, as a Pipe hands it to its enrichment."""
    image = marshal_item(item)
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": 1772366281,
        "Keys": {"pk": image["pk"], "sk": image["sk"]},
        "SequenceNumber": str(4421584500000000017450439090 + number),
        "SizeBytes": 300,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    change |= {"OldImage": image} if name == "REMOVE" else {"NewImage": image}
    return {
        "eventID": f"event-{number}",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": change,
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/applications/stream/2026-01-01T00:00:00.000",
    }


class InMemoryApplications:
    """Implements `headwater.applications.enrichment.Applications`; ``reads`` are the ids of each call."""

    def __init__(self, *items: Mapping[str, Any]) -> None:
        self._items = {item["application_id"]: item for item in items}
        self.reads: list[list[str]] = []

    def get(self, application_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        self.reads.append(list(application_ids))
        return {each: self._items[each] for each in application_ids if each in self._items}


class InMemoryInbox:
    """Implements `headwater.applications.target.Inbox`; refuses, as ``kind``, messages of actions in ``refuses``."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.refuses: set[str] = set()
        self.kind = FailureKind.OUTAGE

    def send(self, messages: Sequence[str]) -> Mapping[int, SendError]:
        refused: dict[int, SendError] = {}
        for position, message in enumerate(messages):
            values = orjson.loads(message)
            if values["action_id"] in self.refuses:
                refused[position] = SendError(f"SQS: {self.kind}", self.kind, code=str(self.kind))
            else:
                self.messages.append(values)
        return refused


class InMemoryParking:
    """Implements `headwater.applications.target.Parking`; ``down`` makes it fail."""

    def __init__(self) -> None:
        self.parked: list[Element] = []
        self.aside: list[Element] = []
        self.down = False

    def park(self, element: Element) -> None:
        self._put(element, self.parked)

    def set_aside(self, element: Element) -> None:
        self._put(element, self.aside)

    def _put(self, element: Element, there: list[Element]) -> None:
        if self.down:
            raise SendError("SQS: RequestThrottled", FailureKind.TRANSIENT)
        there.append(element)


class InMemoryTracking:
    """Implements `headwater.tracking.tracker.TrackingStore`; ``before_put`` runs before each write's condition."""

    def __init__(self) -> None:
        self.stored: dict[str, Stored] = {}
        self.writes = 0

    def get(self, application_ids: Collection[str]) -> Mapping[str, Stored]:
        return {each: self.stored[each] for each in application_ids if each in self.stored}

    def put(self, application: TrackedApplication, revision: int) -> None:
        current = self.stored.get(application.application_id, Stored(None, 0))
        if current.revision != revision:
            raise TrackingConflictError(application.application_id)
        self.writes += 1
        self.stored[application.application_id] = Stored(application, revision + 1)


class InMemoryProcess:
    """Implements `Process` and `ProcessReader` of `headwater.applications.process`. It records what it is told to."""

    def __init__(self) -> None:
        self.started: dict[str, NewApplication] = {}
        self.answers: dict[str, Ending] = {}
        self._items: dict[str, dict[str, Any]] = {}
        self._tokens: dict[str, str] = {}

    def record(self, application_id: str, status: str, token: str | None = None) -> None:
        """As the process would: the status, and the token if it then waits for a decision."""
        self._items[application_id] = application(application_id, status=status)
        self._tokens.pop(application_id, None)
        if token is not None:
            self._tokens[application_id] = token

    def start(self, application_id: str, application: NewApplication) -> None:
        self.started.setdefault(application_id, application)

    def answer(self, token: str, ending: Ending) -> bool:
        return self.answers.setdefault(token, ending) is ending

    def application(self, application_id: str) -> Mapping[str, Any] | None:
        return self._items.get(application_id)

    def token(self, application_id: str) -> str | None:
        return self._tokens.get(application_id)
