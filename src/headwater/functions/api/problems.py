"""Errors as problem details (RFC 9457). The one table from an error to its status."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headwater.accounts.request_ledger import IdempotencyKeyReusedError, RequestRepeatedError
from headwater.accounts.use_cases import EmailTakenError, VersionMismatchError
from headwater.applications.process import (
    ApplicationDecidedError,
    ApplicationNotFoundError,
    ApplicationNotReadyError,
)
from headwater.domain.fields import InvalidFieldsError
from headwater.domain.user import UserDeletedError, UserNotFoundError
from headwater.event_store.store import ConcurrencyError, UnreadableHistoryError, WriteRefusedError
from headwater.failures import FailureKind, kind_of
from headwater.functions.api.request import Answer, BodyTooLargeError, UnsupportedMediaTypeError
from headwater.functions.api.router import MethodNotAllowedError, RouteNotFoundError
from headwater.projections.leaderboard import GameNotFoundError
from headwater.tracking.pages import ApplicationNotTrackedError


@dataclass(frozen=True, slots=True)
class Problem:
    """``kind`` names it for programs, ``title`` for people; ``detail``, if given, replaces the error's own text."""

    status: int
    kind: str
    title: str
    detail: str | None = None


_CONFLICT = Problem(409, "conflict", "Others changed it", "others kept changing the same thing: try again")

PROBLEMS: Mapping[type[Exception], Problem] = {
    InvalidFieldsError: Problem(
        400, "invalid-request", "The request is not valid", "each field's problem is in errors"
    ),
    UserNotFoundError: Problem(404, "user-not-found", "No such user"),
    GameNotFoundError: Problem(404, "game-not-found", "No such leaderboard"),
    ApplicationNotTrackedError: Problem(404, "application-not-found", "No such application"),
    ApplicationNotFoundError: Problem(404, "application-not-found", "No such application"),
    RouteNotFoundError: Problem(404, "route-not-found", "No such path"),
    MethodNotAllowedError: Problem(405, "method-not-allowed", "The path does not take this method"),
    EmailTakenError: Problem(409, "email-taken", "The e-mail address is taken"),
    ConcurrencyError: _CONFLICT,
    WriteRefusedError: _CONFLICT,
    RequestRepeatedError: _CONFLICT,
    ApplicationDecidedError: Problem(409, "application-decided", "The application was decided"),
    ApplicationNotReadyError: Problem(409, "application-not-ready", "The application is not ready"),
    UserDeletedError: Problem(410, "user-deleted", "The user was deleted"),
    VersionMismatchError: Problem(412, "version-mismatch", "The user has another version"),
    BodyTooLargeError: Problem(413, "body-too-large", "The body is too large"),
    UnsupportedMediaTypeError: Problem(415, "unsupported-media-type", "The body is not JSON"),
    IdempotencyKeyReusedError: Problem(422, "idempotency-key-reused", "The Idempotency-Key was used before"),
    # Ours to mend, so not the client's 4xx; and not a 503, which says that it passes and makes clients try again.
    UnreadableHistoryError: Problem(500, "unreadable-history", "An event cannot be read"),
}

_UNEXPECTED = Problem(500, "unexpected", "Something went wrong on our side", "try again; the error was logged")

_BUSY = Problem(503, "busy", "Too much at once", "try again in a moment; an Idempotency-Key makes that safe")
_BUSY_SECONDS: Final = 1


def named(error: UnreadableHistoryError) -> dict[str, Any]:
    """Which event it is, for the client and for the log."""
    event = {"aggregate_id": error.aggregate_id, "version": error.version}
    return event if error.event_id is None else {**event, "event_id": error.event_id}


def answer_to(error: Exception) -> Answer:
    """The answer for an error; one that is not in the table is told nothing about."""
    # The SDK's own attempts are behind whoever reads that it is busy.
    problem = PROBLEMS.get(type(error), _BUSY if kind_of(error) is FailureKind.TRANSIENT else _UNEXPECTED)
    body: dict[str, Any] = {
        "type": f"urn:headwater:problem:{problem.kind}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or str(error),
    }
    headers = {"content-type": "application/problem+json"}
    match error:
        case InvalidFieldsError(errors=errors):
            body["errors"] = [{"field": item.field, "problem": item.problem} for item in errors]
        case MethodNotAllowedError(allowed=allowed):
            headers["allow"] = ", ".join(allowed)
        case UnreadableHistoryError():
            # Without its reason, whose text may quote the data.
            body["event"] = named(error)
            body["detail"] = (
                f"version {error.version} of {error.aggregate_id} cannot be read. Trying again does not help: "
                "an operator has to mend the event"
            )
    if problem is _BUSY:
        headers["retry-after"] = str(_BUSY_SECONDS)
    return Answer(status=problem.status, body=body, headers=headers)
