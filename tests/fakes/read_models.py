"""The table of read models in memory. tests/contract holds it to the same behaviour as the DynamoDB one."""

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy

from headwater.limits import DynamoDbLimits
from headwater.projections.dynamodb import item_of
from headwater.projections.read_models import Ranked, Row, RowConflictError, UnreadableRowsError


class InMemoryReadModels:
    """Implements `headwater.projections.read_models.ReadModelStore`; ``rows`` holds what is stored, by pk.

    ``reads`` lists the keys of each read, ``writes`` the key of each write tried, ``transactions`` the number of items
    of each that was one, ``queries`` each partition of a ranking that was asked for. ``faults`` are raised one a write,
    in order: before it takes effect or, for those in ``after_effect``, after it, as when an answer is lost.
    ``unreadable`` are keys of items that are to be no rows.
    Threads may share it, as they share the table: one call at a time.
    ``meanwhile`` runs once, between the next read and whatever follows: the other writer of a race.
    """

    def __init__(self, limits: DynamoDbLimits | None = None) -> None:
        self._limits = limits or DynamoDbLimits()
        self.rows: dict[str, Row] = {}
        self.reads: list[list[str]] = []
        self.writes: list[str] = []
        self.transactions: list[int] = []
        self.queries: list[str] = []
        self.faults: list[BaseException | None] = []
        self.after_effect: list[Exception | None] = []
        self.unreadable: set[str] = set()
        self.meanwhile: list[Callable[[], object]] = []
        # The other writer of a race calls from within a read.
        self._one_call = threading.RLock()

    def get(self, pks: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        with self._one_call:
            self.reads.append(list(pks))
            rows = {pk: deepcopy(self.rows[pk]) for pk in pks if pk in self.rows}
            if self.meanwhile:
                self.meanwhile.pop(0)()
            if unreadable := self.unreadable.intersection(pks):
                raise UnreadableRowsError({pk: row for pk, row in rows.items() if pk not in unreadable}, unreadable)
            return rows

    def put(self, row: Row, parts: Sequence[Row] = ()) -> None:
        with self._one_call:
            self.writes.append(row.pk)
            if parts:
                self.transactions.append(1 + len(parts))
            if self.faults and (error := self.faults.pop(0)):
                raise error
            for each in (row, *parts):
                item_of(each, self._limits)
            stored = self.rows.get(row.pk)
            if (stored.revision if stored else 0) != row.revision - 1:
                raise RowConflictError(row.pk, row.revision - 1)
            for each in (row, *parts):
                self.rows[each.pk] = deepcopy(each)
            if self.after_effect and (error := self.after_effect.pop(0)):
                raise error

    def ranking(self, ranking: str, limit: int) -> list[Ranked]:
        with self._one_call:
            self.queries.append(ranking)
            places = [(row.rank, row.pk) for row in self.rows.values() if row.rank]
            return sorted(Ranked(rank.ranked_by, pk) for rank, pk in places if rank.ranking == ranking)[:limit]
