"""An answer as a chart: a PNG, or an SVG."""

import math
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.local_sql import Answer
from cli.saved_sql import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: More lines than this tell apart nothing.
_MOST_SERIES = 12
#: And more names across cannot be read.
_MOST_NAMES = 30

#: Points by the value of their series, in the order of the answer.
type Groups = dict[Any, list[tuple[Any, float]]]


class ChartError(Exception):
    """An answer that cannot be drawn; the message says why."""


def guessed(answer: Answer) -> Chart:
    """The chart of a query that names none: its first column across, its first other column of numbers up.

    Raises
    ------
    ChartError
        There is no column of numbers.
    """
    for place, name in enumerate(answer.columns[1:], start=1):
        values = [row[place] for row in answer.rows if row[place] is not None]
        if values and all(isinstance(value, int | float | Decimal) for value in values):
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
    if chart.kind == "line":
        _lines(axes, groups)
    else:
        _bars(axes, groups)
    axes.set_title(title)
    axes.set_xlabel(chart.x)
    axes.set_ylabel(chart.y)
    if all(y >= 0 for points in groups.values() for _, y in points):
        axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=45)
    axes.grid(axis="y", alpha=0.3)
    if chart.series is not None:
        axes.legend(title=chart.series)
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
        axes.plot(across, [y for _, y in points], marker="o", markersize=3, label=str(name))
    if texts:
        _name(axes, texts)


def _bars(axes: "Axes", groups: Groups) -> None:
    if len(groups) == 1:
        # A bar a row, also where rows are called the same.
        ((name, points),) = groups.items()
        axes.bar(range(len(points)), [y for _, y in points], 0.8, label=str(name))
        _name(axes, [_called(x) for x, _ in points])
        return
    places = {x: place for place, x in enumerate(dict.fromkeys(x for points in groups.values() for x, _ in points))}
    width = 0.8 / len(groups)
    for number, (name, points) in enumerate(groups.items()):
        axes.bar([places[x] + number * width for x, _ in points], [y for _, y in points], width, label=str(name))
    _name(axes, [_called(x) for x in places])


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
        if x is None and chart.kind == "line":
            nowhere += 1
        elif y is not None:
            groups.setdefault("" if chart.series is None else row[place[chart.series]], []).append((x, float(y)))
    left_out = [f"{nowhere} row(s) without {chart.x}"] if nowhere else []
    if len(groups) > _MOST_SERIES:
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
