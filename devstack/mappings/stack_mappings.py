"""All mappings of a stack that runs, and the shards that each reads."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from devstack.checkpoints import Checkpoints, Position, StreamPositions
from devstack.console import Console
from devstack.errors import DevstackError
from devstack.event_source_mapping import (
    readable_shards,
)
from devstack.mappings.destinations import Destinations
from devstack.mappings.drivers import Invoker, PipeDriver, QueueDriver, StreamDriver
from devstack.mappings.shard_reader import ShardReader
from devstack.mappings.stream_client import RECONNECT_SECONDS, EmulatorError, StreamClient
from devstack.template import EventSourceMapping, Pipe
from headwater.change_stream.source_kinds import StreamKind


def _parents(shards: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Each shard's parents, as `readable_shards` takes them."""
    return {
        shard["ShardId"]: [shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name)]
        for shard in shards
    }


def _closed(shards: Iterable[Mapping[str, Any]]) -> set[str]:
    return {shard["ShardId"] for shard in shards if shard["SequenceNumberRange"].get("EndingSequenceNumber")}


class _StreamMapping:
    """One stream mapping's way through the shards of its stream."""

    def __init__(self, mapping: EventSourceMapping, kind: StreamKind, port: int, known: Checkpoints) -> None:
        self.mapping = mapping
        self.kind: StreamKind = kind
        self._port = port
        self._known = known.of(mapping.title, mapping.source_arn)
        self._drained = {shard for shard, place in (self._known or {}).items() if place.drained}
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        try:
            client = StreamClient(kind, port)
            self.retention = client.retention(mapping.source_arn)
            if self._known is None and mapping.starting_position == "LATEST":
                self._drained = _closed(client.describe_shards(mapping.source_arn))
        except EmulatorError as error:
            raise DevstackError(f"{mapping.title}: {mapping.source_arn} cannot be read: {error}") from error
        finally:
            client.close()

    def next_shards(self, drained: str | None = None) -> list[tuple[str, str, str | None]]:
        """Shards to read from now on, each with its position and the sequence number to begin after.

        What comes to light later is a child of what was read, and is read from its beginning whatever the mapping's
        StartingPosition: LATEST would step over what was written since the split.
        """
        first = not self._taken and self._known is None
        client = StreamClient(self.kind, self._port)
        try:
            shards = client.describe_shards(self.mapping.source_arn)
        finally:
            client.close()
        with self._lock:
            if drained is not None:
                self._drained.add(drained)
            due = [shard for shard in readable_shards(_parents(shards), self._drained) if shard not in self._taken]
            self._taken.update(due)
        known = self._known or {}
        position = self.mapping.starting_position if first else "TRIM_HORIZON"
        return [(shard, position, known[shard].after if shard in known else None) for shard in due]

    def positions(self, drivers: Iterable[StreamDriver]) -> StreamPositions:
        shards = {shard: Position(drained=True) for shard in self._drained}
        shards |= {driver.reader.shard_id: driver.position for driver in drivers if driver.mapping is self.mapping}
        return StreamPositions(self.mapping.source_arn, shards)


class Mappings:
    """All mappings of the stack.

    Shards that come to light later, when one was split, join while it runs.

    Raises
    ------
    DevstackError
        A stream cannot be read.
    """

    def __init__(
        self,
        mappings: Iterable[EventSourceMapping],
        *,
        port: int,
        functions: Invoker,
        destinations: Destinations,
        console: Console,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._port = port
        self._functions = functions
        self._destinations = destinations
        self._console = console
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._paused: set[str] = set()
        self.streams: list[StreamDriver] = []
        self.queues: list[QueueDriver] = []
        self.readers: list[ShardReader] = []
        self._stream_mappings: dict[str, _StreamMapping] = {}
        shared: dict[tuple[str, str, str, str | None], ShardReader] = {}
        for mapping in mappings:
            if mapping.kind == "sqs":
                self.queues.append(QueueDriver(mapping, functions, destinations.sqs, console))
                continue
            stream = _StreamMapping(mapping, mapping.kind, port, checkpoints or Checkpoints())
            self._stream_mappings[mapping.title] = stream
            for shard_id, position, after in stream.next_shards():
                key = (mapping.source_arn, shard_id, position, after)
                reader = shared.get(key)
                if reader is None:
                    reader = shared[key] = self._reader(stream, shard_id, position, after)
                self.streams.append(self._driver(stream, reader))
        self.readers = list(shared.values())

    def _reader(self, stream: _StreamMapping, shard_id: str, position: str, after: str | None) -> ShardReader:
        client = StreamClient(stream.kind, self._port)
        arn = stream.mapping.source_arn
        return ShardReader(client, arn, shard_id, position=position, after=after, console=self._console)

    def _driver(self, stream: _StreamMapping, reader: ShardReader) -> StreamDriver:
        settings: dict[str, Any] = {
            "retention": stream.retention,
            "functions": self._functions,
            "destinations": self._destinations,
            "console": self._console,
            "on_drained": self._follow,
        }
        if isinstance(stream.mapping, Pipe):
            return PipeDriver(stream.mapping, reader, **settings)
        return StreamDriver(stream.mapping, reader, **settings)

    def _follow(self, drained: StreamDriver) -> None:
        """Read the children of a shard that one mapping has settled. Called in that driver's thread."""
        stream = self._stream_mappings[drained.mapping.title]
        while not self._stopping.is_set():
            try:
                due = stream.next_shards(drained.reader.shard_id)
                break
            except (EmulatorError, OSError, http.client.HTTPException) as error:
                self._console.line(f"{drained.mapping.title} cannot list shards: {error}")
                time.sleep(RECONNECT_SECONDS)
        else:
            return
        for shard_id, position, after in due:
            # Another mapping reaches a child at another time, so that each has a reader of its own there.
            reader = self._reader(stream, shard_id, position, after)
            driver = self._driver(stream, reader)
            driver.paused = stream.mapping.title in self._paused
            with self._changing:
                if self._stopping.is_set():
                    return
                # New lists, because others walk through them.
                self.readers = [*self.readers, reader]
                self.streams = [*self.streams, driver]
                reader.start()
                driver.start()

    def start(self) -> None:
        for part in self._parts():
            part.start()

    def stop(self) -> None:
        with self._changing:
            self._stopping.set()
        for part in self._parts():
            part.stop()

    def join(self, timeout: float) -> None:
        """Wait for the threads, together at most ``timeout`` seconds; what still runs is a daemon."""
        deadline = time.monotonic() + timeout
        for part in self._parts():
            part.join(max(0.0, deadline - time.monotonic()))

    def poke(self) -> None:
        """An invocation has ended, so that streams may hold something new."""
        for reader in self.readers:
            reader.poke()

    def backlog(self) -> dict[str, int]:
        """Per mapping: records read and not checkpointed; messages on the queue."""
        counts: dict[str, int] = {}
        for stream in self.streams:
            counts[stream.mapping.title] = counts.get(stream.mapping.title, 0) + stream.backlog
        for queue in self.queues:
            counts[queue.mapping.title] = queue.depth()
        return counts

    def pause(self, title: str, *, paused: bool) -> None:
        """Stop or resume a mapping, on every shard of its stream and on those to come."""
        with self._changing:
            (self._paused.add if paused else self._paused.discard)(title)
            drivers = [each for each in (*self.streams, *self.queues) if each.mapping.title == title]
        for driver in drivers:
            driver.pause(paused=paused)

    def skip(self, seconds: float) -> None:
        """Let time pass for all that waits in streams, and for no other."""
        for driver in self.streams:
            driver.age(seconds)
        for reader in self.readers:
            reader.age(seconds)

    def told(self) -> list[dict[str, Any]]:
        """How each mapping goes, as JSON: counts since the start, ``lag_seconds`` of the oldest that waits."""
        found: dict[str, dict[str, Any]] = {}
        drivers: tuple[StreamDriver | QueueDriver, ...] = (*self.streams, *self.queues)
        for driver in drivers:
            lag, retrying = (driver.lag, driver.retrying) if isinstance(driver, StreamDriver) else (None, False)
            waiting = driver.backlog if isinstance(driver, StreamDriver) else driver.depth()
            mapping = driver.mapping
            each = found.setdefault(
                mapping.title,
                {
                    "title": mapping.title,
                    "function": mapping.function,
                    "pipe": mapping.name if isinstance(mapping, Pipe) else None,
                    "source_arn": mapping.source_arn,
                    "paused": driver.paused,
                    "lag_seconds": None,
                    **dict.fromkeys(("waiting", "delivered", "retries"), 0),
                    "retrying": False,
                },
            )
            each["waiting"] += waiting
            each["delivered"] += driver.delivered
            each["retries"] += driver.retries
            each["retrying"] |= retrying
            if lag is not None:
                each["lag_seconds"] = max(lag, each["lag_seconds"] or 0.0)
        return list(found.values())

    def records_read(self) -> dict[str, int]:
        """Records that each stream has brought since the start, by its ARN."""
        counts: dict[str, int] = {}
        read: set[tuple[str, str]] = set()
        for reader in self.readers:
            # A shard that two mappings reached at different times has two readers: it is counted once.
            if (reader.stream_arn, reader.shard_id) not in read:
                read.add((reader.stream_arn, reader.shard_id))
                counts[reader.stream_arn] = counts.get(reader.stream_arn, 0) + reader.total
        return counts

    def checkpoints(self) -> Checkpoints:
        """Where a later run goes on; meaningful once everything has stopped."""
        return Checkpoints({title: stream.positions(self.streams) for title, stream in self._stream_mappings.items()})

    def _parts(self) -> Iterable[ShardReader | StreamDriver | QueueDriver]:
        return (*self.readers, *self.streams, *self.queues)
