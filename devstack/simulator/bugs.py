"""Code that fails for one record, in a way that nobody foresaw, until it is repaired: minutes after the last event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from headwater.applications import enrichment
from headwater.applications.parking import CONSUMER
from headwater.domain.events import RecordedEvent
from headwater.projections.projection import Projection

#: Of the events that a projection folds, compared with other faults, so many are such: one or so in a thousand. Of the
#: actions that the Pipe enriches, which are far fewer, ten times as many.
_SCALE: Final = 0.004
_ACTIONS_SCALE: Final = 0.04
#: So long after the last event a deployment repairs it, in seconds.
REPAIRED_AFTER: Final = 600.0


class Bugs:
    """Which events a projection fails on, and which actions the Pipe's enrichment; ``aggregates`` are theirs.

    ``decides`` is asked once for each of them and record. Nothing fails where ``applies`` says so: outside of a
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
        """Within it the code has the bugs."""
        evolve, change = Projection.evolve, enrichment._change

        def failing_evolve(projection: Projection, state: Any, event: RecordedEvent) -> Any:
            self._fail(projection.name, event.event_id, event.aggregate_id, _SCALE)
            return evolve(projection, state, event)

        def failing_change(action: Any, found: Any) -> Any:
            if isinstance(action, dict):
                self._fail(CONSUMER, str(action.get("action_id")), str(action["application_id"]), _ACTIONS_SCALE)
            return change(action, found)

        patched: Any = Projection
        patched.evolve, enrichment._change = failing_evolve, failing_change
        try:
            yield
        finally:
            patched.evolve, enrichment._change = evolve, change

    def _fail(self, consumer: str, record_id: str, aggregate_id: str, scale: float) -> None:
        if self.repaired or not self._applies():
            return
        key = consumer, record_id
        if key not in self._known:
            self._known[key] = self._decides("bug", scale)
            if self._known[key]:
                self.aggregates.add(aggregate_id)
        if self._known[key]:
            raise ZeroDivisionError(f"{consumer} fails on {record_id}")
