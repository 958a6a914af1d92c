"""Requests as API Gateway delivers them (payload format 2.0), short to write."""

import base64
import json
from typing import Any
from urllib.parse import urlencode


def http_event(
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    text: str | None = None,
    as_base64: bool = False,
    stage: str = "$default",
    user_id: str | None = None,
    query: dict[str, str] | None = None,
    route_key: str = "$default",
) -> dict[str, Any]:
    """``body`` is sent as JSON, ``text`` as it is; ``user_id`` is the signed caller's IAM user id.

    ``route_key`` is the API's route.
    """
    content = text if text is not None else None if body is None else json.dumps(body)
    context: dict[str, Any] = {
        "accountId": "123456789012",
        "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7"},
        "requestId": "request-1",
        "routeKey": route_key,
        "stage": stage,
    }
    if user_id is not None:
        context["authorizer"] = {"iam": {"userId": user_id, "accountId": "123456789012"}}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path if stage == "$default" else f"/{stage}{path}",
        "rawQueryString": urlencode(query or {}),
        "headers": {"content-type": "application/json"} | (headers or {}),
        "requestContext": context,
        "isBase64Encoded": as_base64,
    }
    if query is not None:
        event["queryStringParameters"] = query
    if content is not None:
        event["body"] = base64.b64encode(content.encode()).decode() if as_base64 else content
    return event
