"""The accounts' use cases over memory: quick hashes, a clock that stands, ids that count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from headwater.accounts.credentials import Credentials
from headwater.accounts.passwords import Argon2Passwords
from headwater.accounts.preferences import Preferences
from headwater.accounts.profiles import Profiles
from headwater.accounts.request_ledger import RequestLedger
from headwater.accounts.use_cases import Accounts
from headwater.event_store.store import EventStore
from headwater.projections.achievements import ACHIEVEMENTS
from headwater.projections.leaderboard import Leaderboards
from headwater.projections.player_profiles import PLAYER_PROFILES
from headwater.projections.read_models import ReadModelReader, Row
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.read_models import InMemoryReadModels

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class InMemoryItems:
    """Implements `headwater.accounts.items.Items` over what an `InMemoryEventStore` wrote beside its events."""

    def __init__(self, store: InMemoryEventStore, table: str) -> None:
        self._store = store
        self._table = table

    def get(self, pk: str) -> Mapping[str, Any] | None:
        item = self._store.tables.get(self._table, {}).get(pk)
        return None if item is None else dict(item)

    def put_new(self, item: Mapping[str, Any]) -> bool:
        if self.get(item["pk"]) is not None:
            return False
        self.put(item)
        return True

    def put(self, item: Mapping[str, Any]) -> None:
        self._store.tables.setdefault(self._table, {})[item["pk"]] = dict(item)

    def remove(self, pk: str, **expected: str) -> bool:
        item = self.get(pk)
        if item is None or not expected.items() <= item.items():
            return False
        del self._store.tables[self._table][pk]
        return True


def quick_passwords() -> Argon2Passwords:
    """Real argon2id at its least cost."""
    return Argon2Passwords(passes=1, memory_kib=8)


def user_ids() -> Iterator[str]:
    """UUIDs of version 7 that count upwards."""
    return (f"01990000-0000-7000-8000-{number:012x}" for number in count(1))


@dataclass
class World:
    """Everything that a use case touches, to look into afterwards."""

    memory: InMemoryEventStore = field(default_factory=InMemoryEventStore)
    read_models: InMemoryReadModels = field(default_factory=InMemoryReadModels)
    now: datetime = NOW
    #: What the use cases see of the store: a test may put something in between.
    store: EventStore | None = None

    def __post_init__(self) -> None:
        ids = user_ids()
        self.incidents = RecordedIncidents()
        self.credentials = Credentials(InMemoryItems(self.memory, "credentials"), "credentials")
        self.accounts = Accounts(
            store=self.store or self.memory,
            credentials=self.credentials,
            requests=RequestLedger(InMemoryItems(self.memory, "ledger"), "ledger"),
            passwords=quick_passwords(),
            clock=lambda: self.now,
            new_id=lambda: next(ids),
        )
        reader = ReadModelReader(self.read_models, self.incidents)
        self.profiles = Profiles(self.memory, reader, PLAYER_PROFILES, ACHIEVEMENTS, lambda: self.now)
        self.preferences = Preferences(InMemoryItems(self.memory, "preferences"), self.memory)
        self.leaderboards = Leaderboards(reader, self.incidents)

    def table(self, name: str) -> dict[str, dict[str, object]]:
        return self.memory.tables.get(name, {})

    def has_row(self, pk: str, state: dict[str, Any]) -> None:
        self.read_models.rows[pk] = Row(pk=pk, state=state, applied={}, revision=1)
