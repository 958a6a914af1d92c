"""Records as Lambda delivers them from the events table's stream (AWS's documented shape)."""

from typing import Any, Literal

from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.event_store import codec
from tests.fakes.events import recorded

_BASE = 111_000_000_000_000_000_000_000


def sequence_number(position: int) -> str:
    """The sequence number of the stream's record at ``position``."""
    return str(_BASE + position)


def stream_record(
    event: RecordedEvent,
    position: int,
    operation: Literal["INSERT", "MODIFY", "REMOVE"] = "INSERT",
    *,
    by_ttl: bool = False,
) -> dict[str, Any]:
    """One record of the stream, at ``position`` in its shard."""
    item = codec.encode(event)
    images = {
        "INSERT": {"NewImage": item},
        "MODIFY": {"NewImage": item, "OldImage": item},
        "REMOVE": {"OldImage": item},
    }
    record: dict[str, Any] = {
        "eventID": f"{position:032x}",
        "eventName": operation,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1772366400.0,
            "Keys": {name: item[name] for name in ("aggregate_id", "version")},
            **images[operation],
            "SequenceNumber": sequence_number(position),
            "SizeBytes": 1200,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-01-01T00:00:00.000",
    }
    if by_ttl:
        record["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    return record


def play(player: int, version: int, game: str = "chess", **envelope: Any) -> RecordedEvent:
    """A play of one of the test's players."""
    payload = PlayCompleted(game=game, score=version, played_at="2026-03-01T12:00:00.000Z")
    return recorded(f"player#0199-{player}", version, payload, **envelope)


def plays(count: int, players: int) -> list[RecordedEvent]:
    """That many plays, the players taking turns."""
    return [play(index % players, index // players + 1) for index in range(count)]
