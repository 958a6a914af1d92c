"""The commands: load, decide, append with a condition; once more where somebody else was faster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater.accounts.commands import ChangeEmail, ChangeProfile, RecordActivity, RecordPlay, RegisterUser
from headwater.accounts.credentials import Credentials
from headwater.accounts.histories import existing_user
from headwater.accounts.passwords import Password, PasswordHasher
from headwater.accounts.request_ledger import (
    IdempotencyKeyReusedError,
    Receipt,
    RequestKey,
    RequestLedger,
    RequestRepeatedError,
)
from headwater.clock import timestamp
from headwater.domain import activity, player, user
from headwater.domain.events import DomainEvent, NewEvent
from headwater.domain.user import User
from headwater.event_store.store import (
    Append,
    ConcurrencyError,
    ConditionalWrite,
    EventStore,
    EventStoreError,
    PutNew,
    UnreadableHistoryError,
    WriteRefusedError,
)

#: Load, decide and append so often before the client hears of the conflict.
ATTEMPTS = 3


class EmailTakenError(Exception):
    """The address belongs to another account."""

    def __init__(self) -> None:
        super().__init__("another account has this e-mail address")


class VersionMismatchError(Exception):
    """The caller decided on a version that is not the current one."""

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"the user is at version {current}, not at {expected}: read again and decide again")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """Who asks, in which conversation. ``request`` makes the command idempotent; ``expected_version`` is the user's
    version on which the caller decided."""

    correlation_id: str
    actor: str
    request: RequestKey | None = None
    expected_version: int | None = None


class Accounts:
    """The use cases that append. Each answers with a `Receipt`, the same one for a repeated request.

    Those that load a history raise `UnreadableHistoryError` where an event of it cannot be read.
    """

    def __init__(
        self,
        *,
        store: EventStore,
        credentials: Credentials,
        requests: RequestLedger,
        passwords: PasswordHasher,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._requests = requests
        self._passwords = passwords
        self._clock = clock
        self._new_id = new_id

    def register(self, command: RegisterUser, context: CommandContext) -> Receipt:
        """Opens an account.

        Raises
        ------
        EmailTakenError, IdempotencyKeyReusedError
        """
        user_id = self._new_id()

        def attempt() -> Receipt:
            event = user.register(command.name, command.email)
            password_hash = self._passwords.hash(command.password)
            claim = self._credentials.claim(user_id, command.email, password_hash)
            try:
                return self._append(f"user#{user_id}", 0, event, context, also=claim)
            except WriteRefusedError as error:
                raise EmailTakenError from error

        return self._once(attempt, context, lambda receipt: self._has_password(receipt, command.password))

    def change_email(self, user_id: str, command: ChangeEmail, context: CommandContext) -> Receipt:
        """Moves an account to another address.

        Raises
        ------
        UserNotFoundError, UserDeletedError, EmailTakenError, VersionMismatchError, ConcurrencyError
        """

        def attempt() -> Receipt:
            state, version = self._load(user_id, context)
            event = user.change_email(state, command.email)
            if event is None:
                return Receipt(aggregate_id=f"user#{user_id}", version=version, event_id=None)
            move = self._credentials.move(user_id, event.old_email, event.new_email)
            try:
                return self._append(f"user#{user_id}", version, event, context, also=move)
            except WriteRefusedError as error:
                if isinstance(error.write, PutNew):
                    raise EmailTakenError from error
                raise

        return self._once(attempt, context)

    def change_profile(self, user_id: str, command: ChangeProfile, context: CommandContext) -> Receipt:
        """Gives the user another name.

        Raises
        ------
        UserNotFoundError, UserDeletedError, VersionMismatchError, ConcurrencyError
        """

        def attempt() -> Receipt:
            state, version = self._load(user_id, context)
            event = user.change_profile(state, command.name)
            if event is None:
                return Receipt(aggregate_id=f"user#{user_id}", version=version, event_id=None)
            return self._append(f"user#{user_id}", version, event, context)

        return self._once(attempt, context)

    def delete(self, user_id: str, context: CommandContext) -> Receipt:
        """Closes an account and frees its address, in one transaction: a sign-in that races it finds no hash.

        Raises
        ------
        UserNotFoundError, UserDeletedError, VersionMismatchError, ConcurrencyError
        """

        def attempt() -> Receipt:
            state, version = self._load(user_id, context)
            event = user.delete(state)
            release = self._credentials.release(user_id, state.email)
            return self._append(f"user#{user_id}", version, event, context, also=release)

        return self._once(attempt, context)

    def record_play(self, user_id: str, command: RecordPlay, context: CommandContext) -> Receipt:
        """Records a play that ended.

        Raises
        ------
        UserNotFoundError, UserDeletedError, IdempotencyKeyReusedError, ConcurrencyError
        """
        played_at = timestamp(command.played_at or self._clock())

        def attempt() -> Receipt:
            state, _ = self._load(user_id, context)
            event = player.complete_play(state, command.game, command.score, played_at)
            aggregate_id = f"player#{user_id}"
            return self._append(aggregate_id, self._store.head(aggregate_id), event, context)

        return self._once(attempt, context)

    def record_activity(self, command: RecordActivity, context: CommandContext) -> Receipt:
        """Records what a visitor did, as an aggregate of its own that expires.

        Raises
        ------
        IdempotencyKeyReusedError
        """
        event_id = self._new_id()

        def attempt() -> Receipt:
            event = activity.record(command.kind, command.user_id, command.details)
            expiry = activity.expires_at(self._clock())
            return self._append(f"activity#{event_id}", 0, event, context, event_id=event_id, expires_at=expiry)

        return self._once(attempt, context)

    def _load(self, user_id: str, context: CommandContext) -> tuple[User, int]:
        history = self._store.load(f"user#{user_id}")
        state = existing_user(history)
        version, expected = history[-1].version, context.expected_version
        if expected is not None and expected != version:
            raise VersionMismatchError(expected, version)
        return state, version

    def _append(
        self,
        aggregate_id: str,
        version: int,
        payload: DomainEvent,
        context: CommandContext,
        *,
        also: Sequence[ConditionalWrite] = (),
        event_id: str | None = None,
        expires_at: int | None = None,
    ) -> Receipt:
        now = self._clock()
        event = NewEvent(
            event_id=event_id or self._new_id(),
            payload=payload,
            occurred_at=timestamp(now),
            metadata={"correlation_id": context.correlation_id, "actor": context.actor},
            expires_at=expires_at,
        )
        receipt = Receipt(aggregate_id=aggregate_id, version=version + 1, event_id=event.event_id)
        remembered = self._requests.remember(context.request, receipt, now) if context.request else None
        try:
            # The record goes first: the store names the first write that was refused, and this one explains the rest.
            self._store.append(
                Append(aggregate_id, version, [event]), also=[*([remembered] if remembered else []), *also]
            )
        except WriteRefusedError as error:
            if error.write == remembered:
                raise RequestRepeatedError from error
            raise
        return receipt

    def _once(
        self,
        attempt: Callable[[], Receipt],
        context: CommandContext,
        is_same: Callable[[Receipt], bool] = lambda _: True,
    ) -> Receipt:
        """The attempt's receipt; the first request's, if this one is a repetition, whatever stopped it."""
        try:
            return self._decided_again(attempt)
        except (RequestRepeatedError, EmailTakenError, EventStoreError, UnreadableHistoryError, user.UserError):
            receipt = self._requests.recall(context.request) if context.request else None
            if receipt is None:
                raise
            if not is_same(receipt):
                raise IdempotencyKeyReusedError from None
            return receipt

    def _decided_again(self, attempt: Callable[[], Receipt]) -> Receipt:
        for _ in range(ATTEMPTS - 1):
            try:
                return attempt()
            except (ConcurrencyError, WriteRefusedError):
                continue
        return attempt()

    def _has_password(self, receipt: Receipt, password: Password) -> bool:
        stored = self._credentials.password_hash(receipt.aggregate_key)
        return stored is not None and self._passwords.verify(stored, password)
