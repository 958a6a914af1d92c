"""Lambda's Invoke for the functions of this process: whoever calls one by its name would ask the emulator in vain.

Source: "Invoke" in the AWS Lambda API Reference. A function's alias, and an invocation that nobody waits for, are
refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final
from urllib.parse import unquote

import orjson

from devstack.functions import REQUEST_LIMIT_BYTES, Outcome

PATH: Final = "/2015-03-31/functions/"
"""What the paths of Lambda's API begin with, as far as it is answered here."""

type Answer = tuple[int, list[tuple[str, str]], bytes]

_INVOCATIONS: Final = re.compile(rf"{PATH}([^/]+)/invocations")


class LambdaApi:
    """Answers for the functions in ``logical_ids``, by their names."""

    def __init__(self, logical_ids: Mapping[str, str], invoke: Callable[[str, bytes], Future[Outcome]]) -> None:
        self._logical_ids = logical_ids
        self._invoke = invoke

    def answer(self, method: str, path: str, invocation_type: str, payload: bytes) -> Answer:
        """Status, headers and body; waits until the function has ended. ``path`` is percent-encoded."""
        found = _INVOCATIONS.fullmatch(path)
        if found is None or method != "POST":
            return _refused(404, "UnknownOperationException", "the local stack answers Invoke alone")
        if invocation_type != "RequestResponse":
            text = f"the local stack invokes as RequestResponse, not as {invocation_type}"
            return _refused(400, "InvalidParameterValueException", text)
        name = unquote(found[1])
        if name not in self._logical_ids:
            return _refused(404, "ResourceNotFoundException", f"Function not found: {name}")
        if len(payload) > REQUEST_LIMIT_BYTES:
            text = f"Request must be smaller than {REQUEST_LIMIT_BYTES} bytes for the InvokeFunction operation"
            return _refused(413, "RequestTooLargeException", text)
        # One that is out of time has its outcome too.
        outcome = self._invoke(self._logical_ids[name], payload or b"{}").result()
        headers = [("content-type", "application/json"), ("x-amz-executed-version", "$LATEST")]
        if outcome.error is not None:
            headers.append(("x-amz-function-error", outcome.error))
        return 200, headers, outcome.payload


def _refused(status: int, code: str, message: str) -> Answer:
    headers = [("content-type", "application/json"), ("x-amzn-errortype", code)]
    return status, headers, orjson.dumps({"Type": "User", "message": message})
