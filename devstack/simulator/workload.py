"""Who uses the system: users who register, change and leave, and plays, through the real use cases, with retries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from devstack.simulator.faults import SimulatedCrash
from devstack.simulator.surroundings import Surroundings
from headwater.accounts.commands import ChangeEmail, ChangeProfile, RecordActivity, RecordPlay, RegisterUser
from headwater.accounts.passwords import Password
from headwater.accounts.request_ledger import Receipt, RequestKey, RequestRepeatedError
from headwater.accounts.use_cases import Accounts, CommandContext, EmailTakenError
from headwater.domain.events import MalformedEventError, UnknownEventError
from headwater.domain.user import UserError
from headwater.event_store.store import EventStoreError

GAMES: Final = ("chess", "go", "tetris", "backgammon")
#: What a client tells its user instead of trying again.
_REFUSED: Final = (EmailTakenError, UserError)
#: A poisoned history cannot be folded, so that the API fails for that user alone.
_POISONED: Final = (UnknownEventError, MalformedEventError)
_LOST: Final = (BotoCoreError, ClientError, EventStoreError, SimulatedCrash)
_RETRIES: Final = 12
#: Before so many of the commands a lull begins, which lasts for so many of them, each so far from the next.
_LULLS: Final = 0.004
_LULL: Final = 6
_LULL_SECONDS: Final = (1.5, 4.0)


@dataclass(slots=True)
class User:
    """A simulated person."""

    number: int
    user_id: str = ""
    deleted: bool = False
    poisoned: bool = False
    plays: int = 0

    @property
    def active(self) -> bool:
        return bool(self.user_id) and not self.deleted and not self.poisoned

    @property
    def email(self) -> str:
        return f"user{self.number}@example.org"


@dataclass(slots=True)
class Command:
    """One intention, under one correlation id however often it is sent.

    ``repeatable`` if a second try is safe; ``once`` if it must not happen twice. A change of a profile may: sent again
    after another change, it is a change again.
    """

    id: str
    kind: str
    user: User | None
    send: Callable[[CommandContext], Receipt]
    request: RequestKey | None = None
    repeatable: bool = True
    once: bool = False
    tries: int = 0


@dataclass(slots=True)
class Acknowledged:
    """What clients were told, and what they will never know; ``once`` are commands that must not happen twice."""

    once: set[str] = field(default_factory=set)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    refused: int = 0
    unknown: set[str] = field(default_factory=set)
    unanswered: list[str] = field(default_factory=list)


class Workload:
    """Sends commands at a mean rate until enough of them were acknowledged.

    Half of the plays come in bursts of one player, so that versions of an aggregate lie close in time. Every fifth
    player is devoted and plays chess on fifteen days, told in any order: ten days in a row come about late.

    ``written`` is called when a command has ended, ``ended`` when enough of them have. The API may fail for a user who
    ``is_odd``.
    """

    def __init__(
        self,
        world: Surroundings,
        accounts: Accounts,
        *,
        written: Callable[[], None],
        ended: Callable[[], None],
        is_odd: Callable[[str], bool],
    ) -> None:
        self._world = world
        self._engine = world.engine
        self._chance = world.engine.chance
        self._accounts = accounts
        self._written = written
        self._ended = ended
        self._is_odd = is_odd
        self.users: list[User] = []
        self.produced = 0
        self.done = False
        self.acknowledged = Acknowledged()
        self._commands = 0
        self._under_way = 0
        self._last: User | None = None
        self._lull = 0

    def start(self) -> None:
        self._engine.after(0.0, self._next)

    @property
    def settled(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self.done and not self._under_way

    def _next(self) -> None:
        if self.produced + self._under_way >= self._world.config.events:
            self.done = self.produced >= self._world.config.events
            if self.done:
                self._ended()
                return
        else:
            self._attempt(self._invent())
        self._engine.after(self._pause(), self._next)

    def _pause(self) -> float:
        """Seconds to the next command. In a lull each comes alone, so that streams deliver single records."""
        if not self._lull and self._chance.random() < _LULLS:
            self._lull = _LULL
        if self._lull:
            self._lull -= 1
            return self._chance.uniform(*_LULL_SECONDS)
        return self._chance.expovariate(self._world.config.rate)

    def _invent(self) -> Command:
        chance = self._chance
        if len(self.users) < self._world.config.users and (
            not self.users or chance.random() < self._world.config.newcomers
        ):
            return self._register()
        user = self._pick()
        if user is None:
            return self._register()
        draw = chance.random()
        if draw < 0.85:
            return self._play(user)
        if draw < 0.95:
            return self._change_profile(user)
        if draw < 0.97:
            return self._change_email(user)
        if draw < 0.99 or len(self.users) < 5:
            return self._activity(user)
        # The devoted ones stay.
        return self._delete(user) if user.number % 5 and chance.random() < 0.3 else self._play(user)

    def _pick(self) -> User | None:
        if self._last is not None and self._last.active and self._chance.random() < 0.5:
            return self._last
        for _ in range(20):
            user = self._chance.choice(self.users)
            if user.active:
                self._last = user
                return user
        return None

    def _command(self, kind: str, user: User | None, send: Callable[[CommandContext], Receipt]) -> Command:
        self._commands += 1
        return Command(f"command-{self._commands}", kind, user, send)

    def _keyed(self, command: Command, body: dict[str, Any]) -> Command:
        command.once = True
        command.request = RequestKey.of(
            caller="simulator", route=command.kind, key=command.id, path=f"/{command.kind}", body=body
        )
        return command

    def _register(self) -> Command:
        # Now and then somebody registers an address that is taken.
        taken = self.users and self._chance.random() < 0.01
        user = User(self._chance.choice(self.users).number if taken else len(self.users))
        if not taken:
            self.users.append(user)
        body = {"name": f"User {user.number}", "email": user.email}
        message = RegisterUser(name=body["name"], email=body["email"], password=Password(f"password-{user.number}"))
        return self._keyed(
            self._command("register", user, lambda context: self._accounts.register(message, context)), body
        )

    def _play(self, user: User) -> Command:
        chance = self._chance
        user.plays += 1
        devoted = user.number % 5 == 0 and chance.random() < 0.6
        now = self._engine.utc_now()
        if devoted:
            played_at = now - timedelta(days=chance.randrange(15), seconds=chance.randrange(60))
        else:
            age = (0, 3600, 7 * 86400, 40 * 86400)[min(3, int(chance.expovariate(1.2)))]
            played_at = now - timedelta(seconds=chance.uniform(0, age))
        game = "chess" if devoted else chance.choice(GAMES)
        message = RecordPlay(game=game, score=chance.randrange(10_000), played_at=played_at)
        command = self._command(
            "play", user, lambda context: self._accounts.record_play(user.user_id, message, context)
        )
        if chance.random() < 0.5:
            return self._keyed(command, {"game": game, "score": message.score})
        command.repeatable, command.once = False, True
        return command

    def _change_profile(self, user: User) -> Command:
        message = ChangeProfile(name=f"User {user.number} the {self._commands}th")
        return self._command(
            "profile", user, lambda context: self._accounts.change_profile(user.user_id, message, context)
        )

    def _change_email(self, user: User) -> Command:
        message = ChangeEmail(email=f"moved{self._commands}@example.org")
        return self._command("email", user, lambda context: self._accounts.change_email(user.user_id, message, context))

    def _activity(self, user: User) -> Command:
        message = RecordActivity(kind="ClickOnLogo", user_id=user.user_id, details={"page": "home"})
        command = self._command("activity", user, lambda context: self._accounts.record_activity(message, context))
        return self._keyed(command, {"kind": message.kind})

    def _delete(self, user: User) -> Command:
        user.deleted = True
        return self._command("delete", user, lambda context: self._accounts.delete(user.user_id, context))

    def _attempt(self, command: Command) -> None:
        engine, faults = self._engine, self._world.faults
        if not command.tries:
            self._under_way += 1
            if command.once:
                self.acknowledged.once.add(command.id)
        command.tries += 1
        began = engine.now
        outer, faults.in_function = faults.in_function, True
        outcome = "ok"
        try:
            context = CommandContext(correlation_id=command.id, actor="simulator", request=command.request)
            with self._world.newer_code.as_consumer(False), faults.skewed():
                receipt = command.send(context)
            self._acknowledge(command, receipt)
        except _REFUSED as error:
            outcome = type(error).__name__
            self._refuse(command)
        except RequestRepeatedError as error:
            # Its first try happened: whoever asks again must get that answer, not a refusal.
            outcome = type(error).__name__
            self.acknowledged.unanswered.append(command.id)
            self._give_up(command)
        except _POISONED as error:
            outcome = type(error).__name__
            self._give_up(command)
        except _LOST as error:
            outcome = type(error).__name__
            if command.repeatable and command.tries < _RETRIES:
                engine.after(engine.now - began + 0.3 * command.tries, lambda: self._attempt(command))
            else:
                self._give_up(command)
        except Exception as error:
            # The API fails for whoever holds an odd event, and for nobody else.
            if command.user is None or not self._is_odd(command.user.user_id):
                raise
            outcome = type(error).__name__
            self._give_up(command)
        finally:
            faults.in_function = outer
        engine.now = began
        engine.note(f"{command.id} {command.kind} {outcome}")
        self._written()

    def _acknowledge(self, command: Command, receipt: Receipt) -> None:
        self._under_way -= 1
        self.acknowledged.receipts[command.id] = receipt
        if receipt.event_id is not None:
            self.produced += 1
        if command.kind == "register" and command.user is not None:
            command.user.user_id = receipt.aggregate_key

    def _refuse(self, command: Command) -> None:
        self._under_way -= 1
        self.acknowledged.refused += 1
        # A repeated command without a key may meet what its first try did.
        if command.tries > 1:
            self.acknowledged.unknown.add(command.id)

    def _give_up(self, command: Command) -> None:
        self._under_way -= 1
        self.acknowledged.unknown.add(command.id)
