"""How long an event took from its append to each consumer's successful end, by the events' own times."""

import base64
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from ``occurred_at`` to the end of the invocation that processed the event."""

    consumer: str
    events: int
    p50: float
    p99: float
    longest: float


class LagRecorder:
    """Collects lags from finished invocations; safe to call from any thread."""

    def __init__(self) -> None:
        self._lags: defaultdict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()

    def record(self, function: str, event: Any) -> None:
        """Notes each event of a batch that a function has just processed without an error."""
        now = time.time()
        # A pipe's functions get a bare list, and of applications: how they go is told beside (`applications`).
        records = event.get("Records", ()) if isinstance(event, Mapping) else ()
        lags = [now - appended for raw in records if (appended := _appended_at(raw)) is not None]
        with self._lock:
            self._lags[function] += lags

    def lags(self) -> list[Lag]:
        """One row a consumer that has processed anything."""
        with self._lock:
            collected = {function: sorted(lags) for function, lags in self._lags.items() if lags}
        return [
            Lag(function, len(lags), statistics.median(lags), lags[int(0.99 * (len(lags) - 1))], lags[-1])
            for function, lags in sorted(collected.items())
        ]


def _appended_at(raw: Mapping[str, Any]) -> float | None:
    match raw:
        case {"dynamodb": {"NewImage": {"aggregate_id": _, "occurred_at": {"S": str(text)}}}}:
            return datetime.fromisoformat(text).timestamp()
        case {"kinesis": {"data": str(data)}}:
            return datetime.fromisoformat(orjson.loads(base64.b64decode(data))["time"]).timestamp()
        case {"body": str(body)}:
            # A pointer to a failed batch has no event, hence no time.
            text = orjson.loads(body).get("time")
            return datetime.fromisoformat(text).timestamp() if text else None
    return None
