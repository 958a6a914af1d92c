"""The demo's users: who registers, who plays what on which day. Seeded, so that two runs tell the same story."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import urllib3

from headwater.clock import timestamp

DAYS = 30
GAMES = ("chess", "go", "tetris", "backgammon", "solitaire")
#: One who comes back plays on the first day, and on the last so many.
_DAYS_BACK = 7
#: Within which a user's plays of a day lie.
_SPREAD_SECONDS = 300
#: Concurrent requests: enough to keep the API busy, few enough that the laptop stays usable.
_CLIENTS = 8


class RequestRefusedError(Exception):
    """The API answered a request of the demo's with something else than success."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; ``path`` may hold ``{user_id}``."""

    method: str
    path: str
    body: dict[str, Any] | None = None


@dataclass(slots=True)
class User:
    """A demo user and, in order, what that user does after registering."""

    number: int
    name: str
    email: str
    story: list[Request] = field(default_factory=list)
    user_id: str = ""


def cast(users: int, plays: int, now: datetime | None = None, seed: int = 1) -> list[User]:
    """Invents ``users`` users who finish ``plays`` plays over the 30 days before ``now``.

    Of five users one plays chess each day as long as their plays last, so that days in a row come about; one comes back
    after three weeks, one plays at night, and one's first plays arrive last. Some rename themselves, move to another
    address, click on the logo. The last one, if there are several, leaves again.
    """
    chance = random.Random(seed)  # noqa: S311  # a story, not a secret
    now = now or datetime.now(UTC)
    people = [User(number, f"Player {number:04d}", f"player{number:04d}@example.org") for number in range(1, users + 1)]
    for person in people:
        share = plays // users + (person.number <= plays % users)
        person.story = list(_plays(person, share, now, chance))
        if person.number % 7 == 0:
            person.story.append(Request("PUT", "/users/{user_id}/profile", {"name": f"{person.name} the Bold"}))
        if person.number % 11 == 0:
            address = {"email": f"moved{person.number:04d}@example.org"}
            person.story.append(Request("PUT", "/users/{user_id}/email", address))
        if person.number % 5 == 0:
            click = {"kind": "ClickOnLogo", "details": {"page": "home"}}
            person.story.append(Request("POST", "/activities", click))
    for leaver in people[1:][-1:]:
        leaver.story.append(Request("DELETE", "/users/{user_id}"))
    return people


def _plays(person: User, share: int, now: datetime, chance: random.Random) -> Iterator[Request]:
    devoted, returning, at_night, late = (person.number % 5 == kind for kind in (1, 2, 3, 4))
    start = now - timedelta(days=DAYS - 1, minutes=10)
    if (start + timedelta(seconds=_SPREAD_SECONDS)).date() > start.date():
        # A day's plays lie on one date, or there would be a day too many, and days in a row with a gap.
        start -= timedelta(seconds=_SPREAD_SECONDS)
    days = sorted(range(min(share, DAYS))) if devoted else []
    days += sorted(chance.randrange(DAYS) for _ in range(share - len(days)))
    if returning and days:
        days = sorted([0, *(DAYS - 1 - day % _DAYS_BACK for day in days[1:])])
    if at_night:
        # The night before, so that it is over.
        days = [max(day, 1) for day in days]
    if late:
        days = days[len(days) // 2 :] + days[: len(days) // 2]
    for index, day in enumerate(days):
        game = "chess" if devoted and index < DAYS else chance.choice(GAMES)
        played_at = start + timedelta(days=day, seconds=chance.randrange(_SPREAD_SECONDS))
        if at_night:
            played_at = played_at.replace(hour=2, minute=30) - timedelta(days=1)
        play = {"game": game, "score": chance.randrange(10_000), "played_at": timestamp(played_at)}
        yield Request("POST", "/users/{user_id}/plays", play)


def requests_in(people: list[User]) -> int:
    """How many requests the story takes."""
    return sum(1 + len(person.story) for person in people)


class Api:
    """The HTTP API as the demo calls it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=_CLIENTS, retries=False, timeout=urllib3.Timeout(30))

    def send(self, request: Request, user_id: str = "", headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Sends one request and gives the JSON answer.

        Raises
        ------
        RequestRefusedError
            The status is 300 or above; the message holds the problem details.
        """
        path = request.path.format(user_id=user_id)
        body = None if request.body is None else json.dumps(request.body).encode()
        answer = self._pool.request(
            request.method, self._url + path, body=body, headers={"content-type": "application/json"} | (headers or {})
        )
        if answer.status >= 300:
            raise RequestRefusedError(
                f"{request.method} {path} answered {answer.status}: {answer.data.decode(errors='replace')}"
            )
        return dict(json.loads(answer.data)) if answer.data else {}


def play_out(api: Api, people: list[User], advance: Callable[[], None], stop: threading.Event) -> None:
    """Registers everybody and lets each live through their story, users side by side, each in order.

    ``advance`` is called after each request; a set ``stop`` ends the story early.
    """

    def live(person: User) -> None:
        registration = {"name": person.name, "email": person.email, "password": f"correct-horse-{person.number:04d}"}
        key = {"idempotency-key": f"demo-registration-{person.number:04d}"}
        person.user_id = api.send(Request("POST", "/register", registration), headers=key)["user_id"]
        advance()
        for request in person.story:
            if stop.is_set():
                break
            api.send(request, person.user_id)
            advance()

    with ThreadPoolExecutor(_CLIENTS, thread_name_prefix="demo-client") as clients:
        futures = [clients.submit(live, person) for person in people]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stop.set()
            clients.shutdown(cancel_futures=True)
            raise
