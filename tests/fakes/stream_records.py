"""Records of a DynamoDB stream as Lambda delivers them (AWS's documented shape)."""

from datetime import datetime
from typing import Any, Literal

from headwater.domain.events import PlayCompleted
from headwater.event_store import codec
from tests.fakes.events import recorded

type Image = dict[str, Any]
type View = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]

NOON = "2026-03-01T12:00:00Z"
BY_TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
_FIRST_SEQUENCE_NUMBER = 441_800_000_000_000_000_000


def play_image(version: int = 1, *, player: str = "0199-a", **envelope: Any) -> Image:
    """The item of a play."""
    play = PlayCompleted(game="chess", score=version, played_at="2026-03-01T11:59:00.000Z")
    event = recorded(f"player#{player}", version, play, metadata={"actor": f"user#{player}"}, **envelope)
    return codec.encode(event)


def stream_record(
    number: int,
    new: Image | None = None,
    old: Image | None = None,
    *,
    operation: str = "INSERT",
    at: str = NOON,
    view: View = "NEW_AND_OLD_IMAGES",
    **fields: Any,
) -> dict[str, Any]:
    """The record of one change, ``number`` of its shard; ``fields`` are the record's own, such as userIdentity."""
    image = new or old or {}
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": datetime.fromisoformat(at).timestamp(),
        "Keys": {name: image[name] for name in ("aggregate_id", "version") if name in image},
        "SequenceNumber": str(_FIRST_SEQUENCE_NUMBER + number),
        "SizeBytes": 412,
        "StreamViewType": view,
    }
    if new is not None and view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        change["NewImage"] = new
    if old is not None and view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        change["OldImage"] = old
    return {
        "eventID": f"{number:032x}",
        "eventName": operation,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": change,
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-01-15T08:30:00.000",
        **fields,
    }


def play_records(first: int, last: int, **fields: Any) -> list[dict[str, Any]]:
    """One play each, numbers ``first`` to ``last``. The same number always gives the same record."""
    return [
        stream_record(number, play_image(number, event_id=f"event-{number}"), **fields)
        for number in range(first, last + 1)
    ]
