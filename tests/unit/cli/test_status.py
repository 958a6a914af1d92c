"""How a stack does, as people and programs are told."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import observe_local
from cli.observation import (
    HELD_AGAIN_SECONDS,
    LOOK_AGAIN_SECONDS,
    Alarm,
    Archive,
    Figures,
    Kept,
    LetterBox,
    Letters,
    Snapshot,
    archive_told,
    duration,
    limits,
    look_into_archive,
    troubles,
)
from cli.observe_local import LocalObserver
from cli.status import status
from operations.flow_graph import Edge, FlowGraph, Station
from operations.target import Target
from tests.fakes.dead_letters import dead_letter

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GRAPH = FlowGraph(
    {name: Station(name, kind) for name, kind in (("Log", "stream"), ("BoardFunction", "function"))},
    [Edge("Log", "BoardFunction", title="BoardFunction.Log")],
)


def snapshot(figures: Figures | None = None, **given: Any) -> Snapshot:
    return Snapshot(at=NOW, stack="local", figures={"BoardFunction": figures or Figures()}, **given)


def told(found: Snapshot, elsewhere: dict[str, int] | None = None) -> list[str]:
    return [each.what for each in troubles(GRAPH, found, {"BoardFunction": 300.0}, elsewhere or {})]


class Looking:
    """Shows what it was given, one after the other."""

    graph = GRAPH
    every = 0.0

    def __init__(self, *snapshots: Snapshot) -> None:
        self._snapshots = list(snapshots)

    def observe(self) -> Snapshot:
        if not self._snapshots:
            raise KeyboardInterrupt
        return self._snapshots.pop(0)


def run(monkeypatch: pytest.MonkeyPatch, looking: Looking, *arguments: str) -> Result:
    monkeypatch.setattr("cli.observer.observer", lambda _: looking)
    stack = Target(None, None, {})  # type: ignore[arg-type] # nobody calls AWS here
    return CliRunner().invoke(status, arguments, obj=lambda: stack)


@pytest.mark.parametrize("figures", [Figures(), Figures(lag=299.0, waiting=9), Figures(retries=3, retrying=True)])
def test_what_is_on_its_way_needs_nobody(figures: Figures) -> None:
    assert told(snapshot(figures)) == []


def test_what_needs_a_person_is_named() -> None:
    alarms = [
        Alarm(name="a", state="ALARM", since="", about="Behind.", pages=True, runbook="docs/runbook.md#iteratorage"),
        Alarm(name="b", state="ALARM", since="", about="Tomorrow.", pages=False),
        Alarm(name="c", state="OK", since="", about="Fine.", pages=True),
    ]

    assert told(snapshot(Figures(lag=301.0))) == ["Board is behind by 5 min"]
    assert told(snapshot(Figures(paused=True, waiting=7))) == ["Board is stopped: 7 wait"]
    assert told(snapshot(alarms=alarms)) == ["a: Behind."]
    assert told(snapshot(dead_letters={"board": 1}, standing={"board": 1})) == [
        "1 dead letter of board waits, of 1 aggregate"
    ]
    assert told(snapshot(), {"ParkedRecordsQueue": 2}) == ["2 messages in ParkedRecordsQueue"]


def test_the_exit_code_says_whether_somebody_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    (trouble,) = troubles(GRAPH, snapshot(Figures(paused=True)), {}, {})

    assert run(monkeypatch, Looking(snapshot())).exit_code == 0
    needed = run(monkeypatch, Looking(snapshot(troubles=[trouble])))
    assert needed.exit_code == 1
    assert "1 thing needs a person" in needed.output
    assert "Board is stopped" in needed.output


def test_a_watch_that_is_stopped_ends_as_what_it_saw_last(monkeypatch: pytest.MonkeyPatch) -> None:
    (trouble,) = troubles(GRAPH, snapshot(Figures(paused=True)), {}, {})

    assert run(monkeypatch, Looking(snapshot(), snapshot(troubles=[trouble])), "--watch").exit_code == 1
    assert run(monkeypatch, Looking(snapshot(troubles=[trouble]), snapshot()), "--watch").exit_code == 0


def test_the_screen_is_80_columns_and_has_every_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Figures(waiting=123_456, lag=86_399.0, rate=1234.5, retries=99_999, retrying=True, parked=12_345)

    said = run(monkeypatch, Looking(snapshot(busy, archive=Archive(NOW - timedelta(seconds=90))))).output

    assert max(map(len, said.splitlines())) <= 80
    assert "board" in said
    assert "the newest object is 90 s old" in said


def test_json_is_one_document_and_with_watch_one_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    once = run(monkeypatch, Looking(snapshot(Figures(lag=1.5))), "--json").stdout
    watched = run(monkeypatch, Looking(snapshot(), snapshot()), "--json", "--watch").stdout

    (station,) = json.loads(once)["stations"]
    assert (station["name"], station["lag_seconds"], station["stopped"]) == ("BoardFunction", 1.5, False)
    assert json.loads(once)["needs_a_person"] == []
    assert [json.loads(line)["stack"] for line in watched.splitlines()] == ["local", "local"]


def test_what_could_not_be_asked_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        "Not known: alarms: AccessDenied"
        in run(monkeypatch, Looking(snapshot(unknown=["alarms: AccessDenied"]))).output
    )


@pytest.mark.parametrize(
    ("archive", "told"),
    [
        (Archive(NOW - timedelta(seconds=90)), "the newest object is 90 s old"),
        (Archive(empty=True), "nothing was written yet"),
        (Archive(), "nothing was written in the last days"),
        (None, "not known"),
    ],
)
def test_the_archives_freshness_is_told_as_it_is(archive: Archive | None, told: str) -> None:
    assert archive_told(snapshot(archive=archive)) == told


def test_an_archive_is_empty_if_nothing_lies_there(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    monkeypatch.setattr(
        "cli.observation.BucketObjects.listed", lambda _, prefix: (key for key in keys if key.startswith(prefix))
    )
    stack: Any = SimpleNamespace(client=lambda _: None, output=lambda _: "archive")
    assert look_into_archive(stack, NOW) == Archive(empty=True)

    keys.append("raw/source=applications/dt=2025-03-01/x")
    assert look_into_archive(stack, NOW) == Archive()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.0, "42 s"), (120.0, "2 min"), (7200.0, "2 h"), (259_200.0, "3 d")],
)
def test_a_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_limits_are_those_of_the_templates_alarms() -> None:
    def alarm(**properties: Any) -> dict[str, Any]:
        return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}

    function = [{"Name": "FunctionName", "Value": {"Ref": "BoardFunction"}}]
    queue = [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["MailQueue", "QueueName"]}}]
    oldest = {"MetricName": "ApproximateAgeOfOldestMessage", "Dimensions": queue}
    resources = {
        "One": alarm(MetricName="IteratorAge", Dimensions=function, Threshold=300_000),
        "Two": alarm(Metrics=[{"Expression": "x"}, {"MetricStat": {"Metric": oldest}}], Threshold=900),
        "Three": alarm(MetricName="Errors", Dimensions=function, Threshold=1),
    }

    assert limits({"Resources": resources}) == {"BoardFunction": 300.0, "MailQueue": 900.0}


def test_a_value_is_asked_for_again_when_it_is_old_or_forgotten() -> None:
    asked: list[int] = []
    kept = Kept(lambda: asked.append(1) or len(asked), every=3600)  # type: ignore[func-returns-value]

    assert [kept.get(), kept.get()] == [1, 1]
    kept.forget()
    assert kept.get() == 2


def _box_of_one_count(monkeypatch: pytest.MonkeyPatch, looks: Iterator[Letters], now: Callable[[], float]) -> LetterBox:
    """One whose count never changes, though what is looked at does."""
    monkeypatch.setattr("cli.observation.time.monotonic", now)
    monkeypatch.setattr("cli.observation.inventory.counts", lambda _: {"P": 1})
    monkeypatch.setattr("cli.observation.look", lambda _: next(looks))
    return LetterBox(Target(None, None, {}))  # type: ignore[arg-type]


def test_what_somebody_else_holds_is_looked_at_again_soon_but_not_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([Letters(unseen={"P": 1, "Q": 5}, pending={"Q"}), Letters([dead_letter()]), Letters()])
    now = 0.0
    box = _box_of_one_count(monkeypatch, looks, lambda: now)

    found = [box.letters(), box.letters()]
    now += HELD_AGAIN_SECONDS
    found += [box.letters(), box.letters()]

    assert found[0].elsewhere == {"P": 1}
    assert [each.by_consumer for each in found] == [{}, {}, {"board": 1}, {"board": 1}]


def test_letters_that_others_have_replaced_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([Letters([dead_letter(consumer=name)]) for name in ("board", "badges", "mail")])
    now = 0.0
    box = _box_of_one_count(monkeypatch, looks, lambda: now)

    found = [box.letters(), box.letters()]
    box.forget()
    found += [box.letters(), box.letters()]
    now += LOOK_AGAIN_SECONDS
    found += [box.letters(), box.letters()]

    assert [[*each.by_consumer] for each in found] == [["board"]] * 2 + [["badges"]] * 2 + [["mail"]] * 2


def test_the_queues_are_looked_into_when_a_count_has_changed_and_not_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[dict[str, int]] = [{"P": 0}, {"P": 1}, {"P": 1}, {"P": 2}, {"P": 0}]
    looks: list[int] = []

    def look(_: Target) -> Letters:
        looks.append(1)
        return Letters([dead_letter()] * len(looks))

    monkeypatch.setattr("cli.observation.inventory.counts", lambda _: counts.pop(0))
    monkeypatch.setattr("cli.observation.look", look)
    box = LetterBox(Target(None, None, {}))  # type: ignore[arg-type]

    assert [box.letters().by_consumer.get("board", 0) for _ in range(5)] == [0, 1, 1, 2, 0]
    assert len(looks) == 2


class Door:
    """The local stack's own door, with what it tells at each knock."""

    def __init__(self, *flows: dict[str, Any]) -> None:
        self._flows = list(flows)

    def get(self, path: str) -> Any:
        assert path == "flow"
        return self._flows.pop(0)


def flow(delivered: int, records: int, **mapping: Any) -> dict[str, Any]:
    told = {
        "title": "BoardFunction.Log",
        "function": "BoardFunction",
        "pipe": None,
        "source_arn": "arn:log",
        "waiting": 0,
        "lag_seconds": None,
        "delivered": delivered,
        "retries": 0,
        "retrying": False,
        "paused": False,
    }
    streams = [{"arn": "arn:log", "records": records}]
    functions = [{"name": "BoardFunction", "invocations": delivered}]
    return {"streams": streams, "mappings": [told | mapping], "functions": functions}


def observed(monkeypatch: pytest.MonkeyPatch, times: Sequence[float], *flows: dict[str, Any]) -> list[Snapshot]:
    monkeypatch.setattr(observe_local, "documents", lambda _: [{"Resources": {}}])
    monkeypatch.setattr(FlowGraph, "of", classmethod(lambda _, *__: GRAPH))
    monkeypatch.setattr(LetterBox, "letters", lambda _: Letters([dead_letter(aggregate="player#p")] * 2))
    monkeypatch.setattr(observe_local, "look_into_archive", lambda *_: Archive(empty=True))
    clock = iter(times)
    monkeypatch.setattr("cli.observe_local.time.monotonic", lambda: next(clock))
    door: Any = Door(*flows)
    looking = LocalObserver(Target(None, None, {}), door)  # type: ignore[arg-type]
    return [looking.observe() for _ in flows]


def test_a_rate_is_what_came_since_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = observed(monkeypatch, (10.0, 12.0), flow(0, 10), flow(20, 50, lag_seconds=1.5, waiting=30))

    assert first.figures["BoardFunction"].rate is None
    board = second.figures["BoardFunction"]
    assert (board.rate, board.lag, board.waiting, board.parked) == (10.0, 1.5, 30, 2)
    assert second.figures["Log"].rate == 20.0
    assert [each.what for each in second.troubles] == ["2 dead letters of board wait, of 1 aggregate"]


def test_a_stopped_mapping_is_a_trouble_of_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = observed(monkeypatch, (1.0,), flow(0, 0, paused=True, waiting=3))

    assert "Board is stopped: 3 wait" in [each.what for each in found.troubles]
