"""Virtual time: a heap of timed actions, one source of chance, and the trace of what happened."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from devstack.simulator.fibers import Fiber, Own, give, values

#: Two minutes before midnight UTC at a month's end, so that every run of some length crosses a day's border.
START: Final = datetime(2026, 2, 28, 23, 58, tzinfo=UTC).timestamp()

#: Of the calls of two actions, so many are followed by one of the other.
_TURNS: Final = 0.75

type Action = Callable[[], None]


class Engine:
    """Runs actions in the order of their time (epoch seconds); equal times in the order in which they were planned.

    ``now`` moves with the actions, and within one by ``spend``: that is how long a call takes. Everything random comes
    from ``chance``, so that a seed names one history.
    """

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.now = START
        self.chance = random.Random(seed)  # noqa: S311  # a history, not a secret
        self.steps = 0
        #: By so many seconds the clock of what runs now is wrong.
        self.skew = 0.0
        self.trace: list[str] = []
        self._keep_trace = keep_trace
        self._digest = hashlib.blake2b(digest_size=8)
        self._heap: list[tuple[float, int, Action]] = []
        self._planned = 0
        self._overtaking = False
        self._fiber: Fiber | None = None
        #: What each action has its own of, when another one runs in the middle of it.
        self.own: list[Own] = [Own(self, "now", START), Own(self, "skew", 0.0)]

    @property
    def keeps_trace(self) -> bool:
        return self._keep_trace

    @property
    def trace_hash(self) -> str:
        """A digest of all notes so far: equal for equal histories."""
        return self._digest.hexdigest()

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the start."""
        return self.now - START

    @property
    def next_time(self) -> float | None:
        """When the next action is due; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def clock(self) -> float:
        return self.now

    def utc_now(self) -> datetime:
        """As the clock shows it of whoever runs now."""
        return datetime.fromtimestamp(self.now + self.skew, UTC)

    def uuid7(self) -> str:
        """As `headwater.ids.uuid7`, from virtual time and the seed's chance."""
        return self.uuid7_of(self.chance)

    def uuid7_of(self, chance: random.Random) -> str:
        """One of another's chance, which leaves the seed's as it is."""
        value = int(self.now * 1000) << 80 | chance.getrandbits(80)
        text = f"{value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def spend(self, seconds: float) -> None:
        """Time passes within the running action."""
        self.now += seconds

    def at(self, when: float, action: Action) -> None:
        """Plans an action; one in the past runs next."""
        self._planned += 1
        heapq.heappush(self._heap, (when, self._planned, action))

    def after(self, seconds: float, action: Action) -> None:
        self.at(self.now + seconds, action)

    def note(self, line: str) -> None:
        """Adds a line to the trace."""
        line = f"{self.now - START:.3f} {line}\n"
        self._digest.update(line.encode())
        if self._keep_trace:
            self.trace.append(line)

    def detail(self, line: str) -> None:
        """Adds a line for a reader of the trace, which its hash leaves out: too costly to make in each run."""
        if self._keep_trace:
            self.trace.append(f"{self.now - START:.3f}   {line}\n")

    def step(self) -> bool:
        """Runs the next action; False if there is none."""
        if not self._heap:
            return False
        self._run_next()
        return True

    def overtake(self, actions: int) -> bool:
        """Runs up to so many actions that are due while another one is under way; False if none was.

        This is what concurrency looks like in one thread: what the running action read may be outdated afterwards.
        """
        if self._overtaking or self._fiber or not self._heap or self._heap[0][0] > self.now:
            return False
        meanwhile, self._overtaking = self.now, True
        mine = values(self.own)
        give(self.own, [each.fresh for each in self.own])
        try:
            while actions and self._heap and self._heap[0][0] <= meanwhile:
                self._run_next()
                actions -= 1
        finally:
            give(self.own, mine)
            self._overtaking = False
        return True

    def interleave(self) -> bool:
        """Starts an action that is due beside the one under way; False if none is. See `alternate`."""
        if self._overtaking or self._fiber or not self._heap or self._heap[0][0] > self.now:
            return False
        when, _, action = heapq.heappop(self._heap)
        self.steps += 1

        def run() -> None:
            self.now = when
            action()

        self._fiber = Fiber(run, self.own)
        return True

    def alternate(self) -> None:
        """To be called at each call: the other one of two actions goes on to its next call, now and then."""
        if self._fiber and self.chance.random() < _TURNS:
            self._fiber.turn()

    def _run_next(self) -> None:
        when, _, action = heapq.heappop(self._heap)
        self.now = when
        self.steps += 1
        action()
        if self._fiber and not self._overtaking:
            fiber = self._fiber
            fiber.join()
            self._fiber = None
