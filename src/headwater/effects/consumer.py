"""The frame of a consumer behind a queue: each effect of an event once, however often the event comes.

What it does is declared as an `Effect`; see effect.py.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from headwater.change_stream import claim_checks, sqs
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.postponement import Postponement, pause
from headwater.clock import utc_now
from headwater.domain.events import EventTypes, RecordedEvent
from headwater.effects.effect import Action, Prepare
from headwater.effects.ledger import Claim, EffectLedger, UnconfirmedClaimError
from headwater.failures import FailureKind, JudgedError, PermanentError, RefusedError, kind_of, precedence
from headwater.incidents import Incidents

#: How long a message hides after each receipt in an outage but the last that its queue allows: ten hours together.
OUTAGE_PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in (2, 4, 8, 16, 32, 64, 128, 180, 180))


class UnexpectedEventError(PermanentError):
    """An event of a type that the consumer's filter policy should have kept away."""


class EffectNotPerformedError(JudgedError):
    """An effect failed in a way which leaves no doubt that it did not happen, so that it may be tried again.

    ``retry_after``: no sooner than that, as trying would be in vain; None leaves it to the queue. ``kind``: what is at
    fault.
    """

    def __init__(
        self, reason: str, retry_after: timedelta | None = None, kind: FailureKind = FailureKind.TRANSIENT
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.kind = kind


class EffectRefusedError(RefusedError):
    """An effect did not happen and never will, however often it is tried."""


class EffectsFailedError(JudgedError):
    """Several effects of one event failed; the message holds what each of them met, and the first decides for all."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__("; ".join(f"{type(error).__name__}: {error}" for error in errors))
        self.kind = kind_of(min(errors, key=precedence))


class OnUnconfirmed(StrEnum):
    """What to do when an effect may or may not have happened.

    HOLD leaves it to a person; REPEAT risks doing it twice. Both are reported. RESUME is for an effect that changes
    nothing the second time: nobody needs to hear of it.
    """

    HOLD = "hold"
    REPEAT = "repeat"
    RESUME = "resume"


class QueueConsumer:
    """Handles the messages of one queue, each on its own: a queue promises no order.

    ``prepare`` reads an event and gives its effects; what it raises is raised before anything is claimed. An effect
    raises `EffectNotPerformedError` only where it certainly did not happen: its claim is then released. It raises
    `EffectRefusedError` where it never will: that is reported, and settled. After any other error the claim stays,
    and once its lease is over ``on_unconfirmed`` decides: HOLD fails the message until the queue's redrive policy
    moves it to the dead-letter queue, REPEAT and RESUME perform the effect again.
    """

    def __init__(
        self,
        name: str,
        handles: Collection[str],
        prepare: Prepare,
        *,
        claims: ClaimStore,
        types: EventTypes,
        ledger: EffectLedger,
        incidents: Incidents,
        on_unconfirmed: OnUnconfirmed,
        postponement: Postponement | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.name = name
        self._handles = frozenset(handles)
        self._prepare = prepare
        self._claims = claims
        self._types = types
        self._ledger = ledger
        self._incidents = incidents
        self._on_unconfirmed = on_unconfirmed
        self._postponement = postponement
        self._clock = clock

    def consume(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Handles one batch, as Lambda delivers it.

        Raises
        ------
        MalformedRecordError
            A record has no message id, so that no answer could name it; nothing was done.
        """
        return sqs.each_on_its_own(records, self._handle)

    def effect_ids(self, event: RecordedEvent) -> list[str]:
        """What an event leads to, by the ids that the ledger has; nothing is done. Raises what ``prepare`` raises."""
        if event.type not in self._handles:
            return []
        return [_effect_id(event, name) for name in self._prepare(event)]

    def _handle(self, message: sqs.QueueMessage) -> None:
        try:
            self._act_on(message)
        except Exception as error:
            # An outage is no message's fault: it must not use up the receives that its queue allows.
            if self._postponement and kind_of(error) is FailureKind.OUTAGE:
                pause(self._postponement, message, OUTAGE_PAUSES)
            raise

    def _act_on(self, message: sqs.QueueMessage) -> None:
        delivery = claim_checks.resolve(message.body, self._claims, self._types)
        event = delivery.event
        if event.type not in self._handles:
            raise UnexpectedEventError(
                f"event {event.event_id} is a {event.type}; {self.name} handles {', '.join(sorted(self._handles))}: "
                "correct the subscription's filter policy"
            )
        if delivery.replay and self._forgotten(event):
            self._incidents.report(
                "OutdatedEffects",
                "a replayed event is older than the effect ledger's memory; it was not acted upon",
                event_id=event.event_id,
            )
            return
        errors = []
        for name, action in self._prepare(event).items():
            try:
                self._once(event, name, action)
            except Exception as error:  # noqa: BLE001  # an effect does not wait for another of its event
                errors.append(error)
        self._postpone(message, errors)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise EffectsFailedError(errors) from errors[0]

    def _forgotten(self, event: RecordedEvent) -> bool:
        """Whether the ledger may have forgotten the event's effect, which a replay would then repeat."""
        return datetime.fromisoformat(event.occurred_at) <= self._clock() - self._ledger.memory

    def _once(self, event: RecordedEvent, name: str, action: Action) -> None:
        claim = self._claim(event, name)
        if claim is None:
            return
        try:
            action()
        except EffectNotPerformedError:
            self._ledger.release(claim)
            raise
        except EffectRefusedError as error:
            self._ledger.confirm(claim, refused=True)
            self._incidents.report("RefusedEffects", str(error), event_id=event.event_id, effect=name)
        else:
            self._ledger.confirm(claim)

    def _claim(self, event: RecordedEvent, name: str) -> Claim | None:
        effect_id = _effect_id(event, name)
        of = f"{event.aggregate_id}#{event.version}"
        try:
            return self._ledger.claim(self.name, effect_id, of)
        except UnconfirmedClaimError:
            if self._on_unconfirmed is not OnUnconfirmed.RESUME:
                self._incidents.report(
                    "UnconfirmedEffects",
                    "whether an effect happened is unknown",
                    event_id=event.event_id,
                    effect=name,
                    policy=self._on_unconfirmed,
                )
            if self._on_unconfirmed is OnUnconfirmed.HOLD:
                raise
        return self._ledger.claim(self.name, effect_id, of, take_over=True)

    def _postpone(self, message: sqs.QueueMessage, errors: Sequence[Exception]) -> None:
        """Hides the message if nothing but waiting is left to do for it."""
        delays = [error.retry_after for error in errors if isinstance(error, EffectNotPerformedError)]
        if self._postponement and errors and len(delays) == len(errors) and None not in delays:
            self._postponement.postpone(message, min(delay for delay in delays if delay))


def _effect_id(event: RecordedEvent, name: str) -> str:
    return f"{event.event_id}#{name}" if name else event.event_id
