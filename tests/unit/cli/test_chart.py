"""Answers as charts: what stands where, and what is left out."""

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from cli import chart
from cli.chart import ChartError
from operations.archive.local_sql import Answer
from operations.archive.saved_sql import Chart

DAYS = [date(2026, 1, day) for day in range(1, 5)]


class Drawn:
    """What matplotlib was given to draw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, answer: Answer, how: Chart) -> tuple[Any, list[str]]:
        figures: list[Figure] = []
        self._monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
        left_out = chart.draw(answer, how, "T", Path("x.png"))
        (figure,) = figures
        figure.canvas.draw()
        return figure.axes[0], left_out


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    return Drawn(monkeypatch)


def lines(axes: Any) -> dict[str, list[tuple[Any, Any]]]:
    return {str(each.get_label()): list(zip(each.get_xdata(), each.get_ydata(), strict=True)) for each in axes.lines}


def test_a_lines_days_stand_in_their_order(drawn: Drawn) -> None:
    rows = [("chess", DAYS[3], 2), ("chess", DAYS[0], 1), ("go", DAYS[1], 5)]

    axes, left_out = drawn(Answer(("game", "day", "plays"), rows), Chart("line", "day", "plays", "game"))

    (first, nothing, last) = lines(axes)["chess"]
    assert (first, last) == ((DAYS[0], 1), (DAYS[3], 2))
    # Between days that do not follow each other there is no line: nothing was counted there.
    assert nothing[0] == DAYS[1]
    assert math.isnan(nothing[1])
    assert lines(axes)["go"] == [(DAYS[1], 5)]
    # Days, and so as far from each other as days are: one and three of them.
    assert axes.dataLim.width == 3
    assert left_out == []


def test_days_that_follow_each_other_are_one_line(drawn: Drawn) -> None:
    answer = Answer(("day", "plays"), [(day, 1) for day in DAYS])

    axes, _ = drawn(answer, Chart("line", "day", "plays"))

    assert list(lines(axes).values()) == [[(day, 1) for day in DAYS]]


@pytest.mark.parametrize("kind", ["line", "bar"])
def test_counts_are_whole_numbers_on_the_axis(drawn: Drawn, kind: str) -> None:
    axes, _ = drawn(Answer(("day", "plays"), [(DAYS[0], 1), (DAYS[1], 2)]), Chart(kind, "day", "plays"))
    shares, _ = drawn(Answer(("day", "share"), [(DAYS[0], 0.25), (DAYS[1], 0.5)]), Chart(kind, "day", "share"))

    assert all(float(tick).is_integer() for tick in axes.get_yticks())
    assert not all(float(tick).is_integer() for tick in shares.get_yticks())


def test_cohorts_are_a_heat_map_with_their_values_in_the_cells(drawn: Drawn) -> None:
    rows = [(DAYS[0], 0, 100.0), (DAYS[0], 2, 12.5), (DAYS[3], 0, 50.0)]

    axes, left_out = drawn(Answer(("cohort", "week", "percent"), rows), Chart("heat", "week", "percent", "cohort"))

    (image,) = axes.images
    assert image.get_array().tolist() == [[100.0, 12.5], [50.0, None]]
    assert {each.get_text() for each in axes.texts} == {"100", "12.5", "50"}
    assert [each.get_text() for each in axes.get_xticklabels()] == ["0", "2"]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["2026-01-01", "2026-01-04"]
    assert left_out == []


def test_the_suffix_says_what_is_written(tmp_path: Path) -> None:
    answer = Answer(("day", "plays"), [(DAYS[0], 1)])
    for name, begins in {"x.png": b"\x89PNG", "x.svg": b"<?xml"}.items():
        chart.draw(answer, Chart("line", "day", "plays"), "T", tmp_path / name)

        assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_lines_texts_stand_in_one_order_for_all_series(drawn: Drawn) -> None:
    rows = [("chess", "2026-01", 1), ("chess", "2026-04", 2), ("go", "2026-02", 5), ("go", "2026-03", 5)]

    axes, _ = drawn(Answer(("game", "month", "plays"), rows), Chart("line", "month", "plays", "game"))

    assert lines(axes) == {"chess": [(0, 1), (3, 2)], "go": [(1, 5), (2, 5)]}
    assert [each.get_text() for each in axes.get_xticklabels()] == ["2026-01", "2026-02", "2026-03", "2026-04"]


def test_a_row_without_a_day_is_left_out_of_a_line_and_said(drawn: Drawn) -> None:
    answer = Answer(("day", "players"), [(DAYS[0], 1), (None, 3), (DAYS[1], None)])

    axes, left_out = drawn(answer, Chart("line", "day", "players"))

    assert list(lines(axes).values()) == [[(DAYS[0], 1)]]
    assert left_out == ["1 row(s) without day"]


def test_of_many_cohorts_the_newest_are_drawn_and_it_is_said(drawn: Drawn) -> None:
    cohorts = [date(2026, 1, 5) + timedelta(weeks=number) for number in range(14)]
    rows = [(cohort, 0, 100.0) for cohort in reversed(cohorts)]

    axes, left_out = drawn(Answer(("cohort", "week", "percent"), rows), Chart("line", "week", "percent", "cohort"))

    assert set(lines(axes)) == {str(cohort) for cohort in cohorts[2:]}
    assert left_out == ["all but the 12 newest of 14 values of cohort"]


def test_of_many_games_the_largest_are_drawn_and_it_is_said(drawn: Drawn) -> None:
    rows = [(f"game {number}", DAYS[0], number) for number in range(14)]

    axes, left_out = drawn(Answer(("game", "day", "plays"), rows), Chart("line", "day", "plays", "game"))

    assert set(lines(axes)) == {f"game {number}" for number in range(2, 14)}
    assert left_out == ["all but the 12 largest of 14 values of game"]


def test_bars_stand_over_their_names(drawn: Drawn) -> None:
    rows = [("a", "x", 1), ("b", "y", 2), ("b", "x", 3)]

    axes, _ = drawn(Answer(("game", "kind", "n"), rows), Chart("bar", "kind", "n", "game"))

    assert [(round(each.get_x() + each.get_width() / 2, 2), each.get_height()) for each in axes.patches] == [
        (0, 1),
        (1.4, 2),
        (0.4, 3),
    ]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["x", "y"]


def test_each_row_has_its_bar_and_many_have_few_names(drawn: Drawn) -> None:
    rows = [*((f"d{number:03d}", number) for number in range(99)), (None, -5), (None, 7)]

    axes, left_out = drawn(Answer(("day", "n"), rows), Chart("bar", "day", "n"))

    assert [each.get_height() for each in axes.patches] == [*range(99), -5, 7]
    names = [each.get_text() for each in axes.get_xticklabels()]
    assert names[:2] == ["d000", "d004"]
    assert len(names) <= 30
    assert axes.get_ylim()[0] < -5
    assert left_out == []


@pytest.mark.parametrize("rows", [[], [(None, 1)], [(DAYS[0], None)]])
def test_nothing_to_draw_is_said(drawn: Drawn, rows: list[tuple[Any, Any]]) -> None:
    with pytest.raises(ChartError, match="no rows to draw"):
        drawn(Answer(("day", "n"), rows), Chart("line", "day", "n"))


def test_one_day_stands_between_the_days_beside_it(drawn: Drawn) -> None:
    axes, _ = drawn(Answer(("day", "plays"), [(DAYS[0], 3)]), Chart("line", "day", "plays"))

    left, right = axes.get_xlim()
    assert right - left == 2
    assert [each.get_text() for each in axes.get_xticklabels()] == ["2026-01-01"]


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_few_bars_are_as_narrow_as_those_of_more(drawn: Drawn, rows: int) -> None:
    axes, _ = drawn(Answer(("game", "plays"), [(str(row), 3) for row in range(rows)]), Chart("bar", "game", "plays"))

    left, right = axes.get_xlim()
    assert right - left == 5
    assert (left + right) / 2 == (rows - 1) / 2
