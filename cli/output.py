"""What commands print: JSON that stays JSON, and foreign text that cannot move the cursor."""

import json
import sys
from typing import Any

import click
import orjson


def as_json(value: Any, *, indent: bool = False) -> str:
    """The value as JSON text, whatever it holds."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None).decode()
    except TypeError:
        # Half a surrogate pair, or an integer of more than 64 bits: legal in JSON, and somebody may have sent it.
        return json.dumps(value, indent=2 if indent else None, default=str)


def print_json(value: Any) -> None:
    """Prints one JSON document: in colours on a terminal, and never broken into lines to fit one."""
    text = as_json(value, indent=True)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.json import JSON

        Console().print(JSON(text), soft_wrap=True)
    else:
        click.echo(text)


def plain(text: str) -> str:
    """Foreign text with all that a terminal would act upon made visible."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
