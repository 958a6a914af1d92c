"""What became of each record: judged by what lies in the cloud, and by the answer that Lambda would go by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from devstack.event_source_mapping import failed_identifiers
from devstack.simulator.cloud import Cloud
from devstack.try_input.callees import Callee
from devstack.try_input.inputs import Source
from devstack.try_input.records import Given, given, parsed
from devstack.try_input.traces import Trace, Traces
from headwater.attribute_values import unmarshal_item
from headwater.change_stream.claim_checks import ClaimStore
from headwater.dead_letters.parked import MalformedParkedError, ParkedRecords, decode
from headwater.settings import Settings

#: In a read model's row, maps from a gate to the version at which its aggregate stands still.
_MARKS: Final = ("parked_from", "waits_for")


class Fate(StrEnum):
    """What became of a record, in the words of the report.

    HELD: acknowledged, and waits in the event store behind a version that is missing or parked. PASSED_ON: handed to
    the next stage of its pipe. REPORTED: acknowledged, and nothing came of it but a report to the operator. SKIPPED:
    acknowledged, and nothing came of it at all. LOST: acknowledged, and a destination that should have it has not.
    """

    APPLIED = "applied"
    ARCHIVED = "archived"
    PUBLISHED = "published"
    PASSED_ON = "passed on"
    ANSWERED = "answered"
    PARKED = "parked"
    SET_ASIDE = "set aside"
    HELD = "held back"
    REFUSED = "refused"
    REPORTED = "reported"
    SKIPPED = "skipped"
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Logged:
    """A line that a function logged as an error or a warning."""

    message: str
    facts: Mapping[str, Any]

    @property
    def reason(self) -> str:
        if incident := self.facts.get("incident"):
            return f"{incident}: {self.message}"
        return ": ".join(str(self.facts[name]) for name in ("error", "reason") if self.facts.get(name)) or self.message


@dataclass(frozen=True, slots=True)
class Ended:
    """How an invocation ended: with its answer, or with an error."""

    answer: Any = None
    error: str | None = None
    logged: Sequence[Logged] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one record; ``reason`` says why, or where it is. ``retried``: Lambda would deliver it again."""

    record: Given
    fate: Fate
    reason: str = ""
    retried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One function's invocation with one input. ``mails`` are addresses and subjects of what it sent."""

    function: str
    source: Source
    outcomes: Sequence[Outcome]
    mails: Sequence[str] = ()

    @property
    def bad(self) -> bool:
        """Whether Lambda would deliver a record again, or one is lost."""
        return any(outcome.retried or outcome.fate is Fate.LOST for outcome in self.outcomes)


@dataclass(slots=True)
class Judge:
    """Judges one invocation. ``rows`` are the read models as they were before it, by primary key."""

    callee: Callee
    source: Source
    cloud: Cloud
    settings: Settings
    claims: ClaimStore
    traces: Traces
    ended: Ended
    rows: Mapping[str, Mapping[str, Any]]
    _dead_letters: Sequence[tuple[str, ParkedRecords]] = field(init=False)
    _rows_now: Mapping[str, Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._dead_letters = list(self._waiting())
        self._rows_now = read_models(self.cloud, self.settings)

    def outcomes(self, records: Sequence[Given]) -> list[Outcome]:
        if self.source in {"http", "http-body"}:
            return [_answered(record, self.ended) for record in records]
        failed, again = self._retried(records)
        return [
            self._outcome(record, position in failed, position in again, alone=len(records) == 1)
            for position, record in enumerate(records)
        ]

    def _outcome(self, record: Given, failed: bool, again: bool, *, alone: bool) -> Outcome:
        fate, reason = Fate.FAILED, self._why(record)
        if not failed:
            fate, reason = next(self._fates(record, alone=alone))
        elif self.ended.error is not None:
            reason = self.ended.error
        return Outcome(record=record, fate=fate, reason=reason, retried=again)

    def _retried(self, records: Sequence[Given]) -> tuple[set[int], set[int]]:
        """Positions of the records that failed, and of those that Lambda would deliver again."""
        everything = set(range(len(records)))
        if self.ended.error is not None:
            return everything, everything
        if self.source == "direct" or (self.source == "pipe" and isinstance(self.ended.answer, list)):
            return set(), set()
        known = {record.identifier: position for position, record in enumerate(records)}
        positions = failed_identifiers(self.ended.answer, known)
        if positions is None:
            return everything, everything
        named = {entry.facts.get("identifier") for entry in self.ended.logged if entry.message == "record failed"}
        failed = {position for position, record in enumerate(records) if record.identifier in named} | set(positions)
        if self.source in {"dynamodb", "kinesis"} and positions:
            # Its checkpoint is the lowest: from there on all comes again.
            return failed, set(range(min(positions), len(records)))
        return set(positions), set(positions)

    def _why(self, record: Given) -> str:
        told = [entry for entry in self.ended.logged if entry.facts.get("identifier") == record.identifier]
        return told[0].reason if told else "the function's answer names it"

    def _fates(self, record: Given, *, alone: bool) -> Iterator[tuple[Fate, str]]:
        """What can be found of an acknowledged record, the most telling first."""
        yield from self._parked(record)
        yield from self._passed_on(record)
        yield from self._archived(record)
        yield from self._published(record)
        yield from self._gated(record)
        yield from self._traced(record, alone=alone)
        for entry in self.ended.logged:
            if {record.identifier, *record.ids} & {str(fact) for fact in entry.facts.values()} - {""}:
                yield Fate.REPORTED, entry.reason
        if self.source == "direct":
            yield Fate.ANSWERED, str(self.ended.answer)
        yield Fate.SKIPPED, "nothing was written, sent or reported for it"

    def _parked(self, record: Given) -> Iterator[tuple[Fate, str]]:
        main = self.settings.parked_records_queue.rpartition("/")[2]
        for queue, parked in self._dead_letters:
            if any(_same(raw, record) for raw in parked.raw):
                fate = Fate.PARKED if queue == main else Fate.SET_ASIDE
                yield fate, (parked.error or parked.reason) + ("" if queue == main else f" ({queue})")

    def _waiting(self) -> Iterator[tuple[str, ParkedRecords]]:
        """The dead letters that this invocation left, each with its queue."""
        for trace in self.traces.of("message"):
            try:
                yield trace.place, decode(trace.body, self.claims)
            except MalformedParkedError:
                continue

    def _passed_on(self, record: Given) -> Iterator[tuple[Fate, str]]:
        if self.source != "pipe" or not isinstance(self.ended.answer, list):
            return
        for element in self.ended.answer:
            if isinstance(element, dict) and element.get("eventID") == record.identifier:
                failure = element.get("failure")
                told = f"to be parked: {failure['error']}: {failure['reason']}" if failure else str(element["status"])
                yield Fate.PASSED_ON, told

    def _archived(self, record: Given) -> Iterator[tuple[Fate, str]]:
        for line in self.traces.of("object", self.settings.archive_bucket):
            if not (line.name.startswith("raw/") and isinstance(line.content, dict)):
                continue
            raw = line.content.get("raw_record")
            if line.content.get("stream_event_id") == record.stream_event_id != "" or (
                raw is not None and parsed(raw) == record.raw
            ):
                unreadable = line.content.get("parse_error")
                yield Fate.ARCHIVED, f"as it came: {unreadable}" if unreadable else line.name.rpartition("/")[0]

    def _published(self, record: Given) -> Iterator[tuple[Fate, str]]:
        """On the stream and on the topic, as the event of the same aggregate and version."""
        if self.source != "dynamodb":
            return
        wanted = {self.settings.events_stream, self.settings.events_topic.rpartition(":")[2]}
        there = {
            trace.place
            for trace in self.traces.all
            if trace.kind in {"record", "topic"} and self._is_event_of(trace, record)
        }
        if there >= wanted:
            yield Fate.PUBLISHED, ", ".join(sorted(there))
        elif there:
            yield Fate.LOST, f"on {', '.join(sorted(there))}, and not on {', '.join(sorted(wanted - there))}"

    def _is_event_of(self, trace: Trace, record: Given) -> bool:
        event = given("kinesis", trace.content) if trace.kind == "record" else given("sqs", {"body": trace.body})
        return event.aggregate_id == record.aggregate_id and event.version == record.version

    def _gated(self, record: Given) -> Iterator[tuple[Fate, str]]:
        """By the gates of the function's own rows, where it keeps a read model."""
        aggregate_type, _, rest = record.aggregate_id.partition("#")
        for pk, row in self._rows_now.items():
            model, _, key = pk.partition("#")
            if record.version is None or model.partition("@")[0] != self.callee.name:
                continue
            if key not in {rest, rest.partition("#")[0]}:
                continue
            for gate in (record.aggregate_id, aggregate_type):
                applied = row["applied"].get(gate)
                before = self.rows[pk]["applied"].get(gate) if pk in self.rows else None
                if before is not None and before >= record.version:
                    yield Fate.SKIPPED, f"{model} had version {before} before"
                if applied is not None and applied >= record.version:
                    yield Fate.APPLIED, f"{model} is at version {applied}"
                for mark in _MARKS:
                    if gate in row.get(mark, {}):
                        yield Fate.HELD, f"{model} stands at version {row[mark][gate]} ({mark})"

    def _traced(self, record: Given, *, alone: bool) -> Iterator[tuple[Fate, str]]:
        """Whatever else names the record's event; all that there is, if it came alone and names none."""
        found: list[Trace] = []
        for trace in self.traces.all:
            # Read models are judged by their gates, and a topic's messages lie in the queues behind it.
            if trace.kind == "topic" or trace.place == self.settings.read_models_table:
                continue
            if not (trace.mentions(record) or (alone and not record.ids)):
                continue
            if trace.place == self.settings.ledger_table:
                state = trace.content.get("state", {}).get("S")
                if state == "refused":
                    why = "; ".join(entry.reason for entry in self.ended.logged)
                    yield Fate.REFUSED, why or "an effect was refused for good"
                if state != "confirmed":
                    continue
            found.append(trace)
        if found:
            yield Fate.APPLIED, ", ".join(sorted({str(trace) for trace in found}))


def read_models(cloud: Cloud, settings: Settings) -> dict[str, dict[str, Any]]:
    """The rows of all read models by primary key."""
    return {row["pk"]: row for row in map(unmarshal_item, cloud.items(settings.read_models_table))}


def _same(raw: Any, record: Given) -> bool:
    """Whether a dead letter's record is this one; by its number, where a consumer has changed the rest."""
    if raw == record.raw or (record.whole is not None and raw == record.whole):
        return True
    numbers = {given(source, raw).identifier for source in ("dynamodb", "kinesis")}
    return bool(record.identifier) and record.identifier in numbers


def _answered(record: Given, ended: Ended) -> Outcome:
    if ended.error is not None:
        return Outcome(record=record, fate=Fate.FAILED, reason=ended.error, retried=True)
    status = ended.answer["statusCode"]
    # A client tries a 5xx again.
    fate = Fate.FAILED if status >= 500 else Fate.REFUSED if status >= 400 else Fate.ANSWERED
    return Outcome(record=record, fate=fate, reason=f"{status} {ended.answer.get('body', '')}", retried=status >= 500)
