"""The documents hold together: links lead somewhere, each page is listed, and the README stays one."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from cli.console.pages.runbook import anchor
from cli.observation import Figures, Snapshot, troubles
from operations.flow_graph import FlowGraph
from operations.template_document import parsed

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {anchor(re.sub(r"[`*]", "", title)) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (heading and heading not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_every_page_is_in_the_list_of_pages() -> None:
    listed = set(_LINK.findall((ROOT / "docs" / "README.md").read_text(encoding="utf-8")))

    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_the_readme_is_one_screen_a_question() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(text.splitlines()) <= 160
    assert max(len(section.splitlines()) for section in text.split("\n## ")) <= 40


@pytest.fixture
def graph() -> FlowGraph:
    return FlowGraph.of(*(parsed((ROOT / name).read_bytes(), name) for name in ("template.yaml", "receiver.yaml")))


def test_the_printed_status_has_the_consumers_that_there_are(graph: FlowGraph) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("\nconsumer  ")[2].partition("\n\n")[0]

    assert [line.split()[0] for line in table.splitlines()[1:]] == list(graph.consumers)


def test_the_printed_status_needs_people_for_what_status_would_name(graph: FlowGraph) -> None:
    figures = {"LeaderboardFunction": Figures(paused=True, waiting=803)}
    snapshot = Snapshot(
        at=datetime.now(UTC), stack="local", figures=figures, dead_letters={"fan_out": 1}, standing={"fan_out": 1}
    )
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    printed = text.partition("2 things need a person\n")[2].partition("\n\n")[0]

    told = [line for each in troubles(graph, snapshot, {}, {}) for line in (f"  {each.what}", f"    → {each.see}")]
    assert printed.splitlines() == told


def test_the_workflow_runs_what_must_pass() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))

    assert {"run": ".ci/run"} in workflow["jobs"]["ci"]["steps"]
    assert workflow["permissions"] == {"contents": "read"}
