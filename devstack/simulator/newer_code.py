"""Poison that a deployment cures: events of newer code, from producers that were deployed before their consumers.

The producers (commands) read them. The consumers do not, until the repair: a newer schema version is unknown to them,
and data in a newer encoding makes the item no event at all, so that not even the fan-out can read it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from headwater.domain.events import DomainEvent, EventReader, EventTypes
from headwater.event_store import codec

#: What data in the newer encoding begins with.
_ENCODED: Final = "zlib:"


class NewerCode:
    """What this process reads of the newer code's events: it stands for producers and consumers alike."""

    def __init__(self) -> None:
        self.repaired = False
        self._consuming = False

    @property
    def consuming(self) -> bool:
        """Whether a consumer's code runs."""
        return self._consuming

    @contextmanager
    def as_consumer(self, consuming: bool = True) -> Iterator[None]:
        """Within it runs a consumer's code; with False a producer's, in the middle of it."""
        outer, self._consuming = self._consuming, consuming
        try:
            yield
        finally:
            self._consuming = outer

    def types(self, known: EventTypes) -> EventTypes:
        """The event types of the code that runs, which may be the newer one."""
        return _NewerEventTypes(self, *known.values())

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Within it, all decoding asks whether the code that runs knows the newer encoding."""
        attributes_of = codec.attributes_of
        patched: Any = codec
        patched.attributes_of = lambda item: self._plain(*attributes_of(item))
        try:
            yield
        finally:
            patched.attributes_of = attributes_of

    @staticmethod
    def attributes(payload: DomainEvent, *, encoded: bool) -> dict[str, Any]:
        """What an item of the newer code has of its own: data in another encoding, or a newer schema version."""
        data = msgspec.json.encode(payload)
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
    def reads(self) -> bool:
        """Whether the code that runs knows what is newer."""
        return self.repaired or not self._consuming

    def _plain(self, envelope: Any, data: str, metadata: Any) -> tuple[Any, str, Any]:
        if data.startswith(_ENCODED) and self.reads:
            data = zlib.decompress(base64.b64decode(data.removeprefix(_ENCODED))).decode()
        return envelope, data, metadata


class _NewerEventTypes(EventTypes):
    """Event types of which the newer code knows one schema version more."""

    def __init__(self, newer_code: NewerCode, *types: type[DomainEvent]) -> None:
        super().__init__(*types)
        self._newer_code = newer_code

    def of(self, type_: str, schema_version: int, event_id: str) -> EventReader:
        kind = self.get(type_)
        is_newer = kind is not None and schema_version == kind.schema_version + 1
        return super().of(type_, schema_version - (is_newer and self._newer_code.reads), event_id)
