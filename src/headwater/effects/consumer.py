"""The frame of a consumer behind a queue: one effect per event, however often the event comes.

To add a consumer: write a function that prepares its effect from an event, and build a `QueueConsumer` around it in
bootstrap.py, with the event types that its subscription's filter policy lets through.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from headwater.change_stream import claim_checks, sqs
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.claim_checks import ClaimStore
from headwater.clock import utc_now
from headwater.domain.events import MalformedEventError, RecordedEvent
from headwater.effects.ledger import Claim, EffectLedger, UnconfirmedClaimError
from headwater.incidents import Incidents

#: What an event leads to; performed at most once per claim.
type Effect = Callable[[], object]


class UnexpectedEventError(ValueError):
    """An event of a type that the consumer's filter policy should have kept away."""


class EffectNotPerformedError(Exception):
    """An effect failed in a way which leaves no doubt that it did not happen, so that it may be tried again."""


class OnUnconfirmed(StrEnum):
    """What to do when an effect may or may not have happened: leave it to a person, or risk doing it twice."""

    HOLD = "hold"
    REPEAT = "repeat"


class QueueConsumer:
    """Handles the messages of one queue, each on its own: a queue promises no order.

    ``prepare`` reads an event and gives its effect; what it raises is raised before anything is claimed. An effect
    raises `EffectNotPerformedError` only where it certainly did not happen: the claim is then released. After any
    other error the claim stays, and once its lease is over ``on_unconfirmed`` decides: HOLD fails the message until
    the queue's redrive policy moves it to the dead-letter queue, REPEAT performs the effect again. Both are reported.
    """

    def __init__(
        self,
        name: str,
        handles: Collection[str],
        prepare: Callable[[RecordedEvent], Effect],
        *,
        claims: ClaimStore,
        ledger: EffectLedger,
        incidents: Incidents,
        on_unconfirmed: OnUnconfirmed = OnUnconfirmed.HOLD,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._name = name
        self._handles = frozenset(handles)
        self._prepare = prepare
        self._claims = claims
        self._ledger = ledger
        self._incidents = incidents
        self._on_unconfirmed = on_unconfirmed
        self._clock = clock

    def consume(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Handles one batch, as Lambda delivers it.

        Raises
        ------
        MalformedRecordError
            A record has no message id, so that no answer could name it; nothing was done.
        """
        messages = [(sqs.message_id(raw), raw) for raw in records]
        failures: list[Failure] = []
        for message_id, raw in messages:
            try:
                self._handle(raw)
            except Exception as error:  # noqa: BLE001  # whatever one message meets, the next ones get their turn
                failures.append(Failure(message_id, error))
        return BatchOutcome(len(records), tuple(failures))

    def _handle(self, raw: Mapping[str, Any]) -> None:
        delivery = claim_checks.resolve(sqs.parse(raw).body, self._claims)
        event = delivery.event
        if event.type not in self._handles:
            raise UnexpectedEventError(
                f"event {event.event_id} is a {event.type}; {self._name} handles {', '.join(sorted(self._handles))}: "
                "correct the subscription's filter policy"
            )
        if delivery.replay and self._forgotten(event):
            self._incidents.report(
                "OutdatedEffects",
                "a replayed event is older than the effect ledger's memory; it was not acted upon",
                event_id=event.event_id,
            )
            return
        effect = self._prepare(event)
        claim = self._claim(event)
        if claim:
            self._perform(effect, claim)

    def _forgotten(self, event: RecordedEvent) -> bool:
        """Whether the ledger may have forgotten the event's effect, which a replay would then repeat."""
        try:
            occurred_at = datetime.fromisoformat(event.occurred_at)
            return occurred_at + self._ledger.memory <= self._clock()
        except (TypeError, ValueError) as error:
            raise MalformedEventError(f"event {event.event_id} has no time with a zone in 'time'") from error

    def _claim(self, event: RecordedEvent) -> Claim | None:
        try:
            return self._ledger.claim(self._name, event.event_id)
        except UnconfirmedClaimError:
            self._incidents.report(
                "UnconfirmedEffects",
                "whether an effect happened is unknown",
                event_id=event.event_id,
                policy=self._on_unconfirmed,
            )
            if self._on_unconfirmed is OnUnconfirmed.HOLD:
                raise
        return self._ledger.claim(self._name, event.event_id, take_over=True)

    def _perform(self, effect: Effect, claim: Claim) -> None:
        try:
            effect()
        except EffectNotPerformedError:
            self._ledger.release(claim)
            raise
        self._ledger.confirm(claim)
