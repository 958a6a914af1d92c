"""The pages over a stack that answers from memory: what they refuse, hide and escape."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from cli.console.app import application
from cli.console.desk import Answered, Desk
from cli.flow_graph import Edge, FlowGraph, Station
from cli.local_sql import Answer
from cli.observation import Figures, LetterBox, Snapshot, Trouble
from cli.target import Target

PORT = 8088
OWN = f"http://127.0.0.1:{PORT}"
GRAPH = FlowGraph(
    {name: Station(name, kind) for name, kind in (("Log", "table"), ("BoardFunction", "function"))},
    [Edge("Log", "BoardFunction", title="BoardFunction.Log")],
    "Log",
)


class Looking:
    """Sees one trouble, with a name that would be HTML."""

    graph = GRAPH
    limits: Mapping[str, float] = {}
    every = 3600.0
    box = LetterBox(Target(None, None, {}))  # type: ignore[arg-type] # nobody asks it here
    asked = 0

    def observe(self) -> Snapshot:
        self.asked += 1
        return Snapshot(
            at=datetime.now(UTC),
            stack="dev",
            figures={"BoardFunction": Figures(paused=True, waiting=7, lag=61.0)},
            troubles=[Trouble("<script>alert(1)</script>", "docs/runbook.md#iteratorage")],
        )


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


def test_an_unknown_station_or_page_is_told(looking: Looking) -> None:
    client = console(looking)

    assert client.get("/flow/<b>").status_code == 404
    assert "&lt;b&gt;" in client.get("/flow/<b>").text
    assert client.get("/nowhere").status_code == 404
    assert client.post("/", headers={"origin": OWN}).status_code == 405
