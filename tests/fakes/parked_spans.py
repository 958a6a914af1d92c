"""Parked spans in memory. tests/contract holds them to the same behaviour as the DynamoDB ones."""

from collections.abc import Sequence
from datetime import datetime

from headwater.dead_letters.parked_spans import MEMORY, Span, union


class InMemoryParkedSpans:
    """Implements `headwater.archive.lookup.ParkedSpans`."""

    def __init__(self) -> None:
        self._spans: dict[tuple[str, str], tuple[list[Span], datetime]] = {}

    def of(self, consumer: str, shard: str, now: datetime) -> Sequence[Span]:
        spans, expires_at = self._spans.get((consumer, shard), ([], now))
        return spans if now < expires_at else []

    def add(self, consumer: str, shard: str, span: Span, now: datetime) -> None:
        self._spans[consumer, shard] = union([*self.of(consumer, shard, now), span]), now + MEMORY
