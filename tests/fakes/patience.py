"""Patience in memory, at a clock that stands still unless a test moves it."""

from datetime import datetime, timedelta

from headwater.dead_letters.patience import Patience
from tests.fakes.events import AT
from tests.fakes.first_failures import InMemoryFirstFailures
from tests.fakes.incidents import RecordedIncidents


class Patient:
    """A consumer's patience with what it talks to; ``after`` are the seconds since the first failure."""

    def __init__(self) -> None:
        self.after = 0
        self.failures = InMemoryFirstFailures()
        self.incidents = RecordedIncidents()
        self.patience = Patience(
            "tests",
            self.failures,
            self.incidents,
            lambda: datetime.fromisoformat(AT) + timedelta(seconds=self.after),
        )


def patience() -> Patience:
    """One that sets nothing aside, as its clock stands still."""
    return Patient().patience
