"""What was parked from the archive already: in LedgerTable, an item a consumer and shard, key ``archived#…``.

The archive answers a failed batch of Kinesis with all that may have been in it: of a shard's many batches each would
park the same records again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from headwater.attribute_values import marshal_item, unmarshal_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: A span: from when until when records were captured, in whole epoch seconds; the end is not within it.
type Span = tuple[int, int]

#: The dead letters themselves are kept no longer.
MEMORY: Final = timedelta(days=14)


class DynamoDbParkedSpans:
    """Implements `headwater.archive.lookup.ParkedSpans`. ``spans`` is a list of pairs; TTL: ``expires_at``.

    Of two that remember at once one may be forgotten, which parks some records twice.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def of(self, consumer: str, shard: str, now: datetime) -> Sequence[Span]:
        answer = self._client.get_item(TableName=self._table, Key=_key(consumer, shard), ConsistentRead=True)
        item: dict[str, Any] = unmarshal_item(answer["Item"]) if "Item" in answer else {}
        # DynamoDB removes what has expired within days: until then it counts as gone.
        if item.get("expires_at", 0) <= now.timestamp():
            return []
        return [(since, until) for since, until in item["spans"]]

    def add(self, consumer: str, shard: str, span: Span, now: datetime) -> None:
        spans = union([*self.of(consumer, shard, now), span])
        item = marshal_item({"spans": list(map(list, spans)), "expires_at": int((now + MEMORY).timestamp())})
        self._client.put_item(TableName=self._table, Item={**_key(consumer, shard), **item})


def union(spans: Sequence[Span]) -> list[Span]:
    """The same seconds in as few spans as there can be, in order."""
    found: list[Span] = []
    for since, until in sorted(spans):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(until, found[-1][1])
        else:
            found.append((since, until))
    return found


def _key(consumer: str, shard: str) -> Any:
    return marshal_item({"pk": f"archived#{consumer}#{shard}"})
