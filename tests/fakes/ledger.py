"""The effect ledger in memory. tests/contract holds it to the same behaviour as the DynamoDB one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from headwater.clock import utc_now
from headwater.effects.ledger import Claim, ClaimHeldError, UnconfirmedClaimError


@dataclass(slots=True)
class Entry:
    of: str
    token: str
    lease_until: datetime
    confirmed: bool = False
    refused: bool = False


class InMemoryEffectLedger:
    """Implements `headwater.effects.ledger.EffectLedger`; ``entries`` by (consumer, effect id)."""

    def __init__(
        self,
        *,
        lease: timedelta = timedelta(minutes=2),
        memory: timedelta = timedelta(days=400),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}
        self.memory = memory
        self._lease = lease
        self._clock = clock
        self._tokens = count()

    def claim(self, consumer: str, effect_id: str, of: str, *, take_over: bool = False) -> Claim | None:
        held = self.entries.get((consumer, effect_id))
        if held and held.of != of:
            return self.claim(consumer, f"{effect_id}@{of}", of, take_over=take_over)
        if held:
            if held.confirmed:
                return None
            if held.lease_until > self._clock():
                raise ClaimHeldError(f"{effect_id} is claimed")
            if not take_over:
                raise UnconfirmedClaimError(f"{effect_id} was never confirmed")
        claim = Claim(consumer=consumer, effect_id=effect_id, of=of, token=str(next(self._tokens)))
        self.entries[consumer, effect_id] = Entry(of, claim.token, self._clock() + self._lease)
        return claim

    def confirm(self, claim: Claim, *, refused: bool = False) -> None:
        self.entries[claim.consumer, claim.effect_id] = Entry(
            claim.of, claim.token, self._clock(), confirmed=True, refused=refused
        )

    def release(self, claim: Claim) -> None:
        held = self.entries.get((claim.consumer, claim.effect_id))
        if held and held.token == claim.token and not held.confirmed:
            del self.entries[claim.consumer, claim.effect_id]
