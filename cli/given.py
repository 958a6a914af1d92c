"""What a person gives a command, checked before any work starts: all words first, then each by its callback or type."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

_PICTURES: Final = (".png", ".svg")


def demand_text(words: Sequence[str]) -> None:
    """Refuses bytes that are no UTF-8, which Python keeps as half surrogate pairs: nothing can be sent with them."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{word!r} holds bytes that are no UTF-8: type it anew") from None


def stated[Value: (str, str | None)](_context: click.Context, _parameter: click.Parameter, value: Value) -> Value:
    """A text that says something: an empty one is a variable that was not set."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty")
    return value


def aggregate(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """An aggregate's id with its type."""
    type_, mark, key = value.partition("#")
    if not mark:
        raise click.BadParameter(f"{value!r} has no type; write it as <type>#<id>, in quotes: 'user#{value}'")
    if not type_.strip() or not key.strip():
        lacks = "id after" if type_.strip() else "type before"
        raise click.BadParameter(f"{value!r} has no {lacks} the #; write it as <type>#<id>, such as 'user#0199…'")
    return value


class Day(click.DateTime):
    """A UTC day that has begun: of later ones there is nothing yet."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        return "DAY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            day: datetime = super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no day: write it as in 2026-03-01", param, ctx)
        if is_future(day.date().isoformat()):
            self.fail(f"{day:%Y-%m-%d} is in the future: take a day up to {_today()}, in UTC", param, ctx)
        return day


def is_future(day: str) -> bool:
    """Whether the day, as in 2026-03-01, has not begun in UTC."""
    return day > _today()


def picture(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """The path of a picture that can be written."""
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


def reason_option(help_: str) -> Callable[[Any], Any]:
    """A command's ``--reason``, which says something."""
    return click.option("--reason", required=True, callback=_reason, help=help_)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _reason(_context: click.Context, _option: click.Parameter, reason: str) -> str:
    if not reason.strip():
        raise click.BadParameter("say why")
    return reason
