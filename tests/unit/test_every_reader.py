"""What was ever written, and what an append takes, goes through fan-out and every consumer, and each can read it."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.accounts.cleanup import AccountCleanup
from headwater.accounts.preferences import DefaultResources
from headwater.archive.bi_export import BiExport
from headwater.attribute_values import AttributeMap
from headwater.badges.awarder import Awarder
from headwater.badges.progress import BADGE_PROGRESS
from headwater.change_stream import kinesis
from headwater.dead_letters.triage import Triage
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    DomainEvent,
    NewEvent,
    PlayCompleted,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.effects.consumer import OnUnconfirmed, QueueConsumer
from headwater.event_store import codec
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.event_store.store import Append
from headwater.fan_out.fan_out import FanOut
from headwater.ids import uuid7
from headwater.notifications.change_notice import ChangeNotice
from headwater.notifications.welcome_email import WelcomeEmail
from headwater.projections.achievements import ACHIEVEMENTS
from headwater.projections.leaderboard import LEADERBOARD, Leaderboards
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.projection import Projection
from headwater.projections.read_models import ReadModelReader
from headwater.projections.runner import ProjectionRunner
from tests.fakes.accounts import World
from tests.fakes.cloud import FakeAws
from tests.fakes.event_strategies import IDS, METADATA, MILLISECONDS, payloads
from tests.fakes.events import EVENT_TYPES
from tests.fakes.growing_objects import InMemoryGrowingObjects
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.kinesis_records import InMemoryClaimStore
from tests.fakes.ledger import InMemoryEffectLedger
from tests.fakes.mailer import InMemoryMailer
from tests.fakes.parking_lot import parking
from tests.fakes.patience import patience
from tests.fakes.publishers import InMemoryPublisher
from tests.fakes.queue_messages import queue_message
from tests.fakes.stream_records import stream_record

LOGS = Path(__file__).parents[1] / "logs"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECTIONS = (PLAYER_PROFILES, LEADERBOARD, ACHIEVEMENTS, BADGE_PROGRESS)


class Nobody:
    """Implements `headwater.fan_out.fan_out.EventItems`: of what is never redriven nothing is looked up."""

    def get(self, key: AttributeMap) -> AttributeMap | None:
        raise AssertionError(f"{key} was looked up")


class Everyone:
    """The fan-out and all that is downstream of it, in memory; nothing can be parked."""

    def __init__(self) -> None:
        self.world = World()
        self.rows = self.world.read_models
        self.claims = InMemoryClaimStore()
        self.published = InMemoryPublisher()
        fan_outs = Triage("dynamodb", parking(consumer="fan_out", kind="dynamodb"), patience())
        self.fan_out = FanOut([self.published], RecordedIncidents(), fan_outs, Nobody(), EVENT_TYPES)
        self.runners = [self._runner(projection) for projection in PROJECTIONS]
        exports = Triage("kinesis", parking(), patience())
        self.export = BiExport(
            InMemoryGrowingObjects(),
            self.claims,
            "archive",
            exports,
            RecordedIncidents(),
            types=EVENT_TYPES,
            sleep=lambda _: None,
        )
        mailer, memory = InMemoryMailer(), self.world.memory
        cleanup = AccountCleanup(self.world.credentials, self.world.preferences, memory)
        self.consumers = {
            UserRegistered: [WelcomeEmail(mailer).prepare, DefaultResources(self.world.preferences).prepare],
            UserEmailChanged: [ChangeNotice(mailer, memory).prepare],
            UserProfileChanged: [ChangeNotice(mailer, memory).prepare],
            UserDeleted: [cleanup.prepare],
        }

    def _runner(self, projection: Projection) -> ProjectionRunner:
        award = Awarder(self.world.memory, uuid7, lambda: NOW).award if projection is BADGE_PROGRESS else None
        return ProjectionRunner(
            projection,
            self.rows,
            self.world.memory,
            self.claims,
            EVENT_TYPES,
            parking=parking(),
            patience=patience(),
            before_write=award,
        )

    def read(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Publishes the table's items and lets every consumer have them."""
        for item in items:
            event = codec.decode(item, EVENT_TYPES)
            self.world.memory.histories.setdefault(event.aggregate_id, []).append(event)
        changes = [stream_record(number, dict(item)) for number, item in enumerate(items, start=1)]
        assert self.fan_out.fan_out(changes).succeeded == len(items)
        messages = self.published.taken
        records = [
            kinesis.event_record(
                message.body,
                partition_key=message.aggregate_id,
                sequence_number=str(number),
                arrived_at=NOW.timestamp(),
                stream_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/events",
                shard_id="shardId-000000000000",
            )
            for number, message in enumerate(messages, start=1)
        ]
        for consume in [*(runner.process for runner in self.runners), self.export.export]:
            outcome = consume(records)
            assert [failure.error for failure in outcome.failures] == []
            assert outcome.succeeded == len(records)
        for kind, prepares in self.consumers.items():
            of_kind = [message for message in messages if message.type == kind.__name__]
            for prepare in prepares:
                consumer = QueueConsumer(
                    "everyone",
                    [kind.__name__],
                    prepare,
                    types=EVENT_TYPES,
                    claims=self.claims,
                    ledger=InMemoryEffectLedger(),
                    incidents=RecordedIncidents(),
                    on_unconfirmed=OnUnconfirmed.HOLD,
                )
                outcome = consumer.consume([queue_message(each, str(n)) for n, each in enumerate(of_kind)])
                assert [failure.error for failure in outcome.failures] == []


def test_a_log_that_0_1_0_wrote_is_read_by_everyone_as_it_was_then() -> None:
    """Its API at its edges, a simulated day, and what other programs appended past today's limits."""
    everyone = Everyone()

    everyone.read(
        [json.loads(line) for line in (LOGS / "written_by_0.1.0.jsonl").read_text("utf-8").strip().split("\n")]
    )

    rows = {
        pk: {
            "state": row.state,
            "applied": row.applied,
            "rank": [row.rank.ranking, row.rank.ranked_by] if row.rank else None,
        }
        for pk, row in everyone.rows.rows.items()
    }
    assert rows == json.loads((LOGS / "rows_of_0.1.0.json").read_text("utf-8"))


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[DomainEvent]]:
    """A user's life, that of the player, awards, and visits, all within the limits of an append."""
    user_id = draw(IDS)
    changes = draw(st.lists(payloads(UserEmailChanged) | payloads(UserProfileChanged), max_size=3))
    account: list[DomainEvent] = [draw(payloads(UserRegistered)), *changes]
    if draw(st.booleans()):
        account.append(UserDeleted())
    plays: list[DomainEvent] = list(draw(st.lists(payloads(PlayCompleted), max_size=4)))
    single: dict[str, list[DomainEvent]] = {
        f"badge#{user_id}#{number}": [badge]
        for number, badge in enumerate(draw(st.lists(payloads(BadgeEarned), max_size=2)))
    }
    visit = {f"activity#{draw(IDS)}": [draw(payloads(ActivityRecorded))]}
    return {f"user#{user_id}": account, f"player#{user_id}": plays, **single, **visit}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(written=histories(), data=st.data())
def test_what_an_append_takes_is_read_by_everyone(written: dict[str, list[DomainEvent]], data: st.DataObject) -> None:
    aws = FakeAws()
    store = DynamoDbEventStore(aws.dynamodb, "events", EVENT_TYPES)
    for aggregate_id, history in written.items():
        events = [
            NewEvent(
                event_id=data.draw(IDS),
                payload=payload,
                occurred_at=data.draw(MILLISECONDS),
                metadata=data.draw(METADATA),
            )
            for payload in history
        ]
        store.append(Append(aggregate_id, 0, events))
    items = [dict(item) for item in aws.cloud.items("events")]
    everyone = Everyone()

    everyone.read(sorted(items, key=lambda item: (item["aggregate_id"]["S"], int(item["version"]["N"]))))

    boards = Leaderboards(ReadModelReader(everyone.rows, RecordedIncidents()), RecordedIncidents())
    if not any(isinstance(history[-1], UserDeleted) for history in written.values() if history):
        plays = [event for history in written.values() for event in history if isinstance(event, PlayCompleted)]
        for game in {play.game for play in plays}:
            best = max(play.score for play in plays if play.game == game)
            assert [entry.score for entry in boards.top(game, 1)] == [best]
