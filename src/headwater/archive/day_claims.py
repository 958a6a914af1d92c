"""Who compacts a day: one at a time, as two at once would mix their objects.

An object a day beside what Athena writes for it, ``{"run": …, "until": …}``, written conditionally. Whoever dies with
a claim blocks the day until it runs out, minutes later, and nothing else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

import orjson

from headwater.archive import curated
from headwater.archive.growing_objects import GrowingObjects, ObjectChangedError
from headwater.clock import read_timestamp, timestamp

#: Tries to write a claim that is written by others meanwhile: by the thread that renews it, by somebody who is faster.
_ATTEMPTS = 5


class DayTakenError(Exception):
    """Somebody else compacts the day; the message says until when it is theirs at most."""


class DayClaims:
    """Claims by run: the name of whoever compacts, which no two share.

    ``wait`` waits for an event for so many seconds at most, and says whether it came.
    """

    def __init__(
        self,
        objects: GrowingObjects,
        now: Callable[[], datetime],
        wait: Callable[[Event, float], bool] = Event.wait,
    ) -> None:
        self._objects = objects
        self._now = now
        self._wait = wait

    @contextmanager
    def held(self, source: str, dt: str, run: str, lasts: timedelta, *, take_over: bool = False) -> Iterator[None]:
        """Claims the day and renews the claim for as long as the context lasts, then gives the day back.

        Raises
        ------
        DayTakenError
            As `take`.
        """
        self.take(source, dt, run, lasts, take_over=take_over)
        ended = Event()
        renewing = Thread(target=self._renew, args=(source, dt, run, lasts, ended), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            self.release(source, dt, run)

    def take(self, source: str, dt: str, run: str, lasts: timedelta, *, take_over: bool = False) -> None:
        """Claims the day for so long from now; a claim of the same run is renewed. ``take_over``: whoever has it.

        Raises
        ------
        DayTakenError
            Another run has it, or was faster.
        """
        key = _key(source, dt)
        for _ in range(_ATTEMPTS):
            body, tag = self._objects.read(key)
            owner, until = _claim(body)
            now = self._now()
            if owner != run and until > timestamp(now) and not take_over:
                raise DayTakenError(
                    f"{source} of {dt} is being compacted by {owner}: wait until it is done, or, should it have "
                    f"stopped, until {until}"
                )
            try:
                self._objects.write(key, orjson.dumps({"run": run, "until": timestamp(now + lasts)}), tag)
            except ObjectChangedError:
                continue
            return
        raise DayTakenError(f"{source} of {dt} was claimed by others again and again")

    def release(self, source: str, dt: str, run: str) -> None:
        """Gives the day back, if it is still the run's."""
        key = _key(source, dt)
        body, tag = self._objects.read(key)
        if _claim(body)[0] != run:
            return
        try:
            self._objects.write(key, orjson.dumps({"run": run, "until": timestamp(self._now())}), tag)
        except ObjectChangedError:
            return

    def _renew(self, source: str, dt: str, run: str, lasts: timedelta, ended: Event) -> None:
        # Often enough that three may fail.
        while not self._wait(ended, lasts.total_seconds() / 4):
            try:
                self.take(source, dt, run, lasts)
            except DayTakenError:
                # Whoever works here learns of it before it changes anything that others see.
                return
            except Exception:  # noqa: BLE001, S112  # S3's, for a moment: the claim stands until it runs out
                continue


def _claim(body: bytes) -> tuple[str, str]:
    """Whose the day is, and until when; nobody's, if what lies there is no claim."""
    try:
        claim = orjson.loads(body)
        return str(claim["run"]), timestamp(read_timestamp(claim["until"]))
    except (ValueError, TypeError, KeyError):
        return "", ""


def _key(source: str, dt: str) -> str:
    return f"{curated.runs_prefix(source, dt)}claim.json"
