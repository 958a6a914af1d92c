"""An observer of a stack that there is not."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from cli.observation import Figures, LetterBox, Letters, Snapshot, Trouble
from operations.flow_graph import Edge, FlowGraph, Station

GRAPH = FlowGraph(
    {name: Station(name, kind) for name, kind in (("Log", "table"), ("BoardFunction", "function"))},
    [Edge("Log", "BoardFunction", title="BoardFunction.Log")],
    "Log",
)


class Looking:
    """Sees one trouble, with a name that would be HTML."""

    graph = GRAPH
    limits: Mapping[str, float] = {}
    every = 3600.0
    waiting = Letters()
    asked = 0
    forgotten = 0

    @property
    def box(self) -> LetterBox:
        return cast("LetterBox", SimpleNamespace(letters=lambda: self.waiting, forget=self._forget))

    def _forget(self) -> None:
        self.forgotten += 1

    def observe(self) -> Snapshot:
        self.asked += 1
        return Snapshot(
            at=datetime.now(UTC),
            stack="dev",
            figures={"BoardFunction": Figures(paused=True, waiting=7, lag=61.0)},
            troubles=[Trouble("<script>alert(1)</script>", "docs/runbook.md#iteratorage")],
        )
