"""Tracked applications in DynamoDB: one item an application, with its history, and two indexes to list them by.

An application has a handful of actions, each of a few kilobytes at the most, so that the history fits into its item and
moves with the status in one write.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from headwater.attribute_values import marshal_item, unmarshal_item
from headwater.batch_get import batch_get
from headwater.domain.tracking import Step, TrackedApplication
from headwater.tracking.pages import Listed, Page
from headwater.tracking.tracker import Stored, TrackingConflictError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The indexes, as in receiver.yaml.
BY_ACCOUNT: Final = "ByAccount"
BY_STATUS: Final = "ByStatus"


class DynamoDbTracking:
    """Implements `headwater.tracking.tracker.TrackingStore` and `headwater.tracking.pages.TrackingLists`."""

    def __init__(self, client: "DynamoDBClient", table: str, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def get(self, application_ids: Collection[str]) -> Mapping[str, Stored]:
        keys = [{"pk": {"S": _pk(application_id)}} for application_id in dict.fromkeys(application_ids)]
        items = map(unmarshal_item, batch_get(self._client, self._table, keys, sleep=self._sleep))
        return {item["application_id"]: Stored(_application(item), item["revision"]) for item in items}

    def put(self, application: TrackedApplication, revision: int) -> None:
        request: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if revision:
            request["ConditionExpression"] = "revision = :read"
            request["ExpressionAttributeValues"] = {":read": {"N": str(revision)}}
        try:
            self._client.put_item(TableName=self._table, Item=_item(application, revision + 1), **request)
        except self._client.exceptions.ConditionalCheckFailedException as error:
            raise TrackingConflictError(f"{_pk(application.application_id)} is past revision {revision}") from error

    def of_account(self, account_id: str, *, limit: int, after: tuple[str, str] | None) -> Page:
        return self._list(BY_ACCOUNT, "account_id", account_id, limit=limit, after=after, newest_first=True)

    def of_status(self, status: str, *, until: str | None, limit: int, after: tuple[str, str] | None) -> Page:
        return self._list(BY_STATUS, "status", status, limit=limit, after=after, until=until)

    def _list(
        self,
        index: str,
        attribute: str,
        value: str,
        *,
        limit: int,
        after: tuple[str, str] | None,
        until: str | None = None,
        newest_first: bool = False,
    ) -> Page:
        # Half of these names, status among them, are words that expressions reserve.
        request: dict[str, Any] = {
            "KeyConditionExpression": "#partition = :value",
            "ExpressionAttributeNames": {"#partition": attribute},
            "ExpressionAttributeValues": {":value": {"S": value}},
        }
        if until is not None:
            request["KeyConditionExpression"] += " AND applied_at <= :until"
            request["ExpressionAttributeValues"][":until"] = {"S": until}
        if after is not None:
            applied_at, application_id = after
            request["ExclusiveStartKey"] = marshal_item(
                {"pk": _pk(application_id), attribute: value, "applied_at": applied_at}
            )
        answer = self._client.query(
            TableName=self._table, IndexName=index, Limit=limit, ScanIndexForward=not newest_first, **request
        )
        listed = [_listed(unmarshal_item(item)) for item in answer["Items"]]
        last = listed[-1] if listed and answer.get("LastEvaluatedKey") else None
        return Page(tuple(listed), None if last is None else (last.applied_at, last.application_id))


def _pk(application_id: str) -> str:
    return f"APPLICATION#{application_id}"


def _item(application: TrackedApplication, revision: int) -> dict[str, dict[str, Any]]:
    return marshal_item(
        {
            "pk": _pk(application.application_id),
            "application_id": application.application_id,
            "account_id": application.account_id,
            "kind": application.kind,
            "title": application.title,
            "status": application.status,
            "since": application.since,
            "applied_at": application.applied_at,
            "history": [asdict(step) for step in application.history],
            "revision": revision,
        }
    )


def _application(item: Mapping[str, Any]) -> TrackedApplication:
    return TrackedApplication(
        application_id=item["application_id"],
        account_id=item["account_id"],
        kind=item["kind"],
        title=item["title"],
        history=tuple(Step(**step) for step in item["history"]),
    )


def _listed(item: Mapping[str, Any]) -> Listed:
    return Listed(
        application_id=item["pk"].partition("#")[2],
        account_id=item["account_id"],
        kind=item["kind"],
        title=item["title"],
        status=item["status"],
        since=item["since"],
        applied_at=item["applied_at"],
    )
