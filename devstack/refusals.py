"""What the emulator refuses on purpose, as AWS would: so that somebody can rehearse what follows.

The emulator's process looks at a request only while there is something to refuse. A refusal is for writes: whoever
looks into a table or a bucket sees it as ever.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

type Kind = Literal["throttle", "deny", "refuse-mail"]
type App = Callable[[Any, Any, Any], Awaitable[None]]

_WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
_THROTTLED: Final = "The level of configured provisioned throughput for the table was exceeded."
_MAIL_PATH: Final = "/v2/email/outbound-emails"


@dataclass(frozen=True, slots=True)
class Refusal:
    """``resource``: the table or the bucket by its own name; of e-mail there is none."""

    kind: Kind
    resource: str = ""


#: Answers with the number of the line that was heard last: whoever wrote one knows when it holds.
HEARD_PATH: Final = "/_devstack/heard"


def line_of(refusals: Sequence[Refusal], number: int) -> bytes:
    """All refusals as the line that the emulator's process reads, the so-manieth."""
    return json.dumps({"number": number, "refusals": [asdict(each) for each in refusals]}).encode() + b"\n"


class Refusing:
    """Wraps the emulator's application, ``app``."""

    def __init__(self) -> None:
        self.app: App | None = None
        self._refusals: Sequence[Refusal] = ()
        self._heard = 0

    def hear(self, line: bytes) -> None:
        """Refuses what a line says, and nothing else."""
        told = json.loads(line)
        self._refusals = [Refusal(**each) for each in told["refusals"]]
        self._heard = told["number"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app = self.app
        assert app is not None
        if scope["type"] == "http" and scope["path"] == HEARD_PATH:
            await _answer(send, 200, "text/plain", str(self._heard).encode())
            return
        if not self._refusals or scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await app(scope, receive, send)
            return
        messages, body = [], b""
        while True:
            message = await receive()
            messages.append(message)
            if message["type"] != "http.request":
                break
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        answer = self._answer(scope, body)
        if answer is not None:
            await _answer(send, *answer)
            return

        async def again() -> Any:
            return messages.pop(0) if messages else await receive()

        await app(scope, again, send)

    def _answer(self, scope: Any, body: bytes) -> tuple[int, str, bytes] | None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        target = headers.get("x-amz-target", "")
        for refusal in self._refusals:
            match refusal.kind:
                case "throttle" if target.startswith("DynamoDB_"):
                    if found := _throttled(target.rpartition(".")[2], body, refusal.resource):
                        return found
                case "deny" if scope["method"] in {"PUT", "POST"} and not target:
                    if scope["path"].startswith(f"/{refusal.resource}/"):
                        text = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
                        return 403, "application/xml", f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
                case "refuse-mail" if scope["path"] == _MAIL_PATH:
                    # SendEmail, SES API v2: the account's ability to send is paused. It is an outage: mails come later.
                    told = {"message": "Email sending is paused for this account.", "__type": "SendingPausedException"}
                    return 400, "application/json", json.dumps(told).encode()
        return None


async def _answer(send: Any, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _throttled(operation: str, body: bytes, table: str) -> tuple[int, str, bytes] | None:
    if operation not in _WRITES:
        return None
    request: Mapping[str, Any] = json.loads(body or b"{}")
    if operation == "TransactWriteItems":
        tables = [next(iter(item.values())).get("TableName") for item in request.get("TransactItems", ())]
        if table not in tables:
            return None
        reasons = [
            {"Code": "ThrottlingError", "Message": _THROTTLED} if name == table else {"Code": "None"} for name in tables
        ]
        codes = ", ".join(each["Code"] for each in reasons)
        text = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
        return _dynamodb("TransactionCanceledException", text, CancellationReasons=reasons, Message=text)
    named = request.get("RequestItems", {}) if operation == "BatchWriteItem" else {request.get("TableName"): None}
    if table not in named:
        return None
    return _dynamodb("ProvisionedThroughputExceededException", _THROTTLED)


def _dynamodb(code: str, text: str, **more: Any) -> tuple[int, str, bytes]:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": text, **more}
    return 400, "application/x-amz-json-1.0", json.dumps(body).encode()
