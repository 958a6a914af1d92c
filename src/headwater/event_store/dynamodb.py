"""The event store on DynamoDB: one item an event, key (aggregate_id, version)."""

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from headwater.attribute_values import marshal, marshal_item, size_of
from headwater.domain.events import LAST_VERSION, EventTypes, MalformedEventError, RecordedEvent, UnknownEventError
from headwater.event_store import codec
from headwater.event_store.store import (
    Append,
    AppendTooLargeError,
    ConcurrencyError,
    ConditionalWrite,
    PutNew,
    Remove,
    Replace,
    UnreadableHistoryError,
    WriteRefusedError,
)
from headwater.failures import LOST_CONDITION, FailureKind, kind_of, reasons_of
from headwater.limits import DynamoDbLimits

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: A transaction that met another one on the same item is cancelled without having lost a condition: try again.
_CONFLICT_ATTEMPTS = 5
_CONFLICT_BASE_SECONDS = 0.02


class DynamoDbEventStore:
    """Implements `headwater.event_store.store.EventStore`."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        types: EventTypes,
        limits: DynamoDbLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._types = types
        self._limits = limits or DynamoDbLimits()
        self._sleep = sleep

    def append(self, *appends: Append, also: Sequence[ConditionalWrite] = ()) -> list[RecordedEvent]:
        recorded = [(event, append.derived) for append in appends for event in append.recorded()]
        puts = [self._put(event, derived) for event, derived in recorded]
        if len(puts) + len(also) > self._limits.transaction_items:
            raise AppendTooLargeError(
                f"{len(puts) + len(also)} items in one append; a transaction takes {self._limits.transaction_items}"
            )
        # A plain put costs half of what a transaction does.
        if len(puts) == 1 and not also:
            self._append_one(appends, puts[0])
        elif puts or also:
            self._append_all(appends, puts, also)
        return [event for event, _ in recorded]

    def load(self, aggregate_id: str, after: int = 0) -> list[RecordedEvent]:
        events: list[RecordedEvent] = []
        for item in self.items(aggregate_id, after):
            try:
                events.append(codec.decode(item, self._types))
            except (MalformedEventError, UnknownEventError) as error:
                version = _version(item)
                # What stands between two versions, or past the last that there can be, is none of the history.
                if version:
                    raise _unreadable(aggregate_id, events, version, item, error) from error
        return events

    def present(self, aggregate_id: str, versions: Collection[int]) -> set[int]:
        wanted = sorted(versions)
        gets: Any = [
            {
                "Get": {
                    "TableName": self._table,
                    "Key": {"aggregate_id": {"S": aggregate_id}, "version": {"N": str(version)}},
                }
            }
            for version in wanted
        ]
        answers = self._transact(partial(self._client.transact_get_items, TransactItems=gets))["Responses"]
        return {version for version, answer in zip(wanted, answers, strict=True) if answer.get("Item")}

    def head(self, aggregate_id: str) -> int:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="aggregate_id = :id AND version <= :last",
            ExpressionAttributeValues={":id": {"S": aggregate_id}, ":last": {"N": str(LAST_VERSION)}},
            ProjectionExpression="version",
            ScanIndexForward=False,
            ConsistentRead=True,
            PaginationConfig={"PageSize": 1},
        )
        return next((version for page in pages for item in page["Items"] if (version := _version(item))), 0)

    def items(self, aggregate_id: str, after: int = 0) -> Iterator[Mapping[str, Any]]:
        """The items above version ``after`` as they are, events or not, in order, by consistent reads."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="aggregate_id = :id AND version > :after",
            ExpressionAttributeValues={":id": {"S": aggregate_id}, ":after": {"N": str(after)}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]

    def _put(self, event: RecordedEvent, derived: bool) -> dict[str, Any]:
        item = codec.encode_new(event, self._types, derived=derived)
        size = size_of(item)
        if size > self._limits.item_bytes:
            raise AppendTooLargeError(
                f"event {event.event_id} ({event.type}) takes about {size} bytes; "
                f"an item holds {self._limits.item_bytes}: put large content in S3 and refer to it"
            )
        return {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(aggregate_id)",
        }

    def _append_one(self, appends: Sequence[Append], put: dict[str, Any]) -> None:
        try:
            self._client.put_item(**put)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            if not self._settle_conflict(appends):
                raise ConcurrencyError(appends[0].aggregate_id, appends[0].expected_version, []) from error

    def _append_all(
        self, appends: Sequence[Append], puts: Sequence[dict[str, Any]], also: Sequence[ConditionalWrite]
    ) -> None:
        items: list[Any] = [{"Put": put} for put in puts] + [_transact_item(write) for write in also]
        try:
            self._transact(partial(self._client.transact_write_items, TransactItems=items))
        except self._client.exceptions.TransactionCanceledException as error:
            reasons = reasons_of(error)
            if LOST_CONDITION not in reasons:
                raise
            if not self._settle_conflict(appends):
                raise WriteRefusedError(also[reasons.index(LOST_CONDITION, len(puts)) - len(puts)]) from error

    def _transact(self, call: Callable[[], Any]) -> Any:
        """Calls, and again while somebody is at one of the items just now and no condition was lost."""
        attempt = 1
        while True:
            try:
                return call()
            except self._client.exceptions.TransactionCanceledException as error:
                again = kind_of(error) is FailureKind.TRANSIENT and LOST_CONDITION not in reasons_of(error)
                if attempt == _CONFLICT_ATTEMPTS or not again:
                    raise
                self._sleep(random.uniform(0, _CONFLICT_BASE_SECONDS * 2**attempt))  # noqa: S311  # jitter
                attempt += 1

    def _settle_conflict(self, appends: Sequence[Append]) -> bool:
        """Whether a lost condition was our own earlier try, found by event id (all were written, or none).

        Raises `ConcurrencyError` if somebody else's events stand where ours would; False if nothing does.
        """
        for append in appends:
            if not append.events:
                continue
            stored = self.load(append.aggregate_id, append.expected_version)
            if not stored:
                continue
            if stored[0].event_id == append.events[0].event_id:
                return True
            raise ConcurrencyError(append.aggregate_id, append.expected_version, stored)
        return False


def _version(item: Mapping[str, Any]) -> int:
    """The item's version; 0 if no event can have it: others may append too, and the key takes any number."""
    number = Decimal(item["version"]["N"])
    return int(number) if number == number.to_integral_value() and 1 <= number <= LAST_VERSION else 0


def _unreadable(
    aggregate_id: str, before: Sequence[RecordedEvent], version: int, item: Mapping[str, Any], error: ValueError
) -> UnreadableHistoryError:
    event_id = item.get("event_id", {}).get("S")
    return UnreadableHistoryError(aggregate_id, before, version, error, event_id)


def _transact_item(write: ConditionalWrite) -> dict[str, Any]:
    match write:
        case PutNew():
            return {
                "Put": {
                    "TableName": write.table,
                    "Item": marshal_item(write.item),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            }
        case Replace():
            return {
                "Put": {
                    "TableName": write.table,
                    "Item": marshal_item(write.item),
                    **_expecting(write.expected),
                }
            }
        case Remove():
            return {
                "Delete": {
                    "TableName": write.table,
                    "Key": marshal_item(write.key),
                    **_expecting(write.expected),
                }
            }


def _expecting(expected: Mapping[str, Any]) -> dict[str, Any]:
    names = {f"#n{index}": name for index, name in enumerate(expected)}
    values = {f":v{index}": marshal(value) for index, value in enumerate(expected.values())}
    clauses = ["attribute_exists(pk)", *(f"#n{index} = :v{index}" for index in range(len(expected)))]
    condition: dict[str, Any] = {"ConditionExpression": " AND ".join(clauses)}
    if expected:
        condition |= {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    return condition
