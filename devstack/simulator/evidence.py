"""What a run left behind, read past all faults: what the invariants judge by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import cached_property
from typing import Any

import orjson

from devstack.simulator.cloud.items import base64_text
from devstack.simulator.delivery import GivenUp
from devstack.simulator.odd import addresses_in
from devstack.simulator.operator import PARKED, UNRESOLVED
from devstack.simulator.places import Place, event_of, key_of, place_of_item
from devstack.simulator.world import World
from headwater import bootstrap
from headwater.archive import bi_export, curated, reader
from headwater.archive.envelope import change_record
from headwater.attribute_values import unmarshal_item
from headwater.change_stream.records import ChangeRecord, Operation
from headwater.dead_letters.parked import MalformedParkedError, ParkedRecords, decode
from headwater.domain.events import MalformedEventError, RecordedEvent, UnknownEventError
from headwater.event_store import codec
from headwater.limits import KinesisLimits
from headwater.projections.projection import RESERVED_ATTRIBUTES, Projection, Rank
from headwater.projections.read_models import Row


def place_of(record: ChangeRecord) -> Place:
    """The place of the event that a change of the table concerns."""
    return place_of_item(record.keys)


def digest(image: object) -> bytes:
    """Of an image as canonical JSON: the same for images that are equal byte by byte."""
    text = orjson.dumps(image, default=base64_text, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()


class Evidence:
    """The committed events, and everything that came of them.

    ``log`` holds, by aggregate id, the events in order of version; digests of their items are in ``images``. An item
    that is no event is in ``unreadable``. An aggregate that holds a poison record is in ``poisoned``: from there on it
    may be parked, and no other aggregate may.

    What odd records were written, and the aggregates that they may harm, are in ``odd``; of those aggregates nothing is
    in ``log``: their items are in ``odd_items``, to be judged by `devstack.simulator.odd_invariants`.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.odd = world.odd.done
        self.refusals = world.faults.refusals
        self.poisoned = frozenset(world.poisoned | self.odd.aggregates | self.refusals.aggregates)
        self.given_up: list[GivenUp] = world.given_up
        self.log: dict[str, list[RecordedEvent]] = {}
        self.images: dict[Place, bytes] = {}
        self.unreadable: set[Place] = set()
        self.odd_items: dict[Place, dict[str, Any]] = {}
        for item in world.cloud.items(world.table_stream):
            place = place_of_item(item)
            self.images[place] = digest(item)
            if place[0] in self.odd.aggregates:
                self.odd_items[place] = item
                continue
            try:
                self.log.setdefault(place[0], []).append(codec.decode(item, bootstrap.event_types()))
            except (MalformedEventError, UnknownEventError):
                self.unreadable.add(place)
        for events in self.log.values():
            events.sort(key=lambda event: event.version)
        # An odd player's id may leave an award's no room in a partition key: Kinesis refuses it, and fan_out parks it.
        self.poisoned |= {each for each in self.log if len(each) > KinesisLimits().partition_key_characters}

    @cached_property
    def odd_keys(self) -> frozenset[str]:
        """The keys of read-model rows, users above all, that odd records may harm."""
        return frozenset(key_of(aggregate_id) for aggregate_id in self.odd.aggregates)

    @cached_property
    def odd_addresses(self) -> frozenset[str]:
        """Where e-mails may go for odd events, and for the others of their aggregates: they are judged with them."""
        texts = (str(item.get("data")) for item in self.odd_items.values())
        return frozenset(self.odd.addresses.union(*map(addresses_in, texts)))

    def events(self, *types: str) -> Iterator[RecordedEvent]:
        """All events of the aggregate types (of all, if none is named)."""
        for aggregate_id, events in self.log.items():
            if not types or aggregate_id.partition("#")[0] in types:
                yield from events

    def items(self, table: str) -> Iterator[dict[str, Any]]:
        """A table's items as plain values."""
        return map(unmarshal_item, self.world.cloud.items(table))

    def rows(self, projection: Projection) -> dict[str, Row]:
        """The read model's rows by key."""
        prefix = projection.pk("")
        rows = {}
        for item in self._row_items:
            pk: str = item["pk"]
            if pk.startswith(prefix):
                state = {name: value for name, value in item.items() if name not in RESERVED_ATTRIBUTES}
                rows[pk.removeprefix(prefix)] = Row(
                    pk=pk,
                    state=None if item.get("deleted") else state,
                    applied=item["applied"],
                    revision=item["revision"],
                    rank=Rank(item["ranking"], item["ranked_by"]) if "ranking" in item else None,
                    parked_from=item.get("parked_from", {}),
                    waits_for=item.get("waits_for", {}),
                )
        return rows

    @cached_property
    def _row_items(self) -> list[dict[str, Any]]:
        return list(self.items("ReadModelsTable"))

    def archive(self, source: str = "events") -> Iterator[ChangeRecord]:
        """The records of a source of the archive, each once."""
        seen: set[str] = set()
        for _, columns in self.lines(source):
            if columns["stream_event_id"] not in seen:
                seen.add(columns["stream_event_id"])
                yield change_record(columns)

    def lines(self, source: str = "events") -> Iterator[tuple[str, dict[str, Any]]]:
        """The lines of a source of the archive, each with its object's key."""
        for key, body in self.objects("ArchiveBucket", curated.raw_prefix(source)):
            for columns in reader.lines(body):
                yield key, columns

    @cached_property
    def removed(self) -> frozenset[Place]:
        """Events that were in the table and are in the archive alone: expired, or removed by hand."""
        gone = {Operation.REMOVE.value, Operation.EXPIRE.value}
        return frozenset(
            place_of(change_record(columns)) for _, columns in self.lines() if columns["operation"] in gone
        )

    def messages(self, queue: str) -> list[Any]:
        """The bodies that a queue still holds, decoded; odd ones left out."""
        odd = self._odd_messages
        return [
            orjson.loads(message.body)
            for message in self.world.cloud.queue(queue).messages.values()
            if message.id not in odd and message.body not in odd
        ]

    @cached_property
    def _odd_messages(self) -> frozenset[str]:
        """Ids and bodies of the odd messages, wherever they lie by now."""
        return frozenset(text for sent in self.odd.messages.values() for message in sent.items() for text in message)

    def objects(self, bucket: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        """A bucket's objects by key; foreign ones left out, damaged ones as they were before."""
        for key, stored in self.world.cloud.bucket(bucket).objects.items():
            if key.startswith(prefix) and key not in self.odd.foreign:
                yield key, self.odd.damaged.get(key, stored.body)

    def exported(self) -> Iterator[dict[str, Any]]:
        """The lines of the export for dashboards, as far as its objects are whole."""
        for key, stored in self.world.cloud.bucket("ArchiveBucket").objects.items():
            if key.startswith(bi_export.PREFIX) and key not in self.odd.foreign:
                for line in stored.body.splitlines():
                    with suppress(ValueError) if key in self.odd.damaged else nullcontext():
                        yield orjson.loads(line)

    @cached_property
    def damaged_exports(self) -> frozenset[str]:
        """Ids of the events whose lines were in objects of the export that were damaged since."""
        return frozenset(
            orjson.loads(line)["event_id"]
            for key, body in self.odd.damaged.items()
            if key.startswith(bi_export.PREFIX)
            for line in body.splitlines()
        )

    def parked(self, function: str) -> set[Place]:
        """Events that a function's mappings gave up, as far as they wait to be redriven: parked, or in the bucket."""
        if function == "ArchiverFunction":
            return {
                event
                for given_up in self.given_up
                if given_up.function == function and given_up.place in self._in_bucket
                for event in given_up.events
            }
        consumer = self.world.functions.consumer(function)
        return self._parked.get(consumer, set()) | self.pointed.get(function, set())

    def redriven(self, function: str) -> set[Place]:
        """Events that a function had parked and that were redriven."""
        return self.world.operator.records.get(self.world.functions.consumer(function), set())

    @cached_property
    def unresolved(self) -> list[Any]:
        """The pointers on UnresolvedPointersQueue, which an alarm counts and ``headwater dead-letters list`` names."""
        return [message for message in self.messages(UNRESOLVED) if isinstance(message, dict)]

    @cached_property
    def pointed(self) -> dict[str, set[Place]]:
        """By function, the given up events to which an unresolved pointer leads."""
        batches = [batch for each in self.unresolved for name, batch in each.items() if name.endswith("BatchInfo")]
        named = {
            (batch["streamArn"], batch["shardId"], batch["startSequenceNumber"], batch["endSequenceNumber"])
            for batch in batches
        }
        places: dict[str, set[Place]] = {}
        for given_up in self.given_up:
            if given_up.place in named:
                places.setdefault(given_up.function, set()).update(given_up.events)
        return places

    def pointed_to(self, function: str, sequence_number: str) -> bool:
        """Whether an unresolved pointer leads to a record of Kinesis that a function's mapping gave up."""
        return any(
            int(batch["startSequenceNumber"]) <= int(sequence_number) <= int(batch["endSequenceNumber"])
            for each in self.unresolved
            if str(each.get("requestContext", {}).get("functionArn")).endswith(f"-{function}")
            and (batch := each.get("KinesisBatchInfo"))
        )

    @cached_property
    def _parked(self) -> dict[str, set[Place]]:
        """By consumer, the events of the messages on ParkedRecordsQueue."""
        places: dict[str, set[Place]] = {}
        for parked in self.parked_records:
            places.setdefault(parked.consumer, set()).update(map(event_of, parked.raw))
        return places

    @cached_property
    def parked_records(self) -> list[ParkedRecords]:
        """The messages on ParkedRecordsQueue."""
        return [
            decode(message.body, self.world.claims)
            for message in self.world.cloud.queue(PARKED).messages.values()
            if not {message.id, message.body} & self._odd_messages
        ]

    @property
    def letters(self) -> Iterator[ParkedRecords]:
        """The records on all queues that a person sees, or that are tried again by themselves."""
        queues = self.world.cloud.sqs.queues.values()
        for queue in queues:
            for message in queue.messages.values():
                if not {message.id, message.body} & self._odd_messages:
                    with suppress(MalformedParkedError):
                        yield decode(message.body, self.world.claims)

    @cached_property
    def _in_bucket(self) -> set[tuple[str, str, str, str]]:
        """The places that objects in FailedBatchesBucket name: stream, shard, first and last sequence number."""
        places = set()
        for _, body in self.objects("FailedBatchesBucket", ""):
            batch = orjson.loads(body)["DDBStreamBatchInfo"]
            places.add((batch["streamArn"], batch["shardId"], batch["startSequenceNumber"], batch["endSequenceNumber"]))
        return places
