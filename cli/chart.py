"""An answer as a chart: a PNG, or an SVG."""

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operations.archive.local_sql import Answer
from operations.archive.saved_sql import Chart
from operations.errors import QueryError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: More lines than this tell apart nothing.
_MOST_SERIES = 12
#: And more names across cannot be read.
_MOST_NAMES = 30
#: As many have the chart's width to themselves.
_FEW_BARS = 5

#: Points by the value of their series, in the order of the answer.
type Groups = dict[Any, list[tuple[Any, float]]]


class ChartError(QueryError):
    """An answer that cannot be drawn; the message says why."""


def guessed(answer: Answer) -> Chart:
    """The chart of a query that names none: its first column across, its first other column of numbers up.

    Raises
    ------
    ChartError
        There is no column of numbers.
    """
    for name, numeric in zip(answer.columns[1:], answer.numeric[1:], strict=True):
        if numeric:
            return Chart("bar", answer.columns[0], name)
    raise ChartError("the answer has no column of numbers to draw beside its first column")


def draw(answer: Answer, chart: Chart, title: str, path: Path) -> list[str]:
    """Writes the picture, by its path's suffix. Returns, in words, what is left out of it.

    Raises
    ------
    ChartError
        The answer has no rows or not the chart's columns, or the file cannot be written.
    """
    missing = [name for name in (chart.x, chart.y, chart.series) if name is not None and name not in answer.columns]
    if missing:
        raise ChartError(f"the answer has no column {missing[0]} to draw; it has: {', '.join(answer.columns)}")
    groups, left_out = _series(answer, chart)
    if not groups:
        raise ChartError("the answer has no rows to draw")
    # Late, as it is a large import; and with no window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(chart.x)
    if chart.kind == "heat":
        axes.set_ylabel(chart.series or "")
        _heat(figure, axes, groups, chart.y)
    else:
        axes.set_ylabel(chart.y)
        _lines(axes, groups) if chart.kind == "line" else _bars(axes, groups)
        _counts(axes, groups)
        if chart.series is not None:
            # Beside the lines, so that it hides none.
            axes.legend(title=chart.series, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    try:
        figure.savefig(path, format="svg" if path.suffix == ".svg" else "png", dpi=120)
    except OSError as error:
        raise ChartError(f"{path} cannot be written: {error.strerror}") from error
    return left_out


def _lines(axes: "Axes", groups: Groups) -> None:
    texts = sorted({x for points in groups.values() for x, _ in points if isinstance(x, str)})
    # Matplotlib would have texts stand in the order in which it meets them.
    places = {text: place for place, text in enumerate(texts)}
    for name, points in groups.items():
        across = [places.get(x, x) if isinstance(x, str) else x for x, _ in points]
        up = [y for _, y in points]
        if not texts:
            across, up = _unbroken(points)
        axes.plot(across, up, marker="o", markersize=3, label=str(name))
    if texts:
        _name(axes, texts)
        return
    moments = {x for points in groups.values() for x, _ in points}
    if len(moments) == 1 and isinstance(moment := moments.pop(), date):
        # Matplotlib would show years around it.
        axes.set_xticks([moment], [str(moment)])  # type: ignore[arg-type] # it takes dates
        axes.set_xlim(moment - timedelta(days=1), moment + timedelta(days=1))  # type: ignore[arg-type]


def _unbroken(points: Sequence[tuple[Any, float]]) -> tuple[list[Any], list[float]]:
    """The points, with nothing between two days that do not follow each other: there, nothing was counted."""
    across: list[Any] = []
    up: list[float] = []
    for x, y in points:
        if across and isinstance(x, date) and not isinstance(x, datetime) and (x - across[-1]).days > 1:
            across.append(across[-1] + timedelta(days=1))
            up.append(math.nan)
        across.append(x)
        up.append(y)
    return across, up


def _counts(axes: "Axes", groups: Groups) -> None:
    """The axis upwards: from zero where nothing is below, and in whole numbers where all are."""
    from matplotlib.ticker import MaxNLocator

    values = [y for points in groups.values() for _, y in points]
    if all(y >= 0 for y in values):
        axes.set_ylim(bottom=0)
    if all(y.is_integer() for y in values):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="x", rotation=45)
    axes.grid(axis="y", alpha=0.3)


def _heat(figure: "Figure", axes: "Axes", groups: Groups, measure: str) -> None:
    """A row for each value of the series, a column for each across; the value is written into its cell."""
    across = sorted({x for points in groups.values() for x, _ in points})
    rows = sorted(groups, key=str)
    cells = [[math.nan] * len(across) for _ in rows]
    for row, name in enumerate(rows):
        for x, y in groups[name]:
            cells[row][across.index(x)] = y
    image = axes.imshow(cells, aspect="auto", cmap="Blues", vmin=0)
    middle = max((y for points in groups.values() for _, y in points), default=0) / 2
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            if not math.isnan(value):
                colour = "white" if value > middle else "black"
                axes.text(column, row, f"{value:g}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(across)), [_called(x) for x in across])
    axes.set_yticks(range(len(rows)), [_called(name) for name in rows])
    figure.colorbar(image, label=measure)


def _bars(axes: "Axes", groups: Groups) -> None:
    if len(groups) == 1:
        # A bar a row, also where rows are called the same.
        ((name, points),) = groups.items()
        axes.bar(range(len(points)), [y for _, y in points], 0.8, label=str(name))
        _name(axes, [_called(x) for x, _ in points])
        _make_room(axes, len(points))
        return
    places = {x: place for place, x in enumerate(dict.fromkeys(x for points in groups.values() for x, _ in points))}
    width = 0.8 / len(groups)
    for number, (name, points) in enumerate(groups.items()):
        axes.bar([places[x] + number * width for x, _ in points], [y for _, y in points], width, label=str(name))
    _name(axes, [_called(x) for x in places])
    _make_room(axes, len(places))


def _make_room(axes: "Axes", places: int) -> None:
    """Keeps a few bars from being as wide as the chart."""
    if places < _FEW_BARS:
        left, right = axes.get_xlim()
        axes.set_xlim((left + right - _FEW_BARS) / 2, (left + right + _FEW_BARS) / 2)


def _name(axes: "Axes", names: Sequence[str]) -> None:
    """Names the places across; not each, where they are many."""
    step = math.ceil(len(names) / _MOST_NAMES)
    axes.set_xticks(range(0, len(names), step), names[::step])


def _series(answer: Answer, chart: Chart) -> tuple[Groups, list[str]]:
    """The points to draw by series, and what is left out."""
    place = {name: index for index, name in enumerate(answer.columns)}
    groups: Groups = {}
    nowhere = 0
    for row in answer.rows:
        x, y = row[place[chart.x]], row[place[chart.y]]
        if x is None and chart.kind != "bar":
            nowhere += 1
        elif y is not None:
            groups.setdefault("" if chart.series is None else row[place[chart.series]], []).append((x, float(y)))
    left_out = [f"{nowhere} row(s) without {chart.x}"] if nowhere else []
    if len(groups) > _MOST_SERIES and chart.kind != "heat":
        kept, which = _most(groups)
        left_out.append(f"all but the {_MOST_SERIES} {which} of {len(groups)} values of {chart.series}")
        groups = {name: points for name, points in groups.items() if name in kept}
    if chart.kind == "line":
        groups = {name: sorted(points, key=lambda point: point[0]) for name, points in groups.items()}
    return groups, left_out


def _most(groups: Groups) -> tuple[Sequence[Any], str]:
    if all(isinstance(name, date) for name in groups):
        return sorted(groups)[-_MOST_SERIES:], "newest"
    return sorted(groups, key=lambda name: sum(y for _, y in groups[name]))[-_MOST_SERIES:], "largest"


def _called(value: Any) -> str:
    return "none" if value is None else str(value)
