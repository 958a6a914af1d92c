"""What a destination does not take, today or later: entries of a batch, rows, addresses.

Once refused, the same is refused for good, faults or none. Whom it befalls is told, since only they may suffer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from devstack.simulator.places import Place

#: Of the faults that a call might meet, so many are such a refusal: a few in a run of a thousand events.
_ENTRIES: Final = 0.01
_ROWS: Final = 0.006
_ADDRESSES: Final = 0.05

type Decides = Callable[[str, float], bool]


class Refusals:
    """Decides what is condemned, and remembers it.

    ``decides`` is asked once for each new content, with the fault's kind and a scale. ``targets`` are the topics and
    queues that may condemn, ``tables`` the tables of rows.
    """

    def __init__(self, decides: Decides) -> None:
        self._decides = decides
        self.targets: set[str] = set()
        self.tables: set[str] = set()
        self._known: dict[bytes, bool] = {}
        self._rows: dict[tuple[str, str], int] = {}
        self._accepted: dict[tuple[str, str], int] = {}
        #: Aggregates of which something is condemned, and addresses; of rows, where the aggregate stands for good.
        self.aggregates: set[str] = set()
        self.applications: set[str] = set()
        self.addresses: set[str] = set()
        self.places: set[Place] = set()

    def condemned(self, service: str, target: str, contents: Sequence[Any]) -> frozenset[int]:
        """As `CallFaults.condemn`."""
        match service:
            case "dynamodb" if target in self.tables:
                found = [self._row(item) for item in contents]
            case "sesv2":
                found = [self._address(address) for address in contents]
            case "sns" | "sqs" if target in self.targets:
                found = [self._entry(text) for text in contents]
            case _:
                return frozenset()
        return frozenset(position for position, doomed in enumerate(found) if doomed)

    def _entry(self, text: str) -> bool:
        doomed = self._once(text.encode(), "refused_entry", _ENTRIES)
        if doomed:
            content = orjson.loads(text)
            if "subject" in content:
                self.aggregates.add(content["subject"])
                self.places.add((content["subject"], int(content["sequence"])))
            else:
                self.applications.add(content["action_id"])
        return doomed

    def _address(self, address: str) -> bool:
        doomed = self._once(address.encode(), "refused_email", _ADDRESSES)
        if doomed:
            self.addresses.add(address)
        return doomed

    def _row(self, item: Any) -> bool:
        """A row may be refused from one version of one of its aggregates on."""
        if not item or "applied" not in item:
            return False
        pk, _, key = item["pk"]["S"].partition("#")
        for gate, value in item["applied"]["M"].items():
            place, version = (f"{pk}#{key}", gate), int(value["N"])
            if version >= self._rows.get(place, version + 1):
                return True
            if version <= self._accepted.get(place, 0):
                # It stands so already: what is marked in it must be taken.
                continue
            if place not in self._rows and self._decides("refused_row", _ROWS):
                self._rows[place] = version
                self.aggregates.add(gate if "#" in gate else f"{gate}#{key}")
                return True
            self._accepted[place] = version
        return False

    def _once(self, content: bytes, kind: str, scale: float) -> bool:
        digest = hashlib.blake2b(content, digest_size=12).digest()
        if digest not in self._known:
            self._known[digest] = self._decides(kind, scale)
        return self._known[digest]
