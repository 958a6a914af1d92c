"""Reading many items of a table by their keys, all of them: BatchGetItem may leave keys unread, and says so quietly."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any

from headwater.failures import TransientError
from headwater.limits import DynamoDbLimits

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Requests in a row that brought nothing new before a read gives up, and the base of the jittered wait between them.
_READ_ATTEMPTS = 8
_READ_BASE_SECONDS = 0.025


class KeysUnreadError(TransientError):
    """The table is throttled: keys stayed unread after several requests."""


def batch_get(
    client: "DynamoDBClient",
    table: str,
    keys: Sequence[Mapping[str, Any]],
    *,
    consistent: bool = True,
    limits: DynamoDbLimits | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Mapping[str, Any]]:
    """The items that are there, as DynamoDB JSON and in no order. ``keys`` must differ: BatchGetItem takes none twice.

    Raises
    ------
    KeysUnreadError
    """
    for request in batched(keys, (limits or DynamoDbLimits()).batch_get_keys, strict=False):
        left: Sequence[Any] = request
        fruitless = 0
        while left:
            answer = client.batch_get_item(RequestItems={table: {"Keys": left, "ConsistentRead": consistent}})
            yield from answer["Responses"].get(table, [])
            unread: Sequence[Any] = ()
            if table in answer["UnprocessedKeys"]:
                unread = answer["UnprocessedKeys"][table]["Keys"]
                fruitless = fruitless + 1 if len(unread) == len(left) else 0
                if fruitless == _READ_ATTEMPTS:
                    raise KeysUnreadError(f"{len(unread)} of {len(request)} keys of {table} stayed unread")
                sleep(random.uniform(0, _READ_BASE_SECONDS * 2**fruitless))  # noqa: S311  # jitter
            left = unread
