"""Code that fails for one event, in a way that nobody foresaw, until it is repaired: minutes after the last event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from headwater.domain.events import RecordedEvent
from headwater.projections.projection import Projection

#: Of the events that a projection folds, compared with other faults, so many are such: one or so in a thousand.
_SCALE: Final = 0.004
#: So long after the last event a deployment repairs it, in seconds.
REPAIRED_AFTER: Final = 600.0


class Bugs:
    """Which events a projection fails on; ``aggregates`` are theirs.

    ``decides`` is asked once for each projection and event. Nothing fails where ``applies`` says so: outside of a
    function.
    """

    def __init__(self, decides: Callable[[str, float], bool], applies: Callable[[], bool]) -> None:
        self._decides = decides
        self._applies = applies
        self._known: dict[tuple[str, str], bool] = {}
        self.repaired = False
        self.aggregates: set[str] = set()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within it the projections have the bugs."""
        evolve = Projection.evolve

        def failing(projection: Projection, state: Any, event: RecordedEvent) -> Any:
            if not self.repaired and self._applies() and self._fails(projection.name, event):
                raise ZeroDivisionError(f"{projection.name} fails on {event.event_id}")
            return evolve(projection, state, event)

        patched: Any = Projection
        patched.evolve = failing
        try:
            yield
        finally:
            patched.evolve = evolve

    def _fails(self, projection: str, event: RecordedEvent) -> bool:
        key = projection, event.event_id
        if key not in self._known:
            self._known[key] = self._decides("bug", _SCALE)
            if self._known[key]:
                self.aggregates.add(event.aggregate_id)
        return self._known[key]
