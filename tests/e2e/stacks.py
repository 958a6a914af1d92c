"""Folders in which stacks of the whole templates run.

`headwater`, and whoever else asks for the running stack, finds the youngest of a folder. So the stack of each test
module has a folder of its own: several may run at once, and none is taken for another.
"""

from collections.abc import Mapping
from pathlib import Path

from operations.running import RECEIVER_NAME, TEMPLATE_NAME

ROOT = Path(__file__).parents[2]


def templates_in(folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Both templates in a folder, with this project's code and state machines; ``changes`` are made in their text."""
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in (TEMPLATE_NAME, RECEIVER_NAME)}
    here = {"CodeUri: src/": f"CodeUri: {ROOT / 'src'}/", "DefinitionUri: ": f"DefinitionUri: {ROOT}/"}
    for old, new in {**here, **(changes or {})}.items():
        assert any(old in text for text in texts.values()), (
            f"the templates hold no {old!r}: the change must follow them"
        )
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
