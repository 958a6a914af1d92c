"""Polls one shard for all mappings that read it."""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from devstack.console import Console
from devstack.event_source_mapping import (
    StreamRecord,
    aged,
)
from devstack.mappings.records import dynamodb_record, kinesis_record
from devstack.mappings.stream_client import RECONNECT_SECONDS, EmulatorError, StreamClient

GATHER_SECONDS: Final = 0.25
BUSY_POLL_SECONDS: Final = 0.1
IDLE_POLL_SECONDS: Final = 0.25
"""Between two reads of a shard: after one that found records, while functions run, and else.

Many small batches cost the emulator and the functions more than anything else does, so that what comes within the first
of these makes one batch. Lambda, too, reads a table's stream four times a second. The first invocation after a pause is
followed by a read at once.
"""
FULL_PAGE_RECORDS: Final = 100


class ShardReader:
    """Polls one shard and hands its records to every mapping on it, each at its own pace.

    It begins after the sequence number ``after``, or else at ``position``, TRIM_HORIZON or LATEST.
    """

    def __init__(
        self,
        client: StreamClient,
        stream_arn: str,
        shard_id: str,
        *,
        position: str,
        console: Console,
        after: str | None = None,
    ) -> None:
        self.stream_arn = stream_arn
        self.shard_id = shard_id
        self._position = position
        self.began_after = after
        """The last record before those that are read here; None at the shard's beginning."""
        self._client = client
        self._console = console
        self._records: deque[StreamRecord] = deque()
        self._first = 0
        self._cursors: dict[int, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self.total = 0
        self.drained_at = 0.0
        """When the last read began that found nothing (monotonic seconds)."""
        self.ended = False
        """Whether the shard is closed and everything in it was read."""
        self._iterator: str | None = None
        self._last = after
        self._thread = threading.Thread(target=self._run, name=f"read {shard_id}", daemon=True)

    def subscribe(self, listener: Callable[[], None]) -> int:
        """Register a mapping before ``start``; ``listener`` is called when there is something to take."""
        self._listeners.append(listener)
        number = len(self._cursors)
        self._cursors[number] = 0
        return number

    def start(self) -> None:
        if self._position == "LATEST" and self.began_after is None:
            # Here and not in the thread, so that LATEST means: when the stack started. As a sequence number, because
            # an iterator at LATEST that expires, or a restart, would step over what has come since.
            self.began_after = self._last = self._newest()
            self._position = "TRIM_HORIZON"
        self._thread.start()

    def take(self, subscriber: int, limit: int) -> list[StreamRecord]:
        """The subscriber's next records, at most ``limit``."""
        with self._lock:
            offset = self._cursors[subscriber] - self._first
            available = min(limit, len(self._records) - offset)
            if available <= 0:
                return []
            taken = [self._records[i] for i in range(offset, offset + available)]
            self._cursors[subscriber] += available
            slowest = min(self._cursors.values())
            while self._first < slowest:
                self._records.popleft()
                self._first += 1
            return taken

    def oldest_for(self, subscriber: int) -> float | None:
        """When the first record arrived that the subscriber has not taken; None if it has taken all."""
        with self._lock:
            offset = self._cursors[subscriber] - self._first
            return self._records[offset].arrived_at if offset < len(self._records) else None

    def age(self, seconds: float) -> None:
        """Let what nobody has taken be so much older."""
        with self._lock:
            self._records = deque(aged(record, seconds) for record in self._records)

    def poke(self) -> None:
        """Something was probably written: read soon."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _newest(self) -> str | None:
        newest = None
        iterator: str | None = self._client.iterator(self.stream_arn, self.shard_id, "TRIM_HORIZON")
        while iterator is not None:
            records, iterator = self._client.records(iterator)
            if not records:
                break
            newest = self._converted(records)[-1].sequence_number
        return newest

    def _run(self) -> None:
        try:
            while not self._stopping and self._read():
                pass
        except Exception as error:
            self._console.line(f"{self.stream_arn} {self.shard_id} is no longer read: {error!r}")
            raise
        finally:
            self._client.close()

    def _read(self) -> bool:
        """Read once, then wait until the next read is due. False at the end of a closed shard."""
        began = time.monotonic()
        try:
            if self._iterator is None:
                self._iterator = self._client.iterator(self.stream_arn, self.shard_id, self._position, self._last)
            records, following = self._client.records(self._iterator)
        except EmulatorError as error:
            if error.code == "ResourceNotFoundException":
                # AWS keeps a closed shard until its records expire; the emulator removes one that was split at once.
                self._console.line(f"{self.stream_arn} {self.shard_id} is gone: its children are read now")
                return self._end()
            self._recover(error)
            return True
        except (OSError, http.client.HTTPException):
            self._pause(RECONNECT_SECONDS)
            return True
        if records:
            self._add(records)
        else:
            self.drained_at = began
        self._iterator = following
        if following is None:
            return self._end()
        # A page that is full, in records or in bytes, has another behind it.
        if len(records) < FULL_PAGE_RECORDS and (records or self._wake.wait(IDLE_POLL_SECONDS)):
            self._pause(began + (GATHER_SECONDS if records else BUSY_POLL_SECONDS) - time.monotonic())
            self._wake.clear()
        return True

    def _end(self) -> bool:
        self.ended = True
        for listener in self._listeners:
            listener()
        # After the listeners, so that nobody takes the stack for quiet before they look for the shard's children.
        self.drained_at = float("inf")
        return False

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and not self._stopping:
            time.sleep(seconds)

    def _add(self, records: Sequence[Mapping[str, Any]]) -> None:
        converted = self._converted(records)
        self._last = converted[-1].sequence_number
        with self._lock:
            self._records.extend(converted)
            self.total += len(converted)
        for listener in self._listeners:
            listener()

    def _converted(self, records: Sequence[Mapping[str, Any]]) -> list[StreamRecord]:
        if self._client.kind == "dynamodb":
            return [dynamodb_record(record, self.stream_arn) for record in records]
        return [kinesis_record(record, self.stream_arn, self.shard_id) for record in records]

    def _recover(self, error: EmulatorError) -> None:
        if error.code in {"ExpiredIteratorException", "TrimmedDataAccessException"}:
            self._iterator = None
        if error.code == "TrimmedDataAccessException":
            # As Lambda does: on with the oldest record that is left.
            self._position, self._last = "TRIM_HORIZON", None
        if error.code != "ExpiredIteratorException" and not self._stopping:
            self._console.line(f"{self.stream_arn} {self.shard_id} cannot be read: {error}")
            self._pause(RECONNECT_SECONDS)
