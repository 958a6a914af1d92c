"""Poison that a deployment cures: events of newer code, from producers that were deployed before their consumers.

The producers (commands) read them. The consumers do not, until the repair: a newer schema version is unknown to them,
and data in a newer encoding makes the item no event at all, so that not even the fan-out can read it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Final

import orjson

from headwater.change_stream import cloud_events
from headwater.domain.events import EVENT_TYPES, DomainEvent, RecordedEvent
from headwater.event_store import codec

#: What data in the newer encoding begins with.
_ENCODED: Final = "zlib:"


class Newer:
    """What this process reads of the newer code's events: it stands for producers and consumers alike."""

    def __init__(self) -> None:
        self.repaired = False
        self._consuming = False

    @contextmanager
    def as_consumer(self, consuming: bool = True) -> Iterator[None]:
        """Within it runs a consumer's code; with False a producer's, in the middle of it."""
        outer, self._consuming = self._consuming, consuming
        try:
            yield
        finally:
            self._consuming = outer

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within it, the decoders ask whether the code that runs knows what is newer."""
        known, encode, decode = RecordedEvent.payload, cloud_events.encode, codec.decode

        def payload(event: RecordedEvent) -> DomainEvent:
            kind = EVENT_TYPES.get(event.type)
            if self._reads and kind and event.schema_version == kind.schema_version + 1:
                event = replace(event, schema_version=kind.schema_version)
            read: DomainEvent = known.fget(event)  # type: ignore[attr-defined]  # a property
            return read

        # The handlers' code calls both through their modules.
        patched: Any = (RecordedEvent, cloud_events, codec)
        patched[0].payload = property(payload)
        patched[1].encode = lambda image, **options: encode(self._plain(image), **options)
        patched[2].decode = lambda item: decode(self._plain(item))
        try:
            yield
        finally:
            patched[0].payload, patched[1].encode, patched[2].decode = known, encode, decode

    @staticmethod
    def attributes(payload: DomainEvent, *, encoded: bool) -> dict[str, Any]:
        """What an item of the newer code has of its own: data in another encoding, or a newer schema version."""
        data = orjson.dumps(asdict(payload))
        if encoded:
            text, version = f"{_ENCODED}{base64.b64encode(zlib.compress(data)).decode()}", payload.schema_version
        else:
            text, version = data.decode(), payload.schema_version + 1
        return {
            "type": {"S": type(payload).__name__},
            "schema_version": {"N": str(version)},
            "data": {"S": text},
        }

    @property
    def _reads(self) -> bool:
        return self.repaired or not self._consuming

    def _plain(self, image: Mapping[str, Any]) -> Mapping[str, Any]:
        data = image.get("data", {}).get("S", "")
        if not (data.startswith(_ENCODED) and self._reads):
            return image
        return {**image, "data": {"S": zlib.decompress(base64.b64decode(data.removeprefix(_ENCODED))).decode()}}
