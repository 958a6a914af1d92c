"""People who look: at leaderboards, profiles and tracking pages, in the middle of everything.

What they see may be a moment old. It must be an answer all the same: whatever somebody else's records hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from devstack.simulator.findings import Finding, Harm
from devstack.simulator.surroundings import Surroundings
from devstack.simulator.workload import GAMES, User
from headwater import bootstrap
from headwater.batch_get import KeysUnreadError
from headwater.domain.user import UserError
from headwater.projections.leaderboard import GameNotFoundError
from headwater.tracking.pages import ApplicationNotTrackedError

#: Of the commands that end, so many are followed by a look.
_SHARE: Final = 0.1
_LIMIT: Final = 25
#: The answers that people get who ask for what is not there, and of a service that fails for a moment.
_NO_ANSWER: Final = (BotoCoreError, ClientError, KeysUnreadError)
_NOT_THERE: Final = (UserError, GameNotFoundError, ApplicationNotTrackedError)


class Readers:
    """Looks at what the read side shows. Its chance is its own; ``looks`` counts them.

    Of a user whose history ``is_spoilt`` nothing need be shown.
    """

    def __init__(
        self, world: Surroundings, users: Sequence[User], accounts: Sequence[str], *, is_spoilt: Callable[[str], bool]
    ) -> None:
        self._world = world
        self._users = users
        self._accounts = accounts
        self._is_spoilt = is_spoilt
        self._chance = random.Random(f"readers {world.config.seed}")  # noqa: S311  # a history, not a secret
        self._findings: list[Finding] = []
        self.looks = 0

    def go_on(self) -> None:
        """Now and then somebody looks."""
        if self._chance.random() < _SHARE:
            self._look(*self._chance.choice((self._board, self._profile, self._applications))())

    def look_at_all(self) -> None:
        """Everything is looked at once."""
        for game in GAMES:
            self._look("", partial(_top, game))
        for user in self._users:
            if user.user_id:
                self._look(user.user_id, partial(_read, user.user_id))

    def findings(self) -> Iterator[Finding]:
        """What people were not answered."""
        yield from self._findings

    def _look(self, user_id: str, ask: Callable[[], Any]) -> None:
        world = self._world
        self.looks += 1
        began = world.engine.now
        try:
            ask()
        except (*_NO_ANSWER, *_NOT_THERE):
            pass
        except Exception as error:  # noqa: BLE001  # whatever it is, somebody sees an error page
            # Of whose history holds an odd event nobody can be told, unless the read side has it; of others always.
            if not (user_id and self._is_spoilt(user_id)):
                found = f"who looks at {user_id or 'a list'} gets {type(error).__name__}: {str(error)[:200]}"
                self._findings.append(Finding(Harm.WRONG, f"user#{user_id}" if user_id else "", found))
        world.engine.now = began

    def _board(self) -> tuple[str, Callable[[], Any]]:
        return "", partial(_top, self._chance.choice(GAMES))

    def _profile(self) -> tuple[str, Callable[[], Any]]:
        known = [user.user_id for user in self._users if user.user_id]
        user_id = self._chance.choice(known) if known else "nobody"
        return user_id, partial(_read, user_id)

    def _applications(self) -> tuple[str, Callable[[], Any]]:
        account_id = self._chance.choice(self._accounts)
        return "", partial(_list, account_id)


def _top(game: str) -> object:
    return bootstrap.leaderboards().top(game, _LIMIT)


def _read(user_id: str) -> object:
    return bootstrap.profiles().read(user_id)


def _list(account_id: str) -> object:
    return bootstrap.tracking_pages().of_account(account_id, limit=_LIMIT, after=None)
