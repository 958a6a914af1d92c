"""Rows of read models in DynamoDB: state attributes at the top level, so that queries and indexes reach them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headwater.attribute_values import marshal, marshal_item, size_of, unmarshal_item
from headwater.batch_get import KeysUnreadError, batch_get
from headwater.failures import LOST_CONDITION, FailureKind, kind_of, reasons_of
from headwater.limits import DynamoDbLimits
from headwater.projections.projection import Rank
from headwater.projections.read_models import (
    Ranked,
    ReadModelThrottledError,
    Row,
    RowConflictError,
    RowRefusedError,
    UnreadableRowsError,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The index that holds every row with a rank, as in template.yaml.
RANKINGS_INDEX = "Rankings"

#: Why a transaction is cancelled that somebody else got ahead of: whatever befell its other items, they were folded
#: from a row that is to be read again.
_CONFLICTS = {LOST_CONDITION, "TransactionConflict"}


class DynamoDbReadModels:
    """Implements `headwater.projections.read_models.ReadModelStore`."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        limits: DynamoDbLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._limits = limits or DynamoDbLimits()
        self._sleep = sleep

    def get(self, pks: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        # A key that no item can have has no row, and would fail the request for all others.
        keys = [{"pk": {"S": pk}} for pk in dict.fromkeys(pks) if _fits(pk, self._limits.partition_key_bytes)]
        try:
            items = list(
                batch_get(
                    self._client, self._table, keys, consistent=consistent, limits=self._limits, sleep=self._sleep
                )
            )
        except KeysUnreadError as error:
            raise ReadModelThrottledError(str(error)) from error
        rows: dict[str, Row] = {}
        unreadable: list[str] = []
        for item in items:
            try:
                row = _row(item)
                rows[row.pk] = row
            except (AttributeError, KeyError, TypeError, ValueError):
                unreadable.append(item["pk"]["S"])
        if unreadable:
            raise UnreadableRowsError(rows, unreadable)
        return rows

    def put(self, row: Row, parts: Sequence[Row] = ()) -> None:
        request: dict[str, Any] = {"TableName": self._table, "Item": item_of(row, self._limits)}
        if row.revision == 1:
            request["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            request["ConditionExpression"] = "revision = :read"
            request["ExpressionAttributeValues"] = {":read": {"N": str(row.revision - 1)}}
        conflicts = (
            self._client.exceptions.ConditionalCheckFailedException,
            self._client.exceptions.TransactionConflictException,
        )
        try:
            # A plain put costs half of what a transaction does.
            if parts:
                items = [{"TableName": self._table, "Item": item_of(part, self._limits)} for part in parts]
                self._put_all(row, [request, *items])
            else:
                self._client.put_item(**request)
        except conflicts as error:
            raise RowConflictError(row.pk, row.revision - 1) from error

    def ranking(self, ranking: str, limit: int) -> list[Ranked]:
        items = self._client.query(
            TableName=self._table,
            IndexName=RANKINGS_INDEX,
            KeyConditionExpression="ranking = :ranking",
            ExpressionAttributeValues={":ranking": {"S": ranking}},
            Limit=limit,
        )["Items"]
        return [Ranked(item["ranked_by"]["S"], item["pk"]["S"]) for item in items]

    def _put_all(self, row: Row, puts: Sequence[Any]) -> None:
        try:
            self._client.transact_write_items(TransactItems=[{"Put": put} for put in puts])
        except self._client.exceptions.TransactionCanceledException as error:
            reasons = set(reasons_of(error))
            if reasons & _CONFLICTS:
                raise RowConflictError(row.pk, row.revision - 1) from error
            if kind_of(error) is FailureKind.TRANSIENT:
                raise ReadModelThrottledError(f"the transaction of {row.pk} was refused: {sorted(reasons)}") from error
            raise


def item_of(row: Row, limits: DynamoDbLimits) -> dict[str, dict[str, Any]]:
    """A row as the DynamoDB JSON of its item.

    Raises
    ------
    RowRefusedError
        The table could not hold it. The row's own limit leaves room for its marks.
    MalformedAttributeError
        The state holds a value that DynamoDB could not.
    """
    item: dict[str, Any] = {"pk": row.pk, "applied": row.applied, "revision": row.revision}
    _demand(row, "key", row.pk, limits.partition_key_bytes)
    if row.rank:
        item |= {"ranking": row.rank.ranking, "ranked_by": row.rank.ranked_by}
        _demand(row, "ranking", row.rank.ranking, limits.partition_key_bytes)
        _demand(row, "place in its ranking", row.rank.ranked_by, limits.sort_key_bytes)
    marshalled = marshal_item({"deleted": True, **item} if row.state is None else {**row.state, **item})
    # Each character of the text stands for four bytes at the most, so that few rows need be measured.
    if len(str(marshalled)) * 4 > limits.row_bytes and (size := size_of(marshalled)) > limits.row_bytes:
        raise RowRefusedError(f"{_named(row)} would take {size} bytes; a row holds {limits.row_bytes}")
    for name, marks in (("parked_from", row.parked_from), ("waits_for", row.waits_for)):
        if marks:
            marshalled[name] = marshal(marks)
    return marshalled


def _demand(row: Row, name: str, text: str, limit: int) -> None:
    if not _fits(text, limit):
        raise RowRefusedError(f"the {name} of {_named(row)} is not 1 to {limit} bytes of UTF-8")


def _fits(text: str, limit: int) -> bool:
    try:
        return 0 < len(text.encode()) <= limit
    except UnicodeEncodeError:
        return False


def _named(row: Row) -> str:
    return f"row {row.pk[:64]!r}"


def _row(item: Mapping[str, Any]) -> Row:
    state = unmarshal_item(item)
    pk, applied, revision = state.pop("pk"), state.pop("applied"), state.pop("revision")
    parked_from, waits_for = state.pop("parked_from", {}), state.pop("waits_for", {})
    if not (isinstance(revision, int) and all(isinstance(each, dict) for each in (applied, parked_from, waits_for))):
        raise TypeError("no row")
    deleted = state.pop("deleted", False)
    rank = Rank(state.pop("ranking"), state.pop("ranked_by")) if "ranking" in state else None
    return Row(
        pk=pk,
        state=None if deleted else state,
        applied=applied,
        revision=revision,
        rank=rank,
        parked_from=parked_from,
        waits_for=waits_for,
    )
