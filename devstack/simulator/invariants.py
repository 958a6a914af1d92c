"""What must be true when all is delivered. Each looks at the evidence alone, and recomputes instead of believing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from devstack.simulator.evidence import Evidence, digest, place_of
from devstack.simulator.findings import Finding, Harm
from devstack.simulator.operator import FAILED_BATCHES, UNRESOLVED
from devstack.simulator.places import Place
from headwater import bootstrap
from headwater.application import function_of
from headwater.applications.parking import CONSUMER as APPLICATION_STATUS
from headwater.badges.progress import BADGE_PROGRESS
from headwater.change_stream.records import Operation
from headwater.domain.badges import Award, no_progress, record_play
from headwater.domain.events import PlayCompleted, RecordedEvent
from headwater.failures import PERMANENT_ERRORS, PermanentError
from headwater.projections.projection import Projection
from headwater.projections.read_models import Row

_FAN_OUT: Final = "FanOutFunction"


def versions_have_no_gap(evidence: Evidence) -> Iterator[Finding]:
    """An aggregate's versions are 1, 2, 3 …, and no event id stands twice."""
    ids: Counter[str] = Counter()
    for aggregate_id, events in evidence.log.items():
        ids.update(event.event_id for event in events)
        unreadable = [int(version) for place, version in evidence.unreadable if place == aggregate_id]
        versions = sorted([*(event.version for event in events), *unreadable])
        if versions != list(range(1, len(versions) + 1)):
            yield Finding(Harm.ORDER, aggregate_id, f"its versions in the table are {versions[:20]}")
    for event_id, count in ids.items():
        if count > 1:
            yield Finding(Harm.DOUBLED, "", f"event id {event_id} stands {count} times in the table")


def commands_happen_once(evidence: Evidence) -> Iterator[Finding]:
    """What a client was told has happened; what it sent more than once has happened once."""
    by_command: dict[str, list[RecordedEvent]] = {}
    for event in evidence.events("user", "player", "activity"):
        if command := event.metadata.get("correlation_id"):
            by_command.setdefault(command, []).append(event)
    told = evidence.world.workload.acknowledged
    for command, events in by_command.items():
        if len(events) > 1 and command in told.once:
            yield Finding(Harm.DOUBLED, events[0].aggregate_id, f"{command} was carried out {len(events)} times")
    for command in told.unanswered:
        yield Finding(Harm.LOST, "", f"{command} was sent again under its key, and got no answer")
    for command, receipt in told.receipts.items():
        place = receipt.aggregate_id, receipt.version
        if receipt.event_id is None or place in evidence.removed or receipt.aggregate_id in evidence.odd.aggregates:
            continue
        if receipt.event_id not in {e.event_id for e in by_command.get(command, ())}:
            yield Finding(
                Harm.LOST, receipt.aggregate_id, f"{command} was acknowledged and its event is not in the table"
            )


def whoever_looks_is_answered(evidence: Evidence) -> Iterator[Finding]:
    """Leaderboards, profiles and tracking pages answer, whatever somebody else's records hold."""
    evidence.world.readers.look_at_all()
    return evidence.world.readers.findings()


def leases_are_kept(evidence: Evidence) -> Iterator[Finding]:
    """While a claim's lease runs, nobody else performs its effect, nor says that nobody knows of it."""
    return evidence.world.leases.findings()


def archive_is_the_log(evidence: Evidence) -> Iterator[Finding]:
    """The archive, deduplicated, holds every change of the table with its image as it was, byte by byte."""
    archived: set[Place] = set()
    for record in evidence.archive():
        place = place_of(record)
        if record.operation is not Operation.INSERT:
            continue
        if place in archived and place not in evidence.world.expiry.reborn:
            yield Finding(Harm.DOUBLED, place[0], f"version {place[1]} is archived under two stream event ids")
        archived.add(place)
        image = evidence.images.get(place)
        # What was changed by hand is archived as it was, too: see `odd_invariants`.
        changed = place in evidence.odd.changes or place in evidence.world.expiry.reborn
        if image is not None and digest(record.new_image) != image and not changed:
            yield Finding(Harm.WRONG, place[0], f"version {place[1]} is archived otherwise than it was")
    parked = evidence.parked("ArchiverFunction")
    for aggregate_id, version in evidence.images.keys() - archived:
        harm = Harm.PARKED if (aggregate_id, version) in parked else Harm.LOST
        yield Finding(harm, aggregate_id, f"version {version} is not in the archive")
    for aggregate_id, version in archived - evidence.images.keys() - evidence.removed:
        yield Finding(Harm.WRONG, aggregate_id, f"version {version} is archived and was never in the table")


def order_is_kept(evidence: Evidence) -> Iterator[Finding]:
    """No aggregate goes back: neither on its way to Kinesis, nor in a row (see `OrderWatch`).

    What the fan-out parks comes to Kinesis late, by the redrive: whoever needs its order has met the gap at its gate.
    """
    parked = evidence.parked(_FAN_OUT) | evidence.redriven(_FAN_OUT)
    return evidence.world.order.findings(parked, evidence.odd.aggregates)


def parked_is_poisoned(evidence: Evidence) -> Iterator[Finding]:
    """A poison record stops its own aggregate alone: no event of another one was given up, or parked."""
    # Of what was not invoked for hours and days the sound events are given up, too, and redriven once it is back.
    down = evidence.world.outages.functions
    for given_up in evidence.given_up:
        if given_up.function in down:
            continue
        for aggregate_id, version in given_up.events:
            if aggregate_id not in evidence.poisoned:
                yield Finding(
                    Harm.WRONG, aggregate_id, f"{given_up.function} gave up version {version}, and it is no poison"
                )
    for function in {mapping.function for mapping in evidence.world.mappings} - down:
        for aggregate_id, version in evidence.parked(function) | evidence.redriven(function):
            if aggregate_id not in evidence.poisoned:
                yield Finding(Harm.WRONG, aggregate_id, f"{function} parked version {version}, and it is no poison")


def _no_try_helps() -> set[str]:
    """The names of all errors, loaded here, that judge the record."""
    classes: list[type] = [PermanentError, *PERMANENT_ERRORS]
    for each in classes:
        classes += each.__subclasses__()
    return {each.__name__ for each in classes}


def poison_holds_up_nobody(evidence: Evidence) -> Iterator[Finding]:
    """No stream's batch is tried again for a poison record, with its neighbours in it: it is parked at once."""
    failed = evidence.world.functions.log.reasons
    for function in sorted({mapping.function for mapping in evidence.world.mappings if mapping.kind != "sqs"}):
        consumer = evidence.world.functions.consumer(function)
        for error in sorted(_no_try_helps()):
            if count := failed[f"{consumer}: {error}"]:
                found = f"{consumer} gave {count} records back with {error}, which no other try can help"
                yield Finding(Harm.WRONG, "", found)


def nothing_waits_after_the_repair(evidence: Evidence) -> Iterator[Finding]:
    """Once the cause is repaired and all is redriven, no dead letter is left but of what no repair has cured."""
    if evidence.world.outages.functions:
        for parked in evidence.parked_records:
            if parked.aggregate_id not in evidence.poisoned and parked.consumer != APPLICATION_STATUS:
                found = f"{parked.consumer} still has it parked after the redrive"
                yield Finding(Harm.WRONG, parked.aggregate_id, found)
    if evidence.world.newer_code.repaired:
        for queue, _ in evidence.world.operator.queues():
            if queue.name == UNRESOLVED:
                # `pointers_are_resolved` tells which of them may stay.
                continue
            for message in evidence.messages(queue.name):
                if not _refused_for_good(evidence, message):
                    yield Finding(Harm.WRONG, "", f"{queue.name} still holds {str(message)[:200]}")


def _refused_for_good(evidence: Evidence, letter: Mapping[str, Any]) -> bool:
    """Whether a destination takes something of it today as little as before."""
    refusals = evidence.refusals
    actions = {action.get("action_id") for action in letter.get("parsed", ()) if action}
    return letter.get("aggregate_id") in refusals.aggregates or not actions.isdisjoint(refusals.applications)


def pointers_are_resolved(evidence: Evidence) -> Iterator[Finding]:
    """No failed batch is left as a pointer: its records are parked, or were applied after all.

    Once its stream has forgotten them, the archive may lack some. Then it stays where an alarm counts it and a command
    names it: reported.
    """
    for message in evidence.messages(FAILED_BATCHES):
        yield Finding(Harm.WRONG, "", f"{FAILED_BATCHES} still holds {message}")
    for message in evidence.messages(UNRESOLVED):
        harm = Harm.HELD if evidence.world.outages.forgotten else Harm.WRONG
        yield Finding(harm, "", f"{UNRESOLVED} still holds {message}")


def read_models_are_the_fold(evidence: Evidence) -> Iterator[Finding]:
    """Each row of each projection is what a pure fold of the log says, and no other row is there."""
    for projection in bootstrap.application().projections.values():
        yield from _is_the_fold(evidence, projection)
        if projection.part:
            yield from _parts_are_the_checkpoints(evidence, projection)


def _parts_are_the_checkpoints(evidence: Evidence, projection: Projection) -> Iterator[Finding]:
    """Each part's row and its rank are what the checkpoint says."""
    rows = evidence.rows(projection)
    rows = {key: row for key, row in rows.items() if key.partition("#")[0] not in evidence.odd_keys}
    stored = {key: row for key, row in rows.items() if "#" in key}
    due = {
        f"{owner}#{part}": state
        for owner in rows.keys() - stored.keys()
        for part, state in (rows[owner].state or {"parts": {}})["parts"].items()
    }
    for key, state in due.items():
        row = stored.pop(key, None)
        if row is None:
            yield Finding(Harm.LOST, key, f"{projection.name} has no row that its checkpoint speaks of")
        elif (row.state, row.rank) != (state, projection.ranked(key, state)):
            yield Finding(Harm.WRONG, key, f"{projection.name} has a row other than its checkpoint says")
    for key, row in stored.items():
        if row.state is not None or row.rank is not None:
            yield Finding(Harm.WRONG, key, f"{projection.name} has a row that its checkpoint lacks")


def _is_the_fold(evidence: Evidence, projection: Projection) -> Iterator[Finding]:
    """Applied versions reach the head, and the state is the fold of just these events."""
    rows = {key: row for key, row in evidence.rows(projection).items() if not (projection.part and "#" in key)}
    parked = evidence.parked(function_of(projection.name)) | evidence.parked(_FAN_OUT)
    aggregates = {aggregate_id for aggregate_id, _ in parked}
    histories: dict[str, dict[str, list[RecordedEvent]]] = {}
    for aggregate_id, events in evidence.log.items():
        if events and events[0].aggregate_type in projection.aggregate_types:
            histories.setdefault(projection.key(aggregate_id), {})[projection.gate(events[0])] = events
    for key, by_gate in histories.items():
        if key in evidence.odd_keys:
            continue
        row = rows.pop(key, Row(pk=projection.pk(key), state=projection.new_state(), applied={}, revision=0))
        reached: list[RecordedEvent] = []
        for gate, events in sorted(by_gate.items()):
            applied = row.applied.get(gate, 0)
            if applied > events[-1].version:
                yield Finding(Harm.WRONG, events[-1].aggregate_id, f"{projection.name} has applied {applied} versions")
            waits = False
            mark = row.parked_from.get(gate) or row.waits_for.get(gate) or 0
            for event in events:
                # What comes behind a parked event is acknowledged at once: the redrive heals it from the event store.
                # Where that showed the event that cannot be applied, a later one is parked for it.
                waits = waits or (event.aggregate_id, event.version) in parked
                waits = waits or (0 < mark <= event.version and event.aggregate_id in aggregates)
                if event.version <= applied:
                    reached.append(event)
                elif waits:
                    yield Finding(
                        Harm.PARKED, event.aggregate_id, f"{projection.name} waits at version {event.version}"
                    )
                else:
                    found = f"{projection.name} has applied {applied}, and version {event.version} waits nowhere"
                    yield Finding(Harm.LOST, event.aggregate_id, found)
        expected = projection.fold(reached)
        if row.state != expected:
            yield Finding(_harm(projection, row.state, reached), key, _difference(projection, row, expected))
    for key in rows:
        if key.partition("#")[0] not in evidence.odd_keys:
            yield Finding(Harm.WRONG, key, f"{projection.name} has a row that no event made")


def badges_are_earned_once(evidence: Evidence) -> Iterator[Finding]:
    """Badges awarded are those that a pure recomputation from the plays gives, each once."""
    awarded: dict[str, dict[str, RecordedEvent]] = {}
    for event in evidence.events("badge"):
        user_id, _, key = event.aggregate_key.partition("#")
        if key in awarded.setdefault(user_id, {}):
            yield Finding(Harm.DOUBLED, event.aggregate_id, "the badge was awarded twice")
        awarded[user_id][key] = event
    rows = evidence.rows(BADGE_PROGRESS)
    players = {event.aggregate_key for event in evidence.events("player")} | awarded.keys()
    for user_id in players - evidence.odd_keys:
        row = rows.get(user_id)
        applied = row.applied.get("player", 0) if row else 0
        progress, earned = no_progress(), dict[str, Award]()
        for event in evidence.log.get(f"player#{user_id}", ()):
            if event.version <= applied:
                progress, awards = record_play(progress, cast(PlayCompleted, event.payload), event.event_id)
                earned |= awards
        mine = awarded.get(user_id, {})
        # The award comes before the row's write, which may be refused.
        refused = f"player#{user_id}" in evidence.refusals.aggregates
        for key in () if refused else mine.keys() - earned.keys():
            yield Finding(Harm.WRONG, f"player#{user_id}", f"{key} was awarded and not earned")
        for key, award in earned.items():
            if key not in mine:
                # A deleted player earns nothing more, whichever of the two came first.
                if row is not None and row.state is not None:
                    yield Finding(Harm.LOST, f"player#{user_id}", f"{key} was earned and not awarded")
            elif dict(mine[key].data) != {"user_id": user_id, **award}:
                yield Finding(
                    Harm.WRONG, mine[key].aggregate_id, f"it was awarded for {mine[key].data['play_event_id']}"
                )


def export_is_the_log(evidence: Evidence) -> Iterator[Finding]:
    """The export for dashboards has every event that Kinesis has, once, and says of it what the log says."""
    # Two events may have one id.
    lines: dict[tuple[str, str, int], dict[str, Any]] = {}
    for exported in evidence.exported():
        identity = exported["event_id"], exported["aggregate_id"], exported["version"]
        if identity in lines:
            found = f"version {exported['version']} is exported once more"
            yield Finding(Harm.DOUBLED, exported["aggregate_id"], found)
        lines[identity] = exported
    parked = evidence.parked("BiExportFunction") | evidence.parked(_FAN_OUT)
    for event in evidence.events():
        place = event.aggregate_id, event.version
        line = lines.pop((event.event_id, *place), None)
        if line is None:
            waits = place in parked or event.event_id in evidence.damaged_exports
            harm = Harm.PARKED if waits else Harm.LOST
            yield Finding(harm, event.aggregate_id, f"version {event.version} is in no export")
        elif line["type"] != event.type:
            yield Finding(Harm.WRONG, event.aggregate_id, f"the export has another version {event.version}")
    for line in lines.values():
        # An event that expired, or was poison, is in the export and no longer, or not readably, in the log.
        place = line["aggregate_id"], line["version"]
        if place not in evidence.removed and place not in evidence.unreadable and place[0] not in evidence.poisoned:
            yield Finding(Harm.WRONG, line["aggregate_id"], f"the export has version {line['version']} of nothing")


def _harm(projection: Projection, state: Mapping[str, Any] | None, reached: Sequence[RecordedEvent]) -> Harm:
    """What has become of a row that is no fold of its events: one of them is not in it, or is in it twice."""
    for number, event in enumerate(reached):
        if state == projection.fold([*reached[:number], *reached[number + 1 :]]):
            return Harm.LOST
        if state == projection.fold([*reached[: number + 1], event, *reached[number + 1 :]]):
            return Harm.DOUBLED
    return Harm.WRONG


def _difference(projection: Projection, row: Row, expected: Mapping[str, Any] | None) -> str:
    if row.state is None or expected is None:
        return f"{projection.name} is {'a tombstone' if row.state is None else 'alive'}, and should not be"
    names = sorted(name for name in expected if row.state.get(name) != expected[name])
    name = names[0] if names else "?"
    return f"{projection.name} has {name}={row.state.get(name)!r}, the fold gives {expected.get(name)!r}"
