"""Who applies, and what becomes of the applications."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

from devstack.simulator.surroundings import Surroundings
from headwater import bootstrap
from headwater.attribute_values import marshal_item
from headwater.clock import timestamp

#: Of the commands that end, so many are followed by an action on an application.
_SHARE: Final = 0.1
#: Of the actions, so many cannot be told: their status is unknown, or their application is not there.
_UNTELLABLE: Final = 0.03
_ACCOUNTS: Final = 8
_ENDINGS: Final = ("Approved", "Rejected", "Withdrawn")


@dataclass(slots=True)
class _Application:
    id: str
    account_id: str
    statuses: list[str] = field(default_factory=list)


class Applicants:
    """Plays the process: it writes applications and actions as its transactions do.

    What it writes meets no fault, since the process is a service of AWS's; what follows meets them all. Its chance is
    its own, so that the other histories of a seed stay what they were.
    """

    def __init__(self, world: Surroundings) -> None:
        self._world = world
        self._chance = random.Random(world.config.seed)  # noqa: S311  # a history, not a secret
        self._open: list[_Application] = []
        self._numbers = 0
        #: Actions that the Pipe lets through and nobody can be told of, by id.
        self.untellable: set[str] = set()
        self.accounts = tuple(f"account-{number}" for number in range(_ACCOUNTS))

    def go_on(self) -> None:
        """Now and then somebody applies, or an application gets on."""
        if self._chance.random() >= _SHARE:
            return
        if not self._open or self._chance.random() < 0.3:
            self._apply()
        else:
            application = self._chance.choice(self._open)
            self._move(application, "Preparing" if len(application.statuses) == 1 else self._chance.choice(_ENDINGS))

    def _apply(self) -> None:
        self._numbers += 1
        application = _Application(f"application-{self._numbers}", self._chance.choice(self.accounts))
        self._open.append(application)
        self._move(application, "Received")

    def _move(self, application: _Application, status: str) -> None:
        application.statuses.append(status)
        if len(application.statuses) == 3:
            self._open.remove(application)
        now = timestamp(self._world.engine.utc_now())
        self._numbers += 1
        action = {
            "pk": f"APPLICATION#{application.id}",
            "sk": f"#ACTION#{now}#action-{self._numbers}",
            "type": "ApplicationCreated" if status == "Received" else "ApplicationStatusUpdated",
            "application_id": application.id,
            "action_id": f"action-{self._numbers}",
            "status": status,
            "note": f"note {self._numbers}" if self._chance.random() < 0.5 else None,
            "occurred_at": now,
        }
        item = {
            "pk": action["pk"],
            "sk": "#APPLICATION",
            "application_id": application.id,
            "account_id": application.account_id,
            "kind": "licence",
            "title": "To fish",
            "status": status,
            "updated_at": now,
            "revision": len(application.statuses),
        }
        self._write(item, action)
        # No repair could cure these.
        if self._chance.random() < _UNTELLABLE and not self._world.config.poison:
            self._write(self._spoilt(action))

    def _spoilt(self, action: dict[str, Any]) -> dict[str, Any]:
        self._numbers += 1
        number = f"action-{self._numbers}"
        self.untellable.add(number)
        spoilt = {**action, "action_id": number, "sk": f"{action['sk']}-spoilt"}
        if self._chance.random() < 0.5:
            return {**spoilt, "status": "Lost in the post"}
        return {**spoilt, "pk": "APPLICATION#nobody", "application_id": "nobody"}

    def _write(self, *items: dict[str, Any]) -> None:
        table = bootstrap.settings().applications_table
        puts = [{"Put": {"TableName": table, "Item": marshal_item(item)}} for item in items]
        with self._world.faults.suspended():
            self._world.cloud.dynamodb.transact_write_items(TransactItems=puts)
        self._world.engine.note(f"application {items[-1]['sk']} of {items[-1]['pk']}")
