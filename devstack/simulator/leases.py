"""Whether leases are kept: nobody takes an effect over, or calls it unconfirmed, while its claim's lease runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from devstack.simulator.findings import Finding, Harm

_CLAIMED: Final = {"S": "claimed"}


class _Claim(NamedTuple):
    token: str
    lease_until: float


class LeaseWatch:
    """Watches the ledger's writes and what is reported of it.

    ``tolerance``: so far may the clocks of two functions be apart, in seconds.
    """

    def __init__(self, clock: Callable[[], float], tolerance: float) -> None:
        self._clock = clock
        self._tolerance = tolerance
        self._claims: dict[str, _Claim] = {}
        self._findings: list[Finding] = []

    def written(self, item: Mapping[str, Any]) -> None:
        """An item of the ledger was put."""
        pk = item["pk"]["S"]
        if item.get("state") != _CLAIMED:
            self._claims.pop(pk, None)
            return
        token = item["token"]["S"]
        held = self._claims.get(pk)
        if held and held.token != token and self._runs(held):
            self._findings.append(Finding(Harm.WRONG, pk, "was taken over while the lease of its claim ran"))
        self._claims[pk] = _Claim(token, float(item["lease_until"]["N"]))

    def deleted(self, key: Mapping[str, Any]) -> None:
        """An item was deleted: if it is the ledger's, its claim was given back."""
        self._claims.pop(key.get("pk", {}).get("S", ""), None)

    def unconfirmed(self, consumer: str, event_id: str, effect: str) -> None:
        """It is reported that nobody knows whether an effect happened."""
        held = self._claims.get(f"effect#{consumer}#{event_id}" + (f"#{effect}" if effect else ""))
        if held and self._runs(held):
            found = f"{consumer} calls {event_id} unconfirmed while the lease of its claim runs"
            self._findings.append(Finding(Harm.WRONG, "", found))

    def findings(self) -> Iterator[Finding]:
        """Where a lease was not kept."""
        yield from self._findings

    def _runs(self, claim: _Claim) -> bool:
        return claim.lease_until - self._tolerance > self._clock()
