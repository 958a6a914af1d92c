"""Rows of read models in DynamoDB: state attributes at the top level, so that queries and indexes reach them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headwater.attribute_values import marshal_item, unmarshal_item
from headwater.batch_get import KeysUnreadError, batch_get
from headwater.limits import DynamoDbLimits
from headwater.projections.projection import Rank
from headwater.projections.read_models import Ranked, ReadModelThrottledError, Row, RowConflictError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The index that holds every row with a rank, as in template.yaml.
RANKINGS_INDEX = "Rankings"

#: Why a transaction is cancelled that another try may well get through (TransactWriteItems, API reference).
_CONFLICT_REASONS = {"ConditionalCheckFailed", "TransactionConflict"}
_THROTTLE_REASONS = {"ProvisionedThroughputExceeded", "ThrottlingError"}


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
        keys = [{"pk": {"S": pk}} for pk in dict.fromkeys(pks)]
        try:
            items = batch_get(
                self._client, self._table, keys, consistent=consistent, limits=self._limits, sleep=self._sleep
            )
            return {row.pk: row for row in map(_row, items)}
        except KeysUnreadError as error:
            raise ReadModelThrottledError(str(error)) from error

    def put(self, row: Row, parts: Sequence[Row] = ()) -> None:
        request: dict[str, Any] = {"TableName": self._table, "Item": _item(row)}
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
                self._put_all(row, [request, *({"TableName": self._table, "Item": _item(part)} for part in parts)])
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
            reasons = {reason.get("Code", "None") for reason in error.response["CancellationReasons"]}
            if reasons & _CONFLICT_REASONS:
                raise RowConflictError(row.pk, row.revision - 1) from error
            if reasons & _THROTTLE_REASONS:
                raise ReadModelThrottledError(f"the transaction of {row.pk} was refused: {sorted(reasons)}") from error
            raise


def _item(row: Row) -> dict[str, dict[str, Any]]:
    item: dict[str, Any] = {"pk": row.pk, "applied": row.applied, "revision": row.revision}
    if row.parked_from:
        item["parked_from"] = row.parked_from
    if row.rank:
        item |= {"ranking": row.rank.ranking, "ranked_by": row.rank.ranked_by}
    return marshal_item({"deleted": True, **item} if row.state is None else {**row.state, **item})


def _row(item: Mapping[str, Any]) -> Row:
    state = unmarshal_item(item)
    pk, applied, revision = state.pop("pk"), state.pop("applied"), state.pop("revision")
    parked_from = state.pop("parked_from", {})
    deleted = state.pop("deleted", False)
    rank = Rank(state.pop("ranking"), state.pop("ranked_by")) if "ranking" in state else None
    return Row(
        pk=pk,
        state=None if deleted else state,
        applied=applied,
        revision=revision,
        rank=rank,
        parked_from=parked_from,
    )
