"""The console's web server: it ends when it is told to, and so does what it is answering."""

import asyncio
import socket
from types import FrameType

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Server(uvicorn.Server):
    """Serves an application; sets ``stopping`` when it is to end, which ends the streams of its pages."""

    def __init__(self, app: ASGIApp, stopping: asyncio.Event) -> None:
        self._app = app
        self._stopping = stopping
        super().__init__(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                log_level="warning",
                access_log=False,
                lifespan="off",
                # For pages that wait for AWS.
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Ends it, and at once when asked twice. Uvicorn's own raises the signal again: here it is how to stop."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            # Somebody waits for a page that took too long: no error of the page.
            if not started:
                await PlainTextResponse("The console stops.\n", 503)(scope, receive, send)
