"""Every diagram of the docs is one to mermaid itself, as GitHub draws it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


def diagrams() -> dict[str, str]:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {
        f"{page.relative_to(ROOT)}:{number}": found
        for page in sorted(pages)
        for number, found in enumerate(_DIAGRAM.findall(page.read_text(encoding="utf-8")), start=1)
    }


def test_mermaid_parses_every_diagram(browser: Browser, tools: Path) -> None:
    page = browser.new_page()
    page.add_script_tag(path=tools / "mermaid" / "dist" / "mermaid.min.js")
    parse = "text => mermaid.parse(text).then(() => '', error => String(error.message || error))"

    assert diagrams()
    assert page.evaluate(parse, "flowchart LR\n  a[one --> b")
    assert {name: wrong for name, text in diagrams().items() if (wrong := page.evaluate(parse, text))} == {}
