"""The runbook, as a page: what to do about what the others show."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cli.console.pages.shared import RefusedError, desk, served, shown

_NAME: Final = Path("docs") / "runbook.md"
#: Where this file lies in a checkout; an installed command has no docs beside it.
_CHECKOUT: Final = Path(__file__).resolve().parents[3]


def runbook(request: Request) -> Response:
    """All of it; alarms and rehearsals link its headings."""
    running = desk(request).target.running
    folders = [Path(running.run_folder).parents[1]] if running is not None else []
    found = [folder / _NAME for folder in (*folders, _CHECKOUT) if (folder / _NAME).is_file()]
    if not found:
        raise RefusedError(f"{_NAME} is not here: read it in the project", 404)
    return shown(request, "runbook.html", html=Markup(rendered(found[0].read_text("utf-8"))), title="Runbook")  # noqa: S704 - HTML in the text is escaped


def rendered(text: str) -> str:
    """Markdown as HTML, each heading with the anchor that GitHub gives it."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    for kind in ("fence", "code_block"):
        parser.add_render_rule(kind, _code)
    tokens = parser.parse(text)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", anchor(inline.content))
    return str(parser.renderer.render(tokens, parser.options, {}))


def _code(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    """A block that the keyboard reaches, as it may be wider than the page."""
    return f'<pre tabindex="0"><code>{escape(tokens[index].content)}</code></pre>\n'


def anchor(heading: str) -> str:
    """A heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


ROUTES: Final = [Route("/runbook", served(runbook))]
