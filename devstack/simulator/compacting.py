"""Compaction in the middle of everything: of days that are open still, beside each other, with late objects after them.

Closed days alone are compacted by the state machine; what must hold at any moment holds then, too.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from devstack.simulator.faults import SimulatedCrash
from devstack.simulator.surroundings import Surroundings
from headwater import bootstrap
from headwater.archive import curated
from headwater.archive.boundary import UnreadableListError
from headwater.archive.compaction import ChangedDayError, MiscountedDayError, UnreadableDayError
from headwater.archive.day_claims import DayTakenError
from headwater.archive.growing_objects import ObjectChangedError

#: Of the decisions of a run whether one begins.
_SCALE: Final = 4.0
#: How many compact the same day at once, so many seconds apart at the most.
_AT_ONCE: Final = 2
_APART: Final = 2.0
#: The day in the key of one of the archive's objects.
DAY: Final = re.compile(r"/dt=(\d{4}-\d{2}-\d{2})/")
#: What keeps a day as it is; the next run finds it due again.
_LEFT: Final = (
    BotoCoreError,
    ClientError,
    ChangedDayError,
    DayTakenError,
    MiscountedDayError,
    ObjectChangedError,
    SimulatedCrash,
    UnreadableDayError,
    UnreadableListError,
)


class Compacting:
    """Compacts days; ``told`` is why days were left as they were, for a person."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world
        self.told: set[str] = set()
        self.runs = 0

    def go_on(self) -> None:
        """Decides whether some days are compacted soon."""
        world = self._world
        if world.faults.happens("compaction", _SCALE):
            for number in range(_AT_ONCE):
                later = number * world.engine.chance.uniform(0, _APART)
                world.engine.after(later, partial(self.compact, world.faults))

    def compact(self, faults: Any = None) -> None:
        """Compacts every day that there is. With ``faults`` they may stop it, as a function."""
        world = self._world
        outer, world.faults.in_function = world.faults.in_function, faults is not None
        began = world.engine.now
        compaction = bootstrap.compaction()
        for source, dt in self._days():
            self.runs += 1
            try:
                published = compaction.compact(compaction.day(source, dt))
                outcome = f"{published.records} records"
            except _LEFT as error:
                outcome = type(error).__name__
                self.told.add(str(error))
            world.engine.note(f"compaction {source} {dt} {outcome}")
            if outcome == SimulatedCrash.__name__:
                break
        world.faults.in_function = outer
        if faults is not None:
            world.engine.now = began
        world.stir()

    def _days(self) -> list[tuple[str, str]]:
        keys = self._world.cloud.bucket(bootstrap.settings().archive_bucket).keys()
        days = {
            (source, found[1])
            for source in curated.SOURCES
            for key in keys
            if key.startswith(curated.raw_prefix(source)) and (found := DAY.search(key))
        }
        return sorted(days)
