"""The events table's items, as a redrive reads them."""

from typing import TYPE_CHECKING

from headwater.attribute_values import AttributeMap

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DynamoDbEventItems:
    """Implements `headwater.fan_out.fan_out.EventItems`, with consistent reads."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, key: AttributeMap) -> AttributeMap | None:
        return self._client.get_item(TableName=self._table, Key=dict(key), ConsistentRead=True).get("Item")
