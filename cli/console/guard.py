"""Who the console answers: pages of its own, under its own address, and nobody else.

A page of another site can send a request to a server on loopback, and can have its own name point to 127.0.0.1 (DNS
rebinding). So the Host must be this server's, and whatever changes something must come from a page of it.
"""

import hmac
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE: Final = frozenset({"GET", "HEAD"})
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_COOKIE: Final = "headwater-console"
_HTTP_PORT: Final = 80


class Guard:
    """Wraps the console. ``port`` is where it listens; ``key``, if there is one, has to be shown once.

    A deployed stack has a key: its console acts with the operator's credentials, and other users of this machine reach
    its port too. It is part of the address that is printed, and a cookie afterwards.
    """

    def __init__(self, app: ASGIApp, port: int, key: str | None = None) -> None:
        self._app = app
        self._port = port
        self._key = key
        # A browser leaves out the port that http has anyway.
        at = "" if port == _HTTP_PORT else f":{port}"
        self._hosts: Sequence[str] = (f"127.0.0.1{at}", f"localhost{at}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            refused = f"This console answers at http://{self._hosts[0]} alone, not as {host!r}.\n"
            await PlainTextResponse(refused, 421)(scope, receive, send)
            return
        # A browser names the origin of each request that may change something.
        if scope["method"] not in _SAFE and headers.get("origin") != f"http://{host}":
            await PlainTextResponse("Changes are taken from the console's own pages alone.\n", 403)(
                scope, receive, send
            )
            return
        if self._key is not None and not self._knows_key(headers):
            await self._ask_for_key(scope, receive, send)
            return
        await self._app(scope, receive, _with_headers(send))

    def _knows_key(self, headers: Headers) -> bool:
        # Cookies are those of all servers on this machine, of any form and name: none of them hides the key.
        name = f"{_COOKIE}-{self._port}"
        pairs = (pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";"))
        return any(self._is_key(value.strip('"')) for found, _, value in pairs if found == name)

    def _is_key(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._key or "").encode())

    async def _ask_for_key(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        if not self._is_key(given):
            text = "Open the console by the address that 'headwater console' printed: it has a key.\n"
            await PlainTextResponse(text, 403)(scope, receive, send)
            return
        answer = RedirectResponse(scope["path"], 303)
        answer.set_cookie(f"{_COOKIE}-{self._port}", given, httponly=True, samesite="strict")
        await answer(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
