"""What an invariant finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Harm(StrEnum):
    """What a finding counts as.

    PARKED and HELD wait where an operator sees them. REPEATED was done again as its policy says, and reported, since
    nobody knew whether it had been done. REFUSED was refused for good by its destination, and reported. All others
    break the run.
    """

    LOST = "lost"
    DOUBLED = "doubled"
    ORDER = "order break"
    WRONG = "wrong"
    PARKED = "parked"
    HELD = "held"
    REPEATED = "repeated"
    REFUSED = "refused"

    @property
    def breaks(self) -> bool:
        return self not in {Harm.PARKED, Harm.HELD, Harm.REPEATED, Harm.REFUSED}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, about one aggregate (empty: about none in particular)."""

    harm: Harm
    aggregate: str
    found: str

    def __str__(self) -> str:
        return f"{self.harm}: {self.aggregate + ': ' if self.aggregate else ''}{self.found}"
