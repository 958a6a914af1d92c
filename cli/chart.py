"""An answer as a chart, in a PNG."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from cli.local_sql import Answer
from cli.saved_sql import Chart

#: More lines than this tell apart nothing.
_MOST_SERIES = 12


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


def draw(answer: Answer, chart: Chart, title: str, path: Path) -> None:
    """Writes the PNG.

    Raises
    ------
    ChartError
        The answer has no rows or not the chart's columns, or the file cannot be written.
    """
    missing = [name for name in (chart.x, chart.y, chart.series) if name is not None and name not in answer.columns]
    if missing:
        raise ChartError(f"the answer has no column {missing[0]} to draw; it has: {', '.join(answer.columns)}")
    if not answer.rows:
        raise ChartError("the answer has no rows to draw")
    # Late, as it is a large import; and with no window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    groups = _series(answer, chart)
    for place, (name, points) in enumerate(groups.items()):
        across = [x for x, _ in points]
        up = [y for _, y in points]
        if chart.kind == "line":
            axes.plot(across, up, marker="o", markersize=3, label=name)
        else:
            width = 0.8 / len(groups)
            axes.bar([at + place * width for at in range(len(across))], up, width, label=name)
            axes.set_xticks(range(len(across)), [str(x) for x in across])
    axes.set_title(title)
    axes.set_xlabel(chart.x)
    axes.set_ylabel(chart.y)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=45)
    axes.grid(axis="y", alpha=0.3)
    if chart.series is not None:
        axes.legend(title=chart.series)
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise ChartError(f"{path} cannot be written: {error.strerror}") from error


def _series(answer: Answer, chart: Chart) -> dict[str, list[tuple[Any, float]]]:
    place = {name: index for index, name in enumerate(answer.columns)}
    series: dict[str, list[tuple[Any, float]]] = {}
    for row in answer.rows:
        name = "" if chart.series is None else str(row[place[chart.series]])
        if row[place[chart.y]] is not None:
            series.setdefault(name, []).append((_across(row[place[chart.x]]), float(row[place[chart.y]])))
    if len(series) > _MOST_SERIES:
        raise ChartError(f"{len(series)} values of {chart.series} are too many to draw; {_MOST_SERIES} are not")
    return series


def _across(value: Any) -> Any:
    return "none" if value is None else value
