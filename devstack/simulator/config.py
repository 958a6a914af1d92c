"""What one run of the simulator is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devstack.simulator.faults import FaultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What one run is made of; equal configurations have equal histories.

    ``events`` are acknowledged by the API, at ``rate`` a virtual second; ``newcomers`` is the share of registrations
    until there are as many ``users``; ``faults`` is the probability at each call and decision. ``poisons`` are the
    numbers of events after each of which a poison record follows that nothing cures. ``poison`` is the share of events
    that come from newer code than the consumers', until that is deployed too and all that is parked is redriven (see
    `World.run`). ``odd`` is the share of events that an odd record follows (see `devstack.simulator.odd`);
    ``odd_only`` names the kinds to keep to. ``overrides`` change settings of mappings by title
    (``*``: of all). A run with fewer ``events`` is the beginning of one with more, all else being equal.
    """

    seed: int
    events: int
    faults: float
    users: int
    newcomers: float
    rate: float
    poisons: tuple[int, ...] = ()
    poison: float = 0.0
    odd: float = 0.0
    odd_only: tuple[str, ...] = ()
    shards: int = 2
    off: frozenset[FaultKind] = frozenset()
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keep_trace: bool = False

    @classmethod
    def of(cls, seed: int, events: int, faults: float, *, poisons: int | None = None, **changes: Any) -> Config:
        """The usual run of so many events. Every fifth seed meets a poison record, unless ``poisons`` says how many.

        With a share ``poison`` of curable ones it meets no other, so that nothing need be left.
        """
        users = max(5, events // 40)
        if poisons is None:
            poisons = int(faults > 0 and seed % 5 == 0 and not changes.get("poison"))
        defaults: dict[str, Any] = {
            "users": users,
            "newcomers": min(0.9, 2 * users / events),
            "rate": min(250.0, max(20.0, events / 100)),
            "poisons": tuple((index + 1) * events // (4 * poisons) for index in range(poisons)),
            "shards": 2 if events <= 10_000 else 4,
        }
        return cls(seed=seed, events=events, faults=faults, **(defaults | changes))
