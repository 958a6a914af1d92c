"""One event's way: where it was archived, and what each consumer that it reaches has answered.

What is stored says it: a read model's gate, the ledger of effects, a dead letter, an object of the archive. What is not
stored comes from logs, or is not recorded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from cli.observation import Letters
from headwater.domain.events import RecordedEvent
from operations.dead_letters.waiting import DeadLetter
from operations.flow_graph import MAIL, FlowGraph, Station

type State = Literal["done", "waiting", "parked", "unknown", "aside"]

NOT_RECORDED: Final = "not recorded"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one consumer answered. ``letter`` is the id of its dead letter, ``row`` the row that it applied it to."""

    station: Station
    state: State
    said: str
    letter: str | None = None
    row: tuple[str, str] | None = None


class Journeys:
    """Asks after events; within `Target.as_function`, as it uses the functions' own code to read what they keep."""

    def __init__(self, graph: FlowGraph, letters: Callable[[], Letters]) -> None:
        self._graph = graph
        self._letters = letters

    def answers(self, event: RecordedEvent, archived_in: str | None) -> list[Answer]:
        """Of every consumer that the event reaches, in the order in which it does."""
        letters = self._letters()
        found: list[Answer] = []
        for station in self._graph.readers(event.type, self._graph.events):
            letter = letters.holding(station.consumer, event.aggregate_id, event.version)
            if letter is not None:
                found.append(Answer(station, "parked", _why(letter), letter=letters.ids[letter.key]))
            else:
                found.append(self._answer(station, event, archived_in))
        return [self._passed_on(each, found) for each in found]

    def unreadable(self, aggregate_id: str, version: int, archived_in: str | None) -> list[Answer]:
        """Of an event that nobody can read: what has archived it as it is, and the consumers that have parked it."""
        letters = self._letters()
        found = []
        for station in self._graph.stations.values():
            letter = letters.holding(station.consumer, aggregate_id, version)
            if letter is not None:
                found.append(Answer(station, "parked", _why(letter), letter=letters.ids[letter.key]))
            elif archived_in is not None and self._writes_archive(station):
                found.append(Answer(station, "done", f"archived in {archived_in}"))
        return found

    def _answer(self, station: Station, event: RecordedEvent, archived_in: str | None) -> Answer:
        # Late: it reads the environment.
        from headwater import bootstrap

        application, consumer = bootstrap.application(), station.consumer or ""
        try:
            if consumer in application.projections:
                return self._of_read_model(station, application.projections[consumer], event)
            if consumer in application.effects:
                return self._of_effects(station, bootstrap.effect(consumer), event)
        except (BotoCoreError, ClientError) as error:
            return Answer(station, "unknown", f"cannot be asked now: {error}")
        if archived_in is not None and self._writes_archive(station):
            return Answer(station, "done", f"archived in {archived_in}")
        return Answer(station, "unknown", NOT_RECORDED)

    def _writes_archive(self, station: Station) -> bool:
        """The reader of the table itself that writes to a bucket."""
        reads = any(edge.source == self._graph.events and edge.target == station.id for edge in self._graph.edges)
        return reads and any(
            edge.source == station.id and self._graph.stations[edge.target].kind == "bucket"
            for edge in self._graph.edges
        )

    @staticmethod
    def _of_read_model(station: Station, projection: Any, event: RecordedEvent) -> Answer:
        from headwater import bootstrap

        if not projection.follows(event.aggregate_id):
            return Answer(station, "aside", f"does not follow {event.aggregate_type}")
        key = projection.key(event.aggregate_id)
        pk = projection.pk(key)
        row = bootstrap.read_models().get([pk]).get(pk)
        gate = projection.gate_of(event.aggregate_id)
        at = row.applied.get(gate, 0) if row else 0
        link = (projection.name, key)
        if at >= event.version:
            return Answer(station, "done", f"applied: its row has this aggregate up to version {at}", row=link)
        if row is not None and row.parked_from.get(gate, event.version + 1) <= event.version:
            still = f"stands still: version {row.parked_from[gate]} could not be applied"
            return Answer(station, "waiting", still, row=link)
        if row is not None and gate in row.waits_for:
            before = f"waits for version {row.waits_for[gate]}, which comes before it"
            return Answer(station, "waiting", before, row=link)
        has = f"its row has this aggregate up to version {at}" if at else "its row has nothing of this aggregate"
        return Answer(station, "waiting", f"not yet: {has}", row=link if row else None)

    def _of_effects(self, station: Station, consumer: Any, event: RecordedEvent) -> Answer:
        from headwater import bootstrap

        try:
            ids = consumer.effect_ids(event)
        except (BotoCoreError, ClientError):
            raise
        except Exception as error:  # noqa: BLE001  # whatever the consumer's code says of this event today
            return Answer(station, "unknown", f"{NOT_RECORDED}: today it would say {type(error).__name__}: {error}")
        if not ids:
            return Answer(station, "aside", "it leads to nothing here")
        entries = [bootstrap.effect_ledger().entry(consumer.name, each) for each in ids]
        mails = any(edge.source == station.id and edge.target == MAIL for edge in self._graph.edges)
        said = [_of_entry(each, "sent" if mails else "done") for each in entries]
        settled = all(entry is not None and entry["state"] != "claimed" for entry in entries)
        return Answer(station, "done" if settled else "waiting", "; ".join(dict.fromkeys(said)))

    def _passed_on(self, answer: Answer, answers: Sequence[Answer]) -> Answer:
        """What keeps nothing of its own has passed an event on if somebody behind it has it."""
        if answer.said != NOT_RECORDED:
            return answer
        behind = set(_behind(self._graph, answer.station.id))
        heard = [each for each in answers if each.station.id in behind and each.state in {"done", "parked"}]
        if not heard:
            return answer
        return Answer(answer.station, "done", f"passed it on: it has reached {heard[0].station.label}")


def _why(letter: DeadLetter) -> str:
    """Why it is parked. Most errors begin with their kind, which is the reason too."""
    if not letter.error or letter.error.startswith(letter.reason):
        return f"parked: {letter.error or letter.reason}"
    return f"parked: {letter.reason}: {letter.error}"


def _of_entry(entry: Mapping[str, Any] | None, done: str) -> str:
    match entry:
        case None:
            return "not yet"
        case {"state": "confirmed", "confirmed_at": at}:
            return f"{done} at {_moment(at)}"
        case {"state": "refused", "confirmed_at": at}:
            return f"refused for good at {_moment(at)}"
        case {"lease_until": until}:
            return f"under way, or lost: claimed until {_moment(until)}"
    return str(entry.get("state"))


def _moment(seconds: Any) -> str:
    try:
        moment = datetime.fromtimestamp(int(seconds), UTC)
    except (OSError, OverflowError, ValueError):
        # Outside of the calendar: nobody of ours wrote it.
        return f"second {seconds}"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _behind(graph: FlowGraph, station: str) -> Iterator[str]:
    """All stations that a station's output reaches, but through the table of events."""
    seen, waiting = {station, graph.events}, [station]
    while waiting:
        here = waiting.pop()
        for edge in graph.edges:
            if edge.source == here and edge.target not in seen:
                seen.add(edge.target)
                waiting.append(edge.target)
                yield edge.target
