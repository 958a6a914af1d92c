"""The application that the project's template names."""

from functools import cache
from pathlib import Path
from typing import Final

from cli.wiring.regions import by_hand
from headwater.application import Application, load
from operations.running import TEMPLATE_NAME
from operations.template_document import parsed

ROOT: Final = Path(__file__).resolve().parents[2]
TEMPLATE: Final = ROOT / TEMPLATE_NAME


@cache
def application() -> Application:
    """By the template's parameter, which is the one place that says it."""
    written = by_hand(TEMPLATE.read_text("utf-8"))
    return load(parsed(written.encode(), TEMPLATE.name)["Parameters"]["Application"]["Default"])
