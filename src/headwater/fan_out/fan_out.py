"""From the events table's stream to every destination."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from typing import Any

from headwater.change_stream import cloud_events, dynamodb
from headwater.change_stream.batch import BatchOutcome, Failure
from headwater.change_stream.cloud_events import OutgoingEvent
from headwater.change_stream.records import ChangeRecord, MalformedRecordError, Operation
from headwater.domain.events import MalformedEventError
from headwater.fan_out.publisher import Publisher
from headwater.incidents import Incidents


class FanOut:
    """Publishes each new event to all destinations, which it serves in parallel.

    Only an INSERT is a new event. An expiry is dropped without a word; any other change of an event is an incident.
    A record fails if it is no event, or if one of the destinations did not take it; the others may have it, and get
    it again with the retry. A record that is no event holds back the later ones of its aggregate.

    ``executor`` runs the publishers; by default one thread each.
    """

    def __init__(
        self, publishers: Sequence[Publisher], incidents: Incidents, *, executor: Executor | None = None
    ) -> None:
        self._publishers = publishers
        self._incidents = incidents
        self._executor = executor or ThreadPoolExecutor(len(publishers), thread_name_prefix="fan-out")

    def fan_out(self, records: Sequence[Mapping[str, Any]]) -> BatchOutcome:
        """Handles one batch of a DynamoDB stream, as Lambda delivers it.

        Raises
        ------
        MalformedRecordError
            A record has no sequence number, so that no answer could name it; nothing was published.
        """
        sequence_numbers: list[str] = []
        events: list[OutgoingEvent] = []
        errors: dict[str, Exception] = {}
        stopped: dict[str, Exception] = {}
        for raw in records:
            sequence_number = dynamodb.sequence_number(raw)
            try:
                event = self._new_event(raw)
            except (MalformedRecordError, MalformedEventError) as error:
                errors[sequence_number] = error
                stopped.setdefault(_aggregate_id(raw), error)
            else:
                if event and event.aggregate_id in stopped:
                    errors[sequence_number] = stopped[event.aggregate_id]
                elif event:
                    sequence_numbers.append(sequence_number)
                    events.append(event)
        running = [self._executor.submit(publisher.publish, events) for publisher in self._publishers]
        # To the end of all, also when one raises: a thread that outlived this call would publish into the next one.
        wait(running)
        for publishing in running:
            for position, refusal in publishing.result().items():
                errors.setdefault(sequence_numbers[position], refusal)
        return BatchOutcome(len(records), tuple(Failure(number, error) for number, error in errors.items()))

    def _new_event(self, raw: Mapping[str, Any]) -> OutgoingEvent | None:
        record = dynamodb.parse(raw)
        match record.operation:
            case Operation.INSERT:
                if record.new_image is None:
                    raise MalformedRecordError(
                        "an INSERT without an image: the stream's view type must include new images"
                    )
                return cloud_events.encode(record.new_image)
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


def _aggregate_id(raw: Mapping[str, Any]) -> str:
    """The record's aggregate where it can be told, else nobody's."""
    try:
        return str(raw["dynamodb"]["Keys"]["aggregate_id"]["S"])
    except (KeyError, TypeError):
        return ""
