"""DynamoDB: tables in memory and their change streams.

Sources: the DynamoDB API reference (each operation's limits and errors) and "Change data capture for DynamoDB Streams".
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, NamedTuple

import orjson

from devstack.simulator.cloud import expressions
from devstack.simulator.cloud.client import Answer, Client, Parameters, Surroundings, operation
from devstack.simulator.cloud.errors import parameter_error, transaction_cancelled
from devstack.simulator.cloud.expressions import Condition, Names, Values
from devstack.simulator.cloud.items import (
    InvalidValueError,
    Item,
    KeyValue,
    base64_text,
    canonical,
    decode,
    encode,
    holds_binary,
    key_value,
)
from devstack.simulator.cloud.shards import ShardLog
from operations.running import REGION

ITEM_BYTES: Final = 400 * 1024
TRANSACTION_ITEMS: Final = 100
TRANSACTION_BYTES: Final = 4 * 1024 * 1024
TRANSACTION_TOKEN_SECONDS: Final = 600
BATCH_GET_KEYS: Final = 100
BATCH_GET_BYTES: Final = 16 * 1024 * 1024
PAGE_BYTES: Final = 1024 * 1024
#: "Usually consistent within one second or less": a good deal more ("Read consistency", Developer Guide).
STALE_SECONDS: Final = 5.0
HASH_KEY_BYTES: Final = 2048
RANGE_KEY_BYTES: Final = 1024
_OLDEST_TTL_SECONDS: Final = 5 * 365 * 86_400
#: Of the items that were written a moment ago, so many are remembered as they were before.
_REMEMBERED: Final = 1_000

_FIRST_SEQUENCE_NUMBER: Final = 441_800_000_000_000_000_000
#: Of a record's JSON, what is neither its images and keys nor its stream's name.
_RECORD_BYTES: Final = 340
_TTL_IDENTITY: Final = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
_CONDITION: Final = (
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValuesOnConditionCheckFailure",
)

_CONFLICT: Final = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
_CONDEMNED: Final = "One or more parameter values were invalid"

type Key = tuple[KeyValue, ...]


class _Change(NamedTuple):
    """One item before and after, each as stored; None where there is none. ``item`` is what ``new`` encodes."""

    table: Table
    key: Key
    old: bytes | None
    new: bytes | None
    item: Item | None
    size: int


class _Planned(NamedTuple):
    """A write, or a mere check, with its condition."""

    table: Table
    key: Key
    new: Item | None
    size: int
    check_only: bool
    condition: Condition | None
    names: Names
    values: Values
    return_old: bool

    def change(self) -> _Change:
        new = None if self.new is None else encode(self.new)
        return _Change(self.table, self.key, self.table.items.get(self.key), new, self.new, self.size)

    def holds(self, stored: Item) -> bool:
        return self.condition is None or self.condition.test(stored, self.names, self.values)


class Index(NamedTuple):
    """A global secondary index by two attributes that are strings. Its items: those that have both.

    Beside the keys it shows the ``projected`` attributes; None are all.
    """

    hash_key: str
    range_key: str
    projected: frozenset[str] | None = frozenset()

    @property
    def keys(self) -> tuple[str, str]:
        return self.hash_key, self.range_key


class Table:
    """Items by key, as JSON. ``log`` is the change stream, if the table has one; ``indexes`` are by name."""

    def __init__(
        self,
        name: str,
        hash_key: tuple[str, str],
        range_key: tuple[str, str] | None,
        log: ShardLog | None,
        number: int,
        *,
        indexes: Mapping[str, Index],
    ) -> None:
        self.name = name
        self.log = log
        self.indexes = indexes
        self.keys = (hash_key,) if range_key is None else (hash_key, range_key)
        self.items: dict[Key, bytes] = {}
        self.number = number
        #: Of the items that were written a moment ago: when, and what was there before.
        self.before: dict[Key, tuple[float, bytes | None]] = {}
        self._sort_keys: dict[KeyValue, list[Any]] = {}
        self._scan_order: list[Key] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def key_of(self, item: Item, *, exact: bool = False) -> Key:
        """The item's key; with ``exact``, ``item`` is to be a key and nothing else."""
        if exact and len(item) != len(self.keys):
            raise InvalidValueError("The provided key element does not match the schema")
        values = []
        for position, (name, kind) in enumerate(self.keys):
            if name not in item:
                if exact:
                    raise InvalidValueError("The provided key element does not match the schema")
                raise InvalidValueError(
                    f"One or more parameter values were invalid: Missing the key {name} in the item"
                )
            value = item[name]
            if kind not in value:
                if exact:
                    raise InvalidValueError("The provided key element does not match the schema")
                raise InvalidValueError(
                    f"One or more parameter values were invalid: Type mismatch for key {name} "
                    f"expected: {kind} actual: {next(iter(value))}"
                )
            content = value[kind]
            if kind != "N":
                if not content:
                    raise InvalidValueError(
                        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
                        f"contain an empty {'string' if kind == 'S' else 'binary'} value. Key: {name}"
                    )
                limit = RANGE_KEY_BYTES if position else HASH_KEY_BYTES
                if len(content) * 4 > limit and len(content.encode() if kind == "S" else content) > limit:
                    raise InvalidValueError(
                        f"One or more parameter values were invalid: Size of {'range' if position else 'hash'}key "
                        f"has exceeded the maximum size limit of{limit} bytes"
                    )
            values.append(key_value(value))
        return tuple(values)

    def check_indexed(self, item: Item) -> None:
        """Refuses an item that an index could not hold."""
        for name, index in self.indexes.items():
            for attribute in index.keys:
                if attribute in item and "S" not in item[attribute]:
                    raise InvalidValueError(
                        f"One or more parameter values were invalid: Type mismatch for Index Key {attribute} "
                        f"Expected: S Actual: {next(iter(item[attribute]))} IndexName: {name}"
                    )

    def get(self, key: Key) -> Item | None:
        stored = self.items.get(key)
        return None if stored is None else decode(stored)

    def put(self, key: Key, stored: bytes) -> None:
        if key not in self.items:
            self._scan_order = None
            if len(key) > 1:
                insort(self._sort_keys.setdefault(key[0], []), key[1])
        self.items[key] = stored

    def delete(self, key: Key) -> None:
        del self.items[key]
        self._scan_order = None
        if len(key) > 1:
            sort_keys = self._sort_keys[key[0]]
            del sort_keys[bisect_left(sort_keys, key[1])]
            if not sort_keys:
                del self._sort_keys[key[0]]

    def sort_keys(self, hash_value: KeyValue) -> Sequence[Any]:
        """Sort keys of one partition, in order."""
        return self._sort_keys.get(hash_value, ())

    def scan_order(self) -> list[Key]:
        """All keys by a hash of the partition key, then by sort key."""
        if self._scan_order is None:
            self._scan_order = sorted(self.items, key=lambda key: (_scattered(key[0]), key[1:]))
        return self._scan_order


class DynamoDb(Client):
    """The client, and the tables that it reaches."""

    service = "dynamodb"
    pages: ClassVar = {
        "query": ("query", "ExclusiveStartKey", "LastEvaluatedKey"),
        "scan": ("scan", "ExclusiveStartKey", "LastEvaluatedKey"),
    }

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.tables: dict[str, Table] = {}
        self._tokens: dict[str, bytes] = {}
        self._token_times: deque[tuple[float, str]] = deque()

    def identify(self, params: Parameters) -> None:
        # A transaction that only reads has no token.
        if any("Get" not in item for item in params.get("TransactItems", ())):
            params.setdefault("ClientRequestToken", self.surroundings.new_id())

    @operation("PutItem", ("TableName", "Item"), _CONDITION)
    def put_item(self, params: Parameters) -> Answer:
        planned = self._checked("PutItem", self._put, params)
        self._refuse_condemned("PutItem", [planned])
        self._write("PutItem", planned)
        return {}

    @operation("DeleteItem", ("TableName", "Key"), _CONDITION)
    def delete_item(self, params: Parameters) -> Answer:
        planned = self._checked("DeleteItem", self._delete, params)
        self._write("DeleteItem", planned)
        return {}

    @operation("GetItem", ("TableName", "Key"), ("ConsistentRead",))
    def get_item(self, params: Parameters) -> Answer:
        table = self._table("GetItem", params["TableName"])
        key = self._checked("GetItem", self._key, table, params["Key"])
        before = {} if params.get("ConsistentRead") else self._before("GetItem", table)
        stored = before[key] if key in before else table.items.get(key)
        return {} if stored is None else {"Item": decode(stored)}

    @operation("BatchGetItem", ("RequestItems",))
    def batch_get_item(self, params: Parameters) -> Answer:
        wanted: list[tuple[str, Any, Key]] = []
        requests = params["RequestItems"]
        for name, request in requests.items():
            if unsupported := request.keys() - {"Keys", "ConsistentRead"}:
                raise NotImplementedError(f"BatchGetItem has no {min(unsupported)} here")
            table = self._table("BatchGetItem", name)
            if not request["Keys"]:
                raise parameter_error("Invalid length for parameter Keys, value: 0, valid min length: 1")
            wanted += ((name, key, self._checked("BatchGetItem", self._key, table, key)) for key in request["Keys"])
        if not wanted:
            raise parameter_error("Invalid length for parameter RequestItems, value: 0, valid min length: 1")
        if len(wanted) > BATCH_GET_KEYS:
            raise self.error(
                "BatchGetItem", "ValidationException", "Too many items requested for the BatchGetItem call"
            )
        if len({(name, found) for name, _, found in wanted}) < len(wanted):
            raise self.error("BatchGetItem", "ValidationException", "Provided list of item keys contains duplicates")
        refused = self.surroundings.faults.refuse(self.service, "BatchGetItem", len(wanted))
        if len(refused) == len(wanted):
            raise self._throttled("BatchGetItem")
        responses: dict[str, list[Item]] = {name: [] for name in requests}
        unprocessed: dict[str, Any] = {}
        before = {
            name: {} if request.get("ConsistentRead") else self._before("BatchGetItem", self.tables[name])
            for name, request in requests.items()
        }
        size = 0
        for position, (name, key, found) in enumerate(wanted):
            stored = before[name][found] if found in before[name] else self.tables[name].items.get(found)
            size += len(stored or b"")
            if position in refused or size > BATCH_GET_BYTES:
                unprocessed.setdefault(name, {**requests[name], "Keys": []})["Keys"].append(key)
            elif stored is not None:
                responses[name].append(decode(stored))
        # The service promises no order; the reverse is what no caller may rely on by accident.
        for items in responses.values():
            items.reverse()
        return {"Responses": responses, "UnprocessedKeys": unprocessed}

    @operation(
        "Query",
        ("TableName", "KeyConditionExpression"),
        (
            "ConsistentRead",
            "ExclusiveStartKey",
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
            "IndexName",
            "Limit",
            "ProjectionExpression",
            "ScanIndexForward",
        ),
    )
    def query(self, params: Parameters) -> Answer:
        table = self._table("Query", params["TableName"])
        if "IndexName" in params:
            return self._checked("Query", self._query_index, table, params)
        keys = self._checked("Query", self._queried, table, params)
        return self._page("Query", table, keys, params)

    @operation(
        "Scan",
        ("TableName",),
        ("ConsistentRead", "ExclusiveStartKey", "ExpressionAttributeNames", "Limit", "ProjectionExpression"),
    )
    def scan(self, params: Parameters) -> Answer:
        table = self._table("Scan", params["TableName"])
        keys = table.scan_order()
        if "ExclusiveStartKey" in params:
            start = self._checked("Scan", self._key, table, params["ExclusiveStartKey"])
            after = bisect_right(keys, (_scattered(start[0]), start[1:]), key=lambda key: (_scattered(key[0]), key[1:]))
            keys = keys[after:]
        return self._page("Scan", table, keys, params)

    @operation("TransactWriteItems", ("TransactItems",), ("ClientRequestToken",))
    def transact_write_items(self, params: Parameters) -> Answer:
        name, items = "TransactWriteItems", params["TransactItems"]
        if not items:
            raise parameter_error("Invalid length for parameter TransactItems, value: 0, valid min length: 1")
        if len(items) > TRANSACTION_ITEMS:
            raise self.error(
                name,
                "ValidationException",
                f"1 validation error detected: Value '[{len(items)} items]' at 'transactItems' failed to satisfy "
                f"constraint: Member must have length less than or equal to {TRANSACTION_ITEMS}",
            )
        token = params.get("ClientRequestToken")
        if token is not None and self._repeated(token, items):
            return {}
        planned = self._planned(items)
        if len({(write.table.name, write.key) for write in planned}) < len(planned):
            raise self.error(
                name, "ValidationException", "Transaction request cannot include multiple operations on one item"
            )
        if sum(write.size for write in planned) > TRANSACTION_BYTES:
            raise self.error(name, "ValidationException", "The aggregate size of the items exceeds 4 MB")
        condemned = self._condemned(name, planned)
        if condemned:
            refused = {"Code": "ValidationError", "Message": _CONDEMNED}
            raise transaction_cancelled(
                [refused if position in condemned else {"Code": "None"} for position in range(len(planned))]
            )
        conflicts = self.surroundings.faults.refuse(self.service, name, len(planned))
        reasons = [_reason(write, conflict=position in conflicts) for position, write in enumerate(planned)]
        if any(reason["Code"] != "None" for reason in reasons):
            raise transaction_cancelled(reasons)
        changes = [write.change() for write in planned if not write.check_only]
        for change in changes:
            self._apply(change)
        # A stream keeps the order of one item's changes, and nothing keeps that of a transaction's items.
        if len(changes) > 1:
            self.surroundings.rng.shuffle(changes)
        for change in changes:
            self._record(change)
        if token is not None:
            self._remember(token, items)
        return {}

    @operation("TransactGetItems", ("TransactItems",))
    def transact_get_items(self, params: Parameters) -> Answer:
        name, items = "TransactGetItems", params["TransactItems"]
        if not items:
            raise parameter_error("Invalid length for parameter TransactItems, value: 0, valid min length: 1")
        if len(items) > TRANSACTION_ITEMS:
            raise self.error(
                name,
                "ValidationException",
                f"1 validation error detected: Value '[{len(items)} items]' at 'transactItems' failed to satisfy "
                f"constraint: Member must have length less than or equal to {TRANSACTION_ITEMS}",
            )
        wanted: list[tuple[Table, Key]] = []
        for item in items:
            if item.keys() != {"Get"} or item["Get"].keys() != {"TableName", "Key"}:
                raise NotImplementedError(f"TransactGetItems takes a Get of TableName and Key here, not {item}")
            table = self._table(name, item["Get"]["TableName"])
            wanted.append((table, self._checked(name, self._key, table, item["Get"]["Key"])))
        if len({(table.name, key) for table, key in wanted}) < len(wanted):
            raise self.error(
                name, "ValidationException", "Transaction request cannot include multiple operations on one item"
            )
        conflicts = self.surroundings.faults.refuse(self.service, name, len(wanted))
        if conflicts:
            raise transaction_cancelled(
                [_CONFLICT if position in conflicts else {"Code": "None"} for position in range(len(wanted))], name
            )
        found = [table.get(key) for table, key in wanted]
        return {"Responses": [{} if item is None else {"Item": item} for item in found]}

    def expire(self, name: str, attribute: str) -> int:
        """What the table's TTL does: deletes items whose time, in epoch seconds, has passed; gives their number.

        The service itself does this, so that no fault meets it.
        """
        table, now = self.tables[name], self.surroundings.clock()
        quoted = f'"{attribute}"'.encode()
        expired = []
        for key, stored in table.items.items():
            time = decode(stored).get(attribute, {}).get("N") if quoted in stored else None
            # "Not older than five years": what is, is taken for a mistake ("Time to live", Developer Guide).
            if time is not None and now - _OLDEST_TTL_SECONDS < Decimal(time) < now:
                expired.append(_Change(table, key, stored, None, None, 0))
        for change in expired:
            self._apply(change)
            self._record(change, _TTL_IDENTITY)
        return len(expired)

    def _table(self, operation_name: str, name: str) -> Table:
        table = self.tables.get(name)
        if table is None:
            raise self.error(operation_name, "ResourceNotFoundException", "Requested resource not found")
        return table

    def _checked[**P, T](self, operation_name: str, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except InvalidValueError as error:
            raise self.error(operation_name, "ValidationException", str(error)) from None

    def _throttled(self, operation_name: str) -> Exception:
        return self.error(
            operation_name,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        )

    def _key(self, table: Table, key: Mapping[str, Any]) -> Key:
        return table.key_of(canonical(key)[0], exact=True)

    def _put(self, params: Parameters) -> _Planned:
        table = self._table("PutItem", params["TableName"])
        item, size = canonical(params["Item"])
        key = table.key_of(item)
        table.check_indexed(item)
        if size > ITEM_BYTES:
            raise InvalidValueError("Item size has exceeded the maximum allowed size")
        return _plan(table, key, params, new=item, size=size)

    def _delete(self, params: Parameters) -> _Planned:
        table = self._table("DeleteItem", params["TableName"])
        return _plan(table, self._key(table, params["Key"]), params)

    def _check(self, params: Parameters) -> _Planned:
        if "ConditionExpression" not in params:
            raise parameter_error('Missing required parameter in ConditionCheck: "ConditionExpression"')
        table = self._table("TransactWriteItems", params["TableName"])
        return _plan(table, self._key(table, params["Key"]), params, check_only=True)

    def _planned(self, items: Sequence[Mapping[str, Any]]) -> list[_Planned]:
        plans = {"Put": self._put, "Delete": self._delete, "ConditionCheck": self._check}
        planned: list[_Planned | InvalidValueError] = []
        for item in items:
            if len(item) != 1:
                raise self.error(
                    "TransactWriteItems",
                    "ValidationException",
                    "TransactItems can only contain one of Check, Put, Update or Delete",
                )
            ((kind, params),) = item.items()
            if kind not in plans:
                raise NotImplementedError(f"TransactWriteItems has no {kind} here")
            required = "Item" if kind == "Put" else "Key"
            if unsupported := params.keys() - {"TableName", required, *_CONDITION}:
                raise NotImplementedError(f"{kind} of TransactWriteItems has no {min(unsupported)} here")
            if missing := {"TableName", required} - params.keys():
                raise parameter_error(f'Missing required parameter in {kind}: "{min(missing)}"')
            try:
                planned.append(plans[kind](params))
            except InvalidValueError as error:
                planned.append(error)
        if any(isinstance(plan, InvalidValueError) for plan in planned):
            raise transaction_cancelled(
                [
                    {"Code": "ValidationError", "Message": str(plan)}
                    if isinstance(plan, InvalidValueError)
                    else {"Code": "None"}
                    for plan in planned
                ]
            )
        return [plan for plan in planned if isinstance(plan, _Planned)]

    def _write(self, operation_name: str, planned: _Planned) -> None:
        stored = planned.table.items.get(planned.key)
        if planned.condition is not None:
            current = {} if stored is None else decode(stored)
            if not planned.holds(current):
                held: dict[str, Any] = {"Item": current} if planned.return_old and stored is not None else {}
                raise self.error(
                    operation_name, "ConditionalCheckFailedException", "The conditional request failed", **held
                )
        change = planned.change()
        self._apply(change)
        self._record(change)

    def _apply(self, change: _Change) -> None:
        before = change.table.before
        if len(before) > _REMEMBERED:
            before.clear()
        before[change.key] = self.surroundings.clock(), change.old
        _apply(change)

    def _record(self, change: _Change, identity: Mapping[str, str] | None = None) -> None:
        table, log = change.table, change.table.log
        # A write that changes nothing leaves no record.
        if log is None or change.old == change.new:
            return
        old = None if change.old is None else decode(change.old)
        if old is not None and old == change.item:
            return
        number = log.next_number()
        image: Item = change.item or old or {}
        keys = {name: image[name] for name, _ in table.keys}
        lane = orjson.dumps(keys, option=orjson.OPT_SORT_KEYS, default=base64_text).decode()
        view: dict[str, Any] = {"ApproximateCreationDateTime": int(self.surroundings.clock()), "Keys": keys}
        size = len(lane)
        if change.item is not None and change.new is not None:
            view["NewImage"] = orjson.loads(change.new) if holds_binary(change.new) else change.item
            size += change.size
        if old is not None and change.old is not None:
            view["OldImage"] = orjson.loads(change.old) if holds_binary(change.old) else old
            size += canonical(old)[1]
        sequence_number = str(_FIRST_SEQUENCE_NUMBER + number)
        view |= {"SequenceNumber": sequence_number, "SizeBytes": size, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        body: dict[str, Any] = {
            "eventID": f"{table.number:08x}{number:024x}",
            "eventName": "INSERT" if old is None else "REMOVE" if change.new is None else "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": REGION,
            "dynamodb": view,
            "eventSourceARN": log.arn,
        }
        if identity is not None:
            body["userIdentity"] = identity
        partition = change.key[0]
        content = len(lane) + len(change.new or b"") + len(change.old or b"")
        log.append(
            partition if isinstance(partition, str) else repr(partition),
            lane,
            body,
            sequence_number,
            content + _RECORD_BYTES + len(log.arn),
        )

    def _queried(self, table: Table, params: Parameters) -> list[Key]:
        hash_value, clauses = _key_clauses(table.keys, params)
        if len(table.keys) == 1:
            return [(hash_value,)] if (hash_value,) in table.items else []
        sort_keys = table.sort_keys(hash_value)
        first, last = 0, len(sort_keys)
        for comparator, value in clauses:
            first, last = _range(sort_keys, comparator, value)
        forward = params.get("ScanIndexForward", True)
        if "ExclusiveStartKey" in params:
            start = self._key(table, params["ExclusiveStartKey"])
            if forward:
                first = max(first, bisect_right(sort_keys, start[1]))
            else:
                last = min(last, bisect_left(sort_keys, start[1]))
        found: list[Key] = [(hash_value, sort_key) for sort_key in sort_keys[first:last]]
        return found if forward else found[::-1]

    def _query_index(self, table: Table, params: Parameters) -> Answer:
        """The index's items of one partition. It is put together here: the writes of a run pay nothing for it."""
        index = table.indexes.get(params["IndexName"])
        if index is None:
            raise InvalidValueError(f"The table does not have the specified index: {params['IndexName']}")
        if unsupported := params.keys() & {"ExclusiveStartKey", "ProjectionExpression"}:
            raise NotImplementedError(f"Query of an index has no {min(unsupported)} here")
        if params.get("ConsistentRead"):
            raise InvalidValueError("Consistent reads are not supported on global secondary indexes")
        hash_value, clauses = _key_clauses([(name, "S") for name in index.keys], params)
        if clauses:
            raise NotImplementedError("Query of an index has no condition on its sort key here")
        limit = params.get("Limit", len(table))
        stored: dict[Key, bytes | None] = {**table.items, **self._before("Query", table)}
        items_there = (decode(each) for each in stored.values() if each is not None)
        found = [item for item in items_there if _indexed(item, index, hash_value)]
        forward = params.get("ScanIndexForward", True)
        found.sort(key=lambda item: str(item[index.range_key]["S"]), reverse=not forward)
        keys = dict.fromkeys((*(name for name, _ in table.keys), *index.keys))
        shown = None if index.projected is None else index.projected.union(keys)
        items = [
            {name: value for name, value in item.items() if shown is None or name in shown} for item in found[:limit]
        ]
        answer: Answer = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        if len(found) >= limit:
            answer["LastEvaluatedKey"] = {name: items[-1][name] for name in keys}
        return answer

    def _page(self, operation_name: str, table: Table, keys: Sequence[Key], params: Parameters) -> Answer:
        limit = params.get("Limit", len(keys) + 1)
        if limit < 1:
            raise parameter_error(f"Invalid range for parameter Limit, value: {limit}, valid min value: 1")
        attributes = self._checked(operation_name, _attributes, params)
        items: list[Item] = []
        size = 0
        last: Item | None = None
        for key in keys:
            stored = table.items[key]
            item = decode(stored)
            # An item's JSON is never smaller than the item, so that few pages need the exact size.
            size += len(stored)
            if size > PAGE_BYTES:
                size = sum(canonical(item)[1] for item in [*items, item])
            items.append(item)
            if len(items) == limit or size >= PAGE_BYTES:
                last = {name: item[name] for name, _ in table.keys}
                break
        if last is not None and len(items) < limit and len(items) == len(keys):
            last = None
        if attributes:
            items = [{name: item[name] for name in attributes if name in item} for item in items]
        answer: Answer = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
        if last is not None:
            answer["LastEvaluatedKey"] = last
        return answer

    def _before(self, operation_name: str, table: Table) -> Mapping[Key, bytes | None]:
        """What was there a moment ago, where it was another: what a read that is not consistent may answer."""
        since = self.surroundings.clock() - STALE_SECONDS
        table.before = {key: (at, old) for key, (at, old) in table.before.items() if at > since}
        if table.before and self.surroundings.faults.stale(self.service, operation_name):
            return {key: old for key, (_, old) in table.before.items()}
        return {}

    def _condemned(self, operation_name: str, planned: Sequence[_Planned]) -> frozenset[int]:
        items = [write.new for write in planned]
        return self.surroundings.faults.condemn(self.service, operation_name, planned[0].table.name, items)

    def _refuse_condemned(self, operation_name: str, planned: Sequence[_Planned]) -> None:
        if self._condemned(operation_name, planned):
            raise self.error(operation_name, "ValidationException", _CONDEMNED)

    def _repeated(self, token: str, items: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the transaction of this token was done within the last ten minutes."""
        oldest = self.surroundings.clock() - TRANSACTION_TOKEN_SECONDS
        while self._token_times and self._token_times[0][0] <= oldest:
            self._tokens.pop(self._token_times.popleft()[1], None)
        digest = self._tokens.get(token)
        if digest is not None and digest != _digest(items):
            raise self.error("TransactWriteItems", "IdempotentParameterMismatchException", "Idempotent token reused")
        return digest is not None

    def _remember(self, token: str, items: Sequence[Mapping[str, Any]]) -> None:
        self._tokens[token] = _digest(items)
        self._token_times.append((self.surroundings.clock(), token))


def _indexed(item: Item, index: Index, hash_value: KeyValue) -> bool:
    return index.range_key in item and item.get(index.hash_key) == {"S": hash_value}


def _key_clauses(keys: Sequence[tuple[str, str]], params: Parameters) -> tuple[KeyValue, list[tuple[str, KeyValue]]]:
    """Of a query's key condition: the partition key's value, and the comparisons of the sort key."""
    compiled = expressions.key_condition(params["KeyConditionExpression"])
    used = [compiled.placeholders, _projected(params)]
    names, values = expressions.bound(
        params.get("ExpressionAttributeNames"),
        params.get("ExpressionAttributeValues"),
        used,
        "KeyConditionExpression",
    )
    clauses: dict[str, tuple[str, KeyValue]] = {}
    for name, comparator, placeholder in compiled.clauses:
        attribute = names.get(name, name)
        kind = dict(keys).get(attribute)
        if kind is None or attribute in clauses:
            raise InvalidValueError("Query condition missed key schema element")
        if kind not in values[placeholder]:
            raise InvalidValueError(
                "One or more parameter values were invalid: Condition parameter type does not match schema type"
            )
        clauses[attribute] = (comparator, key_value(values[placeholder]))
    comparator, hash_value = clauses.pop(keys[0][0], ("", ""))
    if comparator != "=":
        raise InvalidValueError(f"Query condition missed key schema element: {keys[0][0]}")
    return hash_value, list(clauses.values())


def _plan(
    table: Table, key: Key, params: Parameters, *, new: Item | None = None, size: int = 0, check_only: bool = False
) -> _Planned:
    text = params.get("ConditionExpression")
    compiled = None if text is None else expressions.condition(text)
    names, values = expressions.bound(
        params.get("ExpressionAttributeNames"),
        params.get("ExpressionAttributeValues"),
        () if compiled is None else (compiled.placeholders,),
        "ConditionExpression",
    )
    return _Planned(
        table,
        key,
        new,
        size,
        check_only,
        compiled,
        names,
        values,
        params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD",
    )


def _reason(write: _Planned, *, conflict: bool) -> dict[str, Any]:
    if conflict:
        return _CONFLICT
    current = write.table.get(write.key)
    if write.holds(current or {}):
        return {"Code": "None"}
    reason: dict[str, Any] = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    return reason | ({"Item": current} if write.return_old and current is not None else {})


def _apply(change: _Change) -> None:
    if change.new is not None:
        change.table.put(change.key, change.new)
    elif change.old is not None:
        change.table.delete(change.key)


def _range(sort_keys: Sequence[Any], comparator: str, value: Any) -> tuple[int, int]:
    below, through = bisect_left(sort_keys, value), bisect_right(sort_keys, value)
    return {
        "=": (below, through),
        "<": (0, below),
        "<=": (0, through),
        ">": (through, len(sort_keys)),
        ">=": (below, len(sort_keys)),
    }[comparator]


def _projected(params: Parameters) -> frozenset[str]:
    text = params.get("ProjectionExpression")
    return frozenset() if text is None else frozenset(n for n in expressions.projection(text) if n[0] == "#")


def _attributes(params: Parameters) -> list[str]:
    text = params.get("ProjectionExpression")
    names = params.get("ExpressionAttributeNames") or {}
    return [] if text is None else [names.get(name, name) for name in expressions.projection(text)]


def _scattered(value: KeyValue) -> bytes:
    return hashlib.md5(repr(value).encode(), usedforsecurity=False).digest()


def _digest(items: Iterable[Mapping[str, Any]]) -> bytes:
    return hashlib.blake2b(orjson.dumps(list(items), default=repr), digest_size=16).digest()


def items_of(table: Table) -> Iterator[Item]:
    """Every item of the table, past all faults, in no particular order."""
    return map(decode, table.items.values())
