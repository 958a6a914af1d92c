"""Where the stations of a flow stand on a page: in columns from left to right, and the lines between them.

The layered drawing of Sugiyama, Tagawa and Toda (1981): cycles are broken, each station stands right of all that feed
it, and within a column stations stand near those that they are joined to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from operations.flow_graph import Edge, FlowGraph

#: Pixels. A station that stands still tells more than others, and grows into the gap below it.
WIDTH: Final = 148
HEIGHT: Final = 60
_GAP_X: Final = 28
_GAP_Y: Final = 34
_MARGIN: Final = 10
_SWEEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Place:
    """A station's left upper corner, in pixels."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line between two stations as an SVG path; ``back`` for one that closes a circle."""

    edge: Edge
    path: str
    back: bool


@dataclass(frozen=True)
class Diagram:
    """A graph that is laid out once; what moves on it are figures."""

    graph: FlowGraph

    @cached_property
    def columns(self) -> Sequence[Sequence[str]]:
        """Ids of stations by column, each from top to bottom."""
        column = self._column_of
        columns: list[list[str]] = [[] for _ in range(max(column.values(), default=-1) + 1)]
        for name in self.graph.stations:
            columns[column[name]].append(name)
        joined: dict[str, list[str]] = {name: [] for name in self.graph.stations}
        for edge in self.graph.edges:
            joined[edge.source].append(edge.target)
            joined[edge.target].append(edge.source)
        for sweep in range(_SWEEPS):
            order = range(len(columns)) if sweep % 2 == 0 else range(len(columns) - 1, -1, -1)
            for number in order:
                place = {name: _middle(at, len(names)) for names in columns for at, name in enumerate(names)}
                columns[number].sort(
                    key=lambda name: (
                        sum(place[each] for each in joined[name]) / len(joined[name]) if joined[name] else place[name]
                    )
                )
        return columns

    @cached_property
    def places(self) -> Mapping[str, Place]:
        tallest = max((len(names) for names in self.columns), default=0)
        found = {}
        for number, names in enumerate(self.columns):
            top = (tallest - len(names)) * (HEIGHT + _GAP_Y) // 2
            for at, name in enumerate(names):
                x = _MARGIN + number * (WIDTH + _GAP_X)
                found[name] = Place(x, _MARGIN + top + at * (HEIGHT + _GAP_Y))
        return found

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        right = max((place.x for place in self.places.values()), default=0) + WIDTH + _MARGIN
        return right, max((place.y for place in self.places.values()), default=0) + HEIGHT + 4 * _MARGIN

    @cached_property
    def lines(self) -> Sequence[Line]:
        bottom = self.size[1] - _MARGIN
        return [self._line(edge, bottom) for edge in self.graph.edges]

    def _line(self, edge: Edge, bottom: int) -> Line:
        begin, end = self.places[edge.source], self.places[edge.target]
        x1, y1, x2, y2 = begin.x + WIDTH, begin.y + HEIGHT // 2, end.x, end.y + HEIGHT // 2
        if x2 > x1 - WIDTH:
            bend = max(20, (x2 - x1) // 2)
            return Line(edge, f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}", back=False)
        # Under all others and back, where it crosses the fewest.
        x1, y1, x2, y2 = begin.x + WIDTH // 2, begin.y + HEIGHT, end.x + WIDTH // 2, end.y + HEIGHT
        return Line(edge, f"M{x1} {y1} C{x1} {bottom} {x2} {bottom} {x2} {y2}", back=True)

    @cached_property
    def _column_of(self) -> Mapping[str, int]:
        """Right of all that feed it; what is fed by nobody, just left of what it feeds."""
        forward = self._without_circles()
        into: dict[str, list[str]] = {name: [] for name in self.graph.stations}
        out: dict[str, list[str]] = {name: [] for name in self.graph.stations}
        for source, target in forward:
            into[target].append(source)
            out[source].append(target)
        column: dict[str, int] = {}

        def of(name: str) -> int:
            if name not in column:
                column[name] = max((of(each) + 1 for each in into[name]), default=0)
            return column[name]

        for name in self.graph.stations:
            of(name)
        for name in self.graph.stations:
            if not into[name] and out[name]:
                column[name] = min(column[each] for each in out[name]) - 1
        return column

    def _without_circles(self) -> set[tuple[str, str]]:
        """The edges without those that lead back to a station from which one came."""
        out: dict[str, list[str]] = {name: [] for name in self.graph.stations}
        for edge in self.graph.edges:
            out[edge.source].append(edge.target)
        kept: set[tuple[str, str]] = set()
        done: set[str] = set()
        above: list[str] = []

        def visit(name: str) -> None:
            above.append(name)
            for target in out[name]:
                if target in above:
                    continue
                kept.add((name, target))
                if target not in done:
                    visit(target)
            above.pop()
            done.add(name)

        fed = {edge.target for edge in self.graph.edges}
        for name in sorted(self.graph.stations, key=lambda each: each in fed):
            if name not in done:
                visit(name)
        return kept


def _middle(at: int, of: int) -> float:
    """A place in a column, counted from the column's middle."""
    return at - (of - 1) / 2
