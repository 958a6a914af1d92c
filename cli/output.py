"""What commands print: JSON that stays JSON, and foreign text that cannot move the cursor."""

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
import orjson

_PICTURES: Final = (".png", ".svg")


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


def checked_picture(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """An option's path of a picture that can be written, before anything is asked or drawn."""
    if path is None:
        return None
    if path.suffix not in _PICTURES:
        raise click.BadParameter(f"{path} is no picture that can be drawn: end it in {' or '.join(_PICTURES)}")
    folder = path.parent
    if not folder.is_dir():
        raise click.BadParameter(f"the folder {folder} does not exist: make it first")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written: you may not write there")
    return path
