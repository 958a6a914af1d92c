"""The HTTP API on this machine: API Gateway's payload format 2.0, both ways. IAM authorization is left off.

At the same address are the e-mails that were sent, Lambda's Invoke (`devstack.lambda_api`), and the local stack's own
door (`devstack.control`).

Source: API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import base64
import itertools
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote

import orjson
from waitress import wasyncore
from waitress.server import create_server

from devstack import lambda_api
from devstack.console import Console
from devstack.control import ControlApi
from devstack.emulator import require_free
from devstack.functions import REQUEST_LIMIT_BYTES, Outcome
from devstack.lambda_api import LambdaApi
from devstack.mail_pages import PATH, Page
from devstack.template import Route, TemplateError
from operations.running import ACCOUNT_ID, CONTROL_PATH, HOST, TOKEN_HEADER

BODY_LIMIT_BYTES: Final = 10 * 1024 * 1024
"""Payload size of an HTTP API (API Gateway quotas)."""

THREADS: Final = 32

#: The header as WSGI names it.
_TOKEN: Final = f"HTTP_{TOKEN_HEADER.upper().replace('-', '_')}"

type Environ = Mapping[str, Any]
type StartResponse = Callable[[str, list[tuple[str, str]]], object]

_REASONS: Final = {413: "Request Too Long", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}
_VARIABLE = re.compile(r"^\{([^{}+]+)(\+?)\}$")


class Router:
    """Finds the route that API Gateway would: full match, then greedy, then ``$default``; a method before ANY."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: list[tuple[tuple[int, ...], Route, list[tuple[str, str, bool]]]] = []
        self._default: Route | None = None
        for route in routes:
            if route.path is None:
                self._default = route
                continue
            parts = [_part(route, text) for text in _segments(route.path)]
            if any(greedy for _, _, greedy in parts[:-1]):
                raise TemplateError(f"{route.function}: only the last part of {route.path} may be greedy")
            # Compared part by part: text before a variable, a variable before a greedy one.
            rank = tuple((2 if greedy else 1) if name else 0 for _, name, greedy in parts)
            self._routes.append(((*rank, 0 if route.method != "ANY" else 1), route, parts))
        self._routes.sort(key=lambda entry: (any(part == 2 for part in entry[0][:-1]), entry[0]))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and its path parameters; ``path`` is still percent-encoded."""
        segments = _segments(path)
        for _, route, parts in self._routes:
            if route.method not in {method, "ANY"}:
                continue
            parameters = _match(parts, segments)
            if parameters is not None:
                return route, parameters
        return (self._default, {}) if self._default is not None else None


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/") if path.strip("/") else []


def _part(route: Route, text: str) -> tuple[str, str, bool]:
    if variable := _VARIABLE.match(text):
        return "", variable[1], bool(variable[2])
    if "{" in text or "}" in text:
        raise TemplateError(f"{route.function}: {text} in {route.path} is neither text nor one {{variable}}")
    return text, "", False


def _match(parts: Sequence[tuple[str, str, bool]], segments: Sequence[str]) -> dict[str, str] | None:
    parameters = {}
    for position, (text, name, greedy) in enumerate(parts):
        if position >= len(segments):
            return None
        if greedy:
            parameters[name] = unquote("/".join(segments[position:]))
            return parameters
        if name:
            parameters[name] = unquote(segments[position])
        elif text != segments[position]:
            return None
    return parameters if len(parts) == len(segments) else None


def request_event(environ: Environ, body: bytes, route: Route, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The event of payload format 2.0 for a WSGI request."""
    headers = _headers(environ)
    cookies = headers.pop("cookie", None)
    query = environ.get("QUERY_STRING", "")
    now = datetime.now(UTC)
    path = _raw_path(environ)
    route_key = "$default" if route.path is None else f"{route.method} {route.path}"
    domain = headers.get("host", HOST)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": domain.partition(".")[0],
            "http": {
                "method": environ["REQUEST_METHOD"],
                "path": path,
                "protocol": environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
                "sourceIp": environ.get("REMOTE_ADDR", HOST),
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": _request_id(),
            "routeKey": route_key,
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies is not None:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if query:
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            values.setdefault(name, []).append(value)
        event["queryStringParameters"] = {name: ",".join(several) for name, several in values.items()}
    if parameters:
        event["pathParameters"] = dict(parameters)
    if body:
        event |= _body(body, headers.get("content-type", ""))
    return event


def _raw_path(environ: Environ) -> str:
    # Waitress keeps the undecoded path here; PATH_INFO has lost the difference between / and %2F.
    raw: str = environ.get("REQUEST_URI") or environ.get("PATH_INFO") or "/"
    return raw.split("?", maxsplit=1)[0]


def _headers(environ: Environ) -> dict[str, str]:
    # WSGI has joined repeated headers with a comma already.
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    textual = kind.startswith("text/") or kind.endswith(("json", "xml", "javascript", "x-www-form-urlencoded"))
    if textual or not kind:
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


_request_numbers = itertools.count()


def _request_id() -> str:
    """Looks like API Gateway's: a short opaque text, unique to the request."""
    return f"{uuid.uuid4().hex[:11]}{next(_request_numbers):04x}="


def response_of(answer: object) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body for a function's answer.

    An answer without ``statusCode`` is the body of a 200 in JSON, as format 2.0 infers. Raises ValueError for an answer
    that API Gateway would not understand.
    """
    if not isinstance(answer, Mapping) or "statusCode" not in answer:
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        return 200, [("content-type", "application/json")], body
    status = int(answer["statusCode"])
    headers = [(str(name).lower(), _header_text(value)) for name, value in (answer.get("headers") or {}).items()]
    headers += [("set-cookie", str(cookie)) for cookie in answer.get("cookies") or []]
    text = answer.get("body")
    if text is None:
        body = b""
    elif not isinstance(text, str):
        raise ValueError("body is no string")
    else:
        body = base64.b64decode(text, validate=True) if answer.get("isBase64Encoded") else text.encode()
    if text and not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return status, headers, body


def _header_text(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(character in text for character in "\r\n\0"):
        raise ValueError("a header contains a line break")
    return text


class Gateway:
    """Serves the routes on loopback; beside them the e-mails that were sent (``mails`` gives the page of a path), and
    the functions by their names.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        invoke: Callable[[str, bytes], Future[Outcome]],
        *,
        mails: Callable[[str], Page],
        functions: LambdaApi,
        control_api: ControlApi | None = None,
        port: int,
        log: Path,
        console: Console,
    ) -> None:
        self._router = Router(routes)
        self._invoke = invoke
        self._mails = mails
        self._functions = functions
        self._control = control_api
        self._console = console
        self._requests = 0
        self._log = log
        if port:
            require_free(port, "--port")
        self._quiet_server_log()
        # Its type stubs describe neither the server's attributes nor its options.
        self._server = cast("Any", create_server)(
            self._answer,
            host=HOST,
            port=port,
            threads=THREADS,
            # Ours answers above 10 MB, with API Gateway's message; this is what waitress would spool at most.
            max_request_body_size=8 * BODY_LIMIT_BYTES,
            clear_untrusted_proxy_headers=False,
            ident=None,
        )
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run, name="gateway", daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def requests(self) -> int:
        """Requests being answered."""
        return self._requests

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            # In the server's own thread, between two turns of its loop, which ends when no socket is left. Under the
            # trigger's lock: a request that ends just now pulls it too, and what is asked for closes it.
            trigger = self._server.trigger
            with trigger.lock:
                trigger.thunks.append(lambda: wasyncore.close_all(self._server._map))
                trigger._physical_pull()
            self._thread.join(2)
        else:
            self._server.close()
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=1)

    def _quiet_server_log(self) -> None:
        logger = logging.getLogger("waitress")
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.addHandler(logging.FileHandler(self._log, delay=True))
        logger.propagate = False

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        began = time.monotonic()
        self._requests += 1
        try:
            status, headers, body = self._handle(environ)
        finally:
            self._requests -= 1
        self._console.detail(
            f"{environ['REQUEST_METHOD']} {_raw_path(environ)} {status} {(time.monotonic() - began) * 1000:.0f} ms"
        )
        headers = [(name, value) for name, value in headers if name != "content-length"]
        start_response(f"{status} {_REASONS.get(status, '-')}", [*headers, ("content-length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _handle(self, environ: Environ) -> tuple[int, list[tuple[str, str]], bytes]:
        if _raw_path(environ).startswith(PATH):
            return self._mails(_raw_path(environ))
        if _raw_path(environ).startswith(lambda_api.PATH):
            invocation_type = environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse")
            payload = environ["wsgi.input"].read()
            return self._functions.answer(environ["REQUEST_METHOD"], _raw_path(environ), invocation_type, payload)
        if self._control is not None and _raw_path(environ).startswith(CONTROL_PATH):
            token = environ.get(_TOKEN, "")
            body = environ["wsgi.input"].read()
            return self._control.answer(environ["REQUEST_METHOD"], _raw_path(environ), token, body)
        found = self._router.find(environ["REQUEST_METHOD"], _raw_path(environ))
        if found is None:
            return _message(404)
        route, parameters = found
        if int(environ.get("CONTENT_LENGTH") or 0) > BODY_LIMIT_BYTES:
            return _message(413)
        body = environ["wsgi.input"].read()
        if len(body) > BODY_LIMIT_BYTES:
            return _message(413)
        payload = orjson.dumps(request_event(environ, body, route, parameters))
        if len(payload) > REQUEST_LIMIT_BYTES:
            return _message(413)
        try:
            outcome = self._invoke(route.function, payload).result(route.timeout)
        except FutureTimeoutError:
            return _message(503)
        if outcome.error is not None:
            return _message(503 if outcome.timed_out else 500)
        try:
            return response_of(json.loads(outcome.payload))
        except (TypeError, ValueError) as error:
            self._console.line(f"{route.function} answered what API Gateway does not understand: {error}")
            return _message(500)


def _message(status: int) -> tuple[int, list[tuple[str, str]], bytes]:
    return status, [("content-type", "application/json")], json.dumps({"message": _REASONS[status]}).encode()
