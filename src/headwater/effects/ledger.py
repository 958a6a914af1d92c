"""What was done once: the memory of effects that cannot be taken back, such as an e-mail.

An effect is claimed before it is performed and confirmed after. Whoever stops in between leaves a claim that nobody
confirmed: while its lease runs the effect may still be under way; after that, nobody knows whether it happened.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from headwater.failures import TransientError


class EffectLedgerError(Exception):
    """A claim that the ledger refused."""


class ClaimHeldError(EffectLedgerError, TransientError):
    """Somebody else holds the claim and may be performing the effect now. Try again after the lease."""


class UnconfirmedClaimError(EffectLedgerError):
    """A claim outlived its lease unconfirmed: whether the effect happened is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to perform one effect of one consumer. ``token`` tells this claim from any other.

    ``effect_id`` is the event's id; where an event has several effects, followed by ``#`` and the effect's name. It
    is followed by ``@`` and ``of``, the event's place in the event store, where another event took the id first.
    """

    consumer: str
    effect_id: str
    of: str
    token: str


class EffectLedger(Protocol):
    """Remembers, per consumer and effect, that it was claimed and what became of it.

    ``memory`` is how long it remembers. A replayed event older than that must not be acted upon.
    """

    @property
    def memory(self) -> timedelta: ...

    def claim(self, consumer: str, effect_id: str, of: str, *, take_over: bool = False) -> Claim | None:
        """Claims the effect; None if it is settled already. ``take_over`` replaces a claim past its lease.

        Nothing keeps programs from giving two events one id: ``of`` tells them apart.

        Raises
        ------
        ClaimHeldError
            Another claim's lease runs.
        UnconfirmedClaimError
            Another claim is past its lease, and ``take_over`` was not asked for.
        """
        ...

    def confirm(self, claim: Claim, *, refused: bool = False) -> None:
        """Records that the effect happened, or that it was ``refused`` for good. Either way it is settled."""
        ...

    def release(self, claim: Claim) -> None:
        """Gives up a claim whose effect certainly did not happen; no-op if it is no longer ours."""
        ...
