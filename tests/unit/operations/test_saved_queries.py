"""Each saved query's answer, against one worked out in plain Python from the event store that the archive came from."""

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import orjson
import pytest

from headwater.archive import reader
from headwater.archive.archiver import Archiver
from headwater.archive.boundary import Boundary
from headwater.archive.compaction import Compaction
from headwater.archive.day_claims import DayClaims
from headwater.domain.events import (
    ActivityRecorded,
    BadgeEarned,
    DomainEvent,
    NewEvent,
    PlayCompleted,
    RecordedEvent,
    UserDeleted,
    UserEmailChanged,
    UserProfileChanged,
    UserRegistered,
)
from headwater.event_store import codec
from headwater.event_store.store import Append
from operations.archive import saved_sql
from operations.archive.local_sql import LocalSql
from tests.fakes.archived_objects import InMemoryObjects
from tests.fakes.compaction_objects import InMemoryArchive
from tests.fakes.event_store import InMemoryEventStore
from tests.fakes.growing_objects import InMemoryGrowingObjects
from tests.fakes.incidents import RecordedIncidents
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.stream_records import BY_TTL, stream_record

type Row = tuple[Any, ...]

FIRST: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)  # a Monday
USERS: Final = [f"01997c3a-6f1e-7c55-9d0b-{number:012d}" for number in range(12)]
GAMES: Final = ("chess", "go", "tetris")
BADGES: Final = ("first-play-ever", "ten-plays")


class History:
    """A month of twelve users, appended to an event store; ``changes`` are what its table's stream then says."""

    def __init__(self) -> None:
        self.store = InMemoryEventStore()
        self.changes: list[dict[str, Any]] = []
        self._ids = 0
        self._chance = random.Random(6)
        self._live()

    @property
    def events(self) -> list[RecordedEvent]:
        return [event for history in self.store.histories.values() for event in history]

    def of(self, kind: type[DomainEvent]) -> list[RecordedEvent]:
        return [event for event in self.events if event.type == kind.__name__]

    def append(self, aggregate_id: str, payload: DomainEvent, at: datetime, expires_at: int | None = None) -> None:
        self._ids += 1
        event = NewEvent(event_id=f"event-{self._ids:05d}", payload=payload, occurred_at=iso(at), expires_at=expires_at)
        expected = len(self.store.load(aggregate_id))
        (recorded,) = self.store.append(Append(aggregate_id, expected, [event]))
        self.changes.append(stream_record(self._ids, codec.encode(recorded), at=iso(at)))

    def _live(self) -> None:
        chance = self._chance
        for number, user in enumerate(USERS):
            joined = FIRST + timedelta(days=number, minutes=number)
            self.append(f"user#{user}", UserRegistered(name=f"N{number}", email=f"n{number}@example.org"), joined)
            for day in range(number, 30):
                self._play(user, FIRST + timedelta(days=day), chance.choice((0, 0, 1, 2)))
            if number % 3 == 0:
                self.append(f"user#{user}", UserProfileChanged(name=f"N{number}b"), joined + timedelta(days=9))
            if number % 4 == 0:
                changed = UserEmailChanged(old_email=f"n{number}@example.org", new_email=f"m{number}@example.org")
                self.append(f"user#{user}", changed, joined + timedelta(days=12))
            if number == 5:
                self.append(f"user#{user}", UserDeleted(), FIRST + timedelta(days=31))
        for number in range(9):
            at = FIRST + timedelta(days=number * 3)
            activity = ActivityRecorded(
                kind=("ClickOnLogo", "OpenHelp")[number % 2],
                user_id=USERS[number] if number % 3 else None,
                details={"page": "home"},
            )
            self.append(f"activity#event-a{number}", activity, at, int(at.timestamp()) + 86_400)
        # Out of the table: one activity by TTL, one user's event by hand.
        self._remove(self.changes[-9], FIRST + timedelta(days=33), userIdentity=BY_TTL)
        self._remove(self.changes[0], FIRST + timedelta(days=34))

    def _remove(self, record: dict[str, Any], at: datetime, **fields: Any) -> None:
        number = 90_000 + len(self.changes)
        image = record["dynamodb"]["NewImage"]
        self.changes.append(stream_record(number, old=image, operation="REMOVE", at=iso(at), **fields))

    def _play(self, user: str, day: datetime, plays: int) -> None:
        for _ in range(plays):
            recorded_at = day + timedelta(minutes=self._chance.randrange(900))
            # Some are recorded late, and so on another day than played.
            played_at = recorded_at - timedelta(days=self._chance.choice((0, 0, 0, 1)))
            play = PlayCompleted(
                game=self._chance.choice(GAMES), score=self._chance.randrange(40), played_at=iso(played_at)
            )
            player = f"player#{user}"
            self.append(player, play, recorded_at)
            count = len(self.store.load(player))
            for badge in BADGES:
                if count == {"first-play-ever": 1, "ten-plays": 10}[badge]:
                    earned = BadgeEarned(
                        user_id=user,
                        badge=badge,
                        game=None,
                        title=badge.title(),
                        earned_at=play.played_at,
                        play_event_id=f"event-{self._ids:05d}",
                    )
                    self.append(f"badge#{user}#{badge}", earned, recorded_at)


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def naive(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


#: Of each application its statuses with hours since the first; the last of them is recent.
APPLICATIONS: Final[Mapping[str, list[tuple[str, float]]]] = {
    "a": [("Received", 0), ("Preparing", 1), ("Approved", 10)],
    "b": [("Received", 0), ("Preparing", 2), ("Approved", 30)],
    "c": [("Received", 0), ("Preparing", 5), ("Rejected", 6)],
    "d": [("Received", 0), ("Preparing", 40)],
    "e": [("Received", 0), ("Withdrawn", 1)],
    "f": [("Received", 0)],
}
APPLIED: Final = datetime(2026, 2, 2, 9, tzinfo=UTC)


def application_changes() -> Iterator[dict[str, Any]]:
    number = 0
    for application, statuses in APPLICATIONS.items():
        first = APPLIED if application != "f" else datetime.now(UTC) - timedelta(hours=3)
        for status, hours in statuses:
            number += 1
            at = iso(first + timedelta(hours=hours))
            keys = {"pk": {"S": f"APPLICATION#{application}"}, "sk": {"S": f"#ACTION#{at}#{number}"}}
            kind = "ApplicationCreated" if hours == 0 else "ApplicationStatusUpdated"
            image = {"type": {"S": kind}, "status": {"S": status}, "note": {"S": f"by hand: {status}"}, **keys}
            record = stream_record(number, image, at=at)
            record["dynamodb"]["Keys"] = keys
            yield record
            # The application itself changes with each action, which is no status.
            item = {"pk": keys["pk"], "sk": {"S": "#APPLICATION"}, "status": {"S": status}}
            changed = stream_record(1000 + number, item, item, operation="MODIFY", at=at)
            changed["dynamodb"]["Keys"] = {name: item[name] for name in ("pk", "sk")}
            yield changed


@pytest.fixture(scope="module")
def history() -> History:
    return History()


@pytest.fixture(scope="module", params=["raw", "compacted in part"])
def store(
    request: pytest.FixtureRequest, history: History, tmp_path_factory: pytest.TempPathFactory
) -> InMemoryObjectStore:
    """The history's archive. What the answers are does not depend on how much of it is compacted."""
    store = InMemoryObjectStore()
    archiver = Archiver(store, RecordedIncidents())
    for first in range(0, len(history.changes), 50):
        archiver.archive(history.changes[first : first + 50])
    # A part comes once more, in batches with other bounds.
    archiver.archive(history.changes[75:140])
    Archiver(store, RecordedIncidents(), source="applications").archive(list(application_changes()))
    if request.param != "raw":
        for source in ("events", "applications"):
            compact(store, source)
    return store


@pytest.fixture(scope="module")
def sql(store: InMemoryObjectStore) -> Iterator[LocalSql]:
    with LocalSql(InMemoryObjects(store.objects)) as opened:
        yield opened


def compact(store: InMemoryObjectStore, source: str) -> None:
    """Compacts every other day; raw stays.

    Of the others some have their object and no line yet: the compaction was stopped before it published them.
    """
    lists = InMemoryGrowingObjects()

    def over(published: InMemoryGrowingObjects) -> Compaction:
        def now() -> datetime:
            return datetime.now(UTC) + timedelta(days=2)

        claims = DayClaims(InMemoryGrowingObjects(), now)
        return Compaction(InMemoryArchive(store.objects), Boundary(published), claims, now)

    for place, day in enumerate(over(lists).find(source).due):
        if place % 4 != 1:
            over(lists if place % 2 == 0 else InMemoryGrowingObjects()).compact(day)
    store.objects |= {key: body for key, (body, _) in lists.objects.items()}


def ask(sql: LocalSql, name: str, **values: str) -> list[Row]:
    answer = sql.query(saved_sql.queries()[name].sql(values))
    assert sql.damaged == []
    return list(answer.rows)


def played(event: RecordedEvent) -> date:
    return datetime.fromisoformat(event.data["played_at"]).date()


def test_the_archive_holds_what_the_log_holds(sql: LocalSql, history: History) -> None:
    """FAULTS row 4: once each, although some of it came twice."""
    answer = sql.query(
        "SELECT aggregate_id, version, event_id, payload, occurred_at FROM events_all WHERE operation = 'INSERT'"
    )

    assert sorted(answer.rows) == sorted(
        (event.aggregate_id, event.version, event.event_id, orjson.dumps(event.data).decode(), event.occurred_at)
        for event in history.events
    )


def test_daily_actives(sql: LocalSql, history: History) -> None:
    players: dict[date, set[str]] = defaultdict(set)
    for play in history.of(PlayCompleted):
        players[played(play)].add(play.aggregate_key)

    assert ask(sql, "daily-actives") == sorted((day, len(who)) for day, who in players.items())


@pytest.mark.parametrize("since", ["2025-01-01", "2026-01-10"])
def test_new_users(sql: LocalSql, history: History, since: str) -> None:
    daily = Counter(datetime.fromisoformat(event.occurred_at).date() for event in history.of(UserRegistered))
    expected, so_far = [], 0
    for day, count in sorted(daily.items()):
        so_far += count
        if day.isoformat() >= since:
            expected.append((day, count, so_far))

    assert ask(sql, "new-users", since=since) == expected


def test_plays_by_game_and_day(sql: LocalSql, history: History) -> None:
    plays: dict[tuple[str, date], list[str]] = defaultdict(list)
    for play in history.of(PlayCompleted):
        plays[play.data["game"], played(play)].append(play.aggregate_key)

    assert ask(sql, "plays-by-game-and-day") == sorted((*key, len(who), len(set(who))) for key, who in plays.items())


def test_raising_the_first_day_leaves_out_what_was_archived_before(sql: LocalSql, history: History) -> None:
    since = "2026-01-20"
    plays = [play for play in history.of(PlayCompleted) if play.occurred_at >= since]

    assert sum(row[2] for row in ask(sql, "plays-by-game-and-day", since=since)) == len(plays)
    assert 0 < len(plays) < len(history.of(PlayCompleted))


def days_of_play(history: History) -> dict[str, list[date]]:
    days: dict[str, set[date]] = defaultdict(set)
    for play in history.of(PlayCompleted):
        days[play.aggregate_key].add(played(play))
    return {user: sorted(found) for user, found in days.items()}


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


@pytest.mark.parametrize("since", ["2025-01-01", "2026-01-14"])
def test_retention_cohorts(sql: LocalSql, history: History, since: str) -> None:
    cohorts: dict[date, list[set[int]]] = defaultdict(list)
    for days in days_of_play(history).values():
        cohort = monday(days[0])
        cohorts[cohort].append({(monday(day) - cohort).days // 7 for day in days})
    expected = []
    for cohort, players in sorted(cohorts.items()):
        if cohort < monday(date.fromisoformat(since)):
            continue
        for week, active in sorted(Counter(week for weeks in players for week in weeks).items()):
            expected.append((cohort, len(players), week, active, pytest.approx(100 * active / len(players), abs=0.06)))

    assert ask(sql, "retention-cohorts", since=since) == expected


@pytest.mark.parametrize("since", ["2025-01-01", "2026-01-20"])
def test_streak_lengths(sql: LocalSql, history: History, since: str) -> None:
    streaks: Counter[int] = Counter()
    longest: Counter[int] = Counter()
    for days in days_of_play(history).values():
        rows = [[days[0]]]
        for before, day in itertools.pairwise(days):
            if (day - before).days == 1:
                rows[-1].append(day)
            else:
                rows.append([day])
        lengths = [len(row) for row in rows if row[-1].isoformat() >= since]
        streaks.update(lengths)
        longest.update([max(lengths)] if lengths else [])

    assert ask(sql, "streak-lengths", since=since) == [(days, streaks[days], longest[days]) for days in sorted(streaks)]


def test_badge_funnel(sql: LocalSql, history: History) -> None:
    players = len(days_of_play(history))
    earned: dict[str, dict[str, str]] = defaultdict(dict)
    for badge in history.of(BadgeEarned):
        # Some are earned in each game.
        first = earned[badge.data["badge"]].get(badge.data["user_id"], badge.data["earned_at"])
        earned[badge.data["badge"]][badge.data["user_id"]] = min(first, badge.data["earned_at"])

    assert ask(sql, "badge-funnel") == [
        (badge, len(players_of), pytest.approx(100 * len(players_of) / players, abs=0.06), naive(min(first)))
        for badge, players_of in sorted(earned.items(), key=lambda item: (-len(item[1]), item[0]))
        for first in (players_of.values(),)
    ]


def test_top_players(sql: LocalSql, history: History) -> None:
    best: dict[str, tuple[int, str, str]] = {}
    for play in history.of(PlayCompleted):
        if play.data["game"] == "go":
            place = (-play.data["score"], play.data["played_at"], play.aggregate_key)
            best[play.aggregate_key] = min(best.get(play.aggregate_key, place), place)
    names = {user.aggregate_key: user.data["name"] for user in history.of(UserRegistered)}
    names |= {user.aggregate_key: user.data["name"] for user in history.of(UserProfileChanged)}
    for gone in history.of(UserDeleted):
        del best[gone.aggregate_key]

    assert ask(sql, "top-players", game="go", count="4") == [
        (number, names[user], -score, naive(at), user)
        for number, (score, at, user) in enumerate(sorted(best.values())[:4], start=1)
    ]


def test_activity_by_kind(sql: LocalSql, history: History) -> None:
    groups: dict[tuple[str, date], list[str | None]] = defaultdict(list)
    for activity in history.of(ActivityRecorded):
        day = datetime.fromisoformat(activity.occurred_at).date()
        groups[activity.data["kind"], day].append(activity.data["user_id"])

    assert ask(sql, "activity-by-kind") == [
        (*key, len(users), len({user for user in users if user})) for key, users in sorted(groups.items())
    ]


def test_aggregate_history(sql: LocalSql, history: History) -> None:
    aggregate = f"user#{USERS[0]}"
    rows = ask(sql, "aggregate-history", aggregate=aggregate)

    assert [(row[0], row[2], row[5]) for row in rows if row[1] == "INSERT"] == [
        (event.version, event.type, orjson.dumps(event.data).decode()) for event in history.store.load(aggregate)
    ]
    # And that somebody removed the first.
    assert [row[:2] for row in rows] == [(1, "INSERT"), (1, "REMOVE"), (2, "INSERT"), (3, "INSERT")]


@pytest.mark.parametrize("user", [0, 4, 5, 8])
@pytest.mark.parametrize("days", [0, 10, 14, 25, 40])
def test_user_as_of(sql: LocalSql, history: History, user: int, days: int) -> None:
    # Given a moment as another zone writes it
    at = FIRST + timedelta(days=days, hours=6)
    key = USERS[user]
    known = [
        event
        for event in history.events
        if event.occurred_at <= iso(at)
        and (event.aggregate_key == key or event.aggregate_id.startswith(f"badge#{key}#"))
        and event.aggregate_type != "activity"
    ]
    mine = [event for event in known if event.aggregate_type == "user"]
    plays = [event for event in known if event.type == "PlayCompleted"]
    expected = []
    if mine:
        names = [event.data["name"] for event in mine if "name" in event.data]
        emails = [event.data.get("new_email") or event.data.get("email") for event in mine]
        expected = [
            (
                key,
                "deleted" if mine[-1].type == "UserDeleted" else "registered",
                names[-1],
                [email for email in emails if email][-1],
                mine[0].occurred_at,
                max(event.occurred_at for event in known),
                len(plays),
                max((event.data["score"] for event in plays), default=None),
                len([event for event in known if event.type == "BadgeEarned"]),
            )
        ]

    given = at.astimezone(tz=None).isoformat() if days % 2 else at.isoformat().replace("+00:00", "Z")
    assert ask(sql, "user-as-of", user=key, at=given) == expected


def test_expired_and_deleted(sql: LocalSql, history: History) -> None:
    assert [row[:4] for row in ask(sql, "expired-and-deleted")] == [
        ("2026-02-07", "EXPIRE", "ActivityRecorded", 1),
        ("2026-02-08", "REMOVE", "UserRegistered", 1),
    ]


def test_duplicates(sql: LocalSql, store: InMemoryObjectStore) -> None:
    """FAULTS row 4."""
    days: dict[str, list[str]] = defaultdict(list)
    for key, body in store.objects.items():
        if key.startswith("raw/source=events/"):
            days[key.split("/")[2].removeprefix("dt=")] += (line["stream_event_id"] for line in reader.lines(body))
    copied = {day: len(ids) - len(set(ids)) for day, ids in days.items() if len(ids) > len(set(ids))}

    assert copied, "or this test proves nothing"
    assert ask(sql, "duplicates") == [(day, len(days[day]), copies, 0) for day, copies in sorted(copied.items())]


def day_of(record: dict[str, Any]) -> str:
    return datetime.fromtimestamp(record["dynamodb"]["ApproximateCreationDateTime"], UTC).date().isoformat()


def test_missing_versions(sql: LocalSql, history: History) -> None:
    assert ask(sql, "missing-versions") == []
    # Of what is archived from a day on, one user's versions begin above 1, which is no gap
    assert ask(sql, "missing-versions", since="2026-01-20") == []


def test_archive_freshness(sql: LocalSql, history: History) -> None:
    changes = Counter(day_of(record) for record in history.changes)
    rows = ask(sql, "archive-freshness")
    today = datetime.now(UTC).date()
    first = date.fromisoformat(min(changes))

    calendar = [(today - timedelta(days=ago)).isoformat() for ago in range((today - first).days + 1)]
    assert [(row[0], row[1]) for row in rows] == [(day, changes[day]) for day in calendar]
    last = next(row for row in rows if row[1])
    assert last[2] == max(
        iso(datetime.fromtimestamp(r["dynamodb"]["ApproximateCreationDateTime"], UTC)) for r in history.changes
    )
    assert last[3] == pytest.approx((datetime.now(UTC) - datetime.fromisoformat(last[2])).total_seconds() // 60, abs=1)
    assert {row[3] for row in rows if not row[1]} == {None}


def test_unreadable_records(sql: LocalSql) -> None:
    assert ask(sql, "unreadable-records") == []


@pytest.mark.parametrize(("since", "months"), [("2025-01-01", 1), ("2026-02-03", 1), ("2026-02-04", 0)])
def test_application_approval_time(sql: LocalSql, since: str, months: int) -> None:
    hours = sorted(
        hours
        for found in APPLICATIONS.values()
        for status, hours in found
        if status == "Approved" and iso(APPLIED + timedelta(hours=hours)) >= since
    )

    # Of those approved from that day on, the time since they applied, however long before
    assert ask(sql, "application-approval-time", since=since) == (
        [(date(2026, 2, 1), len(hours), hours[0], hours[-1])] if months else []
    )


def test_stuck_applications(sql: LocalSql) -> None:
    rows = ask(sql, "stuck-applications", days="1")

    assert [row[:3] for row in rows] == [("d", "Preparing", (APPLIED + timedelta(hours=40)).replace(tzinfo=None))]
    assert rows[0][3] == (datetime.now(UTC) - APPLIED - timedelta(hours=40)).days
    assert {row[0] for row in ask(sql, "stuck-applications", days="0")} == {"d", "f"}


def test_applications_by_status(sql: LocalSql) -> None:
    latest = Counter(statuses[-1][0] for statuses in APPLICATIONS.values())

    assert [row[:2] for row in ask(sql, "applications-by-status")] == sorted(
        latest.items(), key=lambda item: (-item[1], item[0])
    )


def test_statuses_tell_the_time_between(sql: LocalSql) -> None:
    answer = sql.query(
        "SELECT application_id, status, previous_status, seconds_since_previous, note FROM application_statuses "
        "WHERE application_id IN ('a', 'f') ORDER BY application_id, changed_at"
    )

    assert answer.rows == [
        ("a", "Received", None, None, "by hand: Received"),
        ("a", "Preparing", "Received", 3600, "by hand: Preparing"),
        ("a", "Approved", "Preparing", 9 * 3600, "by hand: Approved"),
        ("f", "Received", None, None, "by hand: Received"),
    ]


@pytest.mark.parametrize("name", ["plays", "registrations", "badges", "activity"])
def test_a_typed_view_has_a_row_for_each_event(sql: LocalSql, history: History, name: str) -> None:
    kinds: dict[str, type[DomainEvent]] = {
        "plays": PlayCompleted,
        "registrations": UserRegistered,
        "badges": BadgeEarned,
        "activity": ActivityRecorded,
    }
    answer = sql.query(f"SELECT * FROM {name} ORDER BY event_id")
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    events = sorted(history.of(kinds[name]), key=lambda event: event.event_id)

    assert [row["event_id"] for row in rows] == [event.event_id for event in events]
    for row, event in zip(rows, events, strict=True):
        given = {field: value for field, value in event.data.items() if field in row and field != "details"}
        moments = {field: naive(value) for field, value in given.items() if field.endswith("_at")}
        assert {field: row[field] for field in given} == given | moments
        assert row["dt"] == event.occurred_at[:10]
        assert row["month"] == event.occurred_at[:7]
    if name == "activity":
        assert rows[0]["details"] == '{"page":"home"}'
        assert events[0].expires_at is not None
        assert rows[0]["expires_at"] == datetime.fromtimestamp(events[0].expires_at, UTC).replace(tzinfo=None)


#: Every query has its test here, by name.
_TESTED: Final[Mapping[str, Callable[..., None]]] = {
    name.removeprefix("test_").replace("_", "-"): value for name, value in globals().items() if name.startswith("test_")
}


def test_no_query_is_without_a_checked_answer() -> None:
    assert saved_sql.queries().keys() - _TESTED.keys() == set()
