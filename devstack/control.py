"""The local stack's door for `headwater status`, `console` and `rehearse`: HTTP under `/_devstack/`.

Whoever knocks shows the token of the run, which only this user can read (`.devstack/run-*/stack.json`): a page of some
web site can send a request to loopback, but neither read that file nor send such a header.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from devstack.errors import DevstackError
from devstack.functions import FunctionHost
from devstack.mappings.stack_mappings import Mappings
from devstack.rehearsals import RehearsalError, Rehearsals
from operations.running import CONTROL_PATH, TOKEN_HEADER

type Answer = tuple[int, list[tuple[str, str]], bytes]


class ControlApi:
    """Answers for one stack that runs in this process."""

    def __init__(self, token: str, mappings: Mappings, functions: FunctionHost, rehearsals: Rehearsals) -> None:
        self._token = token
        self._mappings = mappings
        self._functions = functions
        self._rehearsals = rehearsals

    def answer(self, method: str, path: str, token: str, body: bytes) -> Answer:
        """Status, headers and body. ``path`` is percent-encoded."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return _json(403, {"error": f"this is the local stack's own door: it wants the header {TOKEN_HEADER}"})
        try:
            return self._answer(method, path.removeprefix(CONTROL_PATH).strip("/").split("/"), body)
        except RehearsalError as error:
            return _json(error.status, {"error": str(error)})
        except Exception as error:  # noqa: BLE001 - an answer says more than a connection that closes
            what = str(error) if isinstance(error, DevstackError) else f"{type(error).__name__}: {error}"
            return _json(500, {"error": f"the local stack cannot say: {what}"})

    def _answer(self, method: str, parts: list[str], body: bytes) -> Answer:
        match method, parts:
            case "GET", ["flow"]:
                return _json(200, self._flow())
            case "GET", ["rehearsals"]:
                return _json(200, self._rehearsals.told())
            case "POST", ["rehearsals"]:
                name, target = _wanted(body)
                return _json(201, self._rehearsals.start(name, target))
            case "DELETE", ["rehearsals", identifier]:
                return _json(200, self._rehearsals.undo(unquote(identifier)))
        return _json(404, {"error": f"{method} {CONTROL_PATH}{'/'.join(parts)} is nothing that is answered"})

    def _flow(self) -> Mapping[str, Any]:
        streams = [{"arn": arn, "records": count} for arn, count in self._mappings.records_read().items()]
        return {
            "streams": streams,
            "mappings": self._mappings.told(),
            "functions": self._functions.told(),
        }


def _wanted(body: bytes) -> tuple[str, str | None]:
    try:
        wanted = orjson.loads(body)
    except orjson.JSONDecodeError:
        wanted = None
    match wanted:
        case {"name": str(name), "target": str(target)}:
            return name, target
        case {"name": str(name)}:
            return name, None
    raise RehearsalError('say what to rehearse, as {"name": …, "target": …}', 400)


def _json(status: int, value: object) -> Answer:
    return status, [("content-type", "application/json"), ("cache-control", "no-store")], orjson.dumps(value)
