"""The tracking routes of the account domain: applicants under /accounts, staff under /applications."""

from collections.abc import Callable, Mapping
from typing import Any

from headwater.domain.fields import InvalidFieldError, InvalidFieldsError
from headwater.functions.api.request import Answer, Request
from headwater.functions.api.router import Route, Router
from headwater.tracking.pages import DEFAULT_LIMIT, LONGEST, TrackingPages

#: A year: what is older is found by its status.
_OLDEST_HOURS = 8_760


class TrackingRoutes:
    """What a request may ask for. A method here, its line in `router`, and its event in receiver.yaml."""

    def __init__(self, pages: TrackingPages) -> None:
        self._pages = pages

    def router(self) -> Router:
        return Router(
            [
                Route("GET /accounts/{id}/applications", self.of_account),
                Route("GET /accounts/{id}/applications/{application}", self.of_account_one),
                Route("GET /applications", self.of_status),
                Route("GET /applications/{id}", self.one),
            ]
        )

    def of_account(self, request: Request, path: Mapping[str, str]) -> Answer:
        limit = request.whole_number("limit", 1, LONGEST, default=DEFAULT_LIMIT)
        return _answer(lambda: self._pages.of_account(path["id"], limit=limit, after=request.query.get("after")))

    def of_account_one(self, _: Request, path: Mapping[str, str]) -> Answer:
        return _answer(lambda: self._pages.of_account_one(path["id"], path["application"]))

    def of_status(self, request: Request, _: Mapping[str, str]) -> Answer:
        limit = request.whole_number("limit", 1, LONGEST, default=DEFAULT_LIMIT)
        hours = request.whole_number("older_than_hours", 0, _OLDEST_HOURS, default=0)
        status, after = request.query.get("status"), request.query.get("after")
        return _answer(lambda: self._pages.of_status(status, older_than_hours=hours, limit=limit, after=after))

    def one(self, _: Request, path: Mapping[str, str]) -> Answer:
        return _answer(lambda: self._pages.one(path["id"]))


def _answer(page: Callable[[], dict[str, Any]]) -> Answer:
    try:
        return Answer(status=200, body=page())
    except InvalidFieldError as error:
        raise InvalidFieldsError([error]) from error
