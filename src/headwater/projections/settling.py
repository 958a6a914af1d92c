"""Writes rows: one write a row in the normal case, and the event at fault found where a write is refused."""

import random
from collections.abc import Callable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass

from headwater.domain.events import MalformedEventError
from headwater.failures import BLAMELESS, kind_of
from headwater.projections.folding import Folded, Folding, Stop
from headwater.projections.inbox import Inbox
from headwater.projections.projection import BeforeWrite, Projection, RowChange
from headwater.projections.read_models import ReadModelStore, ReadModelThrottledError, Row, RowConflictError

#: Tries to write one row against other writers, and the base of the jittered wait between them. A row has at most one
#: writer per source aggregate at a time (a lane of the mapping each), so that few rounds settle it.
_WRITE_ATTEMPTS = 6
_WRITE_BASE_SECONDS = 0.01


@dataclass(slots=True)
class Settled:
    """What became of one row: as it is now, and those of its aggregates that had to stop."""

    inboxes: Sequence[Inbox]
    row: Row
    stops: Sequence[Stop] = ()


class _UnwrittenError(Exception):
    """A row that was not written: as it was before, and how many events were to be applied."""

    def __init__(self, row: Row, events: int, cause: Exception) -> None:
        super().__init__(str(cause))
        self.row = row
        self.events = events
        self.cause = cause


class Settling:
    """Brings rows from what was read to what is written."""

    def __init__(
        self,
        projection: Projection,
        rows: ReadModelStore,
        folding: Folding,
        before_write: BeforeWrite | None,
        sleep: Callable[[float], None],
    ) -> None:
        self._projection = projection
        self._rows = rows
        self._folding = folding
        self._before_write = before_write
        self._sleep = sleep

    def new_row(self, key: str) -> Row:
        return Row(pk=self._projection.pk(key), state=self._projection.new_state(), applied={}, revision=0)

    def row(self, key: str) -> Row:
        """The row as it is stored, or a new one."""
        pk = self._projection.pk(key)
        return self._rows.get([pk]).get(pk) or self.new_row(key)

    def settle(self, key: str, inboxes: Sequence[Inbox], row: Row) -> Settled:
        """Applies what can be applied. Where the write is refused, each aggregate is tried alone."""
        try:
            return self._advance(key, inboxes, row)
        except _UnwrittenError as error:
            if kind_of(error.cause) in BLAMELESS:
                row = error.row
                return Settled(inboxes, row, [_stop(inbox, row, error.cause) for inbox in inboxes])
            row, events = error.row, error.events
            if len(inboxes) == 1:
                return self._alone(key, inboxes[0], row, events, error.cause)
        stops: list[Stop] = []
        for inbox in inboxes:
            alone = self._alone(key, inbox, row)
            row, stops = alone.row, [*stops, *alone.stops]
        return Settled(inboxes, row, stops)

    def _alone(self, key: str, inbox: Inbox, row: Row, refused: int = 0, cause: Exception | None = None) -> Settled:
        """Applies one aggregate up to the event whose lone write is refused: halves of what was refused lead to it."""
        while True:
            if cause and (refused <= 1 or kind_of(cause) in BLAMELESS):
                return Settled([inbox], row, [_stop(inbox, row, cause)])
            try:
                return self._advance(key, [inbox], row, refused // 2 or None)
            except _UnwrittenError as error:
                row, refused, cause = error.row, error.events, error.cause

    def _advance(self, key: str, inboxes: Sequence[Inbox], row: Row, most: int | None = None) -> Settled:
        attempt = 1
        while True:
            folded = self._folding.fold(inboxes, row, most)
            if not folded.differs(row):
                return Settled(inboxes, row, folded.stops)
            try:
                moved = self._write(key, row, folded)
            except (RowConflictError, ReadModelThrottledError) as error:
                # Another lane's write, or our own whose answer was lost: the gates tell what is still above them.
                if attempt == _WRITE_ATTEMPTS:
                    raise _UnwrittenError(row, len(folded.events), error) from error
                self._pause(attempt)
                row = self._reread(key, row, len(folded.events))
                attempt += 1
            except Exception as error:
                raise _UnwrittenError(row, len(folded.events), error) from error
            else:
                # An event that was acknowledged while a mark stood is in the event store before the mark goes, so
                # that whoever reads on after the write finds it.
                if not folded.full and not any(inbox.redriven or inbox.reads_on for inbox in inboxes):
                    return Settled(inboxes, moved, folded.stops)
                row, attempt = moved, 1

    def _reread(self, key: str, row: Row, events: int) -> Row:
        try:
            return self.row(key)
        except Exception as error:
            raise _UnwrittenError(row, events, error) from error

    def _write(self, key: str, row: Row, folded: Folded) -> Row:
        moved = Row(
            pk=row.pk,
            state=folded.state,
            applied=folded.applied,
            parked_from=folded.parked_from,
            waits_for=folded.waits_for,
            revision=row.revision + 1,
            rank=None if self._projection.part else self._projection.ranked(key, folded.state),
        )
        parts = self._parts(key, row, moved) if self._projection.part else ()
        if self._before_write and folded.events:
            self._before_write(RowChange(key=key, before=row.state, after=folded.state, events=folded.events))
        self._rows.put(moved, parts)
        return moved

    def _parts(self, key: str, row: Row, moved: Row) -> list[Row]:
        """The rows of the parts that move with their checkpoint."""
        changed = self._projection.changed_parts(row.state, moved.state)
        if changed and "#" in key:
            raise MalformedEventError(f"projection {self._projection.name}: {key!r} and its parts need a key without #")
        rows = []
        for part, state in changed.items():
            part_key = f"{key}#{part}"
            rank = self._projection.ranked(part_key, state)
            pk = self._projection.pk(part_key)
            rows.append(Row(pk=pk, state=state, applied={}, revision=moved.revision, rank=rank))
        return rows

    def mark(self, inbox: Inbox, row: Row, applied: int, *, parked_from: int = 0, waits_for: int = 0) -> Row:
        """The row, with this mark of an aggregate that stands at ``applied``, or with none.

        Whoever has moved the aggregate on meanwhile knows better: the row then stays as it is.
        """
        attempt = 1
        while row.applied.get(inbox.gate, 0) == applied:
            marked = replace(
                row,
                parked_from=_marks(row.parked_from, inbox.gate, parked_from),
                waits_for=_marks(row.waits_for, inbox.gate, waits_for),
                revision=row.revision + 1,
            )
            if (marked.parked_from, marked.waits_for) == (row.parked_from, row.waits_for):
                break
            try:
                self._rows.put(marked)
            except (RowConflictError, ReadModelThrottledError):
                if attempt == _WRITE_ATTEMPTS:
                    raise
                self._pause(attempt)
                row = self.row(inbox.key)
                attempt += 1
            else:
                return marked
        return row

    def _pause(self, attempt: int) -> None:
        self._sleep(random.uniform(0, _WRITE_BASE_SECONDS * 2**attempt))  # noqa: S311  # jitter


def _stop(inbox: Inbox, row: Row, error: Exception) -> Stop:
    return Stop(inbox, error, row.applied.get(inbox.gate, 0))


def _marks(marks: Mapping[str, int], gate: str, version: int) -> dict[str, int]:
    others = {each: at for each, at in marks.items() if each != gate}
    return {**others, gate: version} if version else others
