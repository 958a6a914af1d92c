"""Odd records: what AWS accepts and this project did not write, through every entry of the system.

The kinds are derived, none is written for a field: attributes and documents come from the sample events of the
functions (``events/``), payloads and their limits from the event classes' schemas, entries from the mappings in the
template. A kind that AWS itself refuses counts as met, since nothing of it can arrive.

Whose chance is its own: the other histories of a seed stay what they are without odd records.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import orjson
from botocore.exceptions import ClientError, ParamValidationError

from devstack.simulator import defects
from devstack.simulator.cloud.items import canonical
from devstack.simulator.defects import Defect
from devstack.simulator.places import Place, key_of, place_of_item
from devstack.simulator.surroundings import Surroundings
from devstack.simulator.workload import User
from devstack.template import EventSourceMapping
from headwater import bootstrap
from headwater.domain.events import RecordedEvent

type Item = dict[str, Any]
type Inject = Callable[[], bool]

_ROOT: Final = Path(__file__).parents[2]
SAMPLES: Final = _ROOT / "events"
SCHEMAS: Final = _ROOT / "schemas"

#: Of the odd records, so many come into the aggregate of somebody who is there, at its next version.
_INTO_THE_LIVING: Final = 0.25
#: How long a gap may last that is filled after all, in seconds.
_FILLED_AFTER: Final = (1.0, 300.0)
#: DynamoDB's keys in bytes, Kinesis's in characters, SQS's and Kinesis's messages and DynamoDB's items in bytes.
_KEY_BYTES: Final = 2_048
_KEY_CHARACTERS: Final = 256
_ITEM_BYTES: Final = 400 * 1024
_SNS_BYTES: Final = 256 * 1024
_MESSAGE_BYTES: Final = 1024 * 1024
_DEEPEST_ITEM: Final = 30
#: What a person's address looks like in the text of an item or a message.
_ADDRESS: Final = re.compile(r"[\w.+-]{1,64}@[\w.-]+")
_YEAR: Final = re.compile(r'"\d{4}-')
#: What a domain of one odd record's addresses ends with.
_ADDRESSES: Final = "example.org"


class Foreign(NamedTuple):
    """A record on Kinesis that no fan-out of ours put there."""

    kind: str
    key: str
    content: bytes


@dataclass(slots=True)
class Odd:
    """What was injected, by what each entry knows it by.

    ``aggregates`` hold an odd event, or are named by an odd record: they may suffer, and no other may. ``events`` are
    the odd events in the table; ``changes`` those that were changed, or removed, by hand, each with the number of its
    changes. ``records`` go by their sequence numbers on Kinesis; ``messages`` are bodies by queue and id;
    ``rows`` are keys of ApplicationsTable, each with its action's id; ``applications`` are ids,
    ``addresses`` those that e-mails for odd events may go to. Of the archive's objects ``foreign`` are keys, and
    ``damaged`` what lay there before.
    """

    aggregates: set[str] = field(default_factory=set)
    events: dict[Place, str] = field(default_factory=dict)
    changes: Counter[Place] = field(default_factory=Counter)
    records: dict[str, Foreign] = field(default_factory=dict)
    messages: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: dict[tuple[str, str], str] = field(default_factory=dict)
    applications: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    damaged: dict[str, bytes] = field(default_factory=dict)


class OddRecords:
    """Injects odd records, one kind after the other; ``met`` counts them, ``refused`` are those that AWS did not take.

    Seeds that follow each other go on in the list of kinds where the one before them ends.
    """

    def __init__(self, world: Surroundings, users: Sequence[User]) -> None:
        self._world = world
        self._users = users
        self._chance = random.Random(f"odd {world.config.seed}")  # noqa: S311  # a history, not a secret
        self._templates: dict[str, Item] = {}
        #: The last transaction of each table but that of the events.
        self._rows: dict[str, list[Item]] = {}
        self._numbers = 0
        self._turns: Counter[str] = Counter()
        self._kind = ""
        self._kinds: dict[str, Inject] = {}
        self._waiting: list[str] = []
        self.met: Counter[str] = Counter()
        self.refused: set[str] = set()
        self.done = Odd()
        #: Actions that are still to come.
        self.pending = 0
        self._decided = 0
        self._spans = 0
        self._due = self._chance.random() / (world.config.odd or 1.0)
        if not world.config.odd:
            return
        self._kinds = dict(self._all())
        order = sorted(self._kinds, key=lambda name: hashlib.blake2b(name.encode(), digest_size=8).digest())
        order = [name for name in order if name in world.config.odd_only or not world.config.odd_only]
        start = world.config.seed * round(world.config.events * world.config.odd) % len(order)
        self._order = order[start:] + order[:start]
        world.faults.watch("dynamodb", "PutItem", self._saw_put)
        world.faults.watch("dynamodb", "TransactWriteItems", self._saw_transaction)

    @property
    def kinds(self) -> Sequence[str]:
        """All kinds by name."""
        return list(self._kinds)

    def holds(self, user_id: str) -> bool:
        """Whether one of a user's aggregates is odd."""
        return any(key_of(aggregate_id) == user_id for aggregate_id in self.done.aggregates)

    def go_on(self, produced: int) -> None:
        """Decides for each event since the last time whether an odd record follows it."""
        share = self._world.config.odd
        while self._decided < produced:
            self._decided += 1
            # One in each span of so many events, so that a seed has as many as the next one leaves out.
            if self._decided >= self._due:
                self._spans += 1
                self._due = (self._spans + self._chance.random()) / share
                self._next()

    def _next(self) -> None:
        # What had to wait for a sample of its type comes first, once there is one.
        for name in [*self._waiting, *self._order]:
            if name in self._waiting:
                self._waiting.remove(name)
            else:
                self._order.remove(name)
                self._order.append(name)
            if self._inject(name):
                return
            self._waiting.append(name)

    def _inject(self, name: str) -> bool:
        world = self._world
        self._kind = name
        with world.faults.suspended():
            try:
                if not self._kinds[name]():
                    return False
            except (ClientError, ParamValidationError, UnicodeError):
                # The way in is closed: nothing of this kind can arrive.
                self.refused.add(name)
        self.met[name] += 1
        world.engine.note(f"odd {name}")
        world.stir()
        return True

    # What is seen on the way, to make copies of

    def _saw_put(self, params: Mapping[str, Any]) -> None:
        if params["TableName"] == self._world.table_stream:
            self._saw(params["Item"])

    def _saw_transaction(self, params: Mapping[str, Any]) -> None:
        puts = [write["Put"] for write in params["TransactItems"] if "Put" in write]
        tables = {put["TableName"] for put in puts}
        if len(tables) == 1 and self._world.table_stream not in tables:
            self._rows[tables.pop()] = [put["Item"] for put in puts]
        for put in puts:
            if put["TableName"] == self._world.table_stream:
                self._saw(put["Item"])

    def _saw(self, item: Item) -> None:
        # Of an odd event it may be a number, or missing.
        type_ = item.get("type", {}).get("S")
        if type_ in bootstrap.application().events and item["aggregate_id"]["S"] not in self.done.aggregates:
            self._templates[type_] = item

    # The kinds

    def _all(self) -> Iterator[tuple[str, Inject]]:
        yield from self._of_events()
        streams: set[str] = set()
        #: Queues whose messages are alike share their kinds, and take turns.
        queues: dict[tuple[str, ...], dict[str, Any]] = {}
        for mapping in sorted(self._world.mappings, key=lambda mapping: mapping.title):
            source = mapping.source_arn
            if mapping.kind == "sqs":
                name = source.rpartition(":")[2]
                sample = sample_documents(mapping.function)[0]
                queues.setdefault(tuple(sorted(sample.keys() - {"data"})), {})[name] = sample
            elif source not in streams and f"table/{self._world.table_stream}/" not in source:
                streams.add(source)
                yield from self._of_stream(mapping) if mapping.kind == "kinesis" else self._of_rows(mapping)
        for samples in queues.values():
            yield from self._of_queues(samples)
        yield from self._of_objects()

    def _of_events(self) -> Iterator[tuple[str, Inject]]:
        def attribute(name: str, defect: Defect) -> Inject:
            return lambda: self._append(lambda item: defects.changed(item, name, defect))

        for name, sample in sorted(event_attributes().items()):
            for defect in defects.of_attribute(sample):
                yield f"event: {name}: {defect.name}", attribute(name, defect)
            if _is_document(sample):
                for defect in defects.of_document():
                    yield f"event: {name}: {defect.name}", partial(self._append, partial(_spoil_text, name, defect))
                for member, value in json.loads(sample["S"]).items():
                    for defect in () if name == "data" else defects.of_value(value):
                        yield (
                            f"event: {name}.{member}: {defect.name}",
                            partial(self._append, partial(_spoil_member, name, member, defect)),
                        )
        for type_ in bootstrap.application().events:
            for member, schema in payload_schema(type_).items():
                for defect in defects.of_value(None, schema):
                    yield (
                        f"event: {type_}.{member}: {defect.name}",
                        partial(self._append, partial(_spoil_member, "data", member, defect), type_),
                    )
        for kind in (
            "",
            "#",
            "user",
            "user#",
            "#1",
            "user##",
            "other#1",
            "user#1#2",
            " user#1",
            "user#\n",
            "user#\ufffe",
        ):
            yield f"event: aggregate_id: {kind!r}", partial(self._append, partial(_renamed, kind))
        for name, size in (
            *defects.limits((_KEY_CHARACTERS,), "characters"),
            *defects.limits((_KEY_BYTES,), "bytes"),
        ):
            for filler, four in (("x", ""), ("🏆", ", 4 each")):
                with_key = partial(self._append, partial(_with_key, filler, size))
                yield f"event: aggregate_id: {name}{four}", with_key
        for kind, extra in (*defects.EXTRA_ATTRIBUTES.items(), ("31 levels", _nested_attribute())):
            yield f"event: another attribute of type {kind}", partial(self._append, partial(_extended, extra))
        for name, size in defects.limits((_SNS_BYTES, _ITEM_BYTES), "bytes"):
            for document in ("data", "metadata"):
                padded = partial(self._append, partial(_padded, document, size))
                yield f"event: {document} to an item of {name}", padded
        yield "event: version 3 alone", partial(self._gap, None)
        yield "event: a gap that is filled", partial(self._gap, (3, 4))
        yield "event: a gap that is filled from above", partial(self._gap, (4, 3))
        yield "event: the same again under another id", self._again
        yield "event: the same again under its own id", partial(self._again, same=True)
        yield "event: past its time to live", partial(self._append, _expired)
        for defect in defects.of_document():
            yield f"event changed by hand: data: {defect.name}", partial(self._change, defect)
        for which in ("first", "last"):
            yield f"event removed by hand: the {which}", partial(self._remove, last=which == "last")

    def _of_stream(self, mapping: EventSourceMapping) -> Iterator[tuple[str, Inject]]:
        sample = sample_documents(mapping.function)[0]
        label = self._world.cloud.log(mapping.source_arn.split("/")[1]).name
        put = partial(self._put_record, label)
        for name, spoil in _of_json(sample):
            yield f"{label}: {name}", partial(put, spoil)
        for kind, reference in _REFERENCES.items():
            yield f"{label}: dataref: {kind}", partial(put, partial(_claimed, reference))
        for each in defects.of_document(binary=True):
            yield f"{label}: {each.name}", partial(put, partial(_changed_text, each))
        for name, size in defects.limits((_KEY_CHARACTERS,), "characters"):
            yield f"{label}: a partition key of {name}", partial(put, lambda document: document, key="k" * size)
        yield f"{label}: no data", partial(put, partial(_instead, b""))
        # The key counts too.
        longest = b"x" * (_MESSAGE_BYTES - _KEY_CHARACTERS)
        yield f"{label}: as long as a record may be", partial(put, partial(_instead, longest))
        yield f"{label}: an event that is nowhere else", partial(put, lambda document: document)
        yield (
            f"{label}: an event of somebody else's aggregate",
            partial(put, lambda document: {**document, "subject": "user#nobody"}),
        )
        yield f"{label}: a version ahead of its aggregate", self._ahead

    def _of_queues(self, samples: Mapping[str, Any]) -> Iterator[tuple[str, Inject]]:
        label = "message of an event" if len(samples) > 1 else next(iter(samples))
        sample = next(iter(samples.values()))
        send = partial(self._send, label, samples)
        for kind, spoil in _of_json(sample):
            yield f"{label}: {kind}", partial(send, spoil)
        for kind, reference in _REFERENCES.items() if "specversion" in sample else ():
            yield f"{label}: dataref: {kind}", partial(send, partial(_claimed, reference))
        for each in defects.of_document():
            yield f"{label}: {each.name}", partial(send, partial(_changed_text, each))
        for name, size in defects.limits((_MESSAGE_BYTES,), "bytes"):
            yield f"{label}: {name}", partial(send, partial(_instead, "x" * size))
        yield f"{label}: a message twice under two ids", partial(send, lambda document: document, copies=2)

    def _of_objects(self) -> Iterator[tuple[str, Inject]]:
        """What people and tools leave in the archive's bucket, and what becomes of its objects on the way."""
        for name in _FOREIGN_NAMES:
            for beside in ("raw/", "curated/", "bi/"):
                yield f"ArchiveBucket: {name or 'a folder'} beside {beside}", partial(self._leave, beside, name, b"")
        for name in ("x.jsonl.zst", "x.parquet", "x.json"):
            for kind, content in _FOREIGN_CONTENTS.items():
                yield f"ArchiveBucket: {name}: {kind}", partial(self._leave, "raw/", name, content)
        for beside in ("raw/", "bi/events/"):
            for damage in _DAMAGES:
                yield f"ArchiveBucket: an object of {beside} {damage}", partial(self._damage, beside, damage)

    def _of_rows(self, mapping: EventSourceMapping) -> Iterator[tuple[str, Inject]]:
        table = mapping.source_arn.split("/")[1]
        keys = {name for name, _ in self._world.cloud.table(table).keys}
        readers = [each for each in self._world.mappings if each.source_arn == mapping.source_arn]
        samples = [sample_items(function) for reader in readers for function in reader.functions]
        sample = next(items for items in samples if keys <= items.keys())
        for name, value in sorted(sample.items()):
            for defect in defects.of_attribute(value):
                yield f"{table}: {name}: {defect.name}", partial(self._put_row, table, frozenset(sample), name, defect)

    # How they come in

    def _append(self, spoil: Callable[[Item], Item], type_: str | None = None) -> bool:
        """Puts an odd event between sound ones of its type, into an aggregate of its own or a living one."""
        template = self._template(type_)
        if template is None:
            return False
        living = self._living(template) if self._chance.random() < _INTO_THE_LIVING else None
        if living is not None:
            aggregate_id, version = living
            odd = spoil(self._copy(template, aggregate_id, version))
            self._put_event(odd)
            self._keep(odd, aggregate_id)
            self._stop(aggregate_id)
            return True
        aggregate_id = self._new_aggregate(template)
        sound = self._chance.randrange(3)
        for version in range(1, sound + 1):
            self._put_event(self._copy(template, aggregate_id, version))
        odd = spoil(self._copy(template, aggregate_id, sound + 1))
        self._put_event(odd)
        self._keep(odd, aggregate_id)
        # What comes after it must not overtake it.
        self._put_event(self._copy(template, aggregate_id, sound + 2))
        return True

    def _gap(self, filled: Sequence[int] | None) -> bool:
        template = self._template(None)
        if template is None:
            return False
        aggregate_id = self._new_aggregate(template)
        missing = filled or ()
        versions = [3] if filled is None else [1, 2, 5]
        for version in versions:
            item = self._copy(template, aggregate_id, version)
            self._put_event(item)
            self._keep(item, aggregate_id)
        for version in missing:
            item = self._copy(template, aggregate_id, version)
            self._keep(item, aggregate_id)
            self._later(partial(self._put_event, item))
        return True

    def _again(self, *, same: bool = False) -> bool:
        template = self._template(None)
        if template is None:
            return False
        aggregate_id = self._new_aggregate(template)
        first = self._copy(template, aggregate_id, 1)
        second = {**first, "version": {"N": "2"}} if same else self._copy(template, aggregate_id, 2)
        for item in (first, second):
            self._put_event(item)
            self._keep(item, aggregate_id)
        return True

    def _change(self, defect: Defect) -> bool:
        """Writes over an event that stands in the table, once it has been delivered or before."""
        template = self._template(None)
        if template is None:
            return False
        aggregate_id = self._new_aggregate(template)
        item = self._copy(template, aggregate_id, 1)
        changed = {**item, "data": {"S": str(defect.change(item["data"]["S"]))}}
        self._put_event(item)
        self._later(partial(self._by_hand, item, changed))
        return True

    def _remove(self, *, last: bool) -> bool:
        template = self._template(None)
        if template is None:
            return False
        aggregate_id = self._new_aggregate(template)
        items = [self._copy(template, aggregate_id, version) for version in (1, 2)]
        for item in items:
            self._put_event(item)
        self._later(partial(self._by_hand, items[-1 if last else 0], None))
        return True

    def _by_hand(self, item: Item, changed: Item | None) -> None:
        world = self._world
        key = {name: item[name] for name in ("aggregate_id", "version")}
        table = {"TableName": world.table_stream, "Key": key}
        if changed == item or "Item" not in world.cloud.dynamodb.get_item(**table, ConsistentRead=True):
            # Of a change that changes nothing there is nothing to see, and what has expired cannot be changed.
            return
        if changed is None:
            world.cloud.dynamodb.delete_item(**table)
        else:
            world.cloud.dynamodb.put_item(TableName=world.table_stream, Item=changed)
        self.done.changes[place_of_item(item)] += 1
        world.engine.note(f"odd {place_of_item(item)} {'changed' if changed else 'removed'} by hand")

    def _put_record(self, stream: str, spoil: Callable[[Any], Any], key: str | None = None) -> bool:
        """Puts a record onto Kinesis past the fan-out: as a copy of what the fan-out might have put there."""
        template = self._template(None)
        if template is None:
            return False
        aggregate_id = self._new_aggregate(template)
        document = self._document(self._copy(template, aggregate_id, 1))
        content = spoil(document)
        key = key or aggregate_id
        answer = self._world.cloud.kinesis.put_records(
            StreamName=stream, Records=[{"Data": _bytes(content), "PartitionKey": key}]
        )
        self.done.aggregates |= {key, aggregate_id, *_named(content)}
        self.done.records[answer["Records"][0]["SequenceNumber"]] = Foreign(self._kind, key, _bytes(content))
        return True

    def _ahead(self) -> bool:
        """Says of a living aggregate that it has reached a version which it has not."""
        template = self._template("PlayCompleted")
        living = None if template is None else self._living(template)
        if template is None or living is None:
            return False
        aggregate_id, version = living
        document = self._document(self._copy(template, aggregate_id, version + 3))
        stream = next(mapping for mapping in self._world.mappings if mapping.kind == "kinesis")
        answer = self._world.cloud.kinesis.put_records(
            StreamName=stream.source_arn.split("/")[1],
            Records=[{"Data": _bytes(document), "PartitionKey": aggregate_id}],
        )
        self.done.aggregates.add(aggregate_id)
        self.done.records[answer["Records"][0]["SequenceNumber"]] = Foreign(self._kind, aggregate_id, _bytes(document))
        return True

    def _send(self, label: str, samples: Mapping[str, Any], spoil: Callable[[Any], Any], copies: int = 1) -> bool:
        """Sends a message to one of the queues, of somebody of its own."""
        self._numbers += 1
        turn = self._turns[label] = self._turns[label] + 1
        queue = sorted(samples)[turn % len(samples)]
        sample, text = samples[queue], json.dumps(samples[queue])
        if "application_id" in sample:
            for name in ("application_id", "action_id"):
                text = text.replace(sample[name], f"{sample[name]}-{self._numbers}")
            self.done.applications.add(f"{sample['application_id']}-{self._numbers}")
        if subject := sample.get("subject") or sample.get("aggregate_id"):
            own = subject.partition("#")[2]
            self.done.aggregates.add(subject.replace(own, f"{own}-{self._numbers}"))
            text = text.replace(own, f"{own}-{self._numbers}")
        if "id" in sample:
            text = text.replace(sample["id"], self._world.engine.uuid7_of(self._chance))
        text = text.replace("@example.org", f"@odd{self._numbers}.{_ADDRESSES}")
        if any(name.endswith("BatchInfo") for name in sample):
            # Of a time in which nothing was written: a pointer to our own records is no foreign one.
            text = _YEAR.sub('"2001-', text)
        spoilt = spoil(json.loads(text))
        body = spoilt if isinstance(spoilt, str) else defects.write(spoilt)
        self.done.aggregates |= _named(spoilt)
        if isinstance(spoilt, dict):
            self.done.applications.add(str(spoilt.get("application_id")))
        self.done.addresses.update(addresses_in(body))
        for _ in range(copies):
            url = self._world.cloud.queue(queue).url
            answer = self._world.cloud.sqs.send_message(QueueUrl=url, MessageBody=body)
            self.done.messages.setdefault(queue, {})[answer["MessageId"]] = body
        return True

    def _put_row(self, table: str, like: frozenset[str], name: str, defect: Defect) -> bool:
        """Writes once more what somebody wrote into a table, under other ids, with one attribute changed."""
        written = self._rows.get(table)
        if written is None:
            return False
        self._numbers += 1
        ids = {item[each]["S"] for item in written for each in item if each.endswith("_id")}
        text = orjson.dumps(written).decode()
        for each in sorted(ids):
            text = text.replace(f'{each}"', f'{each}-odd-{self._numbers}"')
        items = orjson.loads(text)
        self.done.applications |= {f"{each}-odd-{self._numbers}" for each in ids}
        keys = [key for key, _ in self._world.cloud.table(table).keys]
        for item in items:
            odd = defects.changed(item, name, defect) if like <= item.keys() else item
            self._world.cloud.dynamodb.put_item(TableName=table, Item=odd)
            place = odd[keys[0]]["S"], odd[keys[1]]["S"]
            self.done.rows[place] = str(odd.get("action_id", {}).get("S"))
            self.done.aggregates.add(place[0])
        return True

    def _leave(self, beside: str, name: str, content: bytes) -> bool:
        """Puts an object that is none of ours into the folder of one that is."""
        world = self._world
        bucket = world.cloud.bucket(bootstrap.settings().archive_bucket)
        ours = [key for key in sorted(bucket.objects) if key.startswith(beside) and key not in self.done.foreign]
        if not ours:
            return False
        key = f"{self._chance.choice(ours).rpartition('/')[0]}/{name}"
        if key in bucket.objects and key not in self.done.foreign:
            return False
        self.done.foreign.add(key)
        world.cloud.s3.put_object(Bucket=bucket.name, Key=key, Body=content)
        return True

    def _damage(self, beside: str, damage: str) -> bool:
        world = self._world
        bucket = world.cloud.bucket(bootstrap.settings().archive_bucket)
        ours = [
            key
            for key in sorted(bucket.objects)
            if key.startswith(beside) and key not in self.done.foreign and key not in self.done.damaged
        ]
        if not ours:
            return False
        key = self._chance.choice(ours)
        body = bucket.objects[key].body
        self.done.damaged[key] = body
        world.cloud.s3.put_object(Bucket=bucket.name, Key=key, Body=_DAMAGES[damage](body))
        return True

    # Their parts

    def _template(self, type_: str | None) -> Item | None:
        if type_ is not None:
            return self._templates.get(type_)
        return self._templates[self._chance.choice(sorted(self._templates))] if self._templates else None

    def _copy(self, template: Item, aggregate_id: str, version: int) -> Item:
        """A sound event like the template, of another aggregate, person and command."""
        self._numbers += 1
        world = self._world
        old, new = template["aggregate_id"]["S"], aggregate_id
        person = old.partition("#")[2].partition("#")[0]
        text = orjson.dumps({**template, "aggregate_id": {"S": ""}, "event_id": {"S": ""}}).decode()
        text = text.replace(person, new.partition("#")[2].partition("#")[0])
        text = text.replace("@example.org", f"@odd{self._numbers}.{_ADDRESSES}").replace(
            "command-", f"odd-{self._numbers}-"
        )
        copy = {
            **orjson.loads(text),
            "aggregate_id": {"S": aggregate_id},
            "version": {"N": str(version)},
            "event_id": {"S": world.engine.uuid7_of(self._chance)},
        }
        if "expires_at" in copy:
            copy["expires_at"] = template["expires_at"]
        return copy

    def _new_aggregate(self, template: Item) -> str:
        type_, _, key = template["aggregate_id"]["S"].partition("#")
        rest = key.partition("#")[1] + key.partition("#")[2]
        return f"{type_}#{self._world.engine.uuid7_of(self._chance)}{rest}"

    def _living(self, template: Item) -> tuple[str, int] | None:
        """An aggregate of somebody who is there, and its next version."""
        type_ = template["aggregate_id"]["S"].partition("#")[0]
        users = [user for user in self._users if user.active]
        if type_ not in {"user", "player"} or not users:
            return None
        aggregate_id = f"{type_}#{self._chance.choice(users).user_id}"
        table = self._world.cloud.table(self._world.table_stream)
        versions = table.sort_keys(aggregate_id)
        if aggregate_id in self.done.aggregates or not all(isinstance(version, int) for version in versions):
            return None
        for version in versions:
            # From now on what came of its earlier events is judged as odd ones are.
            self.done.addresses.update(addresses_in(str(table.get((aggregate_id, version)))))
        return aggregate_id, (versions[-1] if versions else 0) + 1

    def _stop(self, aggregate_id: str) -> None:
        """Whoever holds an odd event plays no more: the API cannot fold that history."""
        user_id = aggregate_id.partition("#")[2]
        for user in self._users:
            if user.user_id == user_id:
                user.poisoned = True

    def _document(self, item: Item) -> dict[str, Any]:
        from headwater.change_stream import cloud_events

        document: dict[str, Any] = orjson.loads(cloud_events.encode(item, bootstrap.event_types()).body)
        return document

    def _put_event(self, item: Item) -> None:
        # At first: what is seen in an odd aggregate is no sample of anything.
        self.done.aggregates.add(str(item.get("aggregate_id", {}).get("S")))
        self.done.addresses.update(addresses_in(str(item.get("data"))))
        self._world.cloud.dynamodb.put_item(TableName=self._world.table_stream, Item=item)

    def _keep(self, item: Item, aggregate_id: str) -> None:
        place = place_of_item(item)
        self.done.aggregates |= {aggregate_id, place[0]}
        self.done.events[place] = self._kind

    def _later(self, action: Callable[[], None]) -> None:
        def run() -> None:
            self.pending -= 1
            with self._world.faults.suspended():
                action()
            self._world.stir()

        self.pending += 1
        self._world.engine.after(self._chance.uniform(*_FILLED_AFTER), run)


def _named(content: Any) -> set[str]:
    """The aggregate that a document of CloudEvents names."""
    subject = content.get("subject") if isinstance(content, dict) else None
    return {subject} if isinstance(subject, str) else set()


@cache
def sample_items(function: str) -> dict[str, Any]:
    """Of the items in a function's sample event, each attribute with a value."""
    items: dict[str, Any] = {}
    for record in _records(function):
        items |= record.get("dynamodb", {}).get("NewImage", {})
    return items


@cache
def event_attributes() -> dict[str, Any]:
    """An event item's attributes, each with a value: those of the sample, and what else an event may have."""
    attributes = dict(sample_items("FanOutFunction"))
    for name, hint in get_type_hints(RecordedEvent).items():
        if name not in attributes:
            attributes[name] = {"N": "7"} if int in get_args(hint) else {"S": "7"}
    return attributes


@cache
def sample_documents(function: str) -> list[Any]:
    """The JSON documents in a function's sample event: what its records, or its messages, carry."""
    bodies = [
        base64.b64decode(record["kinesis"]["data"]) if "kinesis" in record else record["body"]
        for record in _records(function)
    ]
    return [json.loads(body) for body in bodies]


@cache
def payload_schema(type_: str) -> dict[str, Any]:
    """The fields of an event's data, each with its JSON Schema."""
    path = SCHEMAS / f"{type_}.{bootstrap.application().events[type_].schema_version}.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    shared = schema.get("$defs", {})
    if "$ref" in schema:
        schema = shared[schema["$ref"].rpartition("/")[2]]
    fields = schema.get("properties", {})
    return {name: shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for name, each in fields.items()}


def _records(function: str) -> list[Any]:
    event = json.loads((SAMPLES / f"{function}.json").read_text(encoding="utf-8"))
    records: list[Any] = event["Records"] if isinstance(event, dict) else event
    return records


def _of_json(sample: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """A change of each field of a document, one level down too."""
    for name, value in sample.items():
        for defect in defects.of_value(value):
            yield f"{name}: {defect.name}", partial(_changed, name, defect)
        for member, inner in value.items() if isinstance(value, dict) else ():
            for defect in defects.of_value(inner):
                yield f"{name}.{member}: {defect.name}", partial(_changed_member, name, member, defect)


#: Where a claim check may lead that is none of ours.
_REFERENCES: Final[Mapping[str, str]] = {
    "an object that is not there": "s3://ArchiveBucket/claims/nothing.json",
    "another bucket": "s3://somebody-elses/claims/x.json",
    "another object of the bucket": "s3://ArchiveBucket/raw/x",
    "no address": "claims/x.json",
    "out of its prefix": "s3://ArchiveBucket/claims/../raw/x",
    "the prefix alone": "s3://ArchiveBucket/claims/",
    "a long key": "s3://ArchiveBucket/claims/" + "x" * 1_100,
}


_FOREIGN_NAMES: Final = ("", "notes.txt", ".DS_Store", "_SUCCESS", "a b.jsonl.zst", "deeper/x.jsonl.zst", "x.jsonl")
_FOREIGN_CONTENTS: Final[Mapping[str, bytes]] = {
    "empty": b"",
    "plain text": b"not ours\n",
    "JSON": b'{"stream_event_id":"x"}\n',
    "zeros": bytes(64),
}
#: What becomes of an object on the way: of a copy that was stopped, a disk, an editor.
_DAMAGES: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "cut in half": lambda body: body[: len(body) // 2],
    "without its last byte": lambda body: body[:-1],
    "without its first byte": lambda body: body[1:],
    "emptied": lambda _: b"",
    "followed by other bytes": lambda body: body + b"\x00",
    "replaced by a text": lambda _: b"gone\n",
}


def _claimed(reference: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in document.items() if name != "data"}, "dataref": reference}


def _changed(name: str, defect: Defect, document: Mapping[str, Any]) -> dict[str, Any]:
    return defects.changed(document, name, defect)


def _changed_text(defect: Defect, document: Mapping[str, Any]) -> Any:
    return defect.change(defects.write(document))


def _instead(content: Any, _: object) -> Any:
    return content


def _changed_member(name: str, member: str, defect: Defect, document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, name: defects.changed(document.get(name) or {}, member, defect)}


def _spoil_text(name: str, defect: Defect, item: Item) -> Item:
    return {**item, name: {"S": str(defect.change(item[name]["S"]))}}


def _spoil_member(name: str, member: str, defect: Defect, item: Item) -> Item:
    return {**item, name: {"S": defects.write(defects.changed(json.loads(item[name]["S"]), member, defect))}}


def _renamed(kind: str, item: Item) -> Item:
    # Its own end, so that no two of a kind meet; where the end is what is odd, its beginning.
    own = item["aggregate_id"]["S"].partition("#")[2].partition("#")[0]
    name = kind if kind in {"", "#", "user#"} else kind.replace("1", own) if "1" in kind else f"{kind}{own}"
    return {**item, "aggregate_id": {"S": name}, "version": {"N": "1"}}


def _with_key(filler: str, size: int, item: Item) -> Item:
    """A key that is so long: in characters if each is a byte, in bytes if not."""
    prefix = item["aggregate_id"]["S"]
    room = (size - len(prefix)) // len(filler.encode())
    return {**item, "aggregate_id": {"S": prefix + filler * room}, "version": {"N": "1"}}


def _extended(extra: Mapping[str, Any], item: Item) -> Item:
    return {**item, "extra": extra}


def _padded(attribute: str, size: int, item: Item) -> Item:
    """An item of so many bytes, by a member of one of its documents."""
    document = {**json.loads(item[attribute]["S"]), "padding": ""}
    rest = size - _size({**item, attribute: {"S": defects.write(document)}})
    return {**item, attribute: {"S": defects.write({**document, "padding": "x" * rest})}}


def _size(item: Item) -> int:
    return canonical(item)[1]


def _expired(item: Item) -> Item:
    return {**item, "expires_at": {"N": "1700000000"}}


def _nested_attribute() -> dict[str, Any]:
    nested: dict[str, Any] = {"S": "x"}
    for _ in range(_DEEPEST_ITEM):
        nested = {"M": {"deep": nested}}
    return nested


def addresses_in(text: str) -> list[str]:
    """The e-mail addresses in a text."""
    return _ADDRESS.findall(text) if "@" in text else []


def _is_document(value: Mapping[str, Any]) -> bool:
    return str(value.get("S", "")).startswith("{")


def _bytes(content: Any) -> bytes:
    match content:
        case bytes():
            return content
        case str():
            return content.encode()
    return defects.write(content).encode()
