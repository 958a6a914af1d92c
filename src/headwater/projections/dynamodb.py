"""Rows of read models in DynamoDB: state attributes at the top level, so that queries and indexes reach them."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any

from headwater.attribute_values import marshal_item, unmarshal_item
from headwater.limits import DynamoDbLimits
from headwater.projections.read_models import ReadModelThrottledError, Row, RowConflictError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Requests in a row that brought nothing new before a read gives up, and the base of the jittered wait between them.
_READ_ATTEMPTS = 8
_READ_BASE_SECONDS = 0.025


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
        rows: dict[str, Row] = {}
        # BatchGetItem refuses a key that is asked for twice.
        for keys in batched(dict.fromkeys(pks), self._limits.batch_get_keys, strict=False):
            for item in self._items(keys, consistent):
                row = _row(item)
                rows[row.pk] = row
        return rows

    def put(self, row: Row) -> None:
        item: dict[str, Any] = {"pk": row.pk, "applied": row.applied, "revision": row.revision}
        item = {"deleted": True, **item} if row.state is None else {**row.state, **item}
        request: dict[str, Any] = {"TableName": self._table, "Item": marshal_item(item)}
        if row.revision == 1:
            request["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            request["ConditionExpression"] = "revision = :read"
            request["ExpressionAttributeValues"] = {":read": {"N": str(row.revision - 1)}}
        try:
            self._client.put_item(**request)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise RowConflictError(row.pk, row.revision - 1) from error

    def _items(self, keys: Sequence[str], consistent: bool) -> Iterator[Mapping[str, Any]]:
        left: Sequence[Any] = [{"pk": {"S": pk}} for pk in keys]
        fruitless = 0
        while left:
            answer = self._client.batch_get_item(
                RequestItems={self._table: {"Keys": left, "ConsistentRead": consistent}}
            )
            yield from answer["Responses"].get(self._table, [])
            unread: Sequence[Any] = ()
            if self._table in answer["UnprocessedKeys"]:
                unread = answer["UnprocessedKeys"][self._table]["Keys"]
                fruitless = fruitless + 1 if len(unread) == len(left) else 0
                if fruitless == _READ_ATTEMPTS:
                    raise ReadModelThrottledError(f"{len(unread)} of {len(keys)} keys of {self._table} stayed unread")
                self._sleep(random.uniform(0, _READ_BASE_SECONDS * 2**fruitless))  # noqa: S311  # jitter
            left = unread


def _row(item: Mapping[str, Any]) -> Row:
    state = unmarshal_item(item)
    pk, applied, revision = state.pop("pk"), state.pop("applied"), state.pop("revision")
    deleted = state.pop("deleted", False)
    return Row(pk=pk, state=None if deleted else state, applied=applied, revision=revision)
