"""What must become of odd records: each ends applied, archived, parked, reported or skipped with a metric.

Their own aggregates may stand still, where an operator sees it. What is judged elsewhere leaves those aggregates out,
so that whoever else is harmed is found there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import orjson

from arcade.app import CHANGE_NOTICE
from devstack.simulator.evidence import Evidence, place_of
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.places import Place, event_of, place_of_item
from headwater import bootstrap
from headwater.applications.parking import CONSUMER as APPLICATION_STATUS
from headwater.change_stream import cloud_events
from headwater.change_stream.records import Operation
from headwater.dead_letters import pointers
from headwater.domain.events import RecordedEvent, UserDeleted
from headwater.projections.projection import Projection

_FAN_OUT: Final = "fan_out"
_EXPORT: Final = "bi_export"
#: What the Pipe's filter lets through.
_TOLD: Final = ("ApplicationCreated", "ApplicationStatusUpdated")


class _Traces:
    """Where odd records may have left a trace."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        #: Of the letters for a person, by consumer: aggregates, places of events, sequence numbers on Kinesis.
        self.aggregates: dict[str, set[str]] = {}
        self.places: dict[str, set[Place]] = {}
        self.numbers: dict[str, set[str]] = {}
        for parked in evidence.letters:
            self.aggregates.setdefault(parked.consumer, set()).add(parked.aggregate_id)
            for raw in parked.raw:
                if "kinesis" in raw:
                    self.numbers.setdefault(parked.consumer, set()).add(raw["kinesis"]["sequenceNumber"])
                elif "aggregate_id" in (keys := raw["dynamodb"]["Keys"]):
                    self.places.setdefault(parked.consumer, set()).add(place_of_item(keys))
                else:
                    key = "".join(value["S"] for value in keys.values())
                    self.places.setdefault(parked.consumer, set()).add((key, 0))
        # A pointer that leads to them is a letter too.
        for function, places in evidence.pointed.items():
            consumer = evidence.world.functions.consumer(function)
            self.places.setdefault(consumer, set()).update(places)
            self.aggregates.setdefault(consumer, set()).update(aggregate_id for aggregate_id, _ in places)

    def stands(self, consumer: str, aggregate_id: str) -> bool:
        """Whether an operator sees that an aggregate stands still, in this consumer or before it."""
        return any(aggregate_id in self.aggregates.get(each, ()) for each in (consumer, _FAN_OUT))

    @cached_property
    def deleted(self) -> set[str]:
        """The odd users who were deleted."""
        items = self._evidence.odd_items.items()
        return {place[0] for place, item in items if _text(item, "type") == UserDeleted.__name__}

    @cached_property
    def dealt_with(self) -> set[str]:
        """The odd aggregates of which something was published, or is parked."""
        seen = set(self._evidence.world.order.seen).union(*self.aggregates.values())
        return {aggregate_id for aggregate_id in seen & self._evidence.odd.aggregates if "#" in aggregate_id}

    def applied(self, projection: Projection, aggregate_id: str) -> int:
        """The version that a projection has reached of an aggregate."""
        row = self._rows[projection.name].get(projection.key(aggregate_id), {})
        return row.get(projection.gate_of(aggregate_id), 0)

    def reported(self, *names: str) -> bool:
        """Whether an incident told of any of these."""
        return not self._evidence.world.functions.log.reported.isdisjoint(names)

    def settled(self, consumer: str, event_id: str) -> bool:
        """Whether the ledger says that a consumer's effects of an event happened, or never will."""
        return any(pk.startswith(f"effect#{consumer}#{event_id}") for pk in self._settled)

    def dead(self, queue: str, text: str) -> bool:
        """Whether a consumer's dead letters, or its subscription's, mention something."""
        resources = queue.removesuffix("Queue")
        names = f"{resources}DeadLetterQueue", f"{resources}SubscriptionDeadLetterQueue"
        queues = self._evidence.world.cloud.sqs.queues.values()
        bodies = [message.body for each in queues if each.name in names for message in each.messages.values()]
        written = orjson.dumps(text).decode()[1:-1]
        return any(text in body or written in _rewritten(body) for body in bodies)

    @cached_property
    def exported(self) -> set[str]:
        """The ids of the events in the export."""
        return {line["event_id"] for line in self._evidence.exported()} | self._evidence.damaged_exports

    @cached_property
    def tracked(self) -> set[str]:
        """The ids of the actions that the account domain shows."""
        table = bootstrap.receiver_settings().tracking_table
        return {step["action_id"] for item in self._evidence.items(table) for step in item["history"]}

    @cached_property
    def effects(self) -> list[tuple[str, str, frozenset[str]]]:
        """The consumers behind the topic: name, queue, and the types that the subscription's policy lets through."""
        world = self._evidence.world
        types: dict[str, frozenset[str]] = {}
        for topic in world.cloud.sns.topics.values():
            for subscription in topic.subscriptions:
                types[subscription.queue.name] = subscription.accepted.get("type", frozenset())
        return [
            (world.functions.consumer(driver.mapping.function), driver.name, types[driver.name])
            for driver in world.queues
            if driver.name in types
        ]

    @cached_property
    def waiting(self) -> set[str]:
        """Ids and bodies of all messages that are on a queue."""
        queues = self._evidence.world.cloud.sqs.queues.values()
        return {text for queue in queues for each in queue.messages.values() for text in (each.id, each.body)}

    @cached_property
    def _rows(self) -> dict[str, dict[str, Mapping[str, int]]]:
        return {
            projection.name: {key: row.applied for key, row in self._evidence.rows(projection).items()}
            for projection in bootstrap.application().projections.values()
        }

    @cached_property
    def _settled(self) -> list[str]:
        return [item["pk"] for item in self._evidence.items("LedgerTable") if item.get("state", "claimed") != "claimed"]


def odd_events_are_accounted_for(evidence: Evidence) -> Iterator[Finding]:
    """Each event of an odd aggregate was published, or parked; and whoever it was published to has it, or parked it."""
    if not evidence.odd_items:
        return
    traces = _Traces(evidence)
    for place, item in evidence.odd_items.items():
        aggregate_id, version = place
        if place in traces.places.get(_FAN_OUT, ()):
            yield Finding(Harm.PARKED, aggregate_id, f"version {version} waits at the fan-out")
            continue
        if version not in evidence.world.order.seen.get(aggregate_id, ()):
            yield _lost(evidence, place, "was neither published nor parked")
            continue
        for projection in bootstrap.application().projections.values():
            if not projection.follows(aggregate_id):
                continue
            reached = traces.applied(projection, aggregate_id)
            if version <= reached:
                continue
            if traces.stands(projection.name, aggregate_id):
                yield Finding(Harm.PARKED, aggregate_id, f"{projection.name} waits below version {version}")
            else:
                yield _lost(evidence, place, f"{projection.name} has applied {reached}, and no letter tells of it")
        if _text(item, "event_id") not in traces.exported and not traces.stands(_EXPORT, aggregate_id):
            yield _lost(evidence, place, "is in no export, and no letter tells of it")
        yield from _effects(evidence, traces, place, item)


def changes_by_hand_are_told(evidence: Evidence) -> Iterator[Finding]:
    """Whoever changes an event, or removes it, is reported; the archive has both images."""
    changes = evidence.odd.changes
    if not changes:
        return
    archived = Counter(
        place_of(record) for record in evidence.archive() if record.operation in {Operation.MODIFY, Operation.REMOVE}
    )
    for place, count in changes.items():
        if archived[place] != count:
            found = f"version {place[1]} was changed {count} times by hand, and {archived[place]} are archived"
            yield Finding(Harm.LOST, place[0], found)
    told = evidence.world.functions.log.reasons[f"{_FAN_OUT}: IllegalChanges"]
    # Behind a letter of the same aggregate a change waits until that one is mended.
    waiting = sum(
        event_of(raw) in changes and raw["eventName"] != Operation.INSERT
        for letter in evidence.letters
        if letter.consumer == _FAN_OUT
        for raw in letter.raw
    )
    if told + waiting < changes.total():
        found = f"{changes.total()} events were changed by hand, {told} reported, and {waiting} wait"
        yield Finding(Harm.LOST, "", found)


def foreign_records_are_accounted_for(evidence: Evidence) -> Iterator[Finding]:
    """Whoever reads Kinesis has parked, applied, or skipped with a metric what no fan-out of ours put there.

    A projection owes nothing of what it cannot read, and what was routed as an aggregate that it does not follow.
    """
    if not evidence.odd.records:
        return
    traces = _Traces(evidence)
    consumers: dict[str, Projection | None] = {each.name: each for each in bootstrap.application().projections.values()}
    functions = {
        evidence.world.functions.consumer(mapping.function): mapping.function for mapping in evidence.world.mappings
    }
    for sequence_number, foreign in evidence.odd.records.items():
        event = _event(foreign.content)
        for consumer, projection in (*consumers.items(), (_EXPORT, None)):
            told = (
                sequence_number in traces.numbers.get(consumer, ())
                or traces.reported(sequence_number)
                or evidence.pointed_to(functions[consumer], sequence_number)
            )
            if told or (event is not None and _taken(traces, consumer, projection, event)):
                continue
            if event is None and projection is not None and not projection.follows(foreign.key):
                continue
            yield Finding(Harm.LOST, foreign.key, f"{consumer} has passed over a foreign record: {foreign.kind}")


def foreign_messages_are_accounted_for(evidence: Evidence) -> Iterator[Finding]:
    """A message that nobody of ours sent was acted upon, lies in a queue for a person, or was reported."""
    if not evidence.odd.messages:
        return
    traces = _Traces(evidence)
    consumers = {
        driver.name: evidence.world.functions.consumer(driver.mapping.function) for driver in evidence.world.queues
    }
    for queue, sent in evidence.odd.messages.items():
        for message_id, body in sent.items():
            if {message_id, body} & traces.waiting:
                yield Finding(Harm.HELD, "", f"a foreign message of {queue} waits")
                continue
            event_id, action_id = _member(body, "id"), _member(body, "action_id")
            if not (
                traces.reported(message_id)
                or (event_id and traces.settled(consumers[queue], event_id))
                or action_id in traces.tracked
                # Of letters that are tried again by themselves: what was in them is published, or parked anew.
                or any(aggregate_id in body for aggregate_id in traces.dealt_with)
                # A pointer that was resolved, to records that their consumer had applied.
                or _is_pointer(body)
            ):
                yield Finding(Harm.LOST, "", f"a foreign message of {queue} is nowhere: {body[:200]}")


def odd_rows_are_accounted_for(evidence: Evidence) -> Iterator[Finding]:
    """An action that somebody wrote past the process is told, or waits with its reason."""
    if not evidence.odd.rows:
        return
    traces = _Traces(evidence)
    parked = traces.places.get(APPLICATION_STATUS, set())
    for item in evidence.items(bootstrap.settings().applications_table):
        place = item["pk"], item["sk"]
        told = place[1].startswith("#ACTION#") and str(item.get("type")).startswith(_TOLD)
        if place not in evidence.odd.rows or not told:
            continue
        action_id = str(item.get("action_id"))
        if ("".join(place), 0) in parked:
            yield Finding(Harm.PARKED, place[0], f"{place[1]} waits with its reason")
        elif action_id not in traces.tracked:
            if traces.dead("ApplicationInboxQueue", action_id):
                yield Finding(Harm.HELD, place[0], f"{place[1]} waits in the inbox's dead letters")
            else:
                yield Finding(Harm.LOST, place[0], f"{place[1]} is neither told nor parked")


def _effects(evidence: Evidence, traces: _Traces, place: Place, item: Mapping[str, Any]) -> Iterator[Finding]:
    """What the consumers behind the topic owe for an event."""
    event_id = _text(item, "event_id")
    for consumer, queue, types in traces.effects:
        if _text(item, "type") not in types or traces.settled(consumer, event_id) or traces.reported(event_id):
            continue
        if consumer == CHANGE_NOTICE.name and place[0] in traces.deleted:
            # Who was deleted before their message came is told of no change.
            continue
        if traces.dead(queue, event_id):
            yield Finding(Harm.HELD, place[0], f"{consumer} waits in a dead-letter queue")
        else:
            yield _lost(evidence, place, f"{consumer} has not dealt with it, and it waits nowhere")


def _taken(traces: _Traces, consumer: str, projection: Projection | None, event: RecordedEvent) -> bool:
    """Whether a consumer has done with an event that nobody's fan-out has published."""
    if projection is None:
        return event.event_id in traces.exported
    if not projection.follows(event.aggregate_id):
        return True
    reached = traces.applied(projection, event.aggregate_id)
    return reached >= event.version or traces.stands(consumer, event.aggregate_id)


def _lost(evidence: Evidence, place: Place, what: str) -> Finding:
    kind = evidence.odd.events.get(place, "beside an odd one")
    return Finding(Harm.LOST, place[0][:120], f"version {place[1]} ({kind}) {what}")


def _rewritten(body: str) -> str:
    """A document as our JSON writes it: whoever sent it may have escaped other characters.

    What it cannot write, it leaves: some texts are no JSON, and some are nested too deep.
    """
    try:
        return orjson.dumps(orjson.loads(body)).decode()
    except (ValueError, TypeError):
        return body


def _text(item: Mapping[str, Any], name: str) -> str:
    """An attribute's text; nothing if it has none."""
    return str(item.get(name, {}).get("S", ""))


def _event(content: bytes) -> RecordedEvent | None:
    """The event in a record on Kinesis, if it is one."""
    try:
        return cloud_events.decode(content, bootstrap.event_types()).event
    except ValueError:
        return None


def _is_pointer(body: str) -> bool:
    try:
        pointers.parse(body)
    except pointers.UnknownPointerError:
        return False
    return True


def _member(body: str, name: str) -> str:
    """A member of a message that is a JSON object and has it as text; else nothing."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return ""
    return str(value.get(name, "")) if isinstance(value, dict) else ""
