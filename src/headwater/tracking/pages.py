"""The tracking pages: an applicant's applications, one with its history, and what staff look for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from headwater.clock import timestamp
from headwater.domain.fields import InvalidFieldError
from headwater.domain.tracking import STEP_OF, STEPS, TrackedApplication, is_final, parse_id, parse_status, parse_time
from headwater.tracking.tracker import Stored

#: How many applications a list shows unless asked otherwise, and at most.
DEFAULT_LIMIT: Final = 25
LONGEST: Final = 100

#: What staff have still to bring to an end.
_OPEN: Final = tuple(status for status in STEP_OF if not is_final(status))


class ApplicationNotTrackedError(Exception):
    """Nothing is known of the application, or it is another account's."""

    def __init__(self) -> None:
        super().__init__("there is no application with this id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An application as lists show it."""

    application_id: str
    account_id: str
    kind: str
    title: str | None
    status: str
    since: str
    applied_at: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list; ``after`` is where the next page begins: time of the application and its id, None at the end."""

    applications: Sequence[Listed]
    after: tuple[str, str] | None = None


class TrackingLists(Protocol):
    """Lists tracked applications by their indexes, a moment behind what was written."""

    def get(self, application_ids: Collection[str]) -> Mapping[str, Stored]: ...

    def of_account(self, account_id: str, *, limit: int, after: tuple[str, str] | None) -> Page:
        """An account's, the newest first."""
        ...

    def of_status(self, status: str, *, until: str | None, limit: int, after: tuple[str, str] | None) -> Page:
        """Those with the status that were made by ``until`` (ISO 8601), the oldest first."""
        ...


class TrackingPages:
    """Reads the pages as JSON's Python form. Times are ISO 8601, ages are in seconds."""

    def __init__(self, lists: TrackingLists, clock: Callable[[], datetime]) -> None:
        self._lists = lists
        self._clock = clock

    def of_account(self, account_id: str, *, limit: int, after: str | None) -> dict[str, Any]:
        """An applicant's applications with their progress, the newest first.

        Raises
        ------
        InvalidFieldError
        """
        page = self._lists.of_account(parse_id("id", account_id), limit=limit, after=_place(after))
        return {
            "account_id": account_id,
            "applications": [_shown(each, account=False) for each in page.applications],
            "next": _token(page.after),
        }

    def of_account_one(self, account_id: str, application_id: str) -> dict[str, Any]:
        """One of an applicant's applications with its history.

        Raises
        ------
        ApplicationNotTrackedError
            Also if it is another account's: whoever asks learns nothing of it.
        """
        application = self._one(application_id)
        if application.account_id != account_id:
            raise ApplicationNotTrackedError
        return _whole(application, account=False)

    def one(self, application_id: str) -> dict[str, Any]:
        """Any application with its history, for staff.

        Raises
        ------
        ApplicationNotTrackedError
        """
        application = self._one(application_id)
        return {**_whole(application, account=True), "age": self._age(application.applied_at)}

    def of_status(self, status: str | None, *, older_than_hours: int, limit: int, after: str | None) -> dict[str, Any]:
        """Applications with a status, or all that are open, at least so many hours old; the oldest first, for staff.

        A list of all that are open has one page: its oldest.

        Raises
        ------
        InvalidFieldError
        """
        until = timestamp(self._clock() - timedelta(hours=older_than_hours)) if older_than_hours else None
        place = _place(after)
        if status is not None:
            # DynamoDB refuses to begin past what a query is limited to.
            if until is not None and place is not None and place[0] > until:
                raise InvalidFieldError("after", "is of a list with fewer older_than_hours: leave it out to begin anew")
            page = self._lists.of_status(parse_status("status", status), until=until, limit=limit, after=place)
        elif after is not None:
            raise InvalidFieldError("after", "goes with a status: a list of all that are open has one page")
        else:
            pages = [self._lists.of_status(each, until=until, limit=limit, after=None) for each in _OPEN]
            oldest = sorted((each for page in pages for each in page.applications), key=lambda each: each.applied_at)
            page = Page(tuple(oldest[:limit]))
        return {
            "status": status,
            "applications": [
                {**_shown(each, account=True), "age": self._age(each.applied_at)} for each in page.applications
            ],
            "next": _token(page.after),
        }

    def _one(self, application_id: str) -> TrackedApplication:
        try:
            stored = self._lists.get([parse_id("id", application_id)]).get(application_id)
        except InvalidFieldError:
            raise ApplicationNotTrackedError from None
        if stored is None or stored.application is None:
            raise ApplicationNotTrackedError
        return stored.application

    def _age(self, applied_at: str) -> int:
        return max(0, int((self._clock() - datetime.fromisoformat(applied_at)).total_seconds()))


def _shown(application: Listed, *, account: bool) -> dict[str, Any]:
    shown = asdict(application)
    if not account:
        del shown["account_id"]
    return {**shown, "progress": _progress(application.status)}


def _whole(application: TrackedApplication, *, account: bool) -> dict[str, Any]:
    listed = Listed(
        application_id=application.application_id,
        account_id=application.account_id,
        kind=application.kind,
        title=application.title,
        status=application.status,
        since=application.since,
        applied_at=application.applied_at,
    )
    history = [
        {"status": step.status, "note": step.note, "occurred_at": step.occurred_at} for step in application.history
    ]
    return {**_shown(listed, account=account), "history": history}


def _progress(status: str) -> dict[str, Any]:
    return {"step": STEP_OF[status], "of": STEPS, "finished": is_final(status)}


def _token(place: tuple[str, str] | None) -> str | None:
    return None if place is None else "~".join(place)


def _place(token: str | None) -> tuple[str, str] | None:
    if token is None:
        return None
    applied_at, _, application_id = token.partition("~")
    try:
        return parse_time("after", applied_at), parse_id("after", application_id)
    except InvalidFieldError:
        raise InvalidFieldError("after", "must be what 'next' of the page before says") from None
