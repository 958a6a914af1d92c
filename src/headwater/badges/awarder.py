"""Awards badges: first the event, then the row of progress that says so."""

from collections.abc import Callable
from datetime import datetime
from typing import cast

from headwater.clock import timestamp
from headwater.domain.badges import Award, Progress, record_play
from headwater.domain.events import BadgeEarned, NewEvent, PlayCompleted, RecordedEvent
from headwater.event_store.store import Append, ConcurrencyError, EventStore, UnreadableHistoryError
from headwater.projections.projection import RowChange


class Awarder:
    """Appends BadgeEarned for each award that a change of progress brings; runs before the row is written.

    The order matters: a crash between the two leaves an award whose progress is folded again, never a progress that
    claims an award which nobody made. Each award is the one event of its own aggregate, so that the append's own
    condition makes it unique: losing it means that the badge is awarded already.
    """

    def __init__(self, events: EventStore, new_id: Callable[[], str], now: Callable[[], datetime]) -> None:
        self._events = events
        self._new_id = new_id
        self._now = now

    def award(self, change: RowChange) -> None:
        """The projection runner's ``before_write``. A deleted player earns nothing more."""
        if change.before is None or change.after is None or change.before["earned"] == change.after["earned"]:
            return
        # The row says which badges are earned, and not by which play, to stay small: an award is rare, a play is not.
        progress = cast(Progress, change.before)
        for event in change.events:
            play = event.payload
            if isinstance(play, PlayCompleted):
                progress, awards = record_play(progress, play, event.event_id)
                for key, award in awards.items():
                    self._append(change.key, key, award, event)

    def _append(self, user_id: str, key: str, award: Award, play: RecordedEvent) -> None:
        metadata = {"causation_id": play.event_id}
        if correlation_id := play.metadata.get("correlation_id"):
            metadata["correlation_id"] = correlation_id
        event = NewEvent(
            event_id=self._new_id(),
            payload=BadgeEarned(user_id=user_id, **award),
            occurred_at=timestamp(self._now()),
            metadata=metadata,
        )
        try:
            self._events.append(Append(f"badge#{user_id}#{key}", 0, [event], derived=True))
        except ConcurrencyError as error:
            if not error.intervening:
                raise
        except UnreadableHistoryError:
            # Somebody's item stands in its place and is no event, which is that aggregate's trouble and not the plays'.
            return
