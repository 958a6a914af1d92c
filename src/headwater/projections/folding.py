"""Folds what a batch brings of one row, in memory, each aggregate as far as it goes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headwater.change_stream import cloud_events
from headwater.change_stream.claim_checks import ClaimStore
from headwater.change_stream.cloud_events import Delivery
from headwater.domain.events import EventTypes, MalformedEventError, RecordedEvent
from headwater.failures import BLAMELESS, kind_of
from headwater.projections.history import GapError, History, UnreadableVersionError
from headwater.projections.inbox import Inbox
from headwater.projections.projection import Projection, State
from headwater.projections.read_models import Row


class Stop(NamedTuple):
    """An aggregate that goes no further than the version ``applied``, and why."""

    inbox: Inbox
    error: Exception
    applied: int

    @property
    def version(self) -> int:
        """At which it stands."""
        return self.applied + 1

    @property
    def missing(self) -> range:
        """The versions that keep it from going on: all of a gap, else the one at which it stands."""
        return range(self.version, (self.error.last if isinstance(self.error, GapError) else self.version) + 1)

    @property
    def mark(self) -> dict[str, int]:
        """What its row says of it, by the mark's name: whether it waits for a version that can still come."""
        waits = isinstance(self.error, UnreadableVersionError | GapError)
        return {"waits_for" if waits else "parked_from": self.version}

    @property
    def unreadable(self) -> bool:
        """Whether the next version is no event, so that fan_out has parked it and nothing of it is parked here."""
        return isinstance(self.error, UnreadableVersionError)

    @property
    def blameless(self) -> bool:
        """Whether no event is to blame, so that another try may get past it."""
        return kind_of(self.error) in BLAMELESS


@dataclass(slots=True)
class Folded:
    """A row's next state and marks, and those of its aggregates that had to stop.

    ``full``: one write takes no more; what is left to fold follows in the next one.
    """

    state: State | None
    applied: dict[str, int]
    parked_from: dict[str, int]
    waits_for: dict[str, int]
    events: list[RecordedEvent] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    full: bool = False

    def differs(self, row: Row) -> bool:
        """Whether there is anything to write."""
        return bool(self.events or self.full) or (self.applied, self.parked_from, self.waits_for) != (
            row.applied,
            row.parked_from,
            row.waits_for,
        )


class Folding:
    """``most_parts``: how many parts of a row one transaction takes."""

    def __init__(
        self, projection: Projection, history: History, claims: ClaimStore, types: EventTypes, most_parts: int
    ) -> None:
        self._projection = projection
        self._history = history
        self._claims = claims
        self._types = types
        self._most_parts = most_parts

    def fold(self, inboxes: Sequence[Inbox], row: Row, most: int | None = None) -> Folded:
        """Folds each aggregate as far as it goes, and as far as one write does: at most ``most`` events."""
        folded = Folded(row.state, dict(row.applied), dict(row.parked_from), dict(row.waits_for))
        for inbox in inboxes:
            if folded.full:
                break
            if _stands(inbox, row):
                continue
            inbox.reads_on = inbox.reads_on or inbox.gate in row.waits_for
            # Not by the mark: it stands until the last of several transactions, and would set the gate back.
            if inbox.given_up and folded.applied.get(inbox.gate, 0) + 1 == inbox.given_up.start:
                folded.applied[inbox.gate] = inbox.given_up[-1]
                # By itself, so that a write that is refused for what follows does not take this back.
                folded.full = True
                break
            try:
                self._fold_aggregate(inbox, row.state, folded, most)
            except Exception as error:  # noqa: BLE001  # the row's other aggregates flow on; the runner judges it
                folded.stops.append(Stop(inbox, error, folded.applied.get(inbox.gate, 0)))
            else:
                if not folded.full:
                    folded.parked_from.pop(inbox.gate, None)
                    folded.waits_for.pop(inbox.gate, None)
        return folded

    def _fold_aggregate(self, inbox: Inbox, before: State | None, folded: Folded, most: int | None) -> None:
        applied = folded.applied.get(inbox.gate, 0)
        deliveries, reads_on = inbox.deliveries, inbox.reads_on
        if inbox.redriven:
            # What the store has now goes first: an item may have been mended.
            stored, whole = self._history.after(inbox.aggregate_id, applied)
            deliveries, reads_on = {**deliveries, **stored}, not whole
            if not (stored or applied) and inbox.unreadable:
                raise inbox.unreadable
        while True:
            if applied + 1 not in deliveries:
                if max(deliveries, default=0) <= applied and not reads_on:
                    return
                arrived = min((version for version in deliveries if version > applied), default=0)
                stored, whole = self._history.missing(inbox.aggregate_id, applied, arrived)
                if not stored:
                    return
                deliveries, reads_on = {**deliveries, **stored}, reads_on and not whole
            event = self._whole(deliveries[applied + 1])
            state = self._projection.evolve(folded.state, event)
            if self._projection.part and self._overflows(before, state):
                folded.full = True
                if not folded.events:
                    # One event takes more parts than a transaction does, which only a deletion can: some of them go
                    # now, and the gate moves with the last.
                    folded.state = self._projection.without_parts(before, self._most_parts)
                return
            folded.state = state
            applied = folded.applied[inbox.gate] = event.version
            folded.events.append(event)
            if len(folded.events) == most:
                folded.full = True
                return

    def _overflows(self, before: State | None, after: State | None) -> bool:
        return self._projection.count_parts(after or before) > self._most_parts and (
            len(self._projection.changed_parts(before, after)) > self._most_parts
        )

    def _whole(self, delivery: Delivery) -> RecordedEvent:
        """The event with its data. Claim checks are followed only here, so that a duplicate costs no request."""
        if delivery.dataref is None:
            return delivery.event
        claimed = cloud_events.decode(self._claims.get(delivery.dataref), self._types).event
        if claimed.event_id != delivery.event.event_id:
            raise MalformedEventError(f"the claim check of event {delivery.event.event_id} leads to another event")
        return claimed


def _stands(inbox: Inbox, row: Row) -> bool:
    """Whether its events are to be acknowledged unapplied: the event store holds them, and none may overtake."""
    if inbox.redriven:
        return False
    return inbox.gate in row.parked_from or (
        inbox.gate in row.waits_for and row.waits_for[inbox.gate] not in inbox.deliveries
    )
