"""Outages: of a service, for seconds; and of a function, for longer than its mapping has patience.

Of the long ones there is one at the most in a run. What it gives up is pointed to, resolved, parked and redriven; in
some of them nobody resolves the pointers until the stream has forgotten the records, and only the archive has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from devstack.simulator.delivery import StreamDriver
from devstack.simulator.surroundings import Surroundings
from devstack.template import EventSourceMapping

#: Of the decisions of a run whether such an outage begins.
_SCALE: Final = 0.4
#: Of the decisions whether a service answers nobody for a while, for so many seconds.
_SERVICES_SCALE: Final = 4.0
_SERVICES: Final = ("dynamodb", "kinesis", "s3", "sesv2", "sns", "sqs")
_BROKEN: Final = (2.0, 20.0)
#: It goes on for so long, at least and at most, after all has been given up: seconds.
_LONGER: Final = (60.0, 1_800.0)
_RESOLVER: Final = "DeadLettersFunction"
#: Whose records are kept whole where they are given up: no pointer leads to them.
_KEEPS_RECORDS: Final = "s3"


class Outages:
    """Which mappings' functions are not invoked, and until when.

    ``functions`` are those whose mapping has given up sound records for that reason.
    """

    def __init__(self, world: Surroundings, streams: Sequence[StreamDriver]) -> None:
        self._world = world
        self._streams = streams
        self._until: dict[str, float] = {}
        self.functions: set[str] = set()
        #: Whether one has lasted until its stream had forgotten the records.
        self.forgotten = False

    @property
    def end(self) -> float:
        """When the last of them ends; in the past, or 0, if there is none."""
        return max(self._until.values(), default=0.0)

    def down(self, mapping: EventSourceMapping) -> bool:
        """Whether a mapping's function is not invoked now."""
        return self._world.engine.now < self._until.get(mapping.title, 0.0)

    def go_on(self) -> None:
        """Decides whether one begins now."""
        faults, chance = self._world.faults, self._world.engine.chance
        if faults.happens("service_outage", _SERVICES_SCALE):
            faults.break_service(chance.choice(_SERVICES), self._world.engine.now + chance.uniform(*_BROKEN))
        if self._until:
            return
        if faults.happens("long_outage", _SCALE):
            self.begin(self._chosen())
        elif faults.happens("retention_passed", _SCALE):
            self.begin(self._chosen(), forgotten=True)

    def begin(self, title: str, *, forgotten: bool = False) -> None:
        """A mapping's function is not invoked until all is given up.

        With ``forgotten`` nobody resolves the pointers to it before its stream has forgotten it.
        """
        world = self._world
        drivers = [driver for driver in self._streams if driver.mapping.title == title]
        retention, age = (max(getattr(each.settings, name) for each in drivers) for name in ("retention", "age_limit"))
        longer = world.engine.chance.uniform(*_LONGER)
        self._until[title] = world.engine.now + age + longer
        self.functions.add(drivers[0].mapping.function)
        if forgotten:
            self.forgotten = True
            # The last records may come minutes after the outage has begun.
            until = world.engine.now + retention + 2 * longer
            self._until |= {each.title: until for each in world.mappings if each.function == _RESOLVER}
            world.engine.at(until, world.stir)
        world.engine.note(f"outage of {title}{', and of pointers' if forgotten else ''}")

    def _chosen(self) -> str:
        titles = {
            driver.mapping.title
            for driver in self._streams
            if driver.mapping.on_failure and f":{_KEEPS_RECORDS}:" not in str(driver.mapping.on_failure)
        }
        return self._world.engine.chance.choice(sorted(titles))
