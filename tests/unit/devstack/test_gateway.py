"""API Gateway's routing and payload format 2.0."""

import base64
import io
import json
from typing import Any

import pytest

from devstack.gateway import Router, request_event, response_of
from devstack.template import Route, TemplateError


def route(path: str | None, method: str = "ANY") -> Route:
    return Route(f"{method} {path}", method, path, 30)


def environ(path: str = "/", method: str = "GET", query: str = "", **fields: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "REQUEST_URI": path + (f"?{query}" if query else ""),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8080",
        "wsgi.input": io.BytesIO(),
        **fields,
    }


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/users", "GET /users"),
        ("POST", "/users", "ANY /users"),
        ("GET", "/users/7", "GET /users/{id}"),
        ("GET", "/users/me", "GET /users/me"),
        ("GET", "/users/7/plays", "GET /users/{id}/plays"),
        ("GET", "/users/7/other/deep", "ANY /users/{rest+}"),
        ("DELETE", "/users/7", "ANY /users/{rest+}"),
        ("GET", "/nowhere", "ANY None"),
        ("GET", "/", "ANY None"),
    ],
)
def test_the_most_specific_route_answers(method: str, path: str, expected: str) -> None:
    router = Router(
        [
            route(None),
            route("/users/{rest+}"),
            route("/users/{id}", "GET"),
            route("/users/me", "GET"),
            route("/users/{id}/plays", "GET"),
            route("/users"),
            route("/users", "GET"),
        ]
    )
    found = router.find(method, path)
    assert found is not None
    assert found[0].function == expected


def test_without_a_default_route_an_unknown_path_is_not_found() -> None:
    assert Router([route("/users", "GET")]).find("GET", "/other") is None
    assert Router([route("/users", "GET")]).find("POST", "/users") is None


def test_path_parameters_are_decoded_and_may_be_greedy() -> None:
    router = Router([route("/users/{id}/files/{path+}")])
    found = router.find("GET", "/users/a%2Fb/files/x/y%20z")
    assert found is not None
    assert found[1] == {"id": "a/b", "path": "x/y z"}


def test_a_path_that_is_neither_text_nor_a_variable_is_refused() -> None:
    with pytest.raises(TemplateError, match="is neither text nor one"):
        Router([route("/users/{id}.json")])


def test_the_event_has_the_documented_shape() -> None:
    request = environ(
        "/users/7",
        "POST",
        "a=1&b=2&a=3&empty=",
        HTTP_X_Custom_Header="one, two",
        HTTP_COOKIE="a=1; b=2",
        HTTP_USER_AGENT="curl/8",
        CONTENT_TYPE="application/json",
    )
    event = request_event(request, b'{"x": 1}', route("/users/{id}", "POST"), {"id": "7"})
    context = event["requestContext"]
    assert event["version"] == "2.0"
    assert event["routeKey"] == context["routeKey"] == "POST /users/{id}"
    assert event["rawPath"] == "/users/7"
    assert event["rawQueryString"] == "a=1&b=2&a=3&empty="
    assert event["queryStringParameters"] == {"a": "1,3", "b": "2", "empty": ""}
    assert event["pathParameters"] == {"id": "7"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["x-custom-header"] == "one, two"
    assert event["headers"]["content-type"] == "application/json"
    assert (event["body"], event["isBase64Encoded"]) == ('{"x": 1}', False)
    assert context["http"] == {
        "method": "POST",
        "path": "/users/7",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "curl/8",
    }
    assert context["requestId"]
    assert context["stage"] == "$default"
    assert isinstance(context["timeEpoch"], int)


def test_what_a_request_lacks_the_event_lacks() -> None:
    event = request_event(environ(), b"", route(None), {})
    assert event["routeKey"] == "$default"
    for absent in ("body", "cookies", "queryStringParameters", "pathParameters"):
        assert absent not in event


@pytest.mark.parametrize("content_type", ["image/png", "application/octet-stream", "text/plain"])
def test_a_body_that_is_no_text_is_base64(content_type: str) -> None:
    body = b"\x89PNG\xff"
    event = request_event(environ(CONTENT_TYPE=content_type), body, route(None), {})
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == body


def test_an_answer_sets_status_headers_cookies_and_body() -> None:
    answer = {"statusCode": 201, "headers": {"X-Id": 7, "X-Flag": True}, "cookies": ["a=1", "b=2"], "body": "hällo"}
    status, headers, body = response_of(answer)
    assert status == 201
    assert ("x-id", "7") in headers
    assert ("x-flag", "true") in headers
    assert [value for name, value in headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert body.decode() == "hällo"


def test_a_base64_answer_is_decoded() -> None:
    body = base64.b64encode(b"\x00\xff").decode()
    assert response_of({"statusCode": 200, "body": body, "isBase64Encoded": True})[2] == b"\x00\xff"


def test_an_answer_without_a_status_is_the_json_body_of_a_200() -> None:
    status, headers, body = response_of({"message": "hi"})
    assert (status, json.loads(body)) == (200, {"message": "hi"})
    assert ("content-type", "application/json") in headers


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": "teapot"},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "headers": {"X": "a\r\nSet-Cookie: b"}},
    ],
)
def test_an_answer_that_api_gateway_would_not_take_is_an_error(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        response_of(answer)
