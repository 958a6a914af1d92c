"""What was done once: the memory of effects that cannot be taken back, such as an e-mail.

An effect is claimed before it is performed and confirmed after. Whoever stops in between leaves a claim that nobody
confirmed: while its lease runs the effect may still be under way; after that, nobody knows whether it happened.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


class EffectLedgerError(Exception):
    """A claim that the ledger refused."""


class ClaimHeldError(EffectLedgerError):
    """Somebody else holds the claim and may be performing the effect now. Try again after the lease."""


class UnconfirmedClaimError(EffectLedgerError):
    """A claim outlived its lease unconfirmed: whether the effect happened is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to perform one consumer's effect of one event. ``token`` tells this claim from any other."""

    consumer: str
    event_id: str
    token: str


class EffectLedger(Protocol):
    """Remembers, per consumer and event, that an effect was claimed and that it was confirmed.

    ``memory`` is how long it remembers. A replayed event older than that must not be acted upon.
    """

    @property
    def memory(self) -> timedelta: ...

    def claim(self, consumer: str, event_id: str, *, take_over: bool = False) -> Claim | None:
        """Claims the effect; None if it is confirmed already. ``take_over`` replaces a claim past its lease.

        Raises
        ------
        ClaimHeldError
            Another claim's lease runs.
        UnconfirmedClaimError
            Another claim is past its lease, and ``take_over`` was not asked for.
        """
        ...

    def confirm(self, claim: Claim) -> None:
        """Records that the effect happened."""
        ...

    def release(self, claim: Claim) -> None:
        """Gives up a claim whose effect certainly did not happen; no-op if it is no longer ours."""
        ...
