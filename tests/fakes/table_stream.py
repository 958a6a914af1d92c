"""The events table's stream for tests of the fan-out: whole events as records, and what a batch answer names."""

from typing import Any, Literal

from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.event_store import codec
from tests.fakes.events import recorded
from tests.fakes.stream_records import BY_TTL
from tests.fakes.stream_records import stream_record as change_record


def stream_record(
    event: RecordedEvent,
    position: int,
    operation: Literal["INSERT", "MODIFY", "REMOVE"] = "INSERT",
    *,
    by_ttl: bool = False,
) -> dict[str, Any]:
    """One record of the stream, at ``position`` in its shard."""
    item = codec.encode(event)
    record = change_record(
        position,
        new=item if operation != "REMOVE" else None,
        old=item if operation != "INSERT" else None,
        operation=operation,
    )
    return record | {"userIdentity": BY_TTL} if by_ttl else record


def sequence_number(position: int) -> str:
    """The sequence number of the stream's record at ``position``."""
    return str(stream_record(play(1, 1), position)["dynamodb"]["SequenceNumber"])


def play(player: int, version: int, game: str = "chess", **envelope: Any) -> RecordedEvent:
    """A play of one of the test's players."""
    payload = PlayCompleted(game=game, score=version, played_at="2026-03-01T12:00:00.000Z")
    return recorded(f"player#0199-{player}", version, payload, **envelope)


def plays(count: int, players: int) -> list[RecordedEvent]:
    """That many plays, the players taking turns."""
    return [play(index % players, index // players + 1) for index in range(count)]
