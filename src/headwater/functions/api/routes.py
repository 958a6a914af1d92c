"""The routes: each turns a request into one use case, and its receipt into an answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Protocol

from headwater.accounts.commands import ChangeEmail, ChangeProfile, RecordActivity, RecordPlay, RegisterUser
from headwater.accounts.profiles import Profile
from headwater.accounts.request_ledger import Receipt, RequestKey
from headwater.accounts.use_cases import Accounts, CommandContext
from headwater.domain.fields import InvalidFieldError
from headwater.domain.player import parse_game
from headwater.domain.user import UserNotFoundError, parse_user_id
from headwater.functions.api.request import Answer, Request
from headwater.functions.api.router import Route, Router
from headwater.projections.leaderboard import Entry, GameNotFoundError

#: Who acts while a request carries no signature.
ANONYMOUS = "anonymous"

REGISTER = "POST /register"
RECORD_PLAY = "POST /users/{id}/plays"
RECORD_ACTIVITY = "POST /activities"

#: How many players a leaderboard shows, unless asked otherwise, and at most: as many as their names' one read takes.
LEADERBOARD_DEFAULT = 10
LEADERBOARD_LIMIT = 100


class ReadsProfiles(Protocol):
    def read(self, user_id: str) -> Profile: ...


class ReadsPreferences(Protocol):
    def read(self, user_id: str) -> Mapping[str, Any]: ...


class ReadsLeaderboards(Protocol):
    def top(self, game: str, limit: int) -> Sequence[Entry]: ...


class Routes:
    """What a request may ask for. Add a method, and its line in `router`."""

    def __init__(
        self,
        accounts: Accounts,
        profiles: ReadsProfiles,
        preferences: ReadsPreferences,
        leaderboards: ReadsLeaderboards,
        clock: Callable[[], datetime],
    ) -> None:
        self._accounts = accounts
        self._profiles = profiles
        self._preferences = preferences
        self._leaderboards = leaderboards
        self._clock = clock

    def router(self, more: Iterable[Route] = ()) -> Router:
        return Router(
            [
                Route(REGISTER, self.register),
                Route("GET /users/{id}", self.read_profile),
                Route("GET /users/{id}/preferences", self.read_preferences),
                Route("PUT /users/{id}/email", self.change_email),
                Route("PUT /users/{id}/profile", self.change_profile),
                Route("DELETE /users/{id}", self.delete),
                Route(RECORD_PLAY, self.record_play),
                Route(RECORD_ACTIVITY, self.record_activity),
                Route("GET /games/{game}/leaderboard", self.read_leaderboard),
                *more,
            ]
        )

    def register(self, request: Request, _: Mapping[str, str]) -> Answer:
        body = request.json_object()
        receipt = self._accounts.register(RegisterUser.parse(body), _repeatable(request, REGISTER, body))
        return Answer(
            status=201,
            body={"user_id": receipt.aggregate_key, **_told(receipt)},
            headers={"location": f"/users/{receipt.aggregate_key}"},
        )

    def read_profile(self, _: Request, path: Mapping[str, str]) -> Answer:
        user_id = _user_id(path)
        profile = self._profiles.read(user_id)
        body = {
            "user_id": user_id,
            **profile.state,
            "streaks": profile.streaks,
            "badges": profile.badges,
            "progress": profile.progress,
            "pending": profile.pending,
        }
        return Answer(status=200, body=body)

    def read_preferences(self, _: Request, path: Mapping[str, str]) -> Answer:
        user_id = _user_id(path)
        return Answer(status=200, body={"user_id": user_id, **self._preferences.read(user_id)})

    def change_email(self, request: Request, path: Mapping[str, str]) -> Answer:
        command = ChangeEmail.parse(request.json_object())
        return Answer(
            status=200, body=_told(self._accounts.change_email(_user_id(path), command, _conditional(request)))
        )

    def change_profile(self, request: Request, path: Mapping[str, str]) -> Answer:
        command = ChangeProfile.parse(request.json_object())
        return Answer(
            status=200, body=_told(self._accounts.change_profile(_user_id(path), command, _conditional(request)))
        )

    def delete(self, request: Request, path: Mapping[str, str]) -> Answer:
        return Answer(status=200, body=_told(self._accounts.delete(_user_id(path), _conditional(request))))

    def record_play(self, request: Request, path: Mapping[str, str]) -> Answer:
        body = request.json_object()
        command, context = RecordPlay.parse(body, self._clock()), _repeatable(request, RECORD_PLAY, body)
        return Answer(status=201, body=_told(self._accounts.record_play(_user_id(path), command, context)))

    def record_activity(self, request: Request, _: Mapping[str, str]) -> Answer:
        body = request.json_object()
        command, context = RecordActivity.parse(body), _repeatable(request, RECORD_ACTIVITY, body)
        return Answer(status=202, body=_told(self._accounts.record_activity(command, context)))

    def read_leaderboard(self, request: Request, path: Mapping[str, str]) -> Answer:
        game, limit = _game(path), request.whole_number("limit", 1, LEADERBOARD_LIMIT, default=LEADERBOARD_DEFAULT)
        entries = [asdict(entry) for entry in self._leaderboards.top(game, limit)]
        return Answer(status=200, body={"game": game, "entries": entries})


def _user_id(path: Mapping[str, str]) -> str:
    try:
        return parse_user_id(path["id"])
    except InvalidFieldError:
        raise UserNotFoundError from None


def _game(path: Mapping[str, str]) -> str:
    try:
        return parse_game(path["game"])
    except InvalidFieldError:
        raise GameNotFoundError from None


def _told(receipt: Receipt) -> dict[str, Any]:
    told: dict[str, Any] = {"version": receipt.version}
    return told if receipt.event_id is None else {"event_id": receipt.event_id, **told}


def _context(request: Request) -> CommandContext:
    return CommandContext(correlation_id=request.correlation_id, actor=request.caller or ANONYMOUS)


def _conditional(request: Request) -> CommandContext:
    """The context of a change; with If-Match, of one that depends on the user's version."""
    return replace(_context(request), expected_version=request.expected_version)


def _repeatable(request: Request, route: str, body: Mapping[str, Any]) -> CommandContext:
    """The context of a POST; with an Idempotency-Key, of one that may be sent again."""
    context, key = _context(request), request.idempotency_key
    if key is None:
        return context
    return replace(
        context, request=RequestKey.of(caller=context.actor, route=route, key=key, path=request.path, body=body)
    )
