"""When an empty answer may be believed.

SQS counts approximately: "the metrics may not achieve consistency until at least 1 minute after the producers stop
sending messages" (GetQueueAttributes, SQS API reference). And a record may be between two queues at any moment.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

#: For so long all counts must be zero; seconds.
STEADY_SECONDS: Final = 60.0
_EVERY_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Clock:
    """``now`` in seconds from whenever, and a way to let time pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def seen_within(
    counts: Callable[[], Mapping[str, int]], clock: Clock, steady: float, say: Callable[[str], None]
) -> Mapping[str, int]:
    """Counts again and again until all were zero for ``steady`` seconds; gives the first counts that were not."""
    began = clock.now()
    while not (found := {place: count for place, count in counts().items() if count}):
        passed = clock.now() - began
        if passed >= steady:
            return {}
        say(f"Not sure yet: all counts have been zero for {passed:.0f} of {steady:.0f} seconds.")
        clock.sleep(min(_EVERY_SECONDS, steady - passed))
    return found
