"""Items whose time is over: the TTL removes them in the middle of everything, and their key may be taken anew."""

from __future__ import annotations

from functools import partial
from typing import Final

from devstack.simulator.places import Place
from devstack.simulator.surroundings import Surroundings
from headwater import bootstrap
from headwater.clock import timestamp
from headwater.domain.events import ActivityRecorded, NewEvent
from headwater.event_store.store import Append

#: Of the commands that end, compared with other faults, so many are followed by such an event.
_SCALE: Final = 0.1
#: It has so many seconds to live, at the most, and the TTL comes for it so much later.
_LIFE: Final = 4
_LATER: Final = 3.0


class Expiry:
    """Appends activities that live for seconds; ``reborn`` are the places at which another one followed."""

    def __init__(self, world: Surroundings) -> None:
        self._world = world
        self.reborn: set[Place] = set()
        self.pending = 0

    def go_on(self) -> None:
        """Decides whether one follows now."""
        world = self._world
        if not world.faults.decides("expiry", _SCALE):
            return
        chance = world.engine.chance
        aggregate_id = f"activity#{world.engine.uuid7()}"
        expires_at = int(world.engine.now) + chance.randrange(_LIFE)
        self._append(aggregate_id, expires_at)
        self.pending += 1
        world.engine.at(expires_at + 1 + chance.uniform(0, _LATER), partial(self._expire, aggregate_id))

    def _expire(self, aggregate_id: str) -> None:
        world = self._world
        self.pending -= 1
        if world.cloud.expire(world.table_stream):
            world.faults.count("expiry")
        if world.engine.chance.random() < 0.5:
            self.reborn.add((aggregate_id, 1))
            self._append(aggregate_id, None)
        world.stir()

    def _append(self, aggregate_id: str, expires_at: int | None) -> None:
        world = self._world
        event = NewEvent(
            event_id=world.engine.uuid7(),
            payload=ActivityRecorded(kind="ClickOnLogo", user_id=None, details={"page": "home"}),
            occurred_at=timestamp(world.engine.utc_now()),
            expires_at=expires_at,
        )
        with world.faults.suspended(), world.newer_code.as_consumer(False):
            bootstrap.event_store().append(Append(aggregate_id, 0, [event]))
        world.engine.note(f"{aggregate_id} lives until {expires_at}")
        world.stir()
