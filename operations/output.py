"""What commands print: JSON that stays JSON, sentences that fit, and foreign text that cannot move the cursor."""

import difflib
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable
from itertools import pairwise
from typing import IO, Any, Final

import click
import orjson

#: What a guess has in common with what was meant, at least; difflib's own bound finds too little in short names.
_ALIKE: Final = 0.5


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


def fitted(text: str, stream: IO[str]) -> str:
    """The text as the stream takes it: on a terminal, lines no wider than that; elsewhere as it is, for programs.

    No word is broken, so that ids, paths and addresses can be copied; nor is a line that is indented, which is a
    command to copy.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(
        line
        if line[:1].isspace()
        else textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False, drop_whitespace=True)
        for line in text.split("\n")
    )


def say(text: str, *, err: bool = False) -> None:
    """Prints sentences, on a terminal wrapped between words; ``err`` is for what no program reads."""
    click.echo(fitted(text, sys.stderr if err else sys.stdout), err=err)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun; with its plural, where that is not the noun and an s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def shortened(ids: Iterable[str], least: int = 8) -> dict[str, str]:
    """The beginning of each id, as short as it is to type; longer only where two begin alike."""
    ordered = sorted(ids)
    lengths = dict.fromkeys(ordered, least)
    for one, next_ in pairwise(ordered):
        alike = next((at for at, (a, b) in enumerate(zip(one, next_, strict=False)) if a != b), len(one))
        for each in (one, next_):
            lengths[each] = max(lengths[each], alike + 1)
    return {each: each[:length] for each, length in lengths.items()}


def nearest(wanted: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant; None where none of those that there are comes close."""
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(wanted.casefold(), names, n=1, cutoff=_ALIKE)
    return names[near[0]] if near else None


def none_called(what: str, wanted: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """That there is no such thing, what was probably meant, and all that there are.

    ``what`` is how it is named, such as ``table x``. ``also`` are other names for what there is.
    """
    names = list(known)
    near = nearest(wanted, [*names, *also])
    there_are = f": did you mean {near}? There are: " if near else "; there are: "
    return f"there is no {what}{there_are}{', '.join(names)}"


def refusal(error: Exception) -> str | None:
    """What AWS says, in one line; None for any other error."""
    # A command that has not loaded the SDK has nothing refused by AWS.
    exceptions = sys.modules.get("botocore.exceptions")
    if exceptions is None:
        return None
    if isinstance(error, exceptions.ClientError):
        details = error.response.get("Error", {})
        return f"{error.operation_name} was refused: {details.get('Code')}: {details.get('Message')}"
    if isinstance(error, exceptions.NoRegionError):
        return "no Region is set: name it with --region, before the command, or with AWS_REGION"
    if isinstance(error, exceptions.BotoCoreError):
        return f"AWS could not be reached: {error}"
    return None
