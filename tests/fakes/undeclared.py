"""An event type that this code can read and no projection declares: what a developer forgot."""

from typing import ClassVar

import pytest

from headwater.domain.events import DomainEvent, EventReader
from tests.fakes.events import EVENT_TYPES


class PlayUndone(DomainEvent, frozen=True, kw_only=True):
    aggregate_type: ClassVar[str] = "player"
    schema_version: ClassVar[int] = 1
    game: str
    score: int
    played_at: str


@pytest.fixture
def undeclared_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets this code read it."""
    monkeypatch.setitem(EVENT_TYPES._readers, PlayUndone.__name__, EventReader(PlayUndone))
