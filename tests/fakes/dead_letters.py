"""A dead letter as a listing has it."""

from datetime import UTC, datetime
from typing import Any

from operations.dead_letters.waiting import PARKED, DeadLetter


def dead_letter(**changed: Any) -> DeadLetter:
    """One of ``board``, whose event nobody can read, but for what is given."""
    told: dict[str, Any] = {
        "place": PARKED,
        "key": "k",
        "consumer": "board",
        "reason": "UnknownEventError",
        "aggregate": "user#ada",
        "versions": [1],
        "records": 1,
        "failed_at": datetime.now(UTC),
        "expires_at": None,
        "error": "UnknownEventError: nobody knows it",
        "attempts": 1,
        "events": (),
        "raw": {},
    }
    return DeadLetter(**(told | changed))
