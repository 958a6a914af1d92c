"""Failures on purpose: what they do to the stack, and their undoing."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from cli.console.pages.runbook import anchor
from devstack.control import ControlApi
from devstack.emulator import Emulator
from devstack.errors import DevstackError
from devstack.mappings.stack_mappings import Mappings
from devstack.refusals import Refusal
from devstack.rehearsals import HOUR_SECONDS, KNOWN, RehearsalError, Rehearsals
from devstack.template import EventSourceMapping
from operations.running import TOKEN_HEADER

ROOT = Path(__file__).parents[3]


class Stack:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.paused: dict[str, bool] = {}
        self.skipped = 0.0
        self.refused: Sequence[Refusal] = ()
        self.mended: list[tuple[str, int]] = []
        self.appended = 0
        self.deaf = 0
        self.done: list[str] = []

    # As mappings have it.
    def pause(self, title: str, *, paused: bool) -> None:
        self.paused[title] = paused

    def skip(self, seconds: float) -> None:
        self.skipped += seconds

    # As the emulator.
    def refuse(self, refusals: Sequence[Refusal]) -> None:
        # One that is slow hears a line after nobody waits for it any more.
        self.refused = refusals
        self.done.append("refuse")
        if self.deaf:
            self.deaf -= 1
            raise DevstackError("the emulator does not hear")

    # As what poisons.
    def append(self) -> tuple[str, int, str]:
        self.appended += 1
        return "player#p", 3 + self.appended, "says something"

    def mend(self, aggregate_id: str, version: int) -> None:
        self.mended.append((aggregate_id, version))
        self.done.append("mend")


def mapping(function: str, name: str) -> EventSourceMapping:
    return cast("EventSourceMapping", SimpleNamespace(function=function, name=name, title=f"{function}.{name}"))


def pipe(name: str) -> EventSourceMapping:
    return cast("EventSourceMapping", SimpleNamespace(function="TargetFunction", name=name, title=name))


@pytest.fixture
def stack() -> Stack:
    return Stack()


@pytest.fixture
def rehearsals(stack: Stack) -> Rehearsals:
    return Rehearsals(
        cast("Mappings", stack),
        [mapping("BoardFunction", "One"), mapping("BoardFunction", "Two"), pipe("StatusPipe")],
        cast("Emulator", stack),
        tables={"RowsTable": "local-RowsTable-1"},
        buckets={"ArchiveBucket": "local-archive-1"},
        poison=stack,
    )


def test_a_consumer_is_stopped_on_all_its_mappings_and_started_again(rehearsals: Rehearsals, stack: Stack) -> None:
    started = rehearsals.start("stop", "BoardFunction")
    assert stack.paused == {"BoardFunction.One": True, "BoardFunction.Two": True}
    assert [each["id"] for each in rehearsals.told()["running"]] == [started["id"]]

    assert rehearsals.undo("stop")["undone"] == [started["id"]]
    assert stack.paused == {"BoardFunction.One": False, "BoardFunction.Two": False}
    assert rehearsals.told()["running"] == []


def test_a_pipe_is_stopped_by_its_name(rehearsals: Rehearsals, stack: Stack) -> None:
    rehearsals.start("stop", "StatusPipe")

    assert stack.paused == {"StatusPipe": True}


@pytest.mark.parametrize(
    ("name", "called", "target"),
    [
        *(("stop", called, "BoardFunction") for called in ("board", "Board", "BOARDFUNCTION", "BoardFunction")),
        *(("stop", called, "StatusPipe") for called in ("status", "Status", "statuspipe")),
        ("throttle", "rows", "RowsTable"),
        ("deny", "archive", "ArchiveBucket"),
    ],
)
def test_a_target_goes_by_each_of_its_names(rehearsals: Rehearsals, name: str, called: str, target: str) -> None:
    started = rehearsals.start(name, called)

    assert started["target"] == target
    assert rehearsals.undo(called)["undone"] == [started["id"]]


def test_the_answer_to_an_undoing_says_what_comes_next(rehearsals: Rehearsals) -> None:
    rehearsals.start("poison", None)
    rehearsals.start("poison", None)
    rehearsals.start("stop", "board")

    told = rehearsals.undo("all")["next"]

    assert told.keys() == {"poison", "stop"}
    assert told["poison"].endswith("Redrive its dead letters then: headwater dead-letters redrive --all")


def test_where_nothing_is_broken_an_undoing_says_so_once(rehearsals: Rehearsals) -> None:
    with pytest.raises(RehearsalError, match=r"^nothing is broken now: 'headwater rehearse list' shows what can be$"):
        rehearsals.undo("stop")

    assert rehearsals.undo("all") == {"undone": [], "next": {}}


def test_refusals_add_up_and_each_is_undone_alone(rehearsals: Rehearsals, stack: Stack) -> None:
    throttle = rehearsals.start("throttle", "RowsTable")["id"]
    rehearsals.start("deny", "ArchiveBucket")
    rehearsals.start("refuse-mail", None)
    assert set(stack.refused) == {
        Refusal("throttle", "local-RowsTable-1"),
        Refusal("deny", "local-archive-1"),
        Refusal("refuse-mail"),
    }

    rehearsals.undo(throttle)
    assert set(stack.refused) == {Refusal("deny", "local-archive-1"), Refusal("refuse-mail")}
    rehearsals.undo("all")
    assert stack.refused == []


def test_a_poison_is_mended_where_it_was_put(rehearsals: Rehearsals, stack: Stack) -> None:
    first, second = rehearsals.start("poison", None), rehearsals.start("poison", None)
    with pytest.raises(RehearsalError, match="several are called 'poison'"):
        rehearsals.undo("poison")
    rehearsals.undo(second["id"])
    rehearsals.undo(first["id"])

    assert stack.mended == [("player#p", 5), ("player#p", 4)]


def test_what_the_emulator_hears_too_late_is_taken_back(rehearsals: Rehearsals, stack: Stack) -> None:
    rehearsals.start("refuse-mail", None)
    stack.deaf = 1
    with pytest.raises(DevstackError, match="does not hear"):
        rehearsals.start("throttle", "RowsTable")

    assert stack.refused == [Refusal("refuse-mail")]
    assert [each["id"] for each in rehearsals.told()["running"]] == ["refuse-mail-1"]


def test_an_undoing_that_is_not_heard_can_be_done_again(rehearsals: Rehearsals, stack: Stack) -> None:
    rehearsals.start("refuse-mail", None)
    stack.deaf = 1
    with pytest.raises(RehearsalError, match="still broken"):
        rehearsals.undo("refuse-mail")

    assert rehearsals.undo("refuse-mail")["undone"] == ["refuse-mail-1"]
    assert stack.refused == []


def test_writes_are_taken_again_before_an_event_is_mended(rehearsals: Rehearsals, stack: Stack) -> None:
    rehearsals.start("poison", None)
    rehearsals.start("throttle", "RowsTable")
    stack.done.clear()
    rehearsals.undo("all")

    assert stack.done == ["refuse", "mend"]


def test_an_hour_passes_at_once(rehearsals: Rehearsals, stack: Stack) -> None:
    rehearsals.start("skip-hour", None)
    rehearsals.start("skip-hour", None)

    assert stack.skipped == 2 * HOUR_SECONDS
    assert rehearsals.told()["running"] == []


def test_one_that_cannot_be_undone_still_runs(
    rehearsals: Rehearsals, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: str, __: int) -> None:
        raise RehearsalError("it is gone", 409)

    rehearsals.start("poison", None)
    rehearsals.start("refuse-mail", None)
    monkeypatch.setattr(stack, "mend", gone)
    with pytest.raises(RehearsalError, match="still broken: poison-1: it is gone"):
        rehearsals.undo("all")

    # The others are undone all the same.
    assert [each["id"] for each in rehearsals.told()["running"]] == ["poison-1"]
    assert stack.refused == []


@pytest.mark.parametrize(
    ("name", "target", "says"),
    [
        ("explode", None, "there is no rehearsal 'explode'; there are: stop, throttle"),
        ("stop", None, "stop wants a consumer; there are: BoardFunction, StatusPipe"),
        ("stop", "Nobody", "there is no consumer 'Nobody'"),
        ("poisn", None, "there is no rehearsal 'poisn': did you mean poison? There are: stop, "),
        ("stop", "boardd", "no consumer 'boardd': did you mean board? There are: BoardFunction, StatusPipe"),
        ("throttle", "row", "there is no table 'row': did you mean Rows? There are: RowsTable"),
        ("throttle", "ArchiveBucket", "there is no table 'ArchiveBucket'"),
        ("poison", "RowsTable", "poison takes no target: leave 'RowsTable' away"),
    ],
)
def test_what_cannot_be_rehearsed_is_told(
    rehearsals: Rehearsals, stack: Stack, name: str, target: str | None, says: str
) -> None:
    with pytest.raises(RehearsalError, match=re.escape(says)):
        rehearsals.start(name, target)

    assert rehearsals.told()["running"] == []
    assert (stack.paused, stack.refused, stack.appended) == ({}, (), 0)


def test_the_same_thing_is_broken_once(rehearsals: Rehearsals) -> None:
    rehearsals.start("stop", "BoardFunction")

    with pytest.raises(RehearsalError, match="stop BoardFunction runs already: undo it first"):
        rehearsals.start("stop", "BoardFunction")
    with pytest.raises(RehearsalError, match="nothing runs that is called 'deny': stop-1 runs"):
        rehearsals.undo("deny")


def test_each_stands_beside_a_page_of_the_runbook_that_there_is() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    anchors = {anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}

    for each in KNOWN:
        page, _, heading = each.runbook.partition("#")
        assert page == "docs/runbook.md"
        assert heading in anchors, each.name


class Door:
    """The stack's own door."""

    def __init__(self, rehearsals: Rehearsals) -> None:
        flow: Any = SimpleNamespace(told=lambda: [{"title": "m"}], records_read=lambda: {"arn": 3})
        functions: Any = SimpleNamespace(told=lambda: [{"name": "f"}])
        self._api = ControlApi("token", flow, functions, rehearsals)

    def ask(self, method: str, path: str, body: Any = None, token: str = "token") -> tuple[int, Any]:
        text = b"" if body is None else orjson.dumps(body)
        status, _, answer = self._api.answer(method, f"/_devstack/{path}", token, text)
        return status, orjson.loads(answer)


@pytest.mark.parametrize("token", ["", "Token", "token ", "toke", "tokén"])
def test_the_door_opens_to_the_token_alone(rehearsals: Rehearsals, stack: Stack, token: str) -> None:
    door = Door(rehearsals)

    for method, path in (("GET", "flow"), ("POST", "rehearsals"), ("DELETE", "rehearsals/all")):
        status, told = door.ask(method, path, {"name": "refuse-mail"}, token)
        assert (status, TOKEN_HEADER in told["error"]) == (403, True)
    assert stack.refused == ()


def test_the_door_tells_the_flow_and_takes_rehearsals(rehearsals: Rehearsals) -> None:
    door = Door(rehearsals)

    status, flow = door.ask("GET", "flow")
    assert (status, flow["streams"], flow["mappings"]) == (200, [{"arn": "arn", "records": 3}], [{"title": "m"}])
    status, started = door.ask("POST", "rehearsals", {"name": "stop", "target": "BoardFunction"})
    assert (status, started["id"]) == (201, "stop-1")
    assert [each["name"] for each in door.ask("GET", "rehearsals")[1]["known"]] == [each.name for each in KNOWN]
    told = {"undone": ["stop-1"], "next": {"stop": "It gets what has waited, in order."}}
    assert door.ask("DELETE", "rehearsals/stop%2D1") == (200, told)


@pytest.mark.parametrize("body", [None, [], {"name": 1}, "stop", {"target": "x"}])
def test_a_request_that_is_none_is_told(rehearsals: Rehearsals, body: Any) -> None:
    status, told = Door(rehearsals).ask("POST", "rehearsals", body)

    assert status == 400
    assert "say what to rehearse" in told["error"]


def test_what_nobody_foresaw_is_told_too(rehearsals: Rehearsals, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise ConnectionRefusedError("no emulator")

    monkeypatch.setattr(rehearsals, "told", gone)

    status, told = Door(rehearsals).ask("GET", "rehearsals")

    assert (status, told["error"]) == (500, "the local stack cannot say: ConnectionRefusedError: no emulator")


def test_a_path_that_is_none_is_told(rehearsals: Rehearsals) -> None:
    assert Door(rehearsals).ask("GET", "nothing")[0] == 404
    assert Door(rehearsals).ask("PUT", "flow")[0] == 404
