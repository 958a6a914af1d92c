"""From the events table's stream to every destination."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from typing import Any, Protocol

from headwater.attribute_values import AttributeMap
from headwater.change_stream import cloud_events, dynamodb
from headwater.change_stream.batch import BatchOutcome
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.change_stream.records import ChangeRecord, MalformedRecordError, Operation
from headwater.dead_letters.triage import Triage
from headwater.domain.events import EventTypes
from headwater.failures import FOR_GOOD, PermanentError, kind_of, precedence
from headwater.fan_out.publisher import Publisher
from headwater.incidents import Incidents

type Records = Sequence[Mapping[str, Any]]


class ItemGoneError(PermanentError):
    """A dead letter's item is no longer in the events table, and cannot be read as it was parked."""


class EventItems(Protocol):
    """The events table, item by item."""

    def get(self, key: AttributeMap) -> AttributeMap | None:
        """The item under a key (DynamoDB JSON) as it is at this moment; None if there is none."""
        ...


class FanOut:
    """Publishes each new event to all destinations, which it serves in parallel.

    Only an INSERT is a new event. An expiry is dropped without a word; any other change of an event is an incident.
    A record fails if one of the destinations did not take it; the others may have it, and get it again with the retry.
    One that is no event, or that a destination refuses for good, is parked, and later ones of its aggregate go on:
    whoever needs their order meets the gap at its own gate.

    ``executor`` runs the publishers; by default one thread each.
    """

    def __init__(
        self,
        publishers: Sequence[Publisher],
        incidents: Incidents,
        triage: Triage,
        items: EventItems,
        types: EventTypes,
        *,
        executor: Executor | None = None,
    ) -> None:
        self._publishers = publishers
        self._incidents = incidents
        self._triage = triage
        self._items = items
        self._types = types
        self._executor = executor or ThreadPoolExecutor(len(publishers), thread_name_prefix="fan-out")

    def fan_out(self, records: Records) -> BatchOutcome:
        """Handles one batch of a DynamoDB stream, as Lambda delivers it.

        Raises
        ------
        MalformedRecordError
            A record has no sequence number, so that no answer could name it; nothing was published.
        """
        dynamodb.sequence_numbers(records)
        published, errors = self._publish(records, self._new_event)
        return self._triage.settle(records, published, errors)

    def redrive(self, records: Records) -> BatchOutcome:
        """Publishes parked records' events again, each as it is in the events table now. Nothing is parked anew."""
        numbers = dynamodb.sequence_numbers(records)
        _, errors = self._publish(records, self._event_now)
        return BatchOutcome.of(numbers, errors)

    def _publish(
        self, records: Records, event_of: Callable[[Mapping[str, Any]], OutgoingEvent | None]
    ) -> tuple[list[str], dict[int, Exception]]:
        """The aggregates of which something was sent, and what records met, by their place in the batch."""
        places: list[int] = []
        events: list[OutgoingEvent] = []
        errors: dict[int, Exception] = {}
        stopped: dict[str, Exception] = {}
        for index, raw in enumerate(records):
            try:
                event = event_of(raw)
            except Exception as error:  # noqa: BLE001  # whatever one record meets, other aggregates flow
                errors[index] = error
                if kind_of(error) not in FOR_GOOD:
                    stopped.setdefault(dynamodb.aggregate_id(raw), error)
                continue
            if event and event.aggregate_id in stopped:
                errors[index] = stopped[event.aggregate_id]
            elif event:
                places.append(index)
                events.append(event)
        running = [self._executor.submit(publisher.publish, events) for publisher in self._publishers]
        # To the end of all, also when one raises: a thread that outlived this call would publish into the next one.
        wait(running)
        for publishing in running:
            for position, refusal in publishing.result().items():
                earlier = errors.get(places[position])
                if earlier is None or precedence(refusal) < precedence(earlier):
                    errors[places[position]] = refusal
        return [event.aggregate_id for event in events], errors

    def _new_event(self, raw: Mapping[str, Any]) -> OutgoingEvent | None:
        record = self._new(raw)
        return cloud_events.encode(_image(record), self._types) if record else None

    def _event_now(self, raw: Mapping[str, Any]) -> OutgoingEvent | None:
        record = self._new(raw)
        if record is None:
            return None
        # An operator may have mended the item since; what the letter holds is how it was.
        if (item := self._items.get(record.keys)) is not None:
            return cloud_events.encode(item, self._types)
        try:
            return cloud_events.encode(_image(record), self._types)
        except Exception as error:
            raise ItemGoneError(
                "the item is no longer in the events table, and as it was parked it cannot be published: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _new(self, raw: Mapping[str, Any]) -> ChangeRecord | None:
        """The record, if it is of a new event."""
        record = dynamodb.parse(raw)
        match record.operation:
            case Operation.INSERT:
                return record
            case Operation.MODIFY | Operation.REMOVE:
                self._report(record)
        return None

    def _report(self, record: ChangeRecord) -> None:
        self._incidents.report(
            "IllegalChanges",
            "an event was changed, which must never happen; its images are in the archive",
            operation=record.operation,
            stream_event_id=record.stream_event_id,
            sequence_number=record.sequence_number,
        )


def _image(record: ChangeRecord) -> AttributeMap:
    if record.new_image is None:
        raise MalformedRecordError("an INSERT without an image: the stream's view type must include new images")
    return record.new_image
