"""The pages over a stack that answers from memory: what they refuse, hide and escape."""

import asyncio
import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError
from starlette.testclient import TestClient

from cli import chart
from cli.chart import ChartError
from cli.console.app import application
from cli.console.desk import Answered, Desk
from cli.console.diagram import Diagram
from cli.console.journey import Journeys, _of_entry, _why
from cli.console.logs import Logs
from cli.console.pages import events
from cli.console.pages.shared import environment, fragment
from cli.console.recent import RecentEvents, Seen
from cli.console.redaction import HIDDEN
from cli.observation import Figures, Letters, Snapshot
from operations.archive.local_sql import Answer
from operations.dead_letters.waiting import DeadLetter
from operations.flow_graph import Edge, FlowGraph, Station
from operations.running import RunningStack
from operations.target import Target
from tests.fakes.dead_letters import dead_letter
from tests.fakes.observer import GRAPH, Looking

PORT = 8088
OWN = f"http://127.0.0.1:{PORT}"


class Asked(Desk):
    """Answers SQL from memory."""

    answer = Answer(("user", "password_hash"), [("<b>Ada</b>", "$argon2id$v=19$abc$def")])

    def query(self, sql: str) -> Answered:
        assert sql
        return Answered(self.answer)


@pytest.fixture
def looking() -> Looking:
    return Looking()


def console(looking: Looking, *, changes: bool = False) -> TestClient:
    target = Target(None, None, {}, stack_name="dev")  # type: ignore[arg-type] # nobody calls AWS here
    return TestClient(application(Asked(target, looking, changes), PORT), base_url=OWN, follow_redirects=False)


def posted(client: TestClient, path: str, **form: str) -> Any:
    return client.post(path, data=form, headers={"origin": OWN})


def test_the_flow_shows_figures_and_troubles_as_text(looking: Looking) -> None:
    shown = console(looking).get("/").text

    assert "stopped" in shown
    assert "7 waiting" in shown
    assert "lag 61 s" in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>alert" not in shown
    assert 'href="/runbook#iteratorage"' in shown


def test_a_stopped_station_tells_all_but_its_rate() -> None:
    figures = Figures(rate=0.0, waiting=7, lag=61.0, retries=12, retrying=True, parked=3, paused=True)
    told = fragment("station_figures.html", figures=figures)

    said = " ".join(re.sub(r"<[^>]+>", " ", told).split())
    assert said == "stopped 3 parked 7 waiting lag 61 s 12 retries"


def test_a_retrying_station_says_how_often_once() -> None:
    told = fragment("station_figures.html", figures=Figures(rate=0.0, waiting=7, lag=61.0, retries=12, retrying=True))

    assert "retrying, 12 so far" in told
    assert "0.0/s" in told
    assert "retries" not in told


def test_the_flow_leads_to_what_is_red(looking: Looking) -> None:
    assert '<a href="#s-BoardFunction">Board</a>' in console(looking).get("/").text


def test_a_window_narrower_than_the_flow_is_told_to_scroll(looking: Looking) -> None:
    client = console(looking)
    width = Diagram(GRAPH).size[0]

    assert 'class="wider' in client.get("/").text
    assert f"(max-width: {width + 50}px) {{\n.wider {{ display: block; }}" in client.get("/flow.css").text


def test_many_pages_ask_the_stack_once(looking: Looking) -> None:
    client = console(looking)
    for _ in range(3):
        client.get("/")

    assert looking.asked == 1


@pytest.mark.parametrize(
    "path", ["/dead-letters/redrive", "/dead-letters/abc/discard", "/rehearse/start", "/rehearse/undo"]
)
def test_a_console_that_only_looks_changes_nothing(looking: Looking, path: str) -> None:
    answer = posted(console(looking), path, all="1", reason="x", name="poison", id="x")

    assert answer.status_code == 403
    assert "start it with --allow-changes" in answer.text


def test_rehearsals_are_for_the_local_stack(looking: Looking) -> None:
    client = console(looking, changes=True)

    assert "Rehearse" not in client.get("/").text
    assert client.get("/rehearse").status_code == 404
    assert posted(client, "/rehearse/start", name="poison").status_code == 404


def test_an_answers_secrets_are_hidden_and_its_html_is_text(looking: Looking) -> None:
    shown = posted(console(looking), "/query", sql="SELECT 1").text

    assert "&lt;b&gt;Ada&lt;/b&gt;" in shown
    assert "argon2" not in shown


def answering(looking: Looking, monkeypatch: pytest.MonkeyPatch, *cells: Any) -> str:
    monkeypatch.setattr(Asked, "answer", Answer(tuple(f"c{number}" for number in range(len(cells))), [cells]))
    return str(posted(console(looking), "/query", sql="SELECT 1").text)


@pytest.mark.parametrize(
    ("cell", "left_off"), [("x" * 300_000, "299,000"), ([1] * 2000, ""), ({"a": "x" * 30_000}, "")]
)
def test_of_a_long_cell_the_beginning_is_shown(
    looking: Looking, monkeypatch: pytest.MonkeyPatch, cell: Any, left_off: str
) -> None:
    shown = answering(looking, monkeypatch, cell)

    assert len(shown) < 6_000
    assert re.search(rf"… and {left_off or '[0-9,]+'} characters more</td>", shown)


def test_a_field_within_a_cell_is_hidden_by_its_name(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in answering(looking, monkeypatch, {"password": "hunter2"})


def test_a_chart_names_no_more_than_the_table_shows(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Answer] = []

    def draw(answer: Answer, *_: object) -> None:
        drawn.append(answer)
        raise ChartError

    monkeypatch.setattr(chart, "draw", draw)
    answering(looking, monkeypatch, "$argon2id$v=19$abc$def", 7, "x" * 3_000)

    assert drawn[0].rows == [(HIDDEN, 7, "x" * 40 + "… and 2,960 characters more")]


@pytest.mark.parametrize(("rows", "pictures"), [(500, 1), (501, 0)])
def test_no_more_bars_are_drawn_than_rows_are_shown(
    looking: Looking, monkeypatch: pytest.MonkeyPatch, rows: int, pictures: int
) -> None:
    drawn: list[Answer] = []

    def draw(answer: Answer, *_: object) -> None:
        drawn.append(answer)
        raise ChartError

    monkeypatch.setattr(chart, "draw", draw)
    monkeypatch.setattr(Asked, "answer", Answer(("name", "plays"), [(f"n{row}", row) for row in range(rows)]))
    posted(console(looking), "/query", sql="SELECT 1")

    assert len(drawn) == pictures


def test_a_number_that_cannot_be_drawn_is_in_the_table(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(10**400) in answering(looking, monkeypatch, "x", 10**400)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"sql": "  "}, "write a SELECT, or choose a saved query"),
        ({"name": "user-as-of", "user": "x"}, "user-as-of wants at"),
        ({"name": "top-players", "count": "many", "game": "go", "since": "2026-01-01"}, "count=many is no number"),
    ],
)
def test_a_question_that_is_none_is_told_before_it_is_asked(looking: Looking, form: dict[str, str], says: str) -> None:
    answer = posted(console(looking), "/query", **form)

    assert answer.status_code == 400
    assert says in answer.text


def test_a_discard_wants_its_reason(looking: Looking) -> None:
    answer = posted(console(looking, changes=True), "/dead-letters/abc/discard", reason=" ")

    assert answer.status_code == 400
    assert "reason is empty" in answer.text


def test_after_a_change_dead_letters_are_looked_at_anew_though_it_failed(looking: Looking) -> None:
    posted(console(looking, changes=True), "/dead-letters/abc/discard", reason=" ")

    assert looking.forgotten == 1


def test_an_unknown_station_or_page_is_told(looking: Looking) -> None:
    client = console(looking)

    assert client.get("/flow/<b>").status_code == 404
    assert "&lt;b&gt;" in client.get("/flow/<b>").text
    assert client.get("/nowhere").status_code == 404
    assert client.post("/", headers={"origin": OWN}).status_code == 405


@pytest.mark.parametrize("after", ["9" * 5000, "9" * 40, "٣", "-1", "1.5", "x", ""])
@pytest.mark.parametrize("path", ["/events/tail", "/aggregates?id=user%23ada"])
def test_a_cursor_that_is_no_number_is_refused(looking: Looking, path: str, after: str) -> None:
    answer = console(looking).get(path, params={"id": "user#ada", "after": after})

    assert answer.status_code == 400
    assert "whole number" in answer.text


class Storing:
    """An AWS with one item of the events' table, in place of a session and of its clients."""

    def __init__(self, **attributes: str) -> None:
        self.item = {name: {"S": value} for name, value in attributes.items()}

    def client(self, *_: object, **__: object) -> "Storing":
        return self

    def get_item(self, **_: object) -> dict[str, Any]:
        return {"Item": {"aggregate_id": {"S": "user#ada"}, "version": {"N": "1"}, **self.item}}


class Lines:
    """A log of one line."""

    def last(self, function: str) -> list[str]:
        return [function]

    def about(self, text: str, functions: object, since: datetime) -> list[tuple[str, str]]:
        return [("BoardFunction", f"{text} since {since}")]


def storing(looking: Looking, letter: DeadLetter | None = None, **attributes: str) -> TestClient:
    outputs = {"Application": "arcade.app", "EventsTableName": "events", "ArchiveBucketName": "archive"}
    desk = Desk(Target(cast("Any", Storing(**attributes)), None, outputs, stack_name="dev"), looking, changes=False)
    desk.logs = cast("Logs", Lines())
    desk.recent = cast("RecentEvents", Nothing())
    if letter is not None:
        looking.waiting = Letters([letter], {letter.key: letter.key})
    return TestClient(application(desk, PORT), base_url=OWN)


JOURNEY = {"aggregate": "user#ada", "version": "1"}


@pytest.mark.parametrize(
    ("occurred_at", "status"),
    [
        ("9999-12-31T23:59:59.999Z", 200),
        ("9999-12-31T23:59:59.999-01:00", 400),
        ("10000-01-01T00:00:00Z", 400),
        ("2026-03-01", 400),
        ("", 400),
    ],
)
def test_an_event_of_any_year_has_log_lines_or_is_refused(looking: Looking, occurred_at: str, status: int) -> None:
    answer = storing(looking, event_id="e1", occurred_at=occurred_at).get("/journey/logs", params=JOURNEY)

    assert answer.status_code == status
    assert ("e1 since 9999" if status == 200 else "does not say when it happened") in answer.text


@pytest.mark.parametrize("event_id", ["", " "])
def test_an_event_without_an_id_is_not_searched_for(looking: Looking, event_id: str) -> None:
    client = storing(looking, occurred_at="2026-03-01T12:00:00.000Z", event_id=event_id)
    answer = client.get("/journey/logs", params=JOURNEY)

    assert answer.status_code == 400
    assert "has no id" in answer.text


@pytest.mark.parametrize("at", [10**12, -(10**12), 10**30])
def test_a_second_outside_of_the_calendar_is_shown_as_it_is(at: int) -> None:
    assert _of_entry({"state": "confirmed", "confirmed_at": at}, "sent") == f"sent at second {at}"


def test_a_dead_letter_of_a_thousand_levels_is_shown_to_a_depth(looking: Looking) -> None:
    message: Any = "innermost"
    for _ in range(1000):
        message = {"in": message}
    letter = dead_letter(key="deep", raw=message)
    answer = storing(looking, letter).get("/dead-letters/deep")

    assert answer.status_code == 200
    assert "… and more" in answer.text


@pytest.mark.parametrize(("number", "said"), [(50, False), (51, True)])
def test_a_list_that_leaves_events_out_says_so(looking: Looking, number: int, said: bool) -> None:
    seen = [
        Seen(
            number=each,
            event_id=f"e{each}",
            aggregate_id="user#ada",
            version=each,
            type="UserRenamed",
            occurred_at="",
            captured_at="",
            object="",
            causation_id="",
            correlation_id="",
        )
        for each in range(number, 0, -1)
    ]
    desk = Desk(Target(None, None, {}, stack_name="dev"), looking, changes=False)  # type: ignore[arg-type] # no AWS
    desk.recent = cast(
        "RecentEvents",
        SimpleNamespace(refresh=lambda: None, newest=lambda: iter(seen), types=lambda: ["UserRenamed"], trouble=None),
    )
    shown = TestClient(application(desk, PORT), base_url=OWN).get("/events").text

    assert shown.count('href="/journey?') == 50
    assert ("Older ones are not listed" in shown) is said


def test_a_trouble_of_the_tail_is_said_once_and_then_taken_back(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = iter(["no route", "no route", None, None])
    recent = SimpleNamespace(trouble=None, after=lambda *_: [])
    recent.refresh = lambda: setattr(recent, "trouble", next(troubles))
    left = iter([False] * 4 + [True])

    async def is_disconnected() -> bool:
        return next(left)

    async def at_once(_: float) -> None:
        return None

    monkeypatch.setattr("cli.console.pages.events.asyncio.sleep", at_once)
    state = SimpleNamespace(desk=SimpleNamespace(recent=recent))
    request: Any = SimpleNamespace(app=SimpleNamespace(state=state), is_disconnected=is_disconnected)

    async def told() -> list[str]:
        return [each async for each in events._tail(request, events.Filters("", ""), 0)]

    said = asyncio.run(told())
    assert ["no route" in each for each in said] == [True, False]
    # A browser drops an event without a line of data.
    assert said[1] == "event: trouble\ndata: \n\n"


@pytest.mark.parametrize(
    "error", [FileNotFoundError("run-1/logs"), EndpointConnectionError(endpoint_url="http://127.0.0.1:1")]
)
def test_a_local_stack_that_stops_meanwhile_is_gone(looking: Looking, tmp_path: Path, error: Exception) -> None:
    def observe() -> Snapshot:
        raise error

    looking.observe = observe  # type: ignore[method-assign]
    running = RunningStack("http://127.0.0.1:1", "http://127.0.0.1:1", run_folder=str(tmp_path / "run-1"))
    target = Target(None, None, {}, running=running)  # type: ignore[arg-type] # nobody calls AWS here
    answer = TestClient(application(Desk(target, looking, changes=True), PORT), base_url=OWN).get("/")

    assert answer.status_code == 502
    assert "the local stack is gone" in answer.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("UnknownEventError: nobody knows it", "parked: UnknownEventError: nobody knows it"),
        ("nobody knows it", "parked: UnknownEventError: nobody knows it"),
        (None, "parked: UnknownEventError"),
    ],
)
def test_why_an_event_is_parked_is_said_once(error: str | None, said: str) -> None:
    assert _why(dead_letter(error=error)) == said


def test_a_dead_letters_page_says_its_cause_once(looking: Looking) -> None:
    shown = storing(looking, dead_letter()).get("/dead-letters/k").text

    assert shown.count("nobody knows it") == 1


def test_an_event_that_nobody_can_read_is_archived_all_the_same() -> None:
    stations = {**GRAPH.stations, "ArchiverFunction": Station("ArchiverFunction", "function")}
    stations |= {"Archive": Station("Archive", "bucket")}
    edges = [*GRAPH.edges, Edge("Log", "ArchiverFunction", title="x"), Edge("ArchiverFunction", "Archive")]
    graph = FlowGraph(stations, edges, "Log")
    letters = Letters([dead_letter()], {"k": "k"})

    answers = Journeys(graph, lambda: letters).unreadable("user#ada", 1, "raw/x")

    assert [(each.station.label, each.state) for each in answers] == [("Board", "parked"), ("Archiver", "done")]


class Nothing:
    """An archive of which nothing was seen."""

    trouble = None

    def refresh(self) -> None:
        pass

    def find(self, _: str) -> None:
        return None

    def caused_by(self, _: str) -> list[Any]:
        return []


def test_an_unreadable_event_leads_to_the_runbook(looking: Looking) -> None:
    client = storing(looking, occurred_at="2026-03-01T12:00:00.000Z", event_id="e1", type="None", schema_version="1")
    shown = client.get("/journey", params=JOURNEY).text

    assert 'href="/runbook#an-event-that-cannot-be-read"' in shown
    assert "docs/runbook.md" not in shown


def test_a_moment_is_told_to_the_second() -> None:
    found = environment().from_string("{{ '2026-03-01T12:00:00.000Z'|seconds }}").render()

    assert found == "2026-03-01T12:00:00Z"


def test_numbers_stand_under_their_headings(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Answer(("game", "plays", "won"), [("chess", 3, True), ("go", None, False)])
    monkeypatch.setattr(Asked, "answer", told)
    shown = posted(console(looking), "/query", sql="SELECT 1").text

    assert '<th scope="col" class="number">plays</th>' in shown
    assert '<td class="number">3</td>' in shown
    assert '<th scope="col">game</th>' in shown
    assert '<th scope="col">won</th>' in shown
