"""What every part of a world works with. What a part needs besides, it is given."""

from __future__ import annotations

from typing import Protocol

from devstack.simulator.cloud import Cloud
from devstack.simulator.config import Config
from devstack.simulator.engine import Engine
from devstack.simulator.faults import FaultPlan
from devstack.simulator.newer_code import NewerCode
from devstack.template import EventSourceMapping


class Surroundings(Protocol):
    """The world, as its parts know it.

    ``mappings`` are those of all stacks, as this run configures them; ``table_stream`` is the name of the events table,
    and of its stream.
    """

    config: Config
    engine: Engine
    faults: FaultPlan
    cloud: Cloud
    newer_code: NewerCode
    mappings: list[EventSourceMapping]
    table_stream: str

    def stir(self) -> None:
        """Something may have been written: read the streams soon."""
        ...
