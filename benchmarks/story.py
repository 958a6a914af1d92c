"""Stream records of a month of users who play, as Lambda delivers them: what the archive's benchmarks are fed with."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from headwater.clock import timestamp
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    DomainEvent,
    NewEvent,
    PlayCompleted,
    UserProfileChanged,
    UserRegistered,
)
from headwater.event_store import codec
from headwater.ids import uuid7

GAMES: Final = ("chess", "go", "tetris", "backgammon", "solitaire")
FIRST_DAY: Final = datetime(2026, 3, 1, tzinfo=UTC)
_BADGES: Final = ("first-play-ever", "ten-plays", "ten-days-in-a-row", "night-owl")

type Record = dict[str, Any]


def records(count: int, *, days: float = 30, users: int = 1_000, seed: int = 6) -> Iterator[Record]:
    """INSERTs spread evenly over the days from `FIRST_DAY` on, as the demo has them: nine of ten are plays."""
    chance = random.Random(seed)  # noqa: S311  # a story, not a secret
    people = [uuid7() for _ in range(users)]
    versions: dict[str, int] = {}
    for number in range(count):
        moment = FIRST_DAY + timedelta(days=days * number / count)
        user = people[number] if number < users else chance.choice(people)
        aggregate, payload = _happened(number < users, user, moment, chance)
        versions[aggregate] = version = versions.get(aggregate, 0) + 1
        cause = uuid7()
        metadata = {"correlation_id": cause, "causation_id": cause, "actor": f"user#{user}"}
        event = NewEvent(event_id=uuid7(), payload=payload, occurred_at=timestamp(moment), metadata=metadata)
        yield _record(number, codec.encode(event.recorded(aggregate, version)), moment, chance)


def player(record: Record) -> str | None:
    """Whose play a record is: the aggregate's id; None if it is none."""
    image = record["dynamodb"]["NewImage"]
    return image["aggregate_id"]["S"] if image["type"]["S"] == "PlayCompleted" else None


def _happened(first: bool, user: str, moment: datetime, chance: random.Random) -> tuple[str, DomainEvent]:
    draw = chance.random()
    if first:
        name = f"Player {chance.randrange(10**4):04d}"
        return f"user#{user}", UserRegistered(name=name, email=f"{name.replace(' ', '').lower()}@example.org")
    if draw < 0.92:
        played_at = timestamp(moment - timedelta(minutes=chance.randrange(600)))
        return f"player#{user}", PlayCompleted(
            game=chance.choice(GAMES), score=chance.randrange(10_000), played_at=played_at
        )
    if draw < 0.97:
        badge, game = chance.choice(_BADGES), chance.choice(GAMES)
        return f"badge#{user}#{badge}#{game}#{chance.randrange(10**6)}", BadgeEarned(
            user_id=user,
            badge=badge,
            game=game,
            title=badge.replace("-", " ").capitalize(),
            earned_at=timestamp(moment),
            play_event_id=uuid7(),
        )
    if draw < 0.98:
        return f"user#{user}", UserProfileChanged(name=f"Player {chance.randrange(10**4):04d} the Bold")
    return f"activity#{uuid7()}", ActivityRecorded(kind="ClickOnLogo", user_id=user, details={"page": "home"})


def _record(number: int, image: dict[str, Any], moment: datetime, chance: random.Random) -> Record:
    return {
        "eventID": f"{chance.getrandbits(128):032x}",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            # To the second, as DynamoDB has it.
            "ApproximateCreationDateTime": float(int(moment.timestamp())),
            "Keys": {"aggregate_id": image["aggregate_id"], "version": image["version"]},
            "NewImage": image,
            "SequenceNumber": str(441_800_000_000_000_000_000 + number * 7919),
            "SizeBytes": 412,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-west-1:123456789012:table/events/stream/2026-01-15T08:30:00.000",
    }
