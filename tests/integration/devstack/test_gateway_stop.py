"""How the local API ends."""

import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from devstack.console import Console
from devstack.functions import Outcome
from devstack.gateway import Gateway


def test_a_request_that_ends_at_the_moment_of_the_stop_does_not_break_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions: Any = None

    def invoke(_: str, __: bytes) -> Future[Outcome]:
        raise AssertionError

    gateway = Gateway(
        [], invoke, mails=lambda _: (200, [], b""), functions=functions, port=0, log=tmp_path / "log", console=Console()
    )
    gateway.start()
    pull = gateway._server.trigger._physical_pull

    def pulled_by_a_request_too() -> None:
        pull()
        # As long as the server's thread takes to do what it finds.
        time.sleep(0.2)
        pull()

    monkeypatch.setattr(gateway._server.trigger, "_physical_pull", pulled_by_a_request_too)
    gateway.stop()

    assert not gateway._thread.is_alive()
