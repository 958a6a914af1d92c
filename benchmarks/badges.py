"""What it costs to find out whether a play earned a badge: ours beside a version that reads every earlier play.

``python -m benchmarks.badges`` prints a table. Each figure is the median over fresh processes, which take turns.
"""

import argparse
import base64
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, cast

import boto3
from rich.console import Console
from rich.table import Table

from arcade.app import APP
from benchmarks.machine import processor
from benchmarks.wire import Wire
from devstack.simulator.cloud import Cloud
from headwater.badges.awarder import Awarder
from headwater.badges.progress import BADGE_PROGRESS
from headwater.change_stream import cloud_events, kinesis
from headwater.clock import timestamp, utc_now
from headwater.dead_letters.patience import Patience
from headwater.domain.badges import (
    BADGES,
    Badge,
    Facts,
    GameTally,
    Progress,
    Tally,
    no_progress,
    record_play,
    utc_moment,
)
from headwater.domain.days import Days
from headwater.domain.events import BadgeEarned, NewEvent, PlayCompleted, RecordedEvent
from headwater.event_store import codec
from headwater.event_store.dynamodb import DynamoDbEventStore
from headwater.event_store.store import Append, ConcurrencyError
from headwater.ids import uuid7
from headwater.projections.dynamodb import DynamoDbReadModels
from headwater.projections.projection import State
from headwater.projections.read_models import Row
from headwater.projections.runner import ProjectionRunner

HISTORIES = (10, 100, 1_000, 10_000)
PLAYER = "019930c2-6d1e-7a40-9c35-5be0f1a2c3d4"
GAMES = ("chess", "go", "tetris", "backgammon")
PLAYS_A_DAY = 9
#: Decisions timed in one process. The slow version needs fewer to be told from noise.
_OURS, _READ_EVERYTHING = "ours", "read everything"
_DECISIONS = {_OURS: 300, _READ_EVERYTHING: 12}
_WARM_UP = {_OURS: 50, _READ_EVERYTHING: 2}

_NO_PLAYS = GameTally(plays=0, days="", longest_streak=0, best=0, first_at="", first_score=0)

type Record = Mapping[str, Any]
type Decide = Callable[[Record], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One decision, for a play that earns nothing: requests and units of DynamoDB, milliseconds of this process.

    ``sums_ms`` is the part of ``cpu_ms`` that adds plays up and asks the rules, without reading, writing or decoding.
    """

    reads: float
    read_units: float
    writes: float
    write_units: float
    cpu_ms: float
    wall_ms: float
    sums_ms: float


def history(plays: int) -> Iterator[RecordedEvent]:
    """A player's life: nine plays on most days, one day in seven without, four games."""
    chance = random.Random(7)  # noqa: S311  # a story, not a secret
    day = datetime(2023, 1, 2, tzinfo=UTC)
    for number in range(plays):
        if number and number % PLAYS_A_DAY == 0:
            day += timedelta(days=2 if chance.random() < 1 / 7 else 1)
        moment = timestamp(day + timedelta(hours=8, minutes=number % PLAYS_A_DAY * 30))
        payload = PlayCompleted(game=GAMES[number % len(GAMES)], score=chance.randrange(1, 10_000), played_at=moment)
        yield recorded(payload, number + 1)


def recorded(payload: PlayCompleted, version: int) -> RecordedEvent:
    metadata = {"correlation_id": uuid7(), "actor": f"user#{PLAYER}"}
    event = NewEvent(event_id=uuid7(), payload=payload, occurred_at=payload.played_at, metadata=metadata)
    return event.recorded(f"player#{PLAYER}", version)


class ReadEverything:
    """The straightforward version: at each play, all plays of the player are read and added up, before and after it."""

    def __init__(self, events: DynamoDbEventStore) -> None:
        self._events = events

    def decide(self, record: Record) -> None:
        latest = cloud_events.decode(kinesis.body(record), APP.events).event
        for badge in newly_earned(self._events.load(latest.aggregate_id), latest):
            self._award(badge, latest)

    def _award(self, badge: Badge, play: RecordedEvent) -> None:
        earned = BadgeEarned(
            user_id=PLAYER,
            badge=badge.id,
            game=play.data["game"] if badge.per_game else None,
            title=badge.title,
            earned_at=play.data["played_at"],
            play_event_id=play.event_id,
        )
        event = NewEvent(event_id=uuid7(), payload=earned, occurred_at=timestamp(utc_now()))
        try:
            self._events.append(Append(f"badge#{PLAYER}#{badge.key(play.data['game'])}", 0, [event]))
        except ConcurrencyError as error:
            if not error.intervening:
                raise


def newly_earned(plays: Sequence[RecordedEvent], latest: RecordedEvent) -> list[Badge]:
    """The badges whose rules hold with the latest play and not without it."""
    play = cast(PlayCompleted, latest.payload)
    today = utc_moment(play.played_at).toordinal()
    after, before = added_up(plays), added_up([event for event in plays if event.version < latest.version])
    now, then = after["games"][play.game], before["games"].get(play.game, _NO_PLAYS)
    return [
        badge
        for badge in BADGES
        if badge.rule(Facts(after, now, today)).earned and not badge.rule(Facts(before, then, today)).earned
    ]


def added_up(plays: Sequence[RecordedEvent]) -> Tally:
    """All plays at once, with plain sets: quicker than one play after another when all must be read anyway."""
    by_game: dict[str, list[tuple[datetime, int]]] = {}
    for event in plays:
        by_game.setdefault(event.data["game"], []).append((utc_moment(event.data["played_at"]), event.data["score"]))
    games = {}
    for game, mine in by_game.items():
        first = min(moment for moment, _ in mine)
        days, longest = _rows({moment.toordinal() for moment, _ in mine})
        games[game] = GameTally(
            plays=len(mine),
            days=days,
            longest_streak=longest,
            best=max(score for _, score in mine),
            first_at=first.isoformat(timespec="microseconds"),
            first_score=max(score for moment, score in mine if moment == first),
        )
    moments = [moment for mine in by_game.values() for moment, _ in mine]
    all_days = {moment.toordinal() for moment in moments}
    days, longest = _rows(all_days)
    return Tally(
        games=games,
        days=days,
        longest_streak=longest,
        weekends=sum(day % 7 == 6 and day + 1 in all_days for day in all_days),
        night_plays=sum(moment.hour < 5 for moment in moments),
    )


def _rows(days: set[int]) -> tuple[str, int]:
    """The days as rules want them, and the longest row."""
    rows = [[day for _, day in row] for _, row in groupby(enumerate(sorted(days)), key=lambda at: at[1] - at[0])]
    text = Days()
    for row in rows:
        for day in row:
            text = text.add(day)
    return text.text, max(map(len, rows), default=0)


def measure(variant: str, plays: int, *, decisions: int | None = None, warm_up: int | None = None) -> Cost:
    """Times decisions about one more play, each from the same state."""
    decisions = _DECISIONS[variant] if decisions is None else decisions
    warm_up = _WARM_UP[variant] if warm_up is None else warm_up
    cloud = Cloud(time.time)
    cloud.create_table("events", "aggregate_id", "version")
    cloud.create_table("read_models", "pk")
    wire = Wire(cloud)
    events = DynamoDbEventStore(wire.client(), "events", APP.events)
    rows = DynamoDbReadModels(wire.client(), "read_models")
    past = list(history(plays + 1))
    # One more play of the same day that beats nothing.
    latest = recorded(
        PlayCompleted(game=past[-2].data["game"], score=0, played_at=past[-2].data["played_at"]), plays + 1
    )
    plays_with_latest = [*past[:-1], latest]
    progress = _seed(cloud, rows, plays_with_latest)
    decide = _ours(rows, events) if variant == _OURS else ReadEverything(events).decide
    record = _kinesis_record(latest)
    state, count = dict(cloud.table("read_models").items), len(cloud.table("events"))
    cpu, wall = [], []
    for number in range(warm_up + decisions):
        cloud.table("read_models").items = dict(state)
        if number == warm_up:
            wire.reset()
        stub_cpu, stub_wall = wire.cpu, wire.wall
        started, began = time.process_time(), time.perf_counter()
        decide(record)
        if number >= warm_up:
            cpu.append(time.process_time() - started - (wire.cpu - stub_cpu))
            wall.append(time.perf_counter() - began - (wire.wall - stub_wall))
    if len(cloud.table("events")) != count:
        raise AssertionError("the play was to earn nothing")
    reads = wire.requests["Query"] + wire.requests["BatchGetItem"]
    return Cost(
        reads=reads / decisions,
        read_units=wire.read_units / decisions,
        writes=wire.requests["PutItem"] / decisions,
        write_units=wire.write_units / decisions,
        cpu_ms=statistics.median(cpu) * 1000,
        wall_ms=statistics.median(wall) * 1000,
        sums_ms=_timed(
            (lambda: record_play(progress, cast(PlayCompleted, latest.payload), latest.event_id))
            if variant == _OURS
            else (lambda: newly_earned(plays_with_latest, latest)),
            decisions,
        ),
    )


def _timed(sums: Callable[[], object], times: int) -> float:
    """Milliseconds of CPU, the median of so many calls."""
    taken = []
    for _ in range(times):
        started = time.process_time_ns()
        sums()
        taken.append(time.process_time_ns() - started)
    return statistics.median(taken) / 1e6


def _seed(cloud: Cloud, rows: DynamoDbReadModels, plays: Sequence[RecordedEvent]) -> Progress:
    """Puts the events, the latest included, and the row as it was before the latest; gives its progress."""
    for event in plays:
        cloud.dynamodb.put_item(TableName="events", Item=codec.encode(event))
    progress = no_progress()
    for event in plays[:-1]:
        progress, _ = record_play(progress, cast(PlayCompleted, event.payload), event.event_id)
    applied = {"user": 1, "player": len(plays) - 1}
    rows.put(Row(pk=BADGE_PROGRESS.pk(PLAYER), state=cast(State, progress), applied=applied, revision=1))
    return progress


def _ours(rows: DynamoDbReadModels, events: DynamoDbEventStore) -> Decide:
    awarder = Awarder(events, uuid7, utc_now)
    nobody = cast(Any, None)
    # Asks its ledger about failures alone.
    patience = Patience("badges", nobody, nobody, utc_now)
    runner = ProjectionRunner(
        BADGE_PROGRESS, rows, events, nobody, APP.events, parking=nobody, patience=patience, before_write=awarder.award
    )

    def decide(record: Record) -> None:
        if failures := runner.process([record]).failures:
            raise failures[0].error

    return decide


def _kinesis_record(event: RecordedEvent) -> Record:
    body = cloud_events.encode(codec.encode(event), APP.events).body
    return {
        "kinesis": {
            "partitionKey": event.aggregate_id,
            "sequenceNumber": "1",
            "data": base64.b64encode(body).decode(),
        }
    }


def run(rounds: int, histories: Sequence[int]) -> dict[tuple[str, int], Cost]:
    """Medians over rounds, in each of which every variant and history has a process of its own, in turn."""
    console = Console(stderr=True)
    measured: dict[tuple[str, int], list[Cost]] = {}
    with console.status("") as status:
        for number in range(1, rounds + 1):
            for plays in histories:
                for variant in _DECISIONS:
                    status.update(f"round {number} of {rounds}: {variant}, {plays} plays")
                    command = [sys.executable, "-m", "benchmarks.badges", "--measure", variant, str(plays)]
                    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ourselves
                    measured.setdefault((variant, plays), []).append(Cost(**json.loads(answer.stdout)))
    return {
        key: Cost(**{name: statistics.median(asdict(cost)[name] for cost in costs) for name in asdict(costs[0])})
        for key, costs in measured.items()
    }


def report(costs: Mapping[tuple[str, int], Cost], histories: Sequence[int], rounds: int) -> None:
    least, most = histories[0], histories[-1]
    console = Console(width=120)
    first, last = costs[_OURS, least], costs[_OURS, most]
    console.print(
        f"Ours at {most:,} plays against {least:,}: CPU {last.cpu_ms / first.cpu_ms:.2f} times; "
        f"sums and rules alone {last.sums_ms / first.sums_ms:.2f} times"
    )
    ratios = Table(title="Reading everything costs this many times as much as ours", title_justify="left")
    for column in ("plays", "read units", "CPU", "wall time"):
        ratios.add_column(column, justify="right")
    for plays in histories:
        ours, other = costs[_OURS, plays], costs[_READ_EVERYTHING, plays]
        pairs = (ours.read_units, other.read_units), (ours.cpu_ms, other.cpu_ms), (ours.wall_ms, other.wall_ms)
        ratios.add_row(f"{plays:,}", *(f"{theirs / mine:,.1f}" for mine, theirs in pairs))
    console.print(ratios)
    table = Table(title="One decision, for a play that earns nothing", title_justify="left")
    for column in ("version", "plays", "reads", "read units", "writes", "write units", "CPU ms", "sums ms", "wall ms"):
        table.add_column(column, justify="left" if column == "version" else "right")
    for variant in _DECISIONS:
        for plays in histories:
            cost = costs[variant, plays]
            numbers = (cost.reads, cost.read_units, cost.writes, cost.write_units)
            times = (cost.cpu_ms, cost.sums_ms, cost.wall_ms)
            table.add_row(
                variant,
                f"{plays:,}",
                *(f"{n:g}" for n in numbers),
                *(f"{ms:.3f}" if ms < 1 else f"{ms:.1f}" for ms in times),
            )
    console.print(table)
    decisions, warm_up = (f"{of[_OURS]} ({of[_READ_EVERYTHING]})" for of in (_DECISIONS, _WARM_UP))
    console.print(
        f"Medians of {rounds} interleaved fresh processes a row; in each, the median of {decisions} decisions of ours "
        f"(of the other), after {warm_up} unmeasured ones. One Kinesis record a batch. Reads are consistent; units are "
        "by item size. Sums are adding plays up and asking the rules. boto3 is whole; its HTTP is answered in the "
        "process and the answering not counted, so that a network adds a round trip for each read and write. "
        f"boto3 {boto3.__version__}, "
        f"Python {platform.python_version()}, {processor()}, {os.cpu_count()} CPUs."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.badges", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes a cell (default 5)")
    parser.add_argument("--measure", nargs=2, metavar=("VARIANT", "PLAYS"), help="one process's measurement, as JSON")
    options = parser.parse_args(arguments)
    if options.measure:
        variant, plays = options.measure
        sys.stdout.write(json.dumps(asdict(measure(variant, int(plays)))))
        return
    report(run(options.rounds, HISTORIES), HISTORIES, options.rounds)


if __name__ == "__main__":
    main()
