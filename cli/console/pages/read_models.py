"""Read models: their rows, each with its gates."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.console.pages.shared import RefusedError, desk, served, shown
from headwater.attribute_values import unmarshal_item
from headwater.projections.projection import RESERVED_ATTRIBUTES, Projection

_SHOWN: Final = 25
#: Of a scan, each a request of at most 1 MB: a page that finds few rows goes on by a link.
_PAGES: Final = 5
_GATES: Final = {"gates": "applied", "parked_from": "parked_from", "waits_for": "waits_for"}


def _projections(request: Request) -> Mapping[str, Projection]:
    return desk(request).target.application().projections


def read_models(request: Request) -> Response:
    """All read models."""
    return shown(request, "read_models.html", projections=_projections(request), title="Read models")


def rows(request: Request) -> Response:
    """Rows of one read model: one by its key, or a page of all."""
    projection = _projections(request).get(request.path_params["name"])
    if projection is None:
        known = ", ".join(_projections(request))
        raise RefusedError(f"there is no read model {request.path_params['name']!r}: there are {known}", 404)
    key = request.query_params.get("key", "").strip()
    target = desk(request).target
    table, dynamodb = target.output("ReadModelsTableName"), target.client("dynamodb")
    prefix = projection.pk("")
    after: str | None = request.query_params.get("after") or None
    if key:
        item = dynamodb.get_item(TableName=table, Key={"pk": {"S": prefix + key}}).get("Item")
        if item is None:
            raise RefusedError(f"{projection.name} has no row {key!r}", 404)
        items, after = [item], None
    else:
        items, after = _page(dynamodb, table, prefix, after)
    return shown(
        request,
        "rows.html",
        projection=projection,
        rows=[_row(item, prefix) for item in items],
        key=key,
        after=after,
        title=projection.name,
    )


def _page(dynamodb: Any, table: str, prefix: str, after: str | None) -> tuple[list[Any], str | None]:
    """Some rows, and the key after which the next ones come; None at the end."""
    found: list[Any] = []
    for _ in range(_PAGES):
        begin = {"ExclusiveStartKey": {"pk": {"S": after}}} if after else {}
        answer = dynamodb.scan(
            TableName=table,
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
            **begin,
        )
        for item in answer["Items"]:
            found.append(item)
            if len(found) == _SHOWN:
                return found, item["pk"]["S"]
        after = answer.get("LastEvaluatedKey", {}).get("pk", {}).get("S")
        if after is None:
            return found, None
    return found, after


def _row(item: Any, prefix: str) -> dict[str, Any]:
    row = unmarshal_item(item)
    return {
        "key": row["pk"].removeprefix(prefix),
        **{name: _versions(row.get(attribute)) for name, attribute in _GATES.items()},
        "revision": row.get("revision"),
        "deleted": bool(row.get("deleted")),
        "state": {name: value for name, value in row.items() if name not in RESERVED_ATTRIBUTES},
    }


def _versions(attribute: Any) -> dict[str, Any]:
    """Versions by gate; of an item that is no row, none."""
    return attribute if isinstance(attribute, dict) else {}


ROUTES: Final = [Route("/read-models", served(read_models)), Route("/read-models/{name}", served(rows))]
