"""How the readers of event types share what they are built of."""

import threading
import time
from typing import Any

import msgspec
import pytest

from headwater.domain.events import EventReader, UserDeleted


def test_threads_that_read_the_first_events_of_a_type_build_one_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """msgspec ends the process where two are built of one class at once."""
    built: list[type] = []
    real = msgspec.json.Decoder

    def slowly(type_: Any) -> Any:
        built.append(type_)
        time.sleep(0.02)
        return real(type_)

    monkeypatch.setattr(msgspec.json, "Decoder", slowly)
    reader = EventReader(UserDeleted)
    ready, read = threading.Barrier(8), []

    def first() -> None:
        ready.wait()
        read.append(reader.read("{}", "e"))

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert built == [UserDeleted]
    assert read == [UserDeleted()] * 8
