"""The queries and views of `analytics/`: one file each, in Athena's SQL, under a header of comments.

Everything that runs or deploys them reads these files: `headwater archive query`, the template's Athena::NamedQuery and
Glue views (`make wiring`), the demo and the tests.

The header's lines are ``-- title:``, ``-- about:``, of a query ``-- cost:`` (what it reads), ``-- param <name> <kind> =
<default>: <meaning>``, with ``<kind>!`` where a person has to say it and the default is an example, and ``-- chart:
<line|bar|heat> <x> <y> [<series>]``, of a view ``-- column <name> <Hive type>: <meaning>``. In the SQL a parameter is
``:name``. A view has none; ``:moment`` and ``:whole_number`` stand for a pattern of what both engines read alike, so
that a text which only one of them can read is NULL to both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Literal

from headwater.archive.curated import WHOLE_NUMBER
from operations.errors import QueryError

FOLDER: Final = Path(__file__).resolve().parents[2] / "analytics"

type Kind = Literal["text", "number", "day", "moment"]

#: ISO 8601 with the zone that an event's moment has; hours and minutes as every engine counts them.
_MOMENT: Final = (
    r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
    r"(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])\z"
)
_PATTERNS: Final = {"moment": _MOMENT, "whole_number": WHOLE_NUMBER}

_PLACEHOLDER = re.compile(r"(?<![:\w]):([a-z_0-9]+)\b")
_PARAMETER = re.compile(
    r"param (?P<name>[a-z_0-9]+) (?P<kind>text|number|day|moment)(?P<required>!?) = (?P<default>[^\s]*): (?P<about>.+)"
)
_COLUMN = re.compile(r"column (?P<name>[a-z_0-9]+) (?P<type>[a-z]+): (?P<about>.+)")
_CHART = re.compile(r"chart: (?P<kind>line|bar|heat) (?P<x>[a-z_0-9]+) (?P<y>[a-z_0-9]+)(?: (?P<series>[a-z_0-9]+))?")
_TEXT = re.compile(r"(?P<name>title|about|cost): (?P<text>.+)")


class SavedSqlError(QueryError):
    """A file, or a value for a parameter, that is not as it must be; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """``kind``: a text, a whole number, a UTC day (2026-03-01) or a moment (ISO 8601; UTC where it has no zone).

    Of one that is ``required``, ``default`` is an example: with it the query answers nothing.
    """

    name: str
    kind: Kind
    default: str
    about: str
    required: bool = False

    def literal(self, value: str) -> str:
        """The value as Athena's SQL writes it.

        Raises
        ------
        SavedSqlError
            It is none of this kind.
        """
        try:
            match self.kind:
                case "number":
                    return str(int(value))
                case "day":
                    return _quoted(date.fromisoformat(value).isoformat())
                case "moment":
                    moment = datetime.fromisoformat(value)
                    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
                    # As the columns have it, so that texts compare as moments do.
                    return _quoted(moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z")
                case "text":
                    return _quoted(value)
        except (OverflowError, ValueError) as error:
            raise SavedSqlError(f"{self.name}={value} is no {self.kind} ({self.about})") from error


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns to draw: one line or group of bars, or one for each value of ``series``.

    A ``heat`` map has a row for each value of ``series``, and colours ``y``.
    """

    kind: str
    x: str
    y: str
    series: str | None = None


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """``cost`` says what it reads, as Athena bills what is read."""

    name: str
    title: str
    about: str
    cost: str
    parameters: tuple[Parameter, ...]
    chart: Chart | None
    text: str

    def sql(self, values: Mapping[str, str] | None = None) -> str:
        """The SQL with the given values of parameters, as text, and the defaults of the others.

        Raises
        ------
        SavedSqlError
            A value is for no parameter of this query, or not of its kind.
        """
        given = dict(values or {})
        literals = {each.name: each.literal(given.pop(each.name, each.default)) for each in self.parameters}
        if given:
            known = ", ".join(literals) or "none"
            raise SavedSqlError(f"{self.name} has no parameter {min(given)}; it has: {known}")
        return _PLACEHOLDER.sub(lambda match: literals[match[1]], self.text)

    def asked(self, values: Mapping[str, str]) -> str:
        """The same for somebody who wants an answer: what is required has to be given.

        Raises
        ------
        SavedSqlError
            As `sql` does, or a parameter that is required has no value.
        """
        for each in self.parameters:
            if each.required and not values.get(each.name):
                raise SavedSqlError(f"{self.name} wants {each.name}, {each.about}: give -p {each.name}=VALUE")
        return self.sql(values)


@dataclass(frozen=True, slots=True)
class Column:
    """``type`` is Hive's, as the Glue catalogue has it."""

    name: str
    type: str
    about: str


@dataclass(frozen=True, slots=True)
class View:
    name: str
    title: str
    about: str
    columns: tuple[Column, ...]
    sql: str


def queries(folder: Path = FOLDER) -> dict[str, SavedQuery]:
    """The saved queries by name, in order.

    Raises
    ------
    SavedSqlError
        A file's header is not as it must be, or its SQL has a parameter that the header does not know.
    """
    return {path.stem: _query(path) for path in _files(folder / "queries")}


def views(folder: Path = FOLDER) -> dict[str, View]:
    """The views by name, each after those that it reads.

    Raises
    ------
    SavedSqlError
        A file's header is not as it must be, or views read each other in a circle.
    """
    found = {path.stem: _view(path) for path in _files(folder / "views")}
    ordered: dict[str, View] = {}
    while waiting := found.keys() - ordered.keys():
        ready = sorted(name for name in waiting if not _words(found[name].sql) & (waiting - {name}))
        if not ready:
            raise SavedSqlError(f"views read each other in a circle: {', '.join(sorted(waiting))}")
        ordered |= {name: found[name] for name in ready}
    return ordered


def _query(path: Path) -> SavedQuery:
    header, sql = _parts(path)
    texts, parameters, chart = {}, [], None
    for line in header:
        if match := _TEXT.fullmatch(line):
            texts[match["name"]] = match["text"]
        elif match := _PARAMETER.fullmatch(line):
            kind: Kind = match["kind"]  # type: ignore[assignment] # the pattern names the kinds
            required = bool(match["required"])
            parameters.append(Parameter(match["name"], kind, match["default"], match["about"], required))
        elif match := _CHART.fullmatch(line):
            chart = Chart(match["kind"], match["x"], match["y"], match["series"])
        else:
            raise SavedSqlError(f"{path.name}: the header's line {line!r} is not understood")
    unknown = set(_PLACEHOLDER.findall(sql)) ^ {parameter.name for parameter in parameters}
    if unknown:
        raise SavedSqlError(f"{path.name}: {min(unknown)} is a parameter in the header or in the SQL, but not in both")
    try:
        return SavedQuery(path.stem, texts["title"], texts["about"], texts["cost"], tuple(parameters), chart, sql)
    except KeyError as error:
        raise SavedSqlError(f"{path.name}: the header has no line {error.args[0]}") from error


def _view(path: Path) -> View:
    header, sql = _parts(path)
    texts, columns = {}, []
    for line in header:
        if match := _TEXT.fullmatch(line):
            texts[match["name"]] = match["text"]
        elif match := _COLUMN.fullmatch(line):
            columns.append(Column(match["name"], match["type"], match["about"]))
        else:
            raise SavedSqlError(f"{path.name}: the header's line {line!r} is not understood")
    unknown = set(_PLACEHOLDER.findall(sql)) - _PATTERNS.keys()
    if unknown:
        raise SavedSqlError(f"{path.name}: there is no pattern {min(unknown)}; there are: {', '.join(_PATTERNS)}")
    sql = _PLACEHOLDER.sub(lambda match: _quoted(_PATTERNS[match[1]]), sql)
    try:
        return View(path.stem, texts["title"], texts["about"], tuple(columns), sql)
    except KeyError as error:
        raise SavedSqlError(f"{path.name}: the header has no line {error.args[0]}") from error


def _parts(path: Path) -> tuple[list[str], str]:
    """The header's lines without their dashes, and the SQL."""
    head, _, sql = path.read_text(encoding="utf-8").partition("\n\n")
    return [line.removeprefix("--").strip() for line in head.splitlines()], sql.strip() + "\n"


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))


def _words(sql: str) -> set[str]:
    return set(re.findall(r"\w+", sql))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
