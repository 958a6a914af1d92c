"""`headwater archive`: SQL over the archive, and what lies in it.

On a deployed stack Athena answers; over the local stack's archive, or a downloaded one, DuckDB does.
"""

import csv
import io
import json
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli import given as checked
from headwater.archive import curated
from headwater.archive.inventory import Damaged, Foreign, Names
from operations.archive import saved_sql
from operations.archive.saved_sql import SavedQuery, SavedSqlError
from operations.errors import QueryError
from operations.output import counted, nearest, none_called, plain, say
from operations.target import Target

if TYPE_CHECKING:
    from cli.athena import Bill
    from headwater.archive.compaction import Day
    from operations.archive.local_sql import Answer, LocalSql
    from operations.archive.objects import Objects
    from operations.archive.tables import Table

# What answers SQL, draws and compacts is loaded by what uses it: a list of the saved queries waits for none of them.

#: An answer was given, but damaged objects are left out of it; or a day could not be compacted.
INCOMPLETE: Final = 3

#: The folders that an archive consists of.
_TOPS: Final = frozenset(names.value.partition("/")[0] for names in Names)

#: What stats show of a table, and how it is called.
_FACTS: Final = {
    "objects": "objects",
    "bytes": "size",
    "days": "days",
    "first_day": "first day",
    "last_day": "last day",
    "days_missing": "days between without any",
    "last_written": "last written",
    "lines": "lines",
    "duplicates": "duplicates",
    "newest_change": "newest change",
    "newest_age": "its age in seconds",
    "foreign": "foreign objects",
    "damaged": "damaged objects",
}


def _day_stays() -> tuple[type[Exception], ...]:
    """What one day may fail at, and the next not; the disk's is an OSError, or DuckDB's own."""
    import duckdb
    from botocore.exceptions import ClientError

    from headwater.archive.boundary import UnreadableListError
    from headwater.archive.compaction import ChangedDayError, MiscountedDayError, UnreadableDayError
    from headwater.archive.growing_objects import ObjectChangedError

    return (
        UnreadableDayError,
        ChangedDayError,
        MiscountedDayError,
        UnreadableListError,
        ObjectChangedError,
        ClientError,
        OSError,
        duckdb.Error,
    )


def _an_archive(_context: click.Context, _option: click.Parameter, folder: Path | None) -> Path | None:
    """A folder that is empty, or has one of an archive's own: of another one, every answer would be of no rows."""
    there = {each.name for each in folder.iterdir()} if folder is not None else set()
    if there and not there & _TOPS:
        raise click.BadParameter(f"{folder} has none of {', '.join(sorted(_TOPS))} in it: name the folder that has")
    return folder


_folder = click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    callback=_an_archive,
    help="A downloaded archive instead of a stack's: a folder laid out as the bucket.",
)


def _names(_context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    """The saved queries whose name begins so, for the shell to complete."""
    return [name for name in saved_sql.queries() if name.startswith(begun)]


def _whole(context: click.Context, parameter: click.Parameter, words: Sequence[str]) -> str | None:
    """The SQL as one text: without quotes, the shell makes words of it, and file names of its stars."""
    if len(words) > 1:
        raise click.BadParameter('it came as several words: put it in quotes, as in "SELECT game FROM plays"')
    return checked.stated(context, parameter, words[0] if words else None)


@click.group()
def archive() -> None:
    """Asks the archive: what happened, in SQL, and what lies there."""


@archive.command()
@click.argument("sql", nargs=-1, metavar="[SQL]", callback=_whole)
@click.option("--name", shell_complete=_names, help="A saved query instead of SQL; --list shows them.")
@click.option("--param", "-p", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the saved query.")
@click.option("--list", "listing", is_flag=True, help="Shows the saved queries with their parameters.")
@click.option("--json", "as_json", is_flag=True, help="With --list: one JSON object a line. Else as --format json.")
@click.option("--show", is_flag=True, help="Prints the SQL instead of running it.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="json is one object a line.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=checked.picture,
    help="Draws the answer to this picture too, a .png or an .svg.",
)
@_folder
@click.pass_obj
def query(
    target: Callable[[], Target],
    *,
    sql: str | None,
    name: str | None,
    given: Sequence[str],
    listing: bool,
    as_json: bool,
    show: bool,
    form: str,
    plot: Path | None,
    folder: Path | None,
) -> None:
    """Answers one SELECT of Athena's SQL, or a saved query, over the archive.

    Tables: events_all, applications_all (each change once), and views such as plays, registrations, badges, activity,
    application_statuses. Foreign objects are passed over and named. Exits with 3 where the answer lacks what damaged
    objects hold; a damaged compacted day is answered from raw.
    """
    if listing and (sql is not None or name is not None):
        raise click.UsageError("--list shows all saved queries: give it neither SQL nor --name")
    if show and plot is not None:
        raise click.UsageError("--show runs nothing, so that there is nothing for --plot to draw")
    if as_json and form == "csv":
        raise click.UsageError("give either --json or --format csv")
    met = Met()
    try:
        if listing:
            _list(saved_sql.queries().values(), as_json=as_json)
            return
        saved = _chosen(sql, name)
        values = _values(given, saved)
        text = sql if saved is None else saved.asked(values)
        assert text is not None
        if show:
            click.echo(text.rstrip())
            return
        answer, bill = _ask(target, folder, text, met)
        _WRITERS["json" if as_json else form](answer)
        if plot is not None:
            from cli import chart

            drawn = saved.chart if saved is not None and saved.chart is not None else chart.guessed(answer)
            title = saved.title if saved is not None else text.strip().splitlines()[0]
            for left_out in chart.draw(answer, drawn, title, plot):
                say(f"not drawn: {left_out}", err=True)
            say(f"drawn to {plot}", err=True)
        if bill is not None:
            say(f"Athena read {_size(bill.bytes_scanned)} in {bill.milliseconds / 1000:.1f} s", err=True)
    except QueryError as error:
        raise click.ClickException(str(error)) from error
    finally:
        _tell(met.foreign, met.damaged)
    if met.incomplete:
        sys.exit(INCOMPLETE)


@archive.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, of each table, instead of a table.")
@click.option(
    "--since",
    type=checked.Day(),
    default="2025-01-01",
    show_default="all",
    help="The first day that counts: a large archive takes long to read whole.",
)
@_folder
@click.pass_obj
def stats(target: Callable[[], Target], *, as_json: bool, since: datetime, folder: Path | None) -> None:
    """Shows objects, bytes, days, freshness and duplicates of the archive, and what is foreign or damaged in it.

    Downloads and checks every object of the days. Exits with 3 where some are damaged or missing.
    """
    from operations.archive.local_sql import LocalSql
    from operations.archive.tables import TABLES

    objects = _objects(target, folder)
    try:
        with LocalSql(objects, since.date().isoformat()) as local:
            tables = [_stats(local, table) for table in TABLES.values()]
    except QueryError as error:
        raise click.ClickException(str(error)) from error
    told = [each for each in tables if each["objects"] or each["foreign"] or each["damaged"]]
    if as_json:
        for each in told:
            click.echo(json.dumps(each))
    else:
        _show_stats(told)
    damaged = [Damaged(**each) for table in told for each in table["damaged"]]
    _tell([Foreign(**each) for table in told for each in table["foreign"]], damaged)
    if damaged:
        sys.exit(INCOMPLETE)


@archive.command()
@click.option("--source", type=click.Choice(curated.SOURCES), multiple=True, default=curated.SOURCES, show_default=True)
@click.option(
    "--since",
    type=checked.Day(),
    help="Leaves earlier days as they are.",
)
@click.option("--again", is_flag=True, help="All closed days, as after a new column; not only new and changed ones.")
@click.option("--take-over", is_flag=True, help="Also days that another run has claimed: one that was killed, say.")
@click.pass_obj
def compact(
    target: Callable[[], Target], *, source: Sequence[str], since: datetime | None, again: bool, take_over: bool
) -> None:
    """Compacts closed days, those that changed since, and those whose compacted objects are damaged.

    Each becomes one sorted Parquet object, and is then published. Runs here, with your rights, and may be stopped at
    any time. Exits with 3 where a day stays as it is: an object is damaged, or another run has the day.
    """
    from headwater.archive import s3_objects
    from headwater.archive.day_claims import DayTakenError

    stack = target()
    s3, bucket = stack.client("s3"), stack.output("ArchiveBucketName")
    compaction = s3_objects.compaction(s3, bucket)
    first = since.date().isoformat() if since else ""
    due: list[Day] = []
    foreign: list[Foreign] = []
    failed = 0
    for each in source:
        found = compaction.find(each, first, again=again)
        due += found.due
        foreign += found.foreign
        failed += len(found.left_out)
        for reason in found.left_out:
            say(f"a month of {each} stays as it is: {reason}", err=True)
    _tell(foreign, [])
    if not due and not failed:
        say("Nothing is due: every closed day is compacted. Today is open until two hours past midnight (UTC).")
    for number, day in enumerate(due, start=1):
        began = time.monotonic()
        try:
            done = compaction.compact(day, take_over=take_over)
        except DayTakenError as error:
            failed += 1
            about = f"{error}; --take-over takes it now"
            say(f"{number} of {len(due)}: {day.source} {day.dt} stays as it is: {about}", err=True)
            continue
        except _day_stays() as error:
            failed += 1
            say(f"{number} of {len(due)}: {day.source} {day.dt} stays as it is: {error}", err=True)
            continue
        told = f"{done.records:,} changes of {done.raw_objects:,} object(s), {_size(day.bytes)}"
        say(f"{number} of {len(due)}: {day.source} {day.dt}: {told}, {time.monotonic() - began:.1f} s")
    if failed:
        sys.exit(INCOMPLETE)


def _chosen(sql: str | None, name: str | None) -> SavedQuery | None:
    if (sql is None) == (name is None):
        raise click.UsageError("give either SQL or --name; --list shows the names")
    if name is None:
        # No SELECT is one word.
        if sql is not None and len(sql.split()) == 1 and (near := nearest(sql.strip(), saved_sql.queries())):
            raise click.UsageError(f"{sql.strip()!r} is no SELECT: did you mean --name {near}?")
        return None
    known = saved_sql.queries()
    if name not in known:
        raise SavedSqlError(none_called(f"saved query {name}", name, known))
    return known[name]


def _values(given: Sequence[str], saved: SavedQuery | None) -> dict[str, str]:
    if given and saved is None:
        raise click.UsageError("--param is for saved queries: write the value into the SQL")
    pairs = [each.partition("=") for each in given]
    for name, equals, _ in pairs:
        if not equals:
            raise click.BadParameter(f"{name!r} is no NAME=VALUE", param_hint="--param")
    values = {name: value for name, _, value in pairs}
    if len(values) < len(pairs):
        (twice, _), *_ = Counter(name for name, _, _ in pairs).most_common()
        raise click.BadParameter(f"{twice} is given twice", param_hint="--param")
    for each in saved.parameters if saved is not None else ():
        if each.kind == "day" and checked.is_future(values.get(each.name, "")):
            told = f"{each.name}={values[each.name]} is in the future: nothing is archived of it yet"
            raise click.BadParameter(told, param_hint="--param")
    return values


@dataclass(slots=True)
class Met:
    """What local SQL met beside the answer."""

    foreign: Sequence[Foreign] = ()
    damaged: Sequence[Damaged] = ()
    incomplete: bool = False


def _ask(target: Callable[[], Target], folder: Path | None, sql: str, met: Met) -> "tuple[Answer, Bill | None]":
    from operations.archive.local_sql import LocalSql
    from operations.archive.objects import FolderObjects

    if folder is None:
        stack = target()
        if stack.endpoint_url is None:
            from cli.athena import Athena

            athena = Athena(
                stack.client("athena"), stack.output("AnalyticsWorkGroupName"), stack.output("AnalyticsDatabase")
            )
            return athena.query(sql)
        objects: Objects = _bucket(stack)
    else:
        objects = FolderObjects(folder)
    with LocalSql(objects) as local:
        try:
            return local.query(sql), None
        finally:
            met.foreign, met.damaged, met.incomplete = local.foreign, local.damaged, local.incomplete


def _objects(target: Callable[[], Target], folder: Path | None) -> "Objects":
    from operations.archive.objects import FolderObjects

    return FolderObjects(folder) if folder is not None else _bucket(target())


def _bucket(stack: Target) -> "Objects":
    from operations.archive.objects import BucketObjects

    return BucketObjects(stack.client("s3"), stack.output("ArchiveBucketName"))


def _stats(local: "LocalSql", table: "Table") -> dict[str, Any]:
    """What lies under a table's prefix; times ISO 8601, ages in seconds, sizes in bytes."""
    own, foreign, damaged = local.read(table)
    days = sorted({day for each in own if (day := table.format.names.day(each.key))})
    told: dict[str, Any] = {
        "table": table.name,
        "objects": len(own),
        "bytes": sum(each.size for each in own),
        "days": len(days),
        "first_day": days[0] if days else None,
        "last_day": days[-1] if days else None,
        "days_missing": _missing(days),
        "last_written": max(each.modified for each in own).astimezone(UTC).isoformat(timespec="seconds")
        if own
        else None,
    }
    if own and "stream_event_id" in table.columns:
        facts = "count(*), count(*) - count(DISTINCT stream_event_id), max(captured_at)"
        ((lines, duplicates, newest),) = local.query(f"SELECT {facts} FROM {table.name}").rows  # noqa: S608
        age = datetime.now(UTC) - datetime.fromisoformat(newest) if newest else None
        told |= {
            "lines": lines,
            "duplicates": duplicates,
            "newest_change": newest,
            "newest_age": int(age.total_seconds()) if age is not None else None,
        }
    return told | {"foreign": list(map(asdict, foreign)), "damaged": list(map(asdict, damaged))}


def _missing(days: Sequence[str]) -> int:
    """Days without an object between the first and the last."""
    if not days:
        return 0
    return (date.fromisoformat(days[-1]) - date.fromisoformat(days[0])).days + 1 - len(days)


def _show_stats(told: Sequence[Mapping[str, Any]]) -> None:
    if not told:
        click.echo("The archive is empty.")
        return
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(title="The archive", title_justify="left")
    grid.add_column("", overflow="fold")
    for table in told:
        grid.add_column(table["table"], justify="right", overflow="fold")
    for name, label in _FACTS.items():
        cells = [table.get(name) for table in told]
        if name == "bytes":
            cells = [_size(cell) for cell in cells if cell is not None]
        if name in ("last_written", "newest_change"):
            # To the minute, and of two words, so that a narrow screen breaks it between them.
            cells = [cell and cell[:16].replace("T", " ") for cell in cells]
        if name in ("foreign", "damaged"):
            cells = [len(cell) for cell in cells if cell is not None]
        grid.add_row(label, *("" if cell is None else str(cell) for cell in cells))
    Console().print(grid)


def _list(queries: Iterable[SavedQuery], *, as_json: bool) -> None:
    for saved in queries:
        if as_json:
            parameters = [asdict(each) for each in saved.parameters]
            told = {"name": saved.name, "title": saved.title, "about": saved.about, "reads": saved.cost}
            click.echo(json.dumps({**told, "parameters": parameters}))
            continue
        click.echo(saved.name)
        lines = [f"-p {each.name}={'…' if each.required else each.default}  {each.about}" for each in saved.parameters]
        for line in (saved.about, f"reads: {saved.cost}", *lines):
            click.echo(click.wrap_text(line, shutil.get_terminal_size().columns, "    ", "        "))


def _tell(foreign: Sequence[Foreign], damaged: Sequence[Damaged]) -> None:
    if foreign or damaged:
        from operations.archive.objects import described

        for line in described(foreign, damaged):
            say(line, err=True)


def _table(answer: "Answer") -> None:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table as Grid
    from rich.text import Text

    console = Console()
    grid = Grid()
    names = [plain(name) for name in answer.columns]
    rows = [["" if value is None else plain(str(value)) for value in row] for row in answer.rows]
    for name, number in zip(names, answer.numeric, strict=True):
        grid.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    # Of a narrow screen rich measures what it would squeeze the table to.
    unbounded = console.options.update(max_width=sys.maxsize)
    if Measurement.get(console, unbounded, grid).maximum <= console.width:
        console.print(grid)
    else:
        # No value is broken: an id in pieces is of no use to anybody.
        blocks = ("".join(f"{name}: {cell}\n" for name, cell in zip(names, row, strict=True)) for row in rows)
        click.echo("\n".join(blocks), nl=False)
    say(counted(len(answer.rows), "row"), err=True)


def _csv(answer: "Answer") -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
    click.echo(text.getvalue(), nl=False)


def _json(answer: "Answer") -> None:
    if twice := [name for name, times in Counter(answer.columns).items() if times > 1]:
        raise click.ClickException(
            f"two columns are called {twice[0]}, and an object has each name once: name one … AS another, or take csv"
        )
    for row in answer.rows:
        click.echo(_json_text(dict(zip(answer.columns, row, strict=True))))


def _json_text(value: Any) -> str:
    """Decimals to the last digit, which the library makes floats of, and NaN, which JSON has not, as text."""
    match value:
        case dict():
            return f"{{{', '.join(f'{_json_text(str(name))}: {_json_text(each)}' for name, each in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(_json_text, value))}]"
        case Decimal() if value.is_finite():
            return f"{value:f}"
        case float() if not math.isfinite(value):
            return f'"{json.dumps(value)}"'
        case None | bool() | int() | float():
            return json.dumps(value)
        case date():
            return json.dumps(value.isoformat())
        case _:
            return json.dumps(str(value), ensure_ascii=False)


_WRITERS: Final["dict[str, Callable[[Answer], None]]"] = {"table": _table, "csv": _csv, "json": _json}


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
