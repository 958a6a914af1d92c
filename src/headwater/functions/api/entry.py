"""The HTTP API's entry: request in, answer out, one log line and one metrics line each.

Metrics are in the namespace Headwater/<stack> by function and source "http", and by route: RequestsSucceeded,
RequestsRefused (4xx: the client's to mend), RequestsFailed (5xx: ours) and ProcessingTime (milliseconds).
"""

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from headwater.domain.fields import InvalidFieldsError, UnknownFieldError
from headwater.event_store.store import UnreadableHistoryError
from headwater.failures import name_of
from headwater.functions.api.problems import answer_to, named
from headwater.functions.api.request import Answer, Request
from headwater.functions.api.router import Router
from headwater.functions.entry import logger, report

type Handler = Callable[[Mapping[str, Any], Any], dict[str, Any]]

#: What a request is called that no route takes: its path is the client's text and belongs in no log or metric.
_NO_ROUTE = "none"


def http_handler(function: str, router: Router) -> Handler:
    """The Lambda handler that answers requests. It logs neither bodies nor paths: both can hold personal data."""

    def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
        started = time.perf_counter()
        request = Request.from_event(event)
        entry: dict[str, Any] = {"function": function, "route": _NO_ROUTE, "request_id": request.request_id}
        try:
            route, parameters = router.find(request)
            entry["route"] = route.name
            answer = route.action(request, parameters)
        except Exception as error:  # noqa: BLE001  # each has an answer; what is not in the table is a 500
            answer = answer_to(error)
            entry["problem"] = _summary(error, answer)
        entry |= {"status": answer.status, "correlation_id": request.correlation_id}
        log = logger.info if answer.status < 400 else logger.warning if answer.status < 500 else logger.error
        log("request answered", extra=entry)
        report(function, "http", started, route=entry["route"], **_counts(answer.status))
        return answer.to_response(request.correlation_id)

    return handler


def _counts(status: int) -> dict[str, int]:
    return {
        "RequestsSucceeded": int(status < 400),
        "RequestsRefused": int(400 <= status < 500),
        "RequestsFailed": int(status >= 500),
    }


def _summary(error: Exception, answer: Answer) -> dict[str, Any]:
    """What an operator needs, without the error's text, which may quote a request or an item."""
    summary: dict[str, Any] = {"error": type(error).__name__}
    if isinstance(error, InvalidFieldsError):
        # details.<name>: the part after the dot is the client's text, as is the name of an unknown field.
        known = (item for item in error.errors if not isinstance(item, UnknownFieldError))
        summary["fields"] = [item.field.partition(".")[0] for item in known]
    if isinstance(error, UnreadableHistoryError):
        summary |= {"event": named(error), "cause": type(error.__cause__).__name__}
    if answer.status >= 500:
        summary["at"] = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, ClientError):
            summary["code"] = name_of(error)
    return summary
