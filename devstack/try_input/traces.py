"""What a function left behind in the cloud, by comparing it before and after; never what the function says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from devstack.simulator.cloud import Cloud
from devstack.simulator.cloud.items import decode
from devstack.simulator.cloud.sesv2 import SentEmail
from devstack.try_input.records import Given, parsed, texts
from headwater.archive import reader

#: Behind each topic, takes everything that is published to it, whatever the subscriptions filter.
_WITNESS: Final = "TryWitness"


def watch(cloud: Cloud) -> None:
    """Puts a queue behind each topic, because a topic keeps nothing."""
    for number, arn in enumerate(cloud.sns.topics):
        cloud.subscribe(arn, cloud.create_queue(f"{_WITNESS}{number}"))


@dataclass(frozen=True, slots=True)
class Trace:
    """Something new or changed: an item, a line of an object, a record of a stream, a message.

    ``place`` is the table's, bucket's, stream's, topic's or queue's name, ``name`` the object's key, ``body`` a
    message's text.
    """

    kind: Literal["item", "object", "record", "topic", "message"]
    place: str
    content: Any
    name: str = ""
    body: str = ""

    def __str__(self) -> str:
        return f"{self.place}/{self.name}" if self.name else self.place

    def mentions(self, record: Given) -> bool:
        """Whether it names the record's event, and no other aggregate than the record's."""
        if not record.ids.intersection(texts(self.content)):
            return False
        told = self.content.get("aggregate_id") if isinstance(self.content, dict) else None
        return not (isinstance(told, str) and record.aggregate_id and told != record.aggregate_id)


@dataclass(frozen=True, slots=True)
class Before:
    """The cloud at one moment: enough of it to tell what came later."""

    items: dict[str, dict[Any, bytes]]
    objects: dict[str, dict[str, str]]
    records: dict[str, dict[str, int]]
    messages: dict[str, frozenset[int]]
    undelivered: dict[str, int]
    mails: int

    @classmethod
    def of(cls, cloud: Cloud) -> Before:
        return cls(
            {name: dict(table.items) for name, table in cloud.dynamodb.tables.items()},
            {name: _tags(cloud, name) for name in cloud.s3.buckets},
            {name: {shard.id: shard.end for shard in log.shards} for name, log in cloud.kinesis.logs.items()},
            {queue.name: frozenset(queue.messages) for queue in cloud.sqs.queues.values()},
            {arn: len(topic.undelivered) for arn, topic in cloud.sns.topics.items()},
            len(cloud.outbox),
        )


class Traces:
    """Everything new or changed since ``before``; read when it is asked for, so ask before the cloud moves on."""

    def __init__(self, cloud: Cloud, before: Before) -> None:
        self._cloud = cloud
        self._before = before

    @cached_property
    def all(self) -> list[Trace]:
        return [*self._items(), *self._objects(), *self._records(), *self._messages(), *self._undelivered()]

    @cached_property
    def mails(self) -> list[SentEmail]:
        return self._cloud.outbox[self._before.mails :]

    def of(self, kind: str, place: str = "") -> list[Trace]:
        return [trace for trace in self.all if trace.kind == kind and place in ("", trace.place)]

    def _items(self) -> Iterator[Trace]:
        for name, table in self._cloud.dynamodb.tables.items():
            before = self._before.items[name]
            for key, stored in table.items.items():
                if before.get(key) != stored:
                    yield Trace("item", name, decode(stored))

    def _objects(self) -> Iterator[Trace]:
        for name, bucket in self._cloud.s3.buckets.items():
            for key, tag in _tags(self._cloud, name).items():
                if self._before.objects[name].get(key) != tag:
                    for line in _lines(key, bucket.objects[key].body):
                        yield Trace("object", name, line, key)

    def _records(self) -> Iterator[Trace]:
        for name, log in self._cloud.kinesis.logs.items():
            for shard in log.shards:
                start = max(self._before.records[name].get(shard.id, 0), shard.first_index)
                for record in shard.read(start, shard.end - start):
                    yield Trace("record", name, record.body)

    def _messages(self) -> Iterator[Trace]:
        witnesses = {f"{_WITNESS}{number}": arn for number, arn in enumerate(self._cloud.sns.topics)}
        for queue in self._cloud.sqs.queues.values():
            topic = witnesses.get(queue.name, "")
            for number, message in queue.messages.items():
                if number not in self._before.messages[queue.name]:
                    kind: Literal["topic", "message"] = "topic" if topic else "message"
                    place = topic.rpartition(":")[2] or queue.name
                    yield Trace(kind, place, parsed(message.body), body=message.body)

    def _undelivered(self) -> Iterator[Trace]:
        # Published all the same: what the witness's queue refused.
        for arn, topic in self._cloud.sns.topics.items():
            for body in topic.undelivered[self._before.undelivered[arn] :]:
                yield Trace("topic", arn.rpartition(":")[2], parsed(body), body=body)


def _tags(cloud: Cloud, bucket: str) -> dict[str, str]:
    return {key: stored.etag for key, stored in cloud.bucket(bucket).objects.items()}


def _lines(key: str, body: bytes) -> Iterator[Any]:
    """The lines of an object, as far as they are JSON; its whole text otherwise."""
    if key.endswith(".zst"):
        try:
            yield from reader.lines(body)
        except reader.UnreadableObjectError as error:
            yield str(error)
        return
    whole = parsed(body)
    if whole is not None:
        yield whole
        return
    for line in body.splitlines():
        content = parsed(line)
        yield line.decode(errors="replace") if content is None else content
