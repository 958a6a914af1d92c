"""The routes of applications: apply, withdraw, decide. Whom IAM lets reach the decision's route is staff."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol

from headwater.accounts.commands import parse_fields
from headwater.accounts.request_ledger import Receipt, RequestKey
from headwater.applications.process import ApplicationNotFoundError, Applications, Ending, NewApplication
from headwater.domain.fields import InvalidFieldError
from headwater.domain.tracking import parse_decision, parse_id, parse_kind, parse_note, parse_title
from headwater.functions.api.request import Answer, Request
from headwater.functions.api.router import Route

APPLY: Final = "POST /applications"
WITHDRAW: Final = "POST /applications/{id}/withdraw"
DECIDE: Final = "POST /applications/{id}/decision"
READ: Final = "GET /applications/{id}"

#: What is told of an application.
_SHOWN: Final = ("application_id", "account_id", "kind", "title", "status", "updated_at")


class Requests(Protocol):
    """What was asked once."""

    def first(self, request: RequestKey, receipt: Receipt, now: datetime) -> Receipt: ...

    def recall(self, request: RequestKey) -> Receipt | None: ...


class ApplicationRoutes:
    """Add a method, and its line in `routes`."""

    def __init__(
        self,
        applications: Applications,
        requests: Requests,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        anonymous: str,
    ) -> None:
        self._applications = applications
        self._requests = requests
        self._clock = clock
        self._new_id = new_id
        self._anonymous = anonymous

    def routes(self) -> list[Route]:
        return [
            Route(APPLY, self.apply),
            Route(READ, self.read),
            Route(WITHDRAW, self.withdraw),
            # IAM lets staff alone reach it: so it must have been reached by its own name.
            Route(DECIDE, self.decide, gated=True),
        ]

    def apply(self, request: Request, _: Mapping[str, str]) -> Answer:
        body = request.json_object()
        required = {"account_id": _named(parse_id, "account_id"), "kind": parse_kind, "title": parse_title}
        values = {"note": "", **parse_fields(body, required, {"note": parse_note})}
        application_id = self._new_id()
        if (asked := self._asked(request, APPLY, body)) is not None:
            application_id = self._requests.first(asked, _receipt(application_id), self._clock()).aggregate_key
        self._applications.apply(application_id, NewApplication(actor=self._actor(request), **values))
        return Answer(
            status=202,
            body={"application_id": application_id, "status": "Received"},
            headers={"location": f"/applications/{application_id}"},
        )

    def read(self, _: Request, path: Mapping[str, str]) -> Answer:
        item = self._applications.read(_application_id(path))
        return Answer(status=200, body={name: item.get(name) for name in _SHOWN})

    def withdraw(self, request: Request, path: Mapping[str, str]) -> Answer:
        required = {"account_id": _named(parse_id, "account_id")}
        values = parse_fields(request.json_object(), required, {"note": parse_note})
        application_id, ending = _application_id(path), self._ending(request, {**values, "status": "Withdrawn"})
        end = partial(self._applications.withdraw, application_id, values["account_id"], ending)
        return self._end(self._asked(request, WITHDRAW, values), application_id, ending.status, end)

    def decide(self, request: Request, path: Mapping[str, str]) -> Answer:
        values = parse_fields(request.json_object(), {"status": parse_decision}, {"note": parse_note})
        application_id, ending = _application_id(path), self._ending(request, values)
        end = partial(self._applications.end, application_id, ending)
        return self._end(self._asked(request, DECIDE, values), application_id, ending.status, end)

    def _ending(self, request: Request, values: Mapping[str, Any]) -> Ending:
        return Ending(status=values["status"], note=values.get("note", ""), actor=self._actor(request))

    def _end(self, asked: RequestKey | None, application_id: str, status: str, end: Callable[[], None]) -> Answer:
        # The key is looked at before anything is done, as it may belong to another request; and remembered after, as
        # a request that was refused may be sent again.
        if asked is None or self._requests.recall(asked) is None:
            end()
            if asked is not None:
                self._requests.first(asked, _receipt(application_id), self._clock())
        return Answer(status=202, body={"application_id": application_id, "status": status})

    def _asked(self, request: Request, route: str, body: Mapping[str, Any]) -> RequestKey | None:
        """The request under its Idempotency-Key; None if it has none."""
        key = request.idempotency_key
        if key is None:
            return None
        caller = request.caller or self._anonymous
        return RequestKey.of(caller=caller, route=route, key=key, path=request.path, body=body)

    def _actor(self, request: Request) -> str:
        return request.principal or self._anonymous


def _receipt(application_id: str) -> Receipt:
    return Receipt(aggregate_id=f"application#{application_id}", version=1, event_id=None)


def _named(parse: Callable[[str, object], str], field: str) -> Callable[[object], str]:
    return lambda value: parse(field, value)


def _application_id(path: Mapping[str, str]) -> str:
    try:
        return parse_id("id", path["id"])
    except InvalidFieldError:
        raise ApplicationNotFoundError from None
