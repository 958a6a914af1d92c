"""When a record failed first, in LedgerTable: one item a record, key ``failing#<consumer>#<record>``."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from headwater.attribute_values import marshal_item, unmarshal_item
from headwater.limits import DynamoDbLimits

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MEMORY: Final = timedelta(days=1)


class DynamoDbFirstFailures:
    """Implements `headwater.dead_letters.patience.FirstFailures`. ``failed_at`` is in epoch ms; TTL: ``expires_at``."""

    def __init__(self, client: "DynamoDBClient", table: str, *, limits: DynamoDbLimits | None = None) -> None:
        self._client = client
        self._table = table
        self._limits = limits or DynamoDbLimits()

    def since(self, consumer: str, record: str, now: datetime) -> datetime:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=marshal_item(
                    {
                        "pk": self._key(consumer, record),
                        "failed_at": int(now.timestamp() * 1000),
                        "expires_at": int((now + MEMORY).timestamp()),
                    }
                ),
                # DynamoDB removes what has expired within days: until then it counts as gone.
                ConditionExpression="attribute_not_exists(pk) OR expires_at <= :now",
                ExpressionAttributeValues=marshal_item({":now": int(now.timestamp())}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            answer: dict[str, Any] = {**error.response}
            return datetime.fromtimestamp(unmarshal_item(answer["Item"])["failed_at"] / 1000, UTC)
        return now

    def _key(self, consumer: str, record: str) -> str:
        prefix = f"failing#{consumer}#"
        # Records of others may have ids that no key holds.
        encoded = record.encode(errors="surrogatepass")
        if len(prefix) + len(encoded) > self._limits.partition_key_bytes:
            return prefix + hashlib.sha256(encoded).hexdigest()
        return prefix + encoded.decode(errors="replace")
