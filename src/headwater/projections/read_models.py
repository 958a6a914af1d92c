"""Rows of read models: how the runner keeps them and how an API reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headwater.projections.projection import Projection, State


class ReadModelError(Exception):
    """A read or a write that the table of read models did not take."""


class RowConflictError(ReadModelError):
    """Another writer moved the row since it was read."""

    def __init__(self, pk: str, revision: int) -> None:
        super().__init__(f"row {pk} is past revision {revision}: read it again and fold what is above")
        self.pk = pk
        self.revision = revision


class ReadModelThrottledError(ReadModelError):
    """The table kept leaving keys of a batch unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a read model.

    ``state`` is None in a tombstone. ``applied`` holds, by `Projection.gate`, the last version folded in: it moves
    in the same write as the state. ``revision`` counts the row's writes; 0 is a row that is not stored yet.
    """

    pk: str
    state: State | None
    applied: Mapping[str, int]
    revision: int


class ReadModelStore(Protocol):
    """Keeps rows; a write demands that nobody wrote the row since it was read."""

    def get(self, pks: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        """The rows that exist, by primary key, in as few requests as there are hundreds of keys.

        Raises
        ------
        ReadModelThrottledError
            Keys stayed unread after all tries.
        """
        ...

    def put(self, row: Row) -> None:
        """Writes the row. Its ``revision`` is one above the revision that was read.

        Raises
        ------
        RowConflictError
            The stored row has another revision, or exists although it should be new.
        """
        ...


class ReadModelReader:
    """The read side for an API: eventually consistent, at half the price of a consistent read."""

    def __init__(self, rows: ReadModelStore) -> None:
        self._rows = rows

    def get(self, projection: Projection, key: str) -> State | None:
        """One row's state; None if there is no such row or it is a tombstone."""
        return self.get_many([(projection, key)])[0]

    def get_many(self, wanted: Sequence[tuple[Projection, str]]) -> list[State | None]:
        """Rows of one or several projections in one request, in the order asked for."""
        pks = [projection.pk(key) for projection, key in wanted]
        rows = self._rows.get(pks, consistent=False)
        return [rows[pk].state if pk in rows else None for pk in pks]
