"""The routes of applications: apply, withdraw, decide. Whom IAM lets reach the decision's route is staff."""

from collections.abc import Callable, Mapping
from datetime import datetime
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
            Route(DECIDE, self.decide),
        ]

    def apply(self, request: Request, _: Mapping[str, str]) -> Answer:
        body = request.json_object()
        required = {"account_id": _named(parse_id, "account_id"), "kind": parse_kind, "title": parse_title}
        values = {"note": "", **parse_fields(body, required, {"note": parse_note})}
        application_id = self._once(request, APPLY, body, self._new_id())
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
        body = request.json_object()
        values = {"status": "Withdrawn", **parse_fields(body, {}, {"note": parse_note})}
        return self._end(request, WITHDRAW, path, values)

    def decide(self, request: Request, path: Mapping[str, str]) -> Answer:
        values = parse_fields(request.json_object(), {"status": parse_decision}, {"note": parse_note})
        return self._end(request, DECIDE, path, values)

    def _end(self, request: Request, route: str, path: Mapping[str, str], values: Mapping[str, Any]) -> Answer:
        application_id, status = _application_id(path), values["status"]
        ending = Ending(status=status, note=values.get("note", ""), actor=self._actor(request))
        # Before the key is remembered: a request that was refused may be sent again. One that was answered and not
        # remembered is told the same, because the application then has, or will have, the status that it asks for.
        self._applications.end(application_id, ending)
        self._once(request, route, values, application_id)
        return Answer(status=202, body={"application_id": application_id, "status": status})

    def _once(self, request: Request, route: str, body: Mapping[str, Any], application_id: str) -> str:
        """The application that the Idempotency-Key's first request was about; this one, if it is the first."""
        key = request.idempotency_key
        if key is None:
            return application_id
        asked = RequestKey.of(caller=self._actor(request), route=route, key=key, path=request.path, body=body)
        receipt = Receipt(aggregate_id=f"application#{application_id}", version=1, event_id=None)
        return self._requests.first(asked, receipt, self._clock()).aggregate_key

    def _actor(self, request: Request) -> str:
        return request.caller or self._anonymous


def _named(parse: Callable[[str, object], str], field: str) -> Callable[[object], str]:
    return lambda value: parse(field, value)


def _application_id(path: Mapping[str, str]) -> str:
    try:
        return parse_id("id", path["id"])
    except InvalidFieldError:
        raise ApplicationNotFoundError from None
