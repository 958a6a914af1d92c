"""The local stack's own door: how its deliveries go, and what is broken on purpose (devstack/control.py answers)."""

import http.client
import json
from typing import Any, Final

import click

from operations.output import plain
from operations.running import CONTROL_PATH, TOKEN_HEADER, RunningStack

_TIMEOUT_SECONDS: Final = 30.0


class Control:
    """Asks the stack that runs on this machine; not safe to share between threads at the same moment, and need not."""

    def __init__(self, running: RunningStack) -> None:
        self._host = running.url.removeprefix("http://")
        self._token = running.token

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self._ask("POST", path, body)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON.

        Raises
        ------
        click.ClickException
            The stack is gone, or refuses; the message is its own line.
        """
        connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT_SECONDS)
        text = None if body is None else json.dumps(body).encode()
        try:
            headers = {TOKEN_HEADER: self._token, "content-type": "application/json"}
            connection.request(method, f"{CONTROL_PATH}{path}", text, headers)
            answer = connection.getresponse()
            told = json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise click.ClickException(
                f"the local stack does not answer any more ({type(error).__name__}): start it again with 'make run'"
            ) from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            reason = told.get("error") if isinstance(told, dict) else None
            raise click.ClickException(plain(reason) if reason else f"the local stack answers {answer.status}")
        return told
