"""Single items of a table that is keyed by ``pk``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from headwater.attribute_values import marshal_item, unmarshal_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ItemReader(Protocol):
    def get(self, pk: str) -> Mapping[str, Any] | None:
        """The item by a consistent read; None if there is none."""
        ...


class Items(ItemReader, Protocol):
    """Writes that stand alone. What has to commit with events goes through the event store instead."""

    def put_new(self, item: Mapping[str, Any]) -> bool:
        """Puts the item unless its key exists; whether it was put."""
        ...

    def put(self, item: Mapping[str, Any]) -> None:
        """Puts the item over whatever its key holds."""
        ...

    def remove(self, pk: str, **expected: str) -> bool:
        """Deletes the item if it has the ``expected`` texts; whether there was such an item."""
        ...


class DynamoDbItems:
    """Implements `Items`."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def get(self, pk: str) -> Mapping[str, Any] | None:
        answer = self._client.get_item(TableName=self._table, Key={"pk": {"S": pk}}, ConsistentRead=True)
        return unmarshal_item(answer["Item"]) if "Item" in answer else None

    def put_new(self, item: Mapping[str, Any]) -> bool:
        try:
            self._client.put_item(
                TableName=self._table, Item=marshal_item(item), ConditionExpression="attribute_not_exists(pk)"
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def put(self, item: Mapping[str, Any]) -> None:
        self._client.put_item(TableName=self._table, Item=marshal_item(item))

    def remove(self, pk: str, **expected: str) -> bool:
        conditions = ["attribute_exists(pk)", *(f"#{name} = :{name}" for name in expected)]
        placeholders: dict[str, Any] = {}
        if expected:
            placeholders = {
                "ExpressionAttributeNames": {f"#{name}": name for name in expected},
                "ExpressionAttributeValues": {f":{name}": {"S": text} for name, text in expected.items()},
            }
        try:
            self._client.delete_item(
                TableName=self._table,
                Key={"pk": {"S": pk}},
                ConditionExpression=" AND ".join(conditions),
                **placeholders,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
