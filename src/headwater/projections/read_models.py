"""Rows of read models: how the runner keeps them and how an API reads them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from heapq import merge
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from headwater.failures import PermanentError, TransientError
from headwater.incidents import Incidents
from headwater.projections.projection import Projection, Rank, State


class ReadModelError(Exception):
    """A read or a write that the table of read models did not take."""


class RowConflictError(ReadModelError, TransientError):
    """Another writer moved the row since it was read."""

    def __init__(self, pk: str, revision: int) -> None:
        super().__init__(f"row {pk} is past revision {revision}: read it again and fold what is above")
        self.pk = pk
        self.revision = revision


class ReadModelThrottledError(ReadModelError, TransientError):
    """The table kept leaving keys of a batch unread, or took no transaction."""


class RowRefusedError(ReadModelError, PermanentError):
    """A row that the table could not hold: too large, or with a key that is too long."""


class UnreadableRowsError(ReadModelError, PermanentError):
    """Items that are no rows; ``rows`` are the others, and ``unreadable`` their keys."""

    def __init__(self, rows: Mapping[str, "Row"], unreadable: Collection[str]) -> None:
        super().__init__(f"these items of the table of read models are no rows: {sorted(unreadable)[:10]}")
        self.rows = rows
        self.unreadable = frozenset(unreadable)


class Row(Struct, frozen=True, kw_only=True):
    """One row of a read model.

    ``state`` is None in a tombstone. ``applied`` holds, by `Projection.gate`, the last version folded in: it moves
    in the same write as the state. ``revision`` counts the row's writes; 0 is a row that is not stored yet.
    ``parked_from`` holds, by gate, the version at which an aggregate stopped until its parked records are redriven;
    ``waits_for`` the one that an aggregate waits for, and goes on by itself when it arrives.
    A part's row has no gates, and the revision of the checkpoint that it moved with.
    """

    pk: str
    state: State | None
    applied: Mapping[str, int]
    revision: int
    rank: Rank | None = None
    parked_from: Mapping[str, int] = msgspec.field(default_factory=dict)
    waits_for: Mapping[str, int] = msgspec.field(default_factory=dict)


class Ranked(NamedTuple):
    """A row as the index of rankings holds it; sorts as the index does."""

    ranked_by: str
    pk: str


class ReadModelStore(Protocol):
    """Keeps rows; a write demands that nobody wrote the row since it was read."""

    def get(self, pks: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        """The rows that exist, by primary key, in as few requests as there are hundreds of keys.

        Raises
        ------
        UnreadableRowsError
            Some items are no rows; the error holds those that are.
        ReadModelThrottledError
            Keys stayed unread after all tries.
        """
        ...

    def put(self, row: Row, parts: Sequence[Row] = ()) -> None:
        """Writes the row, and with it, in one transaction, the rows of its parts.

        The row's ``revision`` is one above the revision that was read. Parts stand under no condition of their own:
        whoever writes one moves its checkpoint too.

        Raises
        ------
        RowConflictError
            The stored row has another revision, or exists although it should be new, or is being written just now.
        ReadModelThrottledError
            The transaction was refused for want of throughput; nothing was written.
        RowRefusedError
            The table could not hold a row; nothing was sent.
        """
        ...

    def ranking(self, ranking: str, limit: int) -> list[Ranked]:
        """The first rows of one partition of the index, in order. Eventually consistent, as every index is."""
        ...


class ReadModelReader:
    """The read side for an API: eventually consistent, at half the price of a consistent read.

    ``queries`` asks partitions of a ranking side by side; None uses the caller's thread alone.
    """

    def __init__(self, rows: ReadModelStore, incidents: Incidents, queries: Executor | None = None) -> None:
        self._rows = rows
        self._incidents = incidents
        self._map: Callable[..., Iterable[list[Ranked]]] = map if queries is None else queries.map

    def get(self, projection: Projection, key: str) -> State | None:
        """One row's state; None if there is no such row, it is a tombstone, or cannot be read, which is reported."""
        return self.get_many([(projection, key)])[0]

    def get_many(self, wanted: Sequence[tuple[Projection, str]]) -> list[State | None]:
        """Rows of one or several projections in one request, in the order asked for."""
        pks = [projection.pk(key) for projection, key in wanted]
        try:
            rows = self._rows.get(pks, consistent=False)
        except UnreadableRowsError as error:
            self._incidents.report("UnreadableRows", str(error))
            rows = dict(error.rows)
        return [rows[pk].state if pk in rows else None for pk in pks]

    def first(self, projection: Projection, rankings: Sequence[str], limit: int) -> list[Ranked]:
        """The first rows over several partitions of the index, in order; one request each."""
        partitions = self._map(lambda ranking: self._rows.ranking(projection.pk(ranking), limit), rankings)
        return list(islice(merge(*partitions), limit))
