"""Who compacts a day: one at a time, as two at once would mix their objects.

An object a day beside what Athena writes for it, ``{"run": …, "until": …}``, written conditionally. Whoever dies with
a claim blocks the day until it runs out, and nothing else.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import orjson

from headwater.archive import curated
from headwater.archive.growing_objects import GrowingObjects, ObjectChangedError
from headwater.clock import timestamp


class DayTakenError(Exception):
    """Somebody else compacts the day; the message says until when it is theirs at most."""


class DayClaims:
    """Claims by run: the name of whoever compacts, which no two share."""

    def __init__(self, objects: GrowingObjects, now: Callable[[], datetime]) -> None:
        self._objects = objects
        self._now = now

    def take(self, source: str, dt: str, run: str, lasts: timedelta) -> None:
        """Claims the day for so long from now; a claim of the same run is renewed.

        Raises
        ------
        DayTakenError
            Another run has it, or was faster.
        """
        key = _key(source, dt)
        body, tag = self._objects.read(key)
        claim = orjson.loads(body) if body else None
        now = self._now()
        if claim and claim["run"] != run and claim["until"] > timestamp(now):
            raise DayTakenError(
                f"{source} of {dt} is being compacted by {claim['run']}: wait until it is done, or, should it have "
                f"stopped, until {claim['until']}"
            )
        try:
            self._objects.write(key, orjson.dumps({"run": run, "until": timestamp(now + lasts)}), tag)
        except ObjectChangedError as error:
            raise DayTakenError(f"{source} of {dt} was claimed by somebody else at the same moment") from error

    def release(self, source: str, dt: str, run: str) -> None:
        """Gives the day back, if it is still the run's."""
        key = _key(source, dt)
        body, tag = self._objects.read(key)
        if not body or orjson.loads(body)["run"] != run:
            return
        try:
            self._objects.write(key, orjson.dumps({"run": run, "until": timestamp(self._now())}), tag)
        except ObjectChangedError:
            return


def _key(source: str, dt: str) -> str:
    return f"{curated.runs_prefix(source, dt)}claim.json"
