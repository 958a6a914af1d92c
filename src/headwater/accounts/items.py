"""Reading items of a table that is keyed by ``pk``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from headwater.attribute_values import unmarshal_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ItemReader(Protocol):
    def get(self, pk: str) -> Mapping[str, Any] | None:
        """The item by a consistent read; None if there is none."""
        ...


class DynamoDbItems:
    """Implements `ItemReader`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, pk: str) -> Mapping[str, Any] | None:
        answer = self._client.get_item(TableName=self._table, Key={"pk": {"S": pk}}, ConsistentRead=True)
        return unmarshal_item(answer["Item"]) if "Item" in answer else None
