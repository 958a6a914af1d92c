"""E-mail texts from the files in ``templates/``: ``<name>.txt`` and ``<name>.html``, with ``$placeholders``."""

import html
from dataclasses import dataclass
from importlib import resources
from string import Template


@dataclass(frozen=True, slots=True)
class EmailTemplate:
    """A text and an HTML template that take the same values."""

    text: Template
    html: Template

    @classmethod
    def load(cls, name: str) -> "EmailTemplate":
        folder = resources.files("headwater.notifications") / "templates"
        return cls(*(Template((folder / f"{name}.{kind}").read_text("utf-8")) for kind in ("txt", "html")))

    def render(self, **values: str) -> tuple[str, str]:
        """Text and HTML. Values are reduced to one line each, and escaped in the HTML.

        Raises
        ------
        KeyError
            A placeholder has no value.
        """
        lines = {name: one_line(value) for name, value in values.items()}
        escaped = {name: html.escape(value) for name, value in lines.items()}
        return self.text.substitute(lines), self.html.substitute(escaped)


#: Invisible, yet part of how names are spelt in Persian and Indic scripts, and of emoji.
_JOINERS = "\u200c\u200d"


def one_line(value: str) -> str:
    """The value without line breaks and other control characters, each run of white space as one space."""
    line = " ".join(value.split())
    return "".join(character for character in line if character.isprintable() or character in _JOINERS)
